//! A histogram of many durations in constant memory.

/// Counts of durations (µs) in buckets of a relative width of at most 1/64; always 20 KB.
pub struct DurationHistogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

const FINE: u32 = 6;

impl DurationHistogram {
    pub fn new() -> Self {
        DurationHistogram {
            buckets: vec![0; bucket_of(u64::MAX) + 1],
            count: 0,
            max: 0,
        }
    }

    pub fn add(&mut self, micros: u64) {
        self.buckets[bucket_of(micros)] += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// Returns the duration that `per_mille` thousandths do not exceed, rounded down by at most
    /// 1/64; 0 if there are none.
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let rank = (self.count * per_mille).div_ceil(1_000).max(1);
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return floor_of(bucket);
            }
        }
        0
    }
}

/// Returns the bucket of a value: exact below 64, then 64 buckets for each power of two.
fn bucket_of(value: u64) -> usize {
    let doublings = (u64::BITS - value.leading_zeros()).saturating_sub(FINE + 1);
    ((u64::from(doublings) << FINE) + (value >> doublings)) as usize
}

fn floor_of(bucket: usize) -> u64 {
    let doublings = (bucket as u64 >> FINE).saturating_sub(1);
    (bucket as u64 - (doublings << FINE)) << doublings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_starts_at_most_a_64th_below_what_it_holds() {
        for value in (0..5_000).chain([65_535, 65_536, 1 << 40, (1 << 40) + 12_345, u64::MAX]) {
            let floor = floor_of(bucket_of(value));
            assert!(
                floor <= value && value - floor <= value / 64,
                "{value}: {floor}"
            );
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut histogram = DurationHistogram::new();
        assert_eq!(histogram.quantile(500), 0);
        (1..=60).for_each(|v| histogram.add(v));
        assert_eq!((histogram.quantile(500), histogram.quantile(990)), (30, 60));
        assert_eq!((histogram.count(), histogram.max()), (60, 60));
    }
}
