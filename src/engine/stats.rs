//! The loop's counters. They are plain integers owned by the loop; no other thread reads them.

use crate::base::cause::{CauseTable, PeerCode};
use crate::base::time::Micros;

/// Counters since the start, and gauges of the current state.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Stats {
    /// Connections taken from the listener.
    pub accepted: u64,
    /// Accepted connections that were handed over and have not come back
    /// ([`Handler::hands_over`](crate::engine::Handler::hands_over)).
    pub handed_over: u64,
    /// Connections that are handed over and have not ended.
    pub handed_over_here: u64,
    /// Connections that this side has dialled.
    pub dialed: u64,
    /// Connections that this side has dialled and that exist now.
    pub dialed_here: u64,
    /// Connections that this side has dialled and that became WebSockets.
    pub dialed_open: u64,
    /// Connections that this side has dialled and that ended before they became WebSockets, by
    /// [`Cause::index`](crate::Cause::index).
    pub dials_failed: Box<[u64]>,
    /// Linked pairs of which at least one connection exists now.
    pub pairs: u64,
    /// WebSockets by class: how many opened, and how they ended.
    pub classes: Vec<ClassStats>,
    /// Accepted connections that ended before they became WebSockets, by
    /// [`Cause::index`](crate::Cause::index).
    pub rejected: Box<[u64]>,
    /// The table of causes.
    pub causes: CauseTable,
    /// Connections that ended inside a frame, because the partner that sent it ended.
    pub cut_mid_frame: u64,
    /// Data messages received.
    pub messages_in: u64,
    /// Data messages sent.
    pub messages_out: u64,
    /// Bytes received, as on the wire.
    pub bytes_in: u64,
    /// Bytes sent, as on the wire.
    pub bytes_out: u64,
    /// Delay from the time a deadline was due until it was handled, µs.
    pub lateness: Histogram,
    /// Delay that `stale_closes_per_second` added to the closing of stale connections, µs.
    pub stale_delay: Histogram,
    /// The number of turns of the loop.
    pub turns: u64,
    /// Duration of turns, µs, without the wait for events.
    pub turn_time: Histogram,
    /// The number of stalls of the loop.
    pub stalls: u64,
    /// Total duration of all stalls.
    pub stalled: Micros,
    /// Late heartbeats that say nothing about their peers, because this process itself was at fault
    /// ([`FleetView::own_fault`](crate::engine::FleetView::own_fault)).
    pub lates_excused: u64,
    /// Times that accepting was paused or restricted.
    pub accept_pauses: u64,
    /// Times that accepting failed because the process or the system had no free descriptors.
    pub out_of_descriptors: u64,
    /// Whether new connections are currently left waiting or refused: the limit is reached, or the
    /// listener is closed.
    pub accept_paused: bool,
    /// Whether new connections are currently refused because the connection limit is reached.
    pub full: bool,
    /// Connections above the limit that are open now only to receive their refusal.
    pub refused_here: u64,
    /// Connections refused because the connection limit was reached.
    pub refused: u64,
    /// Bytes currently allocated for unsent data.
    pub pending_bytes: u64,
    /// Bytes currently allocated for unfinished messages and frames, and for input that waits for
    /// its turn.
    pub held_bytes: u64,
    /// The part of `held_bytes` that belongs to peers that have not identified themselves.
    pub unidentified_bytes: u64,
    /// Bytes that the host has currently charged for data that it keeps
    /// ([`Io::charge`](crate::Io::charge)).
    pub host_bytes: u64,
    /// Work units spent since the start; see [`Io::spend`](crate::Io::spend).
    pub work_units: u64,
    /// The most units that the input of all peers has cost in one turn: at most
    /// [`TURN_UNITS`](crate::engine::TURN_UNITS), plus the overshoot of the last frame of the reads
    /// and of the final checks.
    pub turn_units_max: u32,
    /// The most units that one frame, or one step of a large one, has cost. This work cannot be
    /// divided.
    pub frame_units_max: u32,
}

