//! After which idle gaps the connections of a cohort have survived, and after which they have died.
//!
//! A NAT, a firewall or a proxy forgets a connection on which nothing was sent for some time. RFC
//! 5382 §5 asks for at least 2 h 4 min; many forget after minutes. Each heartbeat is a trial of
//! this: it follows an idle gap, and is answered or not. The table of these trials is a discrete
//! life table (E. L. Kaplan, P. Meier, "Nonparametric Estimation from Incomplete Observations",
//! 1958).
//!
//! Connections also die for reasons that have nothing to do with the gap, and more of them die
//! during a longer gap. How many that are is known from the shorter gaps, and is subtracted.

use crate::base::time::Micros;

/// The number of buckets.
const BUCKETS: usize = 16;

/// The edges of the buckets, in milliseconds: 15 s × 240^(k/15), from 15 s to 1 h.
const EDGES_MS: [u32; BUCKETS] = [
    15_000, 21_616, 31_150, 44_888, 64_687, 93_217, 134_331, 193_578, 278_957, 401_993, 579_294,
    834_794, 1_202_985, 1_733_568, 2_498_169, 3_600_000,
];

/// A gap that is shorter than an edge by up to this part of it still reaches the edge. A gap is
/// shorter than the interval of the heartbeats by the time that an answer takes.
const TOLERANCE: u64 = 16;

/// The most trials in a bucket, so that the evidence follows the network.
const TRIALS_MAX: u32 = 1 << 15;

/// At most one of this many trials of a bucket is a death that other reasons explain. A NAT that
/// forgets the connections of more peers than that is found however many connections die.
const OTHER_DEATHS: u64 = 16;

/// A bucket of idle gaps: those that reach its edge, but not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GapBucket(u8);

impl GapBucket {
    /// The bucket of the shortest gaps, from 15 s.
    pub const FIRST: GapBucket = GapBucket(0);

    /// Returns all buckets, from the shortest gaps.
    pub fn all() -> impl DoubleEndedIterator<Item = GapBucket> {
        (0..BUCKETS as u8).map(GapBucket)
    }

    /// Returns the bucket of an idle gap; `None` if it is too short for the first one.
    pub fn of(gap: Micros) -> Option<Self> {
        let ms = gap.as_millis();
        let reaches = |edge: &u32| ms >= u64::from(*edge) - u64::from(*edge) / TOLERANCE;
        let reached = EDGES_MS.partition_point(reaches);
        Some(GapBucket(reached.checked_sub(1)? as u8))
    }

    /// Returns the bucket with this number.
    pub fn from_index(index: usize) -> Option<Self> {
        (index < BUCKETS).then_some(GapBucket(index as u8))
    }

    /// Returns its number, from 0 to 15.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Returns the next longer one.
    pub fn longer(self) -> Option<Self> {
        Self::from_index(self.index() + 1)
    }

    /// Returns the edge of the bucket.
    pub fn edge(self) -> Micros {
        Micros::from_millis(EDGES_MS[self.index()].into())
    }
}

/// The trials of a cohort. 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GapHistory {
    survived: [u16; BUCKETS],
    died: [u16; BUCKETS],
}

/// The evidence on one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Evidence {
    /// Trials of this bucket and of longer gaps.
    reached: u64,
    /// Deaths in this bucket that other reasons do not explain.
    died: u64,
}

impl Evidence {
    /// Returns whether the one-sided upper bound of the hazard (E. B. Wilson, 1927; z = 1.28, which
    /// is a confidence of 90 %) is below 1 %. 163 survivors without a death suffice.
    fn is_safe(self) -> bool {
        let Some(over) = self.reached.checked_sub(100 * self.died) else {
            return false;
        };
        over > 0 && 100 * over * over > 16_220 * self.reached
    }

    /// Returns whether the hazard itself is below 1 %.
    fn stays_safe(self) -> bool {
        self.reached > 100 * self.died
    }
}

impl GapHistory {
    /// Records that connections have survived a gap, at most 16 at once.
    #[inline]
    pub fn survive(&mut self, bucket: GapBucket, times: u16) {
        self.survived[bucket.index()] += times.min(16);
        self.bound(bucket.index());
    }

