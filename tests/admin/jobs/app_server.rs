//! Servers of apps, which answer webhooks as a test says.

use super::job_thread::eventually;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How one request is answered.
#[derive(Clone)]
pub enum Answer {
    /// With these bytes, then the end.
    Bytes(String),
    /// With a head of 200 and a body without an end, until the other side closes.
    Endless,
    /// Not at all, until the other side closes.
    Never,
    /// With `100 Continue`, again and again, until the other side closes.
    Continue,
}

pub fn status(status: u16) -> Answer {
    Answer::Bytes(format!(
        "HTTP/1.1 {status} -\r\ncontent-length: 20\r\nconnection: close\r\n\r\n\
         {{\"status\":\"success\"}}"
    ))
}

#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    pub head: String,
    /// The bytes as received.
    pub bytes: Vec<u8>,
    pub body: Value,
}

/// A server that answers the first request with the first answer, and so on; further requests with
/// the last.
pub struct AppServer {
    pub addr: SocketAddr,
    asked: Arc<Mutex<Vec<ReceivedRequest>>>,
    /// Connections that the other side has closed.
    pub left: Arc<Mutex<usize>>,
}

impl AppServer {
    pub fn new(answers: &[Answer]) -> AppServer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (asked, left) = (
            Arc::<Mutex<Vec<ReceivedRequest>>>::default(),
            Arc::default(),
        );
        let server = AppServer {
            addr,
            asked: asked.clone(),
            left: Arc::clone(&left),
        };
        let answers = answers.to_vec();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("a connection");
                let (asked, left, answers) = (asked.clone(), left.clone(), answers.clone());
                std::thread::spawn(move || {
                    if let Some(request) = read_request(&stream) {
                        let nth = {
                            let mut asked = asked.lock().expect("whole");
                            asked.push(request);
                            asked.len() - 1
                        };
                        respond(stream, &answers[nth.min(answers.len() - 1)]);
                    }
                    // Also of a client that gave up before its request was whole.
                    *left.lock().expect("whole") += 1;
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://{}/webhook", self.addr)
    }

    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.asked.lock().expect("whole").clone()
    }

    #[track_caller]
    pub fn wait_for(&self, requests: usize) -> Vec<ReceivedRequest> {
        eventually("requests", || self.requests().len() >= requests);
        self.requests()
    }
}

pub fn read_request(stream: &TcpStream) -> Option<ReceivedRequest> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let len = lower.split_once("content-length: ")?.1.lines().next()?;
    let mut bytes = vec![0; len.parse().ok()?];
    reader.read_exact(&mut bytes).ok()?;
    let body = serde_json::from_slice(&bytes).ok()?;
    Some(ReceivedRequest { head, bytes, body })
}

pub fn respond(mut stream: TcpStream, answer: &Answer) {
    match answer {
        Answer::Bytes(bytes) => {
            let _ = stream.write_all(bytes.as_bytes());
        }
        Answer::Never => {
            let _ = stream.read(&mut [0]);
        }
        Answer::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        }
        Answer::Continue => {
            let some = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
            while stream.write_all(&some).is_ok() {}
        }
    }
}

/// Returns a URL without a server.
pub fn unused_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    format!("http://{addr}/webhook")
}
