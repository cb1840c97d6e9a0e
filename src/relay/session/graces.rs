//! The waits for lost peers: their places, ordered by the end of the wait.

use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::Identity;
use std::collections::BTreeMap;

/// The most waits for lost peers that end in one turn.
const SLICE: usize = 32;

/// When the wait for a lost peer ends; also identifies the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// The time: engine time.
    pub at: Micros,
    nth: u64,
}

/// Whether another place may wait for its lost peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Room {
    Yes,
    No,
}

/// All places that wait for their peers. One timer of the loop serves them all.
#[derive(Debug, Default)]
pub(in crate::relay) struct Graces {
    by_due: BTreeMap<Due, Identity>,
    next: u64,
    timer: Option<(TimerId, Micros)>,
}

impl Graces {
    /// Returns how many waits there are.
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_due.len()
    }

    /// Returns a unique end for a wait that may begin.
    pub(in crate::relay) fn due(&mut self, at: Micros) -> Due {
        self.next += 1;
        Due { at, nth: self.next }
    }

    /// Starts to wait for the lost peer of a place.
    pub(in crate::relay) fn add(&mut self, io: &mut Io<'_>, identity: Identity, due: Due) {
        self.by_due.insert(due, identity);
        self.arm(io);
    }

    /// Cancels a wait.
    pub(in crate::relay) fn cancel(&mut self, due: Due) {
        // The timer may then fire without effect.
        self.by_due.remove(&due);
    }

    /// Returns whether the timer is the one for the waits for lost peers.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        let ours = self.timer.is_some_and(|(id, _)| id == timer);
        if ours {
            self.timer = None;
        }
        ours
    }

    /// Takes out waits that are over, a limited number at a time; the rest follows in the next
    /// turn.
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

    /// Takes out the wait that would end first.
    pub(in crate::relay) fn take_first(&mut self) -> Option<(Due, Identity)> {
        self.by_due.pop_first()
    }

    /// Sets the timer to the end of the wait that ends first.
    fn arm(&mut self, io: &mut Io<'_>) {
        let Some((first, _)) = self.by_due.first_key_value() else {
            return;
        };
        if let Some((timer, at)) = self.timer {
            if at <= first.at {
                return;
            }
            io.cancel_timer(timer);
        }
        self.timer = Some((io.start_timer(first.at - io.now()), first.at));
    }
}
