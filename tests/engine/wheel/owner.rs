//! Deadlines on a wheel as the engine uses them.

use pulsegate::engine::wheel::{TICK, Tick, Wheel};
use pulsegate::time::Micros;

#[derive(Clone, Copy, Default)]
struct Slot {
    due: Option<Micros>,
    /// When the deadline was last changed: it cannot fire earlier.
    set_at: Micros,
    armed: Option<Tick>,
}

/// A table of slots with one deadline each, on one wheel, as in the engine. Deadlines move, and an
/// entry counts only while its slot is armed for the tick at which it fires.
pub struct Owner {
    pub wheel: Wheel,
    pub now: Micros,
    slots: Vec<Slot>,
    pub came_back: u64,
    pub fired: u64,
}

impl Owner {
    pub fn new(slots: usize) -> Self {
        Owner {
            wheel: Wheel::new(),
            now: Micros::ZERO,
            slots: vec![Slot::default(); slots],
            came_back: 0,
            fired: 0,
        }
    }

    /// Moves a deadline. A later one keeps the existing entry.
    pub fn set_due(&mut self, slot: u32, due: Micros) {
        let state = &mut self.slots[slot as usize];
        state.due = Some(due);
        state.set_at = self.now;
        if state
            .armed
            .is_none_or(|armed| self.wheel.is_earlier(due, armed))
        {
            state.armed = Some(self.wheel.arm(slot, due));
        }
    }

    pub fn cancel(&mut self, slot: u32) {
        let state = &mut self.slots[slot as usize];
        (state.due, state.armed) = (None, None);
    }

    /// Sleeps for as long as the wheel says. A microsecond less must be too short, otherwise the
    /// sleep would not be exact.
    pub fn sleep_and_fire(&mut self) {
        let Some(sleep) = self.wheel.sleep_time(self.now) else {
            assert_eq!(self.wheel.entries(), 0, "sleeps for ever over entries");
            return;
        };
        if let Some(a_little_less) = sleep.0.checked_sub(1) {
            assert_eq!(self.wheel.next(self.now + Micros(a_little_less)), None);
        }
        self.now += sleep;
        assert!(self.fire() > 0, "slept {sleep:?} for nothing");
    }

    /// Takes out the entries that have fired; returns how many.
    pub fn fire(&mut self) -> u64 {
        let before = self.came_back;
        while let Some((tick, slots)) = self.wheel.next(self.now) {
            self.came_back += slots.len() as u64;
            for slot in slots {
                self.on_entry(slot, tick);
            }
        }
        self.came_back - before
    }

    pub fn on_entry(&mut self, slot: u32, tick: Tick) {
        let state = &mut self.slots[slot as usize];
        if state.armed != Some(tick) {
            return; // dead
        }
        state.armed = None;
        let due = state.due.expect("an armed slot has a deadline");
        if self.now < due {
            state.armed = Some(self.wheel.arm(slot, due));
            return; // spurious: moved later, or beyond the horizon
        }
        let late = self.now - due.max(state.set_at);
        assert!(
            late < TICK || late == TICK && due <= state.set_at,
            "{late:?} late"
        );
        state.due = None;
        self.fired += 1;
    }

    pub fn run_dry(&mut self) {
        while self.wheel.entries() > 0 {
            self.sleep_and_fire();
        }
        assert!(
            self.slots.iter().all(|s| s.due.is_none()),
            "every deadline fired"
        );
        assert_eq!(self.wheel.sleep_time(self.now), None);
    }
}
