//! Buffers for input that arrives in pieces: pieces of at most 64 KiB, joined when the input is
//! complete.
//!
//! Growth copies little. At most a sixteenth more than the received bytes is allocated: memory is
//! reserved for bytes that have arrived, never for bytes that a header announces.

use std::collections::VecDeque;

/// The length of the largest piece, in bytes.
const CHUNK: usize = 64 * 1024;

/// The most bytes joined in one step.
pub(crate) const JOINED_AT_ONCE: usize = 128 * 1024;

/// A piece of bytes or text.
pub(crate) trait ChunkBuffer: Default {
    /// Returns the number of bytes in it.
    fn len(&self) -> usize;
    /// Returns the number of bytes allocated for it.
    fn capacity(&self) -> usize;
    /// Reserves room for exactly `more` additional bytes.
    fn reserve_exact(&mut self, more: usize);
    /// Appends another piece.
    fn append(&mut self, other: Self);
}

/// Implements [`ChunkBuffer`] for a type by its own methods, and by the named one for appending.
macro_rules! piece {
    ($of:ty, $append:ident) => {
        impl ChunkBuffer for $of {
            fn len(&self) -> usize {
                self.len()
            }

            fn capacity(&self) -> usize {
                self.capacity()
            }

            fn reserve_exact(&mut self, more: usize) {
                self.reserve_exact(more);
            }

            fn append(&mut self, other: Self) {
                self.$append(&other);
            }
        }
    };
}

piece!(Vec<u8>, extend_from_slice);
piece!(String, push_str);

/// A queue of pieces.
#[derive(Debug, Default)]
pub(crate) struct Chunks<P> {
    pieces: VecDeque<P>,
    /// The bytes joined so far.
    whole: P,
}

impl<P: ChunkBuffer> Chunks<P> {
    /// Returns the number of bytes allocated.
    pub(crate) fn allocated(&self) -> usize {
        let entries = self.pieces.capacity() * size_of::<P>();
        let pieces = self.pieces.iter().map(P::capacity).sum::<usize>();
        entries + pieces + self.whole.capacity()
    }

    /// Returns the last piece, with room for `bytes` (at most 64 KiB); `coming` bytes arrive at
    /// once.
    pub(crate) fn reserve_last(&mut self, bytes: usize, coming: usize) -> &mut P {
        if self.pieces.back().is_none_or(|p| p.len() + bytes > CHUNK) {
            self.pieces.push_back(P::default());
        }
        let at = self.pieces.len() - 1;
        let last = &mut self.pieces[at];
        let room = CHUNK - last.len();
        if last.capacity() - last.len() < bytes {
            // Reserve exactly what arrives at once, and small steps for input that arrives in small
            // parts.
            last.reserve_exact(coming.max(last.len() / 16).min(room).max(bytes));
        }
        last
    }

    /// Joins the next 128 KiB. Returns the joined bytes when nothing is left to join.
    pub(crate) fn join(&mut self) -> Option<P> {
        if self.whole.capacity() == 0 {
            if self.pieces.len() <= 1 {
                return Some(self.pieces.pop_front().unwrap_or_default());
            }
            let len = self.pieces.iter().map(P::len).sum();
            self.whole.reserve_exact(len);
        }
        let mut joined = 0;
        while joined < JOINED_AT_ONCE {
            match self.pieces.pop_front() {
                Some(piece) => {
                    joined += piece.len();
                    self.whole.append(piece);
                }
                None => return Some(std::mem::take(&mut self.whole)),
            }
        }
        None
    }
}
