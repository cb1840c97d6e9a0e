//! The heartbeats that were sent and may become late, in the order in which they do.
//!
//! A heartbeat is late when it is unanswered for a time `after`, which depends on the round-trip
//! times of its connection. Heartbeats with the same `after` become late in the order in which they
//! were sent, so they share one queue, and adding one takes constant time. Most connections have
//! the same `after`, so few queues are in use at a time.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::wheel::PING_GRID;
use std::collections::VecDeque;

/// The unit of `after` is 1/2048 of 2 s, about a millisecond. The step between two queues is at
/// most an eighth of `after`, and the usual values are exact: 2 s, and half of an interval of 1, 3,
/// 5, 10, 15, 20, 30 or 60 s.
const UNITS: u64 = 1 << 11;
const UNITS_TIME: u64 = 2_000_000;

/// The number of queues: that of the longest `after` is below.
const QUEUES: usize = 160;

/// The longest `after`. Times of sending have 32 bits of µs, of which a comparison uses half: 35
/// minutes.
pub(crate) const AFTER_MAX: Micros = Micros::from_secs(30 * 60);

/// A heartbeat that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SentBeat {
    pub(crate) slot: u32,
    /// When the kernel took it: µs, cut to 32 bits.
    pub(crate) sent: u32,
}

struct BeatQueue {
    /// How long a heartbeat of this queue may be unanswered, in µs.
    after: u32,
    beats: VecDeque<SentBeat>,
}

/// The heartbeats that may become late.
pub(crate) struct LateQueue {
    queues: Box<[BeatQueue]>,
    /// A bit for each queue that is not empty. A queue that was emptied may keep its bit for a
    /// while.
    used: [u64; WORDS],
    /// When the next heartbeat is due, or earlier; `Micros(u64::MAX)` if there is none.
    next_due: Micros,
    /// The search for heartbeats that are due, if it has begun.
    search: Option<Search>,
    /// How many heartbeats at the front of the queue `run_of` are known to be due.
    run: usize,
    run_of: usize,
    /// The latest `after`, and its queue: mostly the next one is the same.
    latest: (Micros, usize),
    /// Whether the driver has asked for late heartbeats in this turn or the last one. Otherwise
    /// none is kept.
    is_kept: bool,
    /// Whether the driver has asked in this turn.
    is_asked: bool,
}

/// How far the search for heartbeats that are due is.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// The queue to look at.
    index: usize,
    /// The time up to which heartbeats are due, on the grid: µs, cut to 32 bits.
    upto: u32,
}

/// The most heartbeats that are looked at in one step of a search.
const RUN_MAX: usize = 2_048;

const WORDS: usize = QUEUES.div_ceil(64);

const NEVER: Micros = Micros(u64::MAX);

impl Default for LateQueue {
    fn default() -> Self {
        let queue = |index| BeatQueue {
            after: after_of(index),
            beats: VecDeque::new(),
        };
        LateQueue {
            queues: (0..QUEUES).map(queue).collect(),
            used: [0; WORDS],
            next_due: NEVER,
            search: None,
            run: 0,
            run_of: 0,
            latest: (Micros::ZERO, 0),
            is_kept: false,
            is_asked: false,
        }
    }
}

impl LateQueue {
    /// Returns whether heartbeats are kept, because the driver asks for late ones.
    #[inline]
    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// Adds a heartbeat of the connection in `slot` that was sent at `now`. It is due `after` from
    /// now or up to an eighth later, rounded up to the grid of heartbeats.
    #[inline]
    pub(crate) fn push(&mut self, slot: u32, now: Micros, after: Micros) {
        if self.latest.0 != after {
            self.latest = (after, index_of(after));
        }
        let index = self.latest.1;
        let queue = &mut self.queues[index];
        if queue.beats.is_empty() {
            self.used[index / 64] |= 1 << (index % 64);
            self.next_due = self.next_due.min(round_up(now.0 + u64::from(queue.after)));
        }
        let sent = now.0 as u32;
        queue.beats.push_back(SentBeat { slot, sent });
        if sabotage::on(Bug::LateTwice) {
            queue.beats.push_back(SentBeat { slot, sent });
        }
    }

    /// Takes the next heartbeat that is due at `now`, and records that the driver asks for them.
    #[inline]
    pub(crate) fn take(&mut self, now: Micros) -> Option<SentBeat> {
        (self.is_kept, self.is_asked) = (true, true);
        if self.run == 0 {
            if now < self.next_due {
                return None;
            }
            self.find_run(now);
        }
        self.run = self.run.checked_sub(1)?;
        self.queues[self.run_of].beats.pop_front()
    }

    /// Puts back the heartbeat that was taken last.
    pub(crate) fn put_back(&mut self, beat: SentBeat) {
        self.run += 1;
        self.queues[self.run_of].beats.push_front(beat);
    }

    /// Continues the search for heartbeats that are due, or begins one, up to the next queue that
    /// has some.
    fn find_run(&mut self, now: Micros) {
        let mut search = self.search.unwrap_or(Search {
            index: 0,
            upto: (now.0 - now.0 % PING_GRID.0) as u32,
        });
        while let Some(index) = self.next_used(search.index) {
            let BeatQueue { after, beats } = &mut self.queues[index];
            let is_due = |beat: &&SentBeat| {
                let age = search.upto.wrapping_sub(beat.sent) as i32;
                age >= *after as i32
            };
            let run = beats.iter().take(RUN_MAX).take_while(is_due).count();
            if beats.is_empty() {
                self.used[index / 64] &= !(1 << (index % 64));
            }
            if run > 0 {
                // The rest of a longer run is found by the next search.
                search.index = index;
                (self.run, self.run_of, self.search) = (run, index, Some(search));
                return;
            }
            search.index = index + 1;
        }
        self.search = None;
        self.next_due = self.first_due(now);
    }

