//! The wheel and a sorted list, side by side.

use crate::wheel::times::{HORIZON, ticks, wheel_at};
use pulsegate::engine::wheel::{TICK, Tick, Wheel};
use pulsegate::time::Micros;
use std::collections::BTreeMap;

/// The wheel and a sorted list of the same entries. Every call does the same to both, and compares.
pub struct Both {
    pub wheel: Wheel,
    pub now: u64,
    pub list: BTreeMap<u64, Vec<u32>>,
}

impl Default for Both {
    fn default() -> Self {
        Both::at(0)
    }
}

impl Both {
    pub fn at(tick: u64) -> Self {
        Both {
            wheel: wheel_at(tick),
            now: tick,
            list: BTreeMap::new(),
        }
    }

    /// Returns the tick at which an entry for `due` has to fire.
    pub fn tick_of(&self, due: Micros) -> u64 {
        let first_at_or_after = due.0.div_ceil(TICK.0);
        first_at_or_after.max(self.now + 1).min(self.now + HORIZON)
    }

    pub fn arm(&mut self, slot: u32, due: Micros) {
        let at = self.tick_of(due);
        assert_eq!(self.wheel.arm(slot, due), at as Tick, "armed for {due:?}");
        self.list.entry(at).or_default().push(slot);
        self.compare_entries();
    }

    /// Compares whether `due` would fire before an entry that is `ahead` ticks away.
    pub fn compare_is_earlier(&self, due: Micros, ahead: u64) {
        let armed = self.now + ahead;
        assert_eq!(
            self.wheel.is_earlier(due, armed as Tick),
            self.tick_of(due) < armed,
            "{due:?} against tick {armed} at {}",
            self.now
        );
    }

    pub fn sleep(&self, now: Micros) -> Option<Micros> {
        let first = self.list.keys().next().map(|&tick| ticks(tick) - now);
        assert_eq!(self.wheel.sleep_time(now), first, "sleep at {now:?}");
        first
    }

    /// Catches up to `now`: only an empty wheel jumps, and only forward.
    pub fn catch_up(&mut self, now: Micros) {
        self.wheel.catch_up(now);
        if self.list.is_empty() {
            self.now = self.now.max(now.0 / TICK.0);
        }
    }

    /// Calls `next` once; `back` gets the slots.
    pub fn next(&mut self, now: Micros, back: &mut Vec<u32>) {
        let target = (now.0 / TICK.0).max(self.now);
        let first = self.list.keys().next().copied().filter(|&at| at <= target);
        self.now = first.unwrap_or(target);
        let expected = first.map(|at| (at as Tick, sorted(self.list.remove(&at).expect("listed"))));
        let got = self.wheel.next(now).map(|(at, slots)| (at, sorted(slots)));
        assert_eq!(got, expected, "at {now:?}");
        back.extend(got.into_iter().flat_map(|(_, slots)| slots));
        self.compare_entries();
    }

    /// Runs from sleep to sleep until nothing is left.
    pub fn drain(&mut self, mut now: Micros) {
        while let Some(sleep) = self.sleep(now) {
            now += sleep;
            self.next(now, &mut Vec::new());
        }
        assert_eq!(self.wheel.entries(), 0);
    }

    pub fn compare_entries(&self) {
        let listed = self.list.values().map(Vec::len).sum::<usize>();
        assert_eq!(self.wheel.entries(), listed, "entries");
    }
}

fn sorted(mut slots: Vec<u32>) -> Vec<u32> {
    slots.sort_unstable();
    slots
}
