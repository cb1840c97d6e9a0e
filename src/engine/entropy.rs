//! Random bytes for keys and masks, fetched many at a time.

/// Fills a buffer with random bytes.
pub(crate) type Fill = Box<dyn FnMut(&mut [u8]) + Send>;

/// The bytes fetched at once: a fetch is a system call, and a mask needs four.
const FETCHED: usize = 256;

/// Random bytes. Masks must come from a strong source of entropy (RFC 6455 §10.3).
pub(crate) struct Entropy {
    fill: Fill,
    bytes: [u8; FETCHED],
    used: usize,
}

impl Default for Entropy {
    /// Returns a fixed sequence, for engines on virtual time. A driver with sockets replaces it.
    /// Like random bytes, it does not repeat: payloads of different pairs must not be alike by
    /// default.
    fn default() -> Self {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        let mut state: u64 = 0;
        Entropy::new(Box::new(move |bytes| {
            for chunk in bytes.chunks_mut(8) {
                state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                let mut word = state;
                word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
                word ^= word >> 31;
                chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
            }
        }))
    }
}

impl Entropy {
    pub(crate) fn new(fill: Fill) -> Self {
        Entropy {
            fill,
            bytes: [0; FETCHED],
            used: FETCHED,
        }
    }

    /// Returns the next random bytes, at most 256.
    pub(crate) fn take<const N: usize>(&mut self) -> [u8; N] {
        if self.used + N > FETCHED {
            (self.fill)(&mut self.bytes);
            self.used = 0;
        }
        let mut taken = [0; N];
        taken.copy_from_slice(&self.bytes[self.used..self.used + N]);
        self.used += N;
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_does_not_repeat() {
        let mut entropy = Entropy::default();
        let mut taken: Vec<[u8; 4]> = (0..4_096).map(|_| entropy.take()).collect();
        taken.sort_unstable();
        taken.dedup();
        assert_eq!(taken.len(), 4_096);
    }

    #[test]
    fn no_byte_is_used_twice() {
        let mut next = 0_u8;
        let mut entropy = Entropy::new(Box::new(move |bytes| {
            for byte in bytes {
                *byte = next;
                next = next.wrapping_add(1);
            }
        }));
        for i in 0..64 {
            let first = 4 * i;
            assert_eq!(
                entropy.take::<4>(),
                [first, first + 1, first + 2, first + 3]
            );
        }
        assert_eq!(entropy.take::<3>(), [0, 1, 2]);
    }
}