/// The connections of one class.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClassStats {
    /// WebSockets opened.
    pub opened: u64,
    /// WebSockets alive (open or closing) now. A stale one counts as ended as soon as it is
    /// detected.
    pub live: u64,
    /// Live WebSockets that are suspect.
    pub suspects: u64,
    /// Live WebSockets that are closing.
    pub closing: u64,
    /// Live WebSockets with input that waits for its next share of a turn.
    pub throttled: u64,
    /// Total time that connections have waited for their share.
    pub throttled_time: Micros,
    /// WebSockets that would have been closed as stale, but their policy only reports it.
    pub would_close: u64,
    /// The part of `would_close` whose peers were heard again later, so that the close would have
    /// been wrong.
    pub would_close_wrong: u64,
    /// WebSockets ended, by [`Cause::index`](crate::Cause::index).
    pub closed: Box<[u64]>,
    /// WebSockets closed by the peer, by close code ([`PeerCode`] as a number).
    pub peer_codes: [u64; PeerCode::ALL.len()],
    /// Heartbeats that the kernel took.
    pub pings: u64,
    /// Heartbeats answered, each once.
    pub pongs: u64,
    /// Pongs that matched no heartbeat although one was outstanding.
    pub pongs_mangled: u64,
    /// Heartbeats without any input from the peer by the time the next one was due.
    pub unanswered: u64,
    /// Open WebSockets with a late heartbeat among the latest two
    /// ([`Risk::High`](crate::health::Risk::High)).
    pub risk_high: u64,
    /// Open WebSockets with a late heartbeat among the latest four, but not among the latest two
    /// ([`Risk::Raised`](crate::health::Risk::Raised)).
    pub risk_raised: u64,
    /// Heartbeats that were late: unanswered for longer than answers of that peer usually take.
    pub late: u64,
    /// Round-trip times of heartbeats, µs.
    pub rtt: Histogram,
    /// Linked connections that are not read now because their partners are behind.
    pub paused: PausedTime,
}

/// How many connections are paused now, and for how long connections were paused in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PausedTime {
    /// Connections that are paused now.
    pub now: u64,
    /// The time up to the last change, summed over all connections.
    total: Micros,
    /// The time of the last change.
    changed: Micros,
}

impl PausedTime {
    /// Counts a connection that is paused, or that goes on.
    pub(crate) fn change(&mut self, is_paused: bool, now: Micros) {
        self.total = self.total_at(now);
        self.changed = now;
        match is_paused {
            true => self.now += 1,
            false => self.now -= 1,
        }
    }

    /// Returns the time up to this engine time, summed over all connections.
    pub fn total_at(&self, now: Micros) -> Micros {
        self.total + Micros((now - self.changed).0 * self.now)
    }
}

impl ClassStats {
    fn new(causes: CauseTable) -> Self {
        ClassStats {
            opened: 0,
            live: 0,
            suspects: 0,
            closing: 0,
            throttled: 0,
            throttled_time: Micros::ZERO,
            would_close: 0,
            would_close_wrong: 0,
            closed: vec![0; causes.count()].into(),
            peer_codes: [0; PeerCode::ALL.len()],
            pings: 0,
            pongs: 0,
            pongs_mangled: 0,
            unanswered: 0,
            risk_high: 0,
            risk_raised: 0,
            late: 0,
            rtt: Histogram::default(),
            paused: PausedTime::default(),
        }
    }

    /// Returns the number of WebSockets that are open and not suspect.
    pub fn healthy(&self) -> u64 {
        self.live - self.suspects - self.closing
    }
}

impl Stats {
    /// Creates counters, all zero, for this number of classes and these causes.
    pub fn new(classes: usize, causes: CauseTable) -> Self {
        Stats {
            accepted: 0,
            handed_over: 0,
            handed_over_here: 0,
            dialed: 0,
            dialed_here: 0,
            dialed_open: 0,
            dials_failed: vec![0; causes.count()].into(),
            pairs: 0,
            cut_mid_frame: 0,
            classes: vec![ClassStats::new(causes); classes],
            rejected: vec![0; causes.count()].into(),
            causes,
            messages_in: 0,
            messages_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            lateness: Histogram::default(),
            stale_delay: Histogram::default(),
            turns: 0,
            turn_time: Histogram::default(),
            stalls: 0,
            stalled: Micros::ZERO,
            lates_excused: 0,
            accept_pauses: 0,
            out_of_descriptors: 0,
            accept_paused: false,
            full: false,
            refused_here: 0,
            refused: 0,
            pending_bytes: 0,
            held_bytes: 0,
            unidentified_bytes: 0,
            host_bytes: 0,
            work_units: 0,
            turn_units_max: 0,
            frame_units_max: 0,
        }
    }

    /// Returns all bytes that count against
    /// [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes).
    pub fn buffered_bytes(&self) -> u64 {
        self.pending_bytes + self.held_bytes + self.host_bytes
    }

    /// Returns the number of heartbeats that the kernel took, over all classes.
    pub fn pings(&self) -> u64 {
        self.classes.iter().map(|c| c.pings).sum()
    }

    /// Returns the number of heartbeats answered, over all classes.
    pub fn pongs(&self) -> u64 {
        self.classes.iter().map(|c| c.pongs).sum()
    }

    /// Returns the number of pongs that matched no heartbeat, over all classes.
    pub fn pongs_mangled(&self) -> u64 {
        self.classes.iter().map(|c| c.pongs_mangled).sum()
    }

    /// Returns the number of heartbeats without any input by the time the next one was due, over
    /// all classes.
    pub fn unanswered(&self) -> u64 {
        self.classes.iter().map(|c| c.unanswered).sum()
    }

    /// Returns the round-trip times of heartbeats, µs, over all classes.
    pub fn rtt(&self) -> Histogram {
        let mut all = Histogram::default();
        self.classes.iter().for_each(|class| all.add(&class.rtt));
        all
    }

