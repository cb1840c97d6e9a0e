//! An outgoing frame.

use crate::wire::Bytes;
use crate::wire::frame::{CONTINUATION, FIN, Header, OPCODE, Role, TEXT};

/// The length of the longest frame header that a server writes, in bytes.
const HEADER_MAX: usize = Role::Server.header_max();

/// One frame, shared by all connections that it is sent to.
#[derive(Debug, Clone)]
pub(crate) struct OutFrame {
    /// The header if it is separate from the body. A large payload is sent without copying it
    /// behind its header.
    header: [u8; HEADER_MAX],
    header_len: u8,
    body: Bytes,
}

impl OutFrame {
    /// Creates a frame from a payload and a separate header.
    pub(crate) fn large(header: &[u8], payload: Bytes) -> Self {
        let mut frame = OutFrame::from(payload);
        let len = header.len().min(HEADER_MAX);
        frame.header[..len].copy_from_slice(&header[..len]);
        frame.header_len = len as u8;
        frame
    }

    /// Returns a copy of the whole frame.
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.range(0, self.len()).concat()
    }

    /// Returns whether the frame is a text, and its payload.
    pub(crate) fn payload(&self) -> Option<(bool, Bytes)> {
        let apart = usize::from(self.header_len);
        let header = Header::parse(if apart > 0 { &self.header } else { &self.body })?;
        let skipped = header.len - apart.min(header.len);
        Some((header.first & OPCODE == TEXT, self.body.slice(skipped..)))
    }

    /// Returns whether the frame is a whole message, and whether a message ends with it.
    pub(crate) fn is_whole(&self) -> (bool, bool) {
        let first = match self.header_len {
            0 => self.body.first().copied().unwrap_or_default(),
            _ => self.header[0],
        };
        let is_last = first & FIN != 0;
        (is_last && first & OPCODE != CONTINUATION, is_last)
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.header_len) + self.body.len()
    }

    /// Returns whether the header is separate from the body.
    pub(super) fn has_header_apart(&self) -> bool {
        self.header_len > 0
    }

    /// Returns the frame's bytes, without the header if that is separate.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// Returns the bytes from `from` to `to`, in two parts; either may be empty.
    pub(super) fn range(&self, from: usize, to: usize) -> [&[u8]; 2] {
        let header = &self.header[..usize::from(self.header_len)];
        let of_body = |at: usize| at.saturating_sub(header.len());
        [
            &header[from.min(header.len())..to.min(header.len())],
            &self.body[of_body(from)..of_body(to)],
        ]
    }
}

impl From<Bytes> for OutFrame {
    /// Creates a whole frame in one piece.
    fn from(body: Bytes) -> Self {
        OutFrame {
            header: [0; HEADER_MAX],
            header_len: 0,
            body,
        }
    }
}
