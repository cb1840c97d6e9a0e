//! Random numbers that are the same in every client with the same seed.

/// The generator mulberry32. It spreads tries over time, and serves nothing that must be secret.
#[derive(Debug, Clone)]
pub struct Mulberry32(u32);

impl Mulberry32 {
    /// Returns a generator with this seed.
    pub const fn new(seed: u32) -> Self {
        Mulberry32(seed)
    }

    /// Returns the next number.
    pub const fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x6D2B_79F5);
        let mut t = (self.0 ^ (self.0 >> 15)).wrapping_mul(self.0 | 1);
        t ^= t.wrapping_add((t ^ (t >> 7)).wrapping_mul(t | 61));
        t ^ (t >> 14)
    }

    /// Returns U(from, to) of the protocol: a number from `from`, below `to` unless they are equal.
    /// Takes one number of the generator.
    pub fn uniform(&mut self, from: u64, to: u64) -> u64 {
        let width = u128::from(to.saturating_sub(from));
        let part = (u128::from(self.next_u32()) * width) >> 32;
        // Below `width`, which has 64 bits.
        from.saturating_add(part as u64)
    }
}
