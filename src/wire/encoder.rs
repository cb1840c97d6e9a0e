//! Complete frames that we send, in either role.

use super::frame::{CLOSE, FIN, write_frame};
use tungstenite::Bytes;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::CloseCode;

/// Returns a close frame; for 1005, which must not be sent, one without code and reason (RFC 6455
/// §7.4.1). A client's has a mask.
pub(crate) fn close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Bytes {
    let mut payload = Vec::new();
    if code != 1005 {
        payload.extend_from_slice(&code.to_be_bytes());
        payload.extend_from_slice(reason.as_bytes());
    }
    close_with(&payload, mask)
}

/// Returns a close frame with this payload.
pub(crate) fn close_with(payload: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    let mut bytes = Vec::with_capacity(6 + payload.len());
    write_frame(&mut bytes, FIN | CLOSE, payload, mask);
    bytes.into()
}

/// Returns whether a close frame may carry this code (RFC 6455 §7.4).
pub(crate) fn is_sendable(code: u16) -> bool {
    CloseCode::from(code).is_allowed()
}

/// Returns the opcode and the bytes of a frame, unchanged.
pub(crate) fn raw(frame: Frame) -> (u8, Bytes) {
    let opcode = frame.header().opcode.into();
    let mut bytes = Vec::with_capacity(frame.len());
    // Formatting into a Vec does not fail.
    let _ = frame.format(&mut bytes);
    (opcode, bytes.into())
}
