//! The parts of the queue.

use super::frame::OutFrame;
use crate::wire::frame::Header;

/// What an entry of the queue costs beside its bytes: its place in the queue, and the counter of shared bytes.
const ENTRY: usize = 96;

/// A part of the queue.
#[derive(Debug)]
pub(super) enum Piece {
    /// Small frames, one behind the other.
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

    /// What it costs: what is allocated, and a shared frame as if it were not shared.
    pub(super) fn charge(&self) -> usize {
        ENTRY
            + match self {
                Piece::String(bytes) => bytes.capacity(),
                Piece::Frame(frame) => frame.len(),
            }
    }

    /// The length of the frame that begins at `at`.
    pub(super) fn frame_len(&self, at: usize) -> usize {
        match self {
            Piece::Frame(frame) => frame.len() - at,
            Piece::String(bytes) => {
                let rest = &bytes[at..];
                Header::parse(rest).map_or(rest.len(), |h| h.frame_len().min(rest.len()))
            }
        }
    }

    /// The bytes from `from` to `to`, in two parts, either of which may be empty.
    pub(super) fn range(&self, from: usize, to: usize) -> [&[u8]; 2] {
        match self {
            Piece::String(bytes) => [&bytes[from..to], &[]],
            Piece::Frame(frame) => frame.range(from, to),
        }
    }
}
