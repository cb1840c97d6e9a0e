//! Requests and frames as clients send them, and parsing of a server's frames.

use crate::wire::frame::{Header, Role, write_frame};
use crate::wire::http::accept_of;
use crate::wire::mask;

/// Counts the whole frames at the start of `data` by their headers, for benchmarks.
pub fn count_frames(mut data: &[u8]) -> u32 {
    let mut frames = 0;
    while let Some(rest) = Header::parse(data).and_then(|h| data.get(h.frame_len()..)) {
        data = rest;
        frames += 1;
    }
    frames
}

/// Returns a request for a WebSocket.
pub fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Returns the 101 response to the head of a request for a WebSocket, with these header lines, each
/// with its line end.
///
/// # Panics If the request has no Sec-WebSocket-Key.
pub fn upgrade_response(request: &str, headers: &str) -> String {
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let Some(key) = key else {
        panic!("no key in {request:?}");
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{headers}\r\n",
        accept_of(key)
    )
}

/// Returns an unmasked frame as servers send it; `first` is the byte with FIN and opcode.
pub fn frame_of_server(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_frame(&mut frame, first, payload, None);
    frame
}

/// Returns a masked frame as clients send it; `first` is the byte with FIN and opcode. The mask
/// depends only on the payload's length.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mask = [0x37, 0xFA, 0x21, payload.len() as u8];
    write_frame(&mut frame, first, payload, Some(mask));
    frame
}

/// Returns the first frame that a peer in this role receives, if it is complete: its first byte,
/// its payload without the mask, and its total length.
///
/// # Panics If the frame is masked and comes from a server, or is not and comes from a client.
pub(super) fn received_frame(role: Role, bytes: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let header = Header::parse(bytes)?;
    assert_eq!(
        header.mask.is_some(),
        role.peer().masks(),
        "a frame with the wrong kind of mask"
    );
    let len = header.frame_len();
    let mut payload = bytes.get(header.len..len)?.to_vec();
    mask::apply(&mut payload, header.mask(), 0);
    Some((header.first, payload, len))
}

/// Returns the first frame of a server's stream if it is complete: its first byte, its payload, and
/// its total length.
///
/// # Panics If the frame is masked, which a server's frames must not be.
pub fn server_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let header = Header::parse(bytes)?;
    assert!(header.mask.is_none(), "a masked frame from the server");
    let len = header.frame_len();
    Some((header.first, bytes.get(header.len..len)?, len))
}
