//! What arrives in pieces is kept in pieces of at most 64 KiB, and joined when it is whole.
//!
//! Growing copies little, and what is allocated is at most a sixteenth more than what has arrived: memory is reserved for
//! bytes that are here, never for bytes that a header announces.

use std::collections::VecDeque;

/// The largest piece.
const CHUNK: usize = 64 * 1024;

/// Bytes that are joined in one step.
pub(crate) const JOINED_AT_ONCE: usize = 128 * 1024;

/// A run of bytes, or of text.
pub(crate) trait Piece: Default {
    /// Bytes in it.
    fn len(&self) -> usize;
    /// Bytes that are allocated for it.
    fn capacity(&self) -> usize;
    /// Allocates room for so many bytes more, and for no others.
    fn reserve_exact(&mut self, more: usize);
    /// Appends another one.
    fn append(&mut self, other: Self);
}

/// Implements [`Piece`] for a type by its own methods, and by the one that appends.
macro_rules! piece {
    ($of:ty, $append:ident) => {
        impl Piece for $of {
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
    /// What was joined so far.
    whole: P,
}

impl<P: Piece> Chunks<P> {
    /// Bytes that are allocated.
    pub(crate) fn allocated(&self) -> usize {
        let entries = self.pieces.capacity() * size_of::<P>();
        let pieces = self.pieces.iter().map(P::capacity).sum::<usize>();
        entries + pieces + self.whole.capacity()
    }

    /// The last piece, with room for `bytes` (at most 64 KiB), of `coming` that come at once.
    pub(crate) fn last_for(&mut self, bytes: usize, coming: usize) -> &mut P {
        if self.pieces.back().is_none_or(|p| p.len() + bytes > CHUNK) {
            self.pieces.push_back(P::default());
        }
        let at = self.pieces.len() - 1;
        let last = &mut self.pieces[at];
        let room = CHUNK - last.len();
        if last.capacity() - last.len() < bytes {
            // Exact for what comes at once; in small steps for what comes in drops.
            last.reserve_exact(coming.max(last.len() / 16).min(room).max(bytes));
        }
        last
    }

    /// Joins the next 128 KiB. Returns the whole when nothing is left to be joined.
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
