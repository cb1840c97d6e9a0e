//! The timer wheel: which slots have a deadline at which tick, and how long the loop may sleep.
//!
//! An adapter over `hierarchical_hash_wheel_timer`'s quad wheel (hashed and hierarchical timing
//! wheels: Varghese and Lauck, SOSP 1987). That wheel counts only its own ticks, refuses a delay of
//! zero, misbehaves near 2^32 and does not report when its next entry is due. So this adapter
//! limits delays to `HORIZON` ticks. It also keeps a ring of bits, one per tick within the horizon,
//! which records exactly which ticks hold an entry.
//!
//! Entries are slot numbers and are never removed. An entry counts only if, when it comes back, its
//! slot is still armed for that tick. An entry of a slot that was re-armed, closed or reused is
//! ignored.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use std::time::Duration;

/// The length of one tick: the granularity of every deadline.
pub const TICK: Micros = Micros::from_millis(5);

/// Heartbeats go out at multiples of this, every second tick, so that more of them share a wake-up.
/// Most peers answer just after such a moment; their other deadlines then fall in the tick between.
pub const PING_GRID: Micros = Micros::from_millis(10);

/// How many ticks ahead an entry may lie (20 s). A later deadline is armed again when its entry
/// comes back.
const HORIZON: u64 = 4_095;

/// A tick's number, cut to 32 bits. Entries live for less than `HORIZON` ticks, so two ticks with
/// the same number never coexist.
pub type Tick = u32;

/// The timer wheel: the deadlines of all slots.
///
/// An entry is never early. It is late by less than one tick if [`Wheel::next`] is called when the
/// time from [`Wheel::sleep_time`] is over.
pub struct Wheel {
    quad: QuadWheelWithOverflow<u32>,
    /// Ticks that have passed since the origin of engine time.
    now: u64,
    entries: usize,
    ring: [u64; RING_WORDS],
}

const RING_WORDS: usize = (HORIZON as usize + 1) / 64;

impl Default for Wheel {
    fn default() -> Self {
        Self::new()
    }
}

impl Wheel {
    /// Creates an empty wheel at the origin of engine time.
    pub fn new() -> Self {
        Wheel {
            quad: QuadWheelWithOverflow::default(),
            now: 0,
            entries: 0,
            ring: [0; RING_WORDS],
        }
    }

    /// Advances an empty wheel, so that the next entry counts from `now` and not from the last
    /// call.
    pub fn catch_up(&mut self, now: Micros) {
        if self.entries == 0 {
            self.now = self.now.max(now.0 / TICK.0);
        }
    }

    /// Adds an entry for `slot` at the first tick at or after `due`, or at the horizon if that is
    /// earlier. Returns that tick.
    pub fn arm(&mut self, slot: u32, due: Micros) -> Tick {
        let rounded = due.0.div_ceil(TICK.0);
        let at = rounded.clamp(self.now + 1, self.now + HORIZON);
        let delay = Duration::from_millis(at - self.now);
        // The quad wheel refuses only a delay of zero, and the clamp above excludes that.
        if self.quad.insert_with_delay(slot, delay).is_ok() {
            self.entries += 1;
            self.ring[word(at)] |= bit(at);
        }
        at as Tick
    }

    /// Returns whether an entry for `due` would come back before `armed`, a tick in the future.
    pub fn is_earlier(&self, due: Micros, armed: Tick) -> bool {
        let at = due
            .0
            .div_ceil(TICK.0)
            .clamp(self.now + 1, self.now + HORIZON);
        (at as Tick).wrapping_sub(self.now as Tick) < armed.wrapping_sub(self.now as Tick)
    }

    /// Advances towards `now`, to the next tick that holds entries. Returns that tick and the slots
    /// armed for it; `None` when `now` is reached.
    pub fn next(&mut self, now: Micros) -> Option<(Tick, Vec<u32>)> {
        let target = now.0 / TICK.0;
        while self.now < target {
            if self.entries == 0 {
                // Nothing can be missed: jump to the target. The quad wheel knows only delays.
                self.now = target;
                return None;
            }
            let fired = self.quad.tick();
            self.now += 1;
            self.ring[word(self.now)] &= !bit(self.now);
            if !fired.is_empty() {
                self.entries -= fired.len();
                return Some((self.now as Tick, fired));
            }
        }
        None
    }

    /// Returns how long the loop may sleep at `now` without missing an entry; `None`: for ever.
    pub fn sleep_time(&self, now: Micros) -> Option<Micros> {
        let next = self.next_tick()? + u64::from(sabotage::on(Bug::SleepTooLong));
        Some(Micros(next * TICK.0) - now)
    }

    /// Returns how many entries are in the wheel, including those that are no longer valid.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Returns the first tick after the current one whose bit is set.
    fn next_tick(&self) -> Option<u64> {
        if self.entries == 0 {
            return None;
        }
        let first = self.now + 1;
        let (start, offset) = (word(first), first % 64);
        // The word that holds `first` is checked twice: its upper part at the start, its lower part
        // at the end.
        for step in 0..=RING_WORDS {
            let mut bits = self.ring[(start + step) % RING_WORDS];
            if step == 0 {
                bits &= u64::MAX << offset;
            } else if step == RING_WORDS {
                bits &= !(u64::MAX << offset);
            }
            if bits != 0 {
                let position =
                    ((start + step) % RING_WORDS) as u64 * 64 + u64::from(bits.trailing_zeros());
                let ahead = (position + HORIZON + 1 - first % (HORIZON + 1)) % (HORIZON + 1);
                return Some(first + ahead);
            }
        }
        None
    }
}

fn word(tick: u64) -> usize {
    (tick % (HORIZON + 1)) as usize / 64
}

fn bit(tick: u64) -> u64 {
    1 << (tick % 64)
}

#[cfg(test)]
mod tests {
    use hierarchical_hash_wheel_timer::wheels::byte_wheel::WheelEntry;

    /// The memory of a deadline: the slot's number in the lowest 256 ticks (1.28 s), plus the rest
    /// of its delay above them. A change that makes it larger must be deliberate.
    #[test]
    fn an_entry_has_4_or_8_bytes() {
        assert_eq!(size_of::<WheelEntry<u32, [u8; 0]>>(), 4);
        assert_eq!(size_of::<WheelEntry<u32, [u8; 1]>>(), 8);
    }
}