    /// Returns the first queue from this one on that is in use.
    #[inline]
    fn next_used(&self, from: usize) -> Option<usize> {
        let mut word = from / 64;
        let mut bits = self.used.get(word)? & (u64::MAX << (from % 64));
        while bits == 0 {
            word += 1;
            bits = *self.used.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// Returns when the first heartbeat of all queues is due.
    fn first_due(&self, now: Micros) -> Micros {
        let (mut first, mut from) = (NEVER, 0);
        while let Some(index) = self.next_used(from) {
            let BeatQueue { after, beats } = &self.queues[index];
            if let Some(front) = beats.front() {
                let age = (now.0 as u32).wrapping_sub(front.sent) as i32;
                let left = i64::from(*after) - i64::from(age);
                first = first.min(round_up(now.0.saturating_add_signed(left)));
            }
            from = index + 1;
        }
        first
    }

    /// Ends a turn. A driver that has not asked for late heartbeats in it does not judge them, so
    /// nothing is kept for it and nothing wakes it.
    #[inline]
    pub(crate) fn end_turn(&mut self) {
        self.is_kept = std::mem::take(&mut self.is_asked);
        if !self.is_kept && self.next_due != NEVER {
            *self = LateQueue::default();
        }
    }

    /// Returns when [`take`](LateQueue::take) must be called next; `None` if no heartbeat waits.
    pub(crate) fn next_due(&self) -> Option<Micros> {
        Some(self.next_due).filter(|due| *due != NEVER)
    }

    /// Returns the number of heartbeats that wait.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.beats.len()).sum()
    }
}

/// Returns the queue of an `after`: the one with the least `after` that is not shorter. The queues
/// up to 16 units are one unit apart; from there on each power of two has eight of them.
fn index_of(after: Micros) -> usize {
    let units = (after.min(AFTER_MAX).0 * UNITS).div_ceil(UNITS_TIME);
    if units < 16 {
        return units as usize;
    }
    let below = units - 1;
    let shift = below.ilog2() - 3;
    (u64::from(shift) * 8 + (below >> shift) + 1) as usize
}

/// Returns the `after` of a queue, in µs.
fn after_of(index: usize) -> u32 {
    let index = index as u64;
    let units = match index {
        0..16 => index,
        _ => (8 + index % 8) << (index / 8 - 1),
    };
    u32::try_from((units * UNITS_TIME).div_ceil(UNITS)).unwrap_or(u32::MAX)
}

fn round_up(at: u64) -> Micros {
    Micros(at.next_multiple_of(PING_GRID.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut LateQueue, now: u64) -> Vec<u32> {
        let due = std::iter::from_fn(|| queue.take(Micros(now)));
        due.map(|beat| beat.slot).collect()
    }

    #[test]
    fn the_step_to_the_next_queue_is_at_most_an_eighth() {
        let mut rng = fastrand::Rng::with_seed(7);
        for _ in 0..100_000 {
            let most = 1 << rng.u32(4..31);
            let after = rng.u64(0..most).min(AFTER_MAX.0);
            let (index, step) = (index_of(Micros(after)), after / 8 + 2 * UNITS_TIME / UNITS);
            let exact = u64::from(after_of(index));
            assert!((after..=after + step).contains(&exact), "{after}: {exact}");
            assert!(
                index == 0 || u64::from(after_of(index - 1)) <= after,
                "{after}"
            );
        }
        assert!(index_of(Micros(u64::MAX / UNITS)) < QUEUES);
        assert!(after_of(index_of(AFTER_MAX)) < i32::MAX as u32);
    }

    #[test]
    fn the_usual_times_are_exact() {
        for ms in [
            500, 1_500, 2_000, 2_500, 5_000, 7_500, 10_000, 15_000, 30_000,
        ] {
            assert_eq!(
                after_of(index_of(Micros::from_millis(ms))),
                ms as u32 * 1_000
            );
        }
    }

    #[test]
    fn each_comes_back_once_and_never_early() {
        let mut rng = fastrand::Rng::with_seed(8);
        let mut queue = LateQueue::default();
        // Across the end of the 32 bits of a time.
        let mut now = u64::from(u32::MAX) - 20_000_000;
        assert!(drain(&mut queue, now).is_empty());
        let (mut dues, mut left) = (Vec::new(), 0);
        for slot in 0..5_000 {
            now += rng.u64(0..20_000);
            let after = rng.u64(5_000..8_000_000);
            queue.push(slot, Micros(now), Micros(after));
            dues.push(now + after);
            left += 1;
            assert!(queue.next_due().is_some());
            for slot in drain(&mut queue, now) {
                let (due, step) = (dues[slot as usize], 1_000_000 + PING_GRID.0 + 20_000);
                assert!((due..due + step).contains(&now), "{slot}: {due}, {now}");
                left -= 1;
            }
            assert_eq!(queue.len(), left);
        }
        while let Some(due) = queue.next_due() {
            assert!(due.0 > now && due.0.is_multiple_of(PING_GRID.0));
            now = due.0;
            left -= drain(&mut queue, now).len();
        }
        assert_eq!((left, queue.len()), (0, 0));
    }

    #[test]
    fn nothing_is_kept_for_a_driver_that_does_not_ask() {
        let mut queue = LateQueue::default();
        assert!(!queue.is_kept());
        assert!(drain(&mut queue, 2).is_empty() && queue.is_kept());
        queue.push(1, Micros(3), Micros(1_000));
        queue.end_turn();
        assert_eq!((queue.len(), queue.next_due()), (1, Some(PING_GRID)));
        queue.end_turn();
        assert_eq!(
            (queue.len(), queue.next_due(), queue.is_kept()),
            (0, None, false)
        );
    }
}