    /// Records that a connection has died after a gap.
    pub fn die(&mut self, bucket: GapBucket) {
        self.died[bucket.index()] += 1;
        self.bound(bucket.index());
    }

    fn bound(&mut self, index: usize) {
        let (survived, died) = (&mut self.survived[index], &mut self.died[index]);
        if u32::from(*survived) + u32::from(*died) >= TRIALS_MAX {
            (*survived, *died) = (*survived / 2, *died / 2);
        }
    }

    /// Returns the history with these survivals and deaths; `None` if a bucket has more than are
    /// kept.
    pub(super) fn from_counts(survived: [u16; BUCKETS], died: [u16; BUCKETS]) -> Option<Self> {
        let trials = survived
            .iter()
            .zip(died)
            .map(|(s, d)| u32::from(*s) + u32::from(d));
        let fits = trials.max() < Some(TRIALS_MAX);
        fits.then_some(GapHistory { survived, died })
    }

    /// Makes all trials count half.
    pub fn age(&mut self) {
        for count in self.survived.iter_mut().chain(&mut self.died) {
            *count /= 2;
        }
    }

    /// Forgets the trials of this bucket and of longer gaps.
    pub fn forget_from(&mut self, bucket: GapBucket) {
        self.survived[bucket.index()..].fill(0);
        self.died[bucket.index()..].fill(0);
    }

    /// Returns the longest gap that is safe: the hazard of its bucket and of each shorter one is
    /// below 1 %, by its upper bound. `former` is the previous result: up to there the hazard
    /// itself decides, so that chance does not take a bucket away and give it back again.
    pub fn safe(&self, former: Option<GapBucket>) -> Option<GapBucket> {
        let mut safe = None;
        for (bucket, evidence) in GapBucket::all().zip(self.evidence()) {
            let is_former = Some(bucket) <= former;
            if !(evidence.is_safe() || is_former && evidence.stays_safe()) {
                break;
            }
            safe = Some(bucket);
        }
        safe
    }

    /// Returns how many of 65 536 gaps of this bucket end in a death that has another reason, by
    /// what happened during shorter gaps; at most one in 16.
    pub fn other_deaths(&self, bucket: GapBucket) -> u32 {
        let (mut deaths, mut exposure) = (0, 0);
        for ((survived, died), edge) in self.counts().zip(EDGES_MS).take(bucket.index()) {
            deaths += died;
            exposure += (survived + died) * u64::from(edge);
        }
        other_deaths(deaths, exposure, EDGES_MS[bucket.index()]) as u32
    }

    /// Returns the evidence on each bucket.
    fn evidence(&self) -> impl Iterator<Item = Evidence> {
        let mut reached: u64 = self.counts().map(|(survived, died)| survived + died).sum();
        // Deaths after shorter gaps, and the milliseconds in which they happened.
        let (mut deaths, mut exposure) = (0, 0);
        self.counts()
            .zip(EDGES_MS)
            .map(move |((survived, died), edge)| {
                let trials = survived + died;
                let explained = (trials * other_deaths(deaths, exposure, edge)) >> 16;
                let evidence = Evidence {
                    reached,
                    died: died.saturating_sub(explained),
                };
                reached -= trials;
                deaths += died;
                exposure += trials * u64::from(edge);
                evidence
            })
    }

    /// Returns survivals and deaths, by bucket.
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> {
        let both = self.survived.into_iter().zip(self.died);
        both.map(|(survived, died)| (survived.into(), died.into()))
    }
}

/// Returns how many of 65 536 gaps that reach this edge end in a death, if as many connections die
/// in each millisecond as in these: one standard deviation less than were counted.
fn other_deaths(deaths: u64, exposure: u64, edge: u32) -> u64 {
    let certain = deaths - deaths.isqrt();
    let expected = ((certain * u64::from(edge)) << 16).checked_div(exposure);
    expected.unwrap_or(0).min((1 << 16) / OTHER_DEATHS)
}

#[cfg(test)]
mod tests;
