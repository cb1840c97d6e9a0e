//! A token bucket: a rate per second, with a burst.

use crate::base::time::Micros;

/// The most tokens that the bucket can hold.
const BURST: u64 = 1_000;

/// One token; the bucket counts in millionths of a token.
const TOKEN: u64 = 1_000_000;

/// The budget of stale closes. After many simultaneous failures, the loop must not spend all its
/// turns on closing. If our own network failed, the peers may return before they are closed.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// Tokens a second; 0: no limit.
    rate: u64,
    level: u64,
    filled_at: Micros,
}

impl Bucket {
    pub(crate) fn new(rate: u32) -> Self {
        let mut bucket = Bucket {
            rate: u64::from(rate),
            level: 0,
            filled_at: Micros::ZERO,
        };
        bucket.level = bucket.capacity();
        bucket
    }

    /// Takes a token from the bucket; returns whether there was one.
    pub(crate) fn take(&mut self, now: Micros) -> bool {
        if self.rate == 0 {
            return true;
        }
        let gained = (now - self.filled_at).0.saturating_mul(self.rate);
        self.level = self.level.saturating_add(gained).min(self.capacity());
        self.filled_at = self.filled_at.max(now);
        let taken = self.level >= TOKEN;
        if taken {
            self.level -= TOKEN;
        }
        taken
    }

    /// Returns a token that was taken but not used to the bucket.
    pub(crate) fn give_back(&mut self) {
        self.level = (self.level + TOKEN).min(self.capacity());
    }

    fn capacity(&self) -> u64 {
        self.rate.min(BURST) * TOKEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_rate() {
        let mut bucket = Bucket::new(5_000);
        let taken = |b: &mut Bucket, ms| {
            (0..10_000)
                .take_while(|_| b.take(Micros::from_millis(ms)))
                .count()
        };
        assert_eq!(taken(&mut bucket, 0), 1_000);
        assert_eq!(taken(&mut bucket, 10), 50);
        assert_eq!(taken(&mut bucket, 60_000), 1_000);
        bucket.give_back();
        assert_eq!(taken(&mut bucket, 60_000), 1);
    }

    #[test]
    fn zero_is_no_limit_and_one_is_one() {
        assert!((0..10_000).all(|_| Bucket::new(0).take(Micros::ZERO)));
        let mut one = Bucket::new(1);
        assert!(
            one.take(Micros::ZERO)
                && !one.take(Micros::from_millis(999))
                && one.take(Micros::from_millis(1_000))
        );
    }
}
