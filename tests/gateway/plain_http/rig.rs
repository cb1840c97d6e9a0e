//! What the tests of plain HTTP have in common.

use crate::sockets::{Client, Server};

/// Returns a request without a body, with these lines, each ended by CRLF.
pub fn get(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n")
}

/// Returns an answer with this body.
pub fn answer(body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{body}")
}

/// An empty answer behind which the service closes the connection.
pub const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Reads exactly this many bytes.
#[track_caller]
pub fn read(client: &mut Client, len: usize) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        let more = client.read_up_to(len - bytes.len());
        assert!(!more.is_empty(), "the end after {} bytes", bytes.len());
        bytes.extend(more);
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// Reads an answer whose head states its length. Returns its head and its body.
#[track_caller]
pub fn read_answer(client: &mut Client) -> (String, String) {
    let head = client.refusal();
    let len = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.parse::<usize>().ok())?
    });
    let body = read(client, len.expect("a length"));
    (head, body)
}

/// Returns the status in an answer's head.
#[track_caller]
pub fn status(head: &str) -> u16 {
    head[9..12].parse().expect("a status")
}

/// Reads a request at the service and answers it.
#[track_caller]
pub fn serve(leg: &mut Server, body: &str) -> String {
    let head = leg.read_head().to_owned();
    leg.write(answer(body).as_bytes());
    head
}

/// Asserts that a client gets this answer to what it has sent.
#[track_caller]
pub fn assert_answer(client: &mut Client, body: &str) {
    let (head, got) = read_answer(client);
    assert_eq!((status(&head), &*got), (200, body), "{head}");
}

/// Asserts that the stream to a client ends without another byte.
#[track_caller]
pub fn assert_end(client: &mut Client) {
    assert!(client.ends_unanswered());
}
