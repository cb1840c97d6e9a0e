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
    fn default() -> Self {
        let mut count: u8 = 0;
        Entropy::new(Box::new(move |bytes| {
            for byte in bytes {
                count = count.wrapping_mul(5).wrapping_add(37);
                *byte = count;
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
