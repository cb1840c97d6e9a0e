//! The parts of the send queue.

use super::frame::OutFrame;
use crate::wire::frame::Header;

/// The memory of a queue entry besides its bytes: its place in the queue, and the counter of shared
/// bytes.
const ENTRY_COST: usize = 96;

/// A part of the send queue.
#[derive(Debug)]
pub(super) enum OutEntry {
    /// Frames, one after the other. The last one may continue in the next entry, or may not have
    /// arrived completely, if it is forwarded.
    Batch(Vec<u8>),
    /// One frame, which may be shared with other connections.
    Frame(OutFrame),
}

impl OutEntry {
    pub(super) fn len(&self) -> usize {
        match self {
            OutEntry::Batch(bytes) => bytes.len(),
            OutEntry::Frame(frame) => frame.len(),
        }
    }

    /// Returns the memory that the piece is charged for: what is allocated. A shared frame is
    /// charged in full to each connection.
    pub(super) fn charge(&self) -> usize {
        ENTRY_COST
            + match self {
                OutEntry::Batch(bytes) => bytes.capacity(),
                OutEntry::Frame(frame) => frame.len(),
            }
    }

    /// Returns the length of the frame that begins at `at`, including what is not in the entry, and
    /// whether it is a data frame.
    pub(super) fn frame_at(&self, at: usize) -> (u64, bool) {
        match self {
            OutEntry::Frame(frame) => ((frame.len() - at) as u64, true),
            OutEntry::Batch(bytes) => {
                let rest = &bytes[at..];
                match Header::parse(rest) {
                    Some(header) => (header.len as u64 + header.payload, header.is_data()),
                    None => (rest.len() as u64, true),
                }
            }
        }
    }

    /// Returns the bytes from `from` to `to`, in two parts; either may be empty.
    pub(super) fn range(&self, from: usize, to: usize) -> [&[u8]; 2] {
        match self {
            OutEntry::Batch(bytes) => [&bytes[from..to], &[]],
            OutEntry::Frame(frame) => frame.range(from, to),
        }
    }
}
