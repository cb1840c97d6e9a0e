//! The parts of the send queue.

use super::frame::OutFrame;
use crate::wire::frame::Header;

/// The memory of a queue entry besides its bytes: its place in the queue, and the counter of shared
/// bytes.
const ENTRY: usize = 96;

/// A part of the send queue.
#[derive(Debug)]
pub(super) enum Piece {
    /// Small frames, one after the other.
    String(Vec<u8>),
    /// One frame, which may be shared with other connections.
    Frame(OutFrame),
}

impl Piece {
    pub(super) fn len(&self) -> usize {
        match self {
            Piece::String(bytes) => bytes.len(),
            Piece::Frame(frame) => frame.len(),
        }
    }

    /// Returns the memory that the piece is charged for: what is allocated. A shared frame is
    /// charged in full to each connection.
    pub(super) fn charge(&self) -> usize {
        ENTRY
            + match self {
                Piece::String(bytes) => bytes.capacity(),
                Piece::Frame(frame) => frame.len(),
            }
    }

    /// Returns the length of the frame that begins at `at`.
    pub(super) fn frame_len(&self, at: usize) -> usize {
        match self {
            Piece::Frame(frame) => frame.len() - at,
            Piece::String(bytes) => {
                let rest = &bytes[at..];
                Header::parse(rest).map_or(rest.len(), |h| h.frame_len().min(rest.len()))
            }
        }
    }

    /// Returns the bytes from `from` to `to`, in two parts; either may be empty.
    pub(super) fn range(&self, from: usize, to: usize) -> [&[u8]; 2] {
        match self {
            Piece::String(bytes) => [&bytes[from..to], &[]],
            Piece::Frame(frame) => frame.range(from, to),
        }
    }
}
