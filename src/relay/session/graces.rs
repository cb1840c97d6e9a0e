//! Who is waited for, and until when: places that were lost, in the order in which waiting for them ends.

use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::Identity;
use std::collections::BTreeMap;

/// How many may end in one turn.
const SLICE: usize = 32;

/// When waiting for a place ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When: engine time.
    pub at: Micros,
    nth: u64,
}

/// Whether there is room to wait for a place once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Room {
    Yes,
    No,
}

/// All places that are waited for. One timer of the loop serves them all.
#[derive(Debug, Default)]
pub(in crate::relay) struct Graces {
    by_due: BTreeMap<Due, Identity>,
    next: u64,
    timer: Option<(TimerId, Micros)>,
}

impl Graces {
    /// How many are waited for.
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_due.len()
    }

    /// The end of a wait that may begin: it differs from those of all other waits.
    pub(in crate::relay) fn due(&mut self, at: Micros) -> Due {
        self.next += 1;
        Due { at, nth: self.next }
    }

    /// Waits for a place.
    pub(in crate::relay) fn add(&mut self, io: &mut Io<'_>, identity: Identity, due: Due) {
        self.by_due.insert(due, identity);
        self.arm(io);
    }

    /// Waits no more.
    pub(in crate::relay) fn cancel(&mut self, due: Due) {
        // The timer may fire for nothing.
        self.by_due.remove(&due);
    }

    /// Returns whether the timer was ours.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        let ours = self.timer.is_some_and(|(id, _)| id == timer);
        if ours {
            self.timer = None;
        }
        ours
    }

    /// Takes out who is waited for no longer, some at a time; what is left over follows in the next turn.
    pub(in crate::relay) fn take_due(&mut self, io: &mut Io<'_>) -> Vec<(Due, Identity)> {
        let mut over = Vec::new();
        while over.len() < SLICE
            && let Some(first) = self.by_due.first_entry()
            && first.key().at <= io.now()
        {
            over.push(first.remove_entry());
        }
        self.arm(io);
        over
    }

    /// Takes out whose time would be over first.
    pub(in crate::relay) fn take_first(&mut self) -> Option<(Due, Identity)> {
        self.by_due.pop_first()
    }

    /// Has the timer run out when the first is due.
    fn arm(&mut self, io: &mut Io<'_>) {
        let Some((first, _)) = self.by_due.first_key_value() else {
            return;
        };
        if let Some((timer, at)) = self.timer {
            if at <= first.at {
                return;
            }
            io.cancel(timer);
        }
        self.timer = Some((io.timer(first.at - io.now()), first.at));
    }
}
