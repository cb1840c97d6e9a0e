//! The timer wheel: when does which slot want attention, and how long may the loop sleep?
//!
//! An adapter over `hierarchical_hash_wheel_timer`'s quad wheel (hashed and hierarchical timing wheels: Varghese and
//! Lauck, SOSP 1987). That wheel counts only its own ticks, refuses a delay of zero, misbehaves near 2^32 and cannot say
//! when its next entry is due. So it is never asked for more than `HORIZON` ticks, and a ring of bits beside it, one per
//! tick within the horizon, knows exactly which ticks hold an entry.
//!
//! Entries are slot numbers and are never taken out. An entry means something only while its slot still says that it is
//! armed for the very tick at which the entry comes back; a slot that was re-armed, closed or reused does not.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use hierarchical_hash_wheel_timer::wheels::quad_wheel::QuadWheelWithOverflow;
use std::time::Duration;

/// The length of one tick: the granularity of every deadline.
pub const TICK: Micros = Micros::from_millis(5);

/// Heartbeats go out at multiples of this, every second tick: so more of them share a wake-up. Those who answered just after
/// such a moment, as most do, have their other deadlines in the tick between.
pub const BEAT: Micros = Micros::from_millis(10);

/// How many ticks ahead an entry may lie (20 s). A later deadline is armed again when this one comes back.
const HORIZON: u64 = 4_095;

/// A tick's number, cut to 32 bits: entries live for less than `HORIZON` ticks, so no two that could be confused meet.
pub type Tick = u32;

/// Deadlines of slots.
///
/// Never early; late by less than one tick if [`Wheel::next`] is called when [`Wheel::sleep`] is over.
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
    /// An empty wheel at the origin of engine time.
    pub fn new() -> Self {
        Wheel {
            quad: QuadWheelWithOverflow::default(),
            now: 0,
            entries: 0,
            ring: [0; RING_WORDS],
        }
    }

    /// After a sleep without entries: what is armed next counts from `now`, not from when the wheel was last looked at.
    pub fn catch_up(&mut self, now: Micros) {
        if self.entries == 0 {
            self.now = self.now.max(now.0 / TICK.0);
        }
    }

    /// Puts `slot` in, to come back at the first tick at or after `due`, or at the horizon if that is earlier. Returns that tick.
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

    /// Returns whether an entry for `due` would come back before `armed` does, which lies ahead.
    pub fn is_earlier(&self, due: Micros, armed: Tick) -> bool {
        let at = due
            .0
            .div_ceil(TICK.0)
            .clamp(self.now + 1, self.now + HORIZON);
        (at as Tick).wrapping_sub(self.now as Tick) < armed.wrapping_sub(self.now as Tick)
    }

    /// Moves on towards `now`, to the next tick that holds entries: that tick, and the slots armed for it.
    /// `None` when `now` is reached.
    pub fn next(&mut self, now: Micros) -> Option<(Tick, Vec<u32>)> {
        let target = now.0 / TICK.0;
        while self.now < target {
            if self.entries == 0 {
                // Nothing can be missed: jump, however far it is. The quad wheel knows only delays.
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

    /// How long the loop may sleep at `now` and still miss nothing; `None`: for ever.
    pub fn sleep(&self, now: Micros) -> Option<Micros> {
        let next = self.next_tick()? + u64::from(sabotage::on(Bug::SleepTooLong));
        Some(Micros(next * TICK.0) - now)
    }

    /// How many entries are in the wheel, dead ones included.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// The first tick after the current one whose bit is set.
    fn next_tick(&self) -> Option<u64> {
        if self.entries == 0 {
            return None;
        }
        let first = self.now + 1;
        let (start, offset) = (word(first), first % 64);
        // The word that holds `first` is looked at twice: its upper part at the start, its lower part at the end.
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

    /// What a deadline costs: the slot's number in the lowest 256 ticks (1.28 s), and the rest of its delay above them.
    /// It may grow only on purpose.
    #[test]
    fn an_entry_has_4_or_8_bytes() {
        assert_eq!(size_of::<WheelEntry<u32, [u8; 0]>>(), 4);
        assert_eq!(size_of::<WheelEntry<u32, [u8; 1]>>(), 8);
    }
}
