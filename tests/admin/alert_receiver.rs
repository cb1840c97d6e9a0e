//! A receiver of the posts to `ALERT_WEBHOOK_URL`.

use crate::sockets::eventually;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// A receiver for Alertmanager's webhooks; it answers 503 while the test sets it down.
pub(crate) struct Receiver {
    addr: SocketAddr,
    is_down: Arc<AtomicBool>,
    got: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub(crate) fn new() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let receiver = Receiver {
            addr: listener.local_addr().expect("an address"),
            is_down: Arc::default(),
            got: Arc::default(),
            refused: Arc::default(),
        };
        let (is_down, got, refused) = (
            receiver.is_down.clone(),
            receiver.got.clone(),
            receiver.refused.clone(),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let Some(body) = read_body(&stream) else {
                    continue;
                };
                let is_down = is_down.load(Ordering::SeqCst);
                let (box_, status) = if is_down {
                    (&refused, 503)
                } else {
                    (&got, 200)
                };
                box_.lock().expect("whole").push(body);
                let answer = format!("HTTP/1.1 {status} -\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        receiver
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/alerts?key=s3cret", self.addr)
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Returns how many posts it has refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.lock().expect("whole").len()
    }

    /// Returns every alert that it received, in order: name and state.
    pub(crate) fn told(&self) -> Vec<(String, String)> {
        let got = self.got.lock().expect("whole");
        let alerts = got.iter().flat_map(|body| body["alerts"].as_array());
        let told = alerts.flatten().map(|alert| {
            let word = |value: &Value| value.as_str().expect("a word").to_owned();
            (word(&alert["labels"]["alertname"]), word(&alert["status"]))
        });
        told.collect()
    }

    /// Returns the bodies of all posts that it has accepted, in order.
    pub(crate) fn posts(&self) -> Vec<Value> {
        self.got.lock().expect("whole").clone()
    }

    /// Waits until it was told these alerts, and asserts that it was told no others.
    #[track_caller]
    pub(crate) fn wait_for(&self, wanted: &[(&str, &str)]) {
        let wanted: Vec<(String, String)> = wanted
            .iter()
            .map(|(name, state)| ((*name).to_owned(), (*state).to_owned()))
            .collect();
        eventually("the receiver is told", || {
            (self.told().len() >= wanted.len()).then_some(())
        });
        assert_eq!(self.told(), wanted);
    }
}

fn read_body(stream: &TcpStream) -> Option<Value> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    assert!(head.starts_with("POST /alerts?key=s3cret HTTP/1.1\r\n"));
    let head = head.to_lowercase();
    assert!(head.contains("content-type: application/json\r\n"));
    let len = head.split_once("content-length: ")?.1.lines().next()?;
    let mut body = vec![0; len.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}
