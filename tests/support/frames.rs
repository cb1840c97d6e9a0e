//! Frames of every shape as a client sends them, and what a peer received, sorted by kind.

use pulsegate::testing::{Received, client_frame};
pub use pulsegate::wire::frame::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};

pub fn text(payload: &str) -> Vec<u8> {
    client_frame(FIN | TEXT, payload.as_bytes())
}

pub fn binary(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | BINARY, payload)
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | PING, payload)
}

pub fn pong(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | PONG, payload)
}

/// Returns a close frame with any code.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    client_frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Returns the header of a frame with this first byte and length, without its payload.
pub fn header(first: u8, len: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &len.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

/// Returns a message in fragments with these payloads.
pub fn fragments<'a>(opcode: u8, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = parts.into_iter().collect();
    let last = parts.len() - 1;
    let first_byte =
        |i| (if i == last { FIN } else { 0 }) | (if i == 0 { opcode } else { CONTINUATION });
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| client_frame(first_byte(i), part))
        .collect()
}

/// Returns bytes that are not all the same.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Separates data frames and control frames. A control frame may be sent before waiting data, so
/// only the order within each kind is fixed. Asserts that nothing follows a close frame.
pub fn data_and_control(received: Vec<Received>) -> (Vec<Received>, Vec<Received>) {
    let end = received
        .iter()
        .position(|r| matches!(r, Received::Close(..)));
    assert!(
        end.is_none_or(|at| at + 1 == received.len()),
        "frames behind a close frame: {received:?}"
    );
    received
        .into_iter()
        .partition(|r| matches!(r, Received::Message(_)))
}
