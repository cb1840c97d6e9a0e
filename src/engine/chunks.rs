//! Bytes that arrive in pieces and are kept in pieces of at most 64 KiB.
//!
//! Growing copies little, and what is allocated is at most a sixteenth more than what has arrived: memory is reserved for
//! bytes that are here, never for bytes that a header announces.

use std::collections::VecDeque;

/// The largest piece.
const CHUNK: usize = 64 * 1024;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that were read.
    read: usize,
    len: usize,
}

impl Chunks {
    /// Bytes that are here.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes that are allocated.
    pub(crate) fn allocated(&self) -> usize {
        let entries = self.pieces.capacity() * size_of::<Vec<u8>>();
        entries + self.pieces.iter().map(Vec::capacity).sum::<usize>()
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.push_with(bytes, |_, _| {});
    }

    /// Appends bytes of a masked payload, unmasked (RFC 6455 §5.3); `offset` is where in the payload they stand.
    pub(crate) fn push_unmasked(&mut self, bytes: &[u8], mask: [u8; 4], offset: usize) {
        self.push_with(bytes, |piece, at| unmask(piece, mask, offset + at));
    }

    /// Appends bytes; `change` is given each run of new bytes in place, and how many of them stand before it.
    fn push_with(&mut self, mut bytes: &[u8], change: impl Fn(&mut [u8], usize)) {
        let mut at = 0;
        while !bytes.is_empty() {
            if self.pieces.back().is_none_or(|last| last.len() >= CHUNK) {
                self.pieces.push_back(Vec::new());
            }
            let Some(last) = self.pieces.back_mut() else {
                return;
            };
            let room = CHUNK - last.len();
            let take = bytes.len().min(room);
            if last.capacity() - last.len() < take {
                // Exact for what comes at once; in small steps for what comes in drops.
                last.reserve_exact(take.max((last.len() / 16).min(room)));
            }
            let from = last.len();
            last.extend_from_slice(&bytes[..take]);
            change(&mut last[from..], at);
            at += take;
            bytes = &bytes[take..];
        }
        self.len += at;
    }

    /// The pieces, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let read = self.read;
        let pieces = self.pieces.iter().enumerate();
        pieces.map(move |(index, piece)| {
            if index == 0 {
                &piece[read..]
            } else {
                &piece[..]
            }
        })
    }

    /// Takes bytes out into `buf`, and gives the memory of each piece back when it was read. Returns how many.
    pub(crate) fn read(&mut self, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let Some(first) = self.pieces.front() else {
                break;
            };
            let take = (first.len() - self.read).min(buf.len() - done);
            buf[done..done + take].copy_from_slice(&first[self.read..self.read + take]);
            done += take;
            self.read += take;
            if self.read == first.len() {
                self.pieces.pop_front();
                self.read = 0;
            }
        }
        self.len -= done;
        done
    }
}

/// Applies a mask to a run of a payload that begins at `offset` (RFC 6455 §5.3).
fn unmask(bytes: &mut [u8], mask: [u8; 4], offset: usize) {
    let turned: [u8; 4] = std::array::from_fn(|i| mask[(offset + i) % 4]);
    let word = u32::from_ne_bytes(turned);
    let wide = u64::from(word) | u64::from(word) << 32;
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(turned.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_in_any_cuts_is_read_in_any_cuts() {
        let bytes: Vec<u8> = (0..200_000u32).map(|i| (i % 251) as u8).collect();
        for cut in [1_000, 4_096, 65_535, 65_536, 70_000, 200_000] {
            let mut chunks = Chunks::default();
            bytes.chunks(cut).for_each(|c| chunks.push(c));
            assert_eq!(chunks.len(), bytes.len());
            assert_eq!(chunks.iter().map(<[u8]>::len).sum::<usize>(), bytes.len());
            let (mut got, mut buf) = (Vec::new(), vec![0; 777]);
            while let n @ 1.. = chunks.read(&mut buf) {
                got.extend_from_slice(&buf[..n]);
            }
            assert!(got == bytes && chunks.len() == 0);
        }
    }

    #[test]
    fn little_more_is_allocated_than_has_come() {
        for cut in [1, 100, 5_000, 64_000] {
            let mut chunks = Chunks::default();
            for _ in 0..300_000 / cut {
                chunks.push(&vec![7; cut]);
                let most = chunks.len() + chunks.len() / 16 + 400;
                assert!(chunks.allocated() <= most, "{} {most}", chunks.allocated());
            }
        }
    }

    #[test]
    fn a_mask_is_taken_off_whatever_the_cuts() {
        let (mask, plain) = ([1, 2, 3, 4], vec![0x55u8; 1_003]);
        let masked: Vec<u8> = (0..plain.len()).map(|i| plain[i] ^ mask[i % 4]).collect();
        for cut in [1, 3, 4, 7, 64, 1_003] {
            let mut chunks = Chunks::default();
            let mut offset = 0;
            for run in masked.chunks(cut) {
                chunks.push_unmasked(run, mask, offset);
                offset += run.len();
            }
            assert!(chunks.iter().flatten().eq(&plain), "cut {cut}");
        }
    }
}
