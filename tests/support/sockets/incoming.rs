//! What a test's end of a connection has received: frames, heads, and the end of the stream.

use super::PATIENCE;
use pulsegate::wire::frame::{BINARY, CLOSE, Header, MASKED, PING, PONG, TEXT, write_frame};
use pulsegate::wire::mask;
use socket2::SockRef;
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// An event from the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    /// The stream has ended: FIN.
    Eof,
    /// RST.
    Reset,
}

/// Removes the first whole frame of a server from `input`.
pub fn parse(input: &mut Vec<u8>) -> Option<Event> {
    let (first, second) = (*input.first()?, *input.get(1)?);
    assert_eq!(first & 0x70, 0, "reserved bits are clear");
    assert_eq!(second & 0x80, 0, "servers do not mask");
    let (start, len) = match second {
        126 => {
            let len = input.get(2..4)?.try_into().ok().map(u16::from_be_bytes)?;
            (4, usize::from(len))
        }
        127 => {
            let len = input.get(2..10)?.try_into().ok().map(u64::from_be_bytes)?;
            (10, len as usize)
        }
        len => (2, usize::from(len)),
    };
    let payload = input.get(start..start + len)?.to_vec();
    input.drain(..start + len);
    assert_ne!(first & 0x80, 0, "this server does not fragment");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    Some(match first & 0x0f {
        TEXT => Event::Text(text(&payload)),
        BINARY => Event::Binary(payload),
        CLOSE if payload.is_empty() => Event::Close(1005, String::new()),
        CLOSE => {
            let code = u16::from_be_bytes([payload[0], payload[1]]);
            Event::Close(code, text(&payload[2..]))
        }
        PING => Event::Ping(payload),
        PONG => Event::Pong(payload),
        other => panic!("opcode {other}"),
    })
}

/// Removes the first whole frame of a client from `input`.
pub fn parse_masked(input: &mut Vec<u8>) -> Option<Event> {
    let header = Header::parse(input)?;
    let frame = input.get(..header.frame_len())?;
    assert_ne!(frame[1] & MASKED, 0, "clients mask");
    let mut payload = frame[header.len..].to_vec();
    mask::apply(&mut payload, header.mask(), 0);
    let mut plain = Vec::new();
    write_frame(&mut plain, frame[0], &payload, None);
    input.drain(..header.frame_len());
    parse(&mut plain)
}

/// Returns the length of the head at the start of `input`, once it is complete.
pub fn head_len(input: &[u8]) -> Option<usize> {
    input
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// Reads what is available. Returns the end of the stream, if it was reached.
#[track_caller]
pub fn fill(socket: &impl AsFd, input: &mut Vec<u8>, deadline: Instant) -> Option<Event> {
    let socket = SockRef::from(socket);
    let left = deadline.saturating_duration_since(Instant::now());
    socket
        .set_read_timeout(Some(left.max(Duration::from_millis(1))))
        .expect("a read timeout");
    let mut buffer = [0; 64 * 1024];
    match (&*socket).read(&mut buffer) {
        Ok(0) => Some(Event::Eof),
        Ok(len) => {
            input.extend(&buffer[..len]);
            None
        }
        Err(e) if e.kind() == ErrorKind::ConnectionReset => Some(Event::Reset),
        Err(e) if e.kind() == ErrorKind::Interrupted => None,
        Err(e) => panic!("nothing within {PATIENCE:?}: {e}"),
    }
}

/// Returns the next event; `parse` removes a whole frame from the input.
#[track_caller]
pub fn next_event(
    socket: &impl AsFd,
    input: &mut Vec<u8>,
    parse: fn(&mut Vec<u8>) -> Option<Event>,
) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(event) = parse(input).or_else(|| fill(socket, input, deadline)) {
            return event;
        }
    }
}

/// Reads the head of a request or a response.
#[track_caller]
pub fn take_head(socket: &impl AsFd, input: &mut Vec<u8>) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(len) = head_len(input) {
            let head = input.drain(..len).collect();
            return String::from_utf8(head).expect("UTF-8");
        }
        if let Some(end) = fill(socket, input, deadline) {
            panic!("{end:?} before the end of a head; {} bytes", input.len());
        }
    }
}

/// Returns the values of a header field, in order.
pub fn header_values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let named = fields.filter(|(key, _)| key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value).collect()
}
