//! What a cohort has learned, in a form that outlives the process.

/// What a cohort has learned about idle gaps, without times of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "a file has the same fields")]
pub struct SavedCadence {
    /// Survivals, by bucket.
    pub survived: [u16; 16],
    /// Deaths, by bucket.
    pub died: [u16; 16],
    /// The number of the longest safe bucket.
    pub safe: Option<u8>,
    /// The number of the bucket that was explored last.
    pub explored: Option<u8>,
    /// How many rounds in a row have failed there.
    pub failures: u8,
    /// For how many seconds no round begins.
    pub pause_secs: u32,
    /// For how many seconds the deaths of explorers are not paid.
    pub unpaid_secs: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Micros;
    use crate::health::{Cadence, GapBucket, Pace, PaceInput};

    #[test]
    fn a_cohort_goes_on_with_what_it_had_learned() {
        let mut cadence = Cadence::default();
        let bucket = |index| GapBucket::from_index(index).expect("16 buckets");
        for _ in 0..200 {
            for index in 0..6 {
                cadence.on_survived(bucket(index).edge(), Pace::Configured, 1, 100);
            }
        }
        let input = PaceInput {
            configured: Micros::from_secs(15),
            longest: Micros::from_secs(600),
            is_calm: true,
            is_at_risk: false,
            unanswered: 0,
            may_grow: true,
            members: 100,
            now: 50_000,
        };
        let most = Pace::Safe(bucket(5));
        let explorer = cadence.choose(most, &input);
        cadence.on_died(bucket(6).edge(), explorer, 100, input.now);
        cadence.leave(explorer);
        let saved = cadence.save(input.now + 100).expect("something is known");
        let mut restored = Cadence::restore(&saved, 5).expect("it is valid");
        assert_eq!(restored.safe(), Some(bucket(5)));
        assert_eq!(
            restored.exploration().pause(5),
            cadence.exploration().pause(50_100)
        );
        let later = PaceInput { now: 5, ..input };
        assert_eq!(
            restored.choose(most, &later),
            most,
            "it does not explore at once"
        );
        assert_eq!(restored.save(5), Some(saved));
        assert_eq!(Cadence::default().save(5), None);
    }

    #[test]
    fn what_no_cohort_can_be_like_is_refused() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut restored = 0;
        for _ in 0..10_000 {
            let saved = SavedCadence {
                survived: std::array::from_fn(|_| rng.u16(..) >> rng.u32(0..16)),
                died: std::array::from_fn(|_| rng.u16(..) >> rng.u32(0..16)),
                safe: rng.bool().then(|| rng.u8(0..20)),
                explored: rng.bool().then(|| rng.u8(0..20)),
                failures: rng.u8(..),
                pause_secs: rng.u32(..),
                unpaid_secs: rng.u32(..),
            };
            let trials = saved.survived.iter().zip(saved.died);
            let fits = trials
                .map(|(s, d)| u32::from(*s) + u32::from(d))
                .all(|n| n < 1 << 15);
            let Some(mut cadence) = Cadence::restore(&saved, rng.u32(0..100_000)) else {
                continue;
            };
            assert!(fits);
            restored += 1;
            for bucket in GapBucket::all() {
                cadence.on_survived(bucket.edge(), Pace::Configured, 16, 10);
                cadence.on_died(bucket.edge(), Pace::Configured, 10, 100);
            }
            assert!(
                cadence.exploration().pause(0) <= 40 * 86_400,
                "a month and some"
            );
        }
        assert!(restored > 100, "{restored}");
    }
}
