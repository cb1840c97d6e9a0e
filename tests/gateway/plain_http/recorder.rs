//! A service that records each byte that it receives.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A service that records the raw requests, and answers each with 200.
pub struct Recorder {
    pub url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    pub fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests: Arc<Mutex<Vec<String>>> = Arc::default();
        let recorded = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let recorded = recorded.clone();
                std::thread::spawn(move || record(stream, &recorded));
            }
        });
        Recorder { url, requests }
    }

    /// Returns the requests since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().expect("no panic"))
    }
}

/// Returns the length of the whole request at the front of these bytes.
fn whole(bytes: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(bytes);
    let head = text.find("\r\n\r\n")? + 4;
    let lower = text[..head].to_ascii_lowercase();
    let field = |name: &str| {
        let at = lower.find(&format!("\r\n{name}: "))? + name.len() + 4;
        lower[at..].lines().next().map(str::to_owned)
    };
    match (field("transfer-encoding"), field("content-length")) {
        (Some(_), _) => Some(head + text[head..].find("0\r\n\r\n")? + 5),
        (None, Some(len)) => {
            let len = head + len.parse::<usize>().expect("a length");
            (bytes.len() >= len).then_some(len)
        }
        (None, None) => Some(head),
    }
}

fn record(mut stream: TcpStream, recorded: &Mutex<Vec<String>>) {
    let (mut bytes, mut chunk) = (Vec::new(), [0; 4_096]);
    loop {
        while let Some(len) = whole(&bytes) {
            let request: Vec<u8> = bytes.drain(..len).collect();
            let is_head = request.starts_with(b"HEAD");
            let request = String::from_utf8_lossy(&request).into_owned();
            // It is another one each time.
            let is_id = |line: &&str| line.starts_with("X-Pulsegate-Connection: ");
            assert_eq!(request.lines().filter(is_id).count(), 1, "{request}");
            let lines = request.split_inclusive('\n').filter(|line| !is_id(line));
            let request: String = lines.collect();
            recorded.lock().expect("no panic").push(request);
            let body = if is_head { "" } else { "ok" };
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{body}");
            if stream.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => {
                if !bytes.is_empty() {
                    let rest = format!("unfinished: {}", String::from_utf8_lossy(&bytes));
                    recorded.lock().expect("no panic").push(rest);
                }
                return;
            }
            Ok(len) => bytes.extend_from_slice(&chunk[..len]),
        }
    }
}