    /// Returns the number of WebSockets opened, over all classes.
    pub fn opened(&self) -> u64 {
        self.classes.iter().map(|c| c.opened).sum()
    }

    /// Returns the number of live WebSockets, over all classes.
    pub fn live(&self) -> u64 {
        self.classes.iter().map(|c| c.live).sum()
    }

    /// Returns the number of suspect connections, over all classes.
    pub fn suspects(&self) -> u64 {
        self.classes.iter().map(|c| c.suspects).sum()
    }

    /// Returns the number of connections that are not WebSockets yet: the request or its answer is
    /// still in transit.
    pub fn opening(&self) -> u64 {
        let made = self.accepted + self.dialed - self.handed_over;
        made - self.opened() - sum(&self.rejected) - sum(&self.dials_failed)
    }

    /// Returns the part of [`opening`](Stats::opening) that this side dials.
    pub fn dialing(&self) -> u64 {
        self.dialed - self.dialed_open - sum(&self.dials_failed)
    }

    /// Returns the number of connections that count against the connection limit: WebSockets, those
    /// that may become one, and those that were handed over. Dialled connections do not count.
    pub fn places_taken(&self) -> u64 {
        (self.live() + self.opening() + self.handed_over_here)
            .saturating_sub(self.refused_here + self.dialed_here)
    }

    /// Returns the number of WebSockets that ended for the cause with this
    /// [`Cause::index`](crate::Cause::index), over all classes.
    pub fn closed(&self, cause: usize) -> u64 {
        self.classes.iter().map(|c| c.closed[cause]).sum()
    }
}

/// A histogram of values by magnitude: exact below 8, then eight steps to each power of two. A
/// percentile is at most an eighth above the true value. 4 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    sum: u64,
}

const BUCKETS: usize = 62 * 8;

fn sum(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: Box::new([0; BUCKETS]),
            sum: 0,
        }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    /// Returns how many values were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the sum of all values; it wraps around at 2^64.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns how many values below 2^`exponent` were counted, exactly. `exponent` is at most 63.
    pub fn below_power(&self, exponent: u32) -> u64 {
        self.counts[..bucket(1 << exponent)].iter().sum()
    }

    /// Returns the upper end of the step that holds the `q` quantile (0 to 1); `None` if there are
    /// no values.
    pub fn percentile(&self, q: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((count as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(i, n)| {
            seen += n;
            (seen >= rank).then(|| upper_end(i))
        })
    }

    /// Adds the values of another histogram.
    pub fn add(&mut self, other: &Histogram) {
        for (own, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *own += more;
        }
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Returns the values counted since `earlier`, a copy of this histogram. If that is the later
    /// of the two, there are none.
    pub fn since(&self, earlier: &Histogram) -> Histogram {
        let mut difference = self.clone();
        for (now, then) in difference.counts.iter_mut().zip(earlier.counts.iter()) {
            *now = now.saturating_sub(*then);
        }
        difference.sum = self.sum.wrapping_sub(earlier.sum);
        difference
    }
}

fn bucket(value: u64) -> usize {
    if value < 8 {
        return value as usize;
    }
    let exponent = value.ilog2() as usize;
    (exponent - 2) * 8 + ((value >> (exponent - 3)) & 7) as usize
}

fn upper_end(bucket: usize) -> u64 {
    if bucket < 8 {
        return bucket as u64;
    }
    let (exponent, step) = (bucket / 8 + 2, (bucket % 8) as u64);
    let width = 1u64 << (exponent - 3);
    (8 + step) * width + (width - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_within_an_eighth_below_the_end_of_its_step() {
        for shift in 0..64 {
            for value in [
                1u64 << shift,
                (1 << shift) + (1 << shift) / 3,
                u64::MAX >> shift,
            ] {
                let end = upper_end(bucket(value));
                assert!(value <= end && end - value <= value / 8, "{value} {end}");
            }
        }
    }

    #[test]
    fn powers_of_two_divide_exactly() {
        let mut h = Histogram::default();
        for value in [0, 1, 7, 8, 15, 16, 1_023, 1_024, 1 << 40] {
            h.record(value);
        }
        let below = [0, 1, 3, 4, 10, 11, 41].map(|e| h.below_power(e));
        assert_eq!(below, [1, 2, 3, 5, 7, 8, 9]);
        assert_eq!(h.sum(), 7 + 1 + 8 + 15 + 16 + 1_023 + 1_024 + (1 << 40));
    }

    #[test]
    fn percentiles_of_a_known_distribution() {
        let mut h = Histogram::default();
        assert_eq!(h.percentile(0.5), None);
        (1..=1_000).for_each(|v| h.record(v));
        let p50 = h.percentile(0.5).expect("values");
        assert!((500..=563).contains(&p50), "{p50}");
        let earlier = h.clone();
        h.record(7);
        assert_eq!(
            (
                h.since(&earlier).count(),
                h.since(&earlier).percentile(0.99)
            ),
            (1, Some(7))
        );
    }
}
