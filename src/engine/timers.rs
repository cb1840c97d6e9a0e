//! Deadlines that do not belong to a connection: the host's timers and the engine's own.

use crate::base::id::TimerId;
use crate::base::time::Micros;
use crate::engine::wheel::{Tick, Wheel};
use slab::Slab;

/// This bit marks entries of the timer wheel that are timers; slot numbers are far below it.
const TIMER: u32 = 1 << 31;

/// What a timer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerPurpose {
    Host,
    AcceptRetry,
    DialRetry,
    StaleCloses,
    Drain,
}

/// All timers. They share the wheel with the connections.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    timers: Slab<Timer>,
    generation: u32,
    /// The number of running timers, by purpose.
    running: [usize; 5],
}

#[derive(Debug)]
struct Timer {
    due: Micros,
    armed: Tick,
    generation: u32,
    purpose: TimerPurpose,
}

impl Timers {
    /// Returns the timer of an entry of the wheel; `None` if the entry is a connection's slot.
    pub(crate) fn index(entry: u32) -> Option<u32> {
        (entry & TIMER != 0).then_some(entry & !TIMER)
    }

    pub(crate) fn start(
        &mut self,
        wheel: &mut Wheel,
        purpose: TimerPurpose,
        due: Micros,
    ) -> TimerId {
        self.generation = self.generation.wrapping_add(1);
        let generation = self.generation;
        let entry = self.timers.vacant_entry();
        let index = entry.key() as u32;
        let armed = wheel.arm(TIMER | index, due);
        entry.insert(Timer {
            due,
            armed,
            generation,
            purpose,
        });
        self.running[purpose as usize] += 1;
        TimerId { index, generation }
    }

    /// Stops a timer. Does nothing if it has already expired or was stopped.
    pub(crate) fn cancel(&mut self, id: TimerId) {
        let found = |t: &Timer| t.generation == id.generation;
        if self.timers.get(id.index as usize).is_some_and(found) {
            self.remove(id.index);
        }
    }

    pub(crate) fn is_running(&self, purpose: TimerPurpose) -> bool {
        self.running[purpose as usize] > 0
    }

    /// Handles a timer's entry that the wheel returned. If the timer has expired, it is removed.
    pub(crate) fn fire(
        &mut self,
        wheel: &mut Wheel,
        index: u32,
        tick: Tick,
        now: Micros,
    ) -> Option<(TimerPurpose, TimerId)> {
        let timer = self
            .timers
            .get_mut(index as usize)
            .filter(|t| t.armed == tick)?;
        if timer.due > now {
            // It was beyond the wheel's horizon.
            timer.armed = wheel.arm(TIMER | index, timer.due);
            return None;
        }
        let fired = (
            timer.purpose,
            TimerId {
                index,
                generation: timer.generation,
            },
        );
        self.remove(index);
        Some(fired)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.timers.len()
    }

    fn remove(&mut self, index: u32) {
        if let Some(timer) = self.timers.try_remove(index as usize) {
            self.running[timer.purpose as usize] -= 1;
        }
    }
}
