//! The waits for lost peers: their slots, ordered by the end of the wait.

use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::Identity;
use std::collections::BTreeMap;

/// The most waits for lost peers that end in one turn.
const SLICE: usize = 32;

/// When the wait for a lost peer ends; also identifies the wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotDeadline {
    /// The time: engine time.
    pub at: Micros,
    sequence: u64,
}

/// Why the wait for a lost peer is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum GiveUp {
    /// The time of the wait is over: the peer did not come back.
    Expired,
    /// There are too many waits.
    Evicted,
}

/// All slots that wait for their peers. One timer of the loop serves them all.
#[derive(Debug, Default)]
pub(in crate::relay) struct GraceQueue {
    by_deadline: BTreeMap<SlotDeadline, Identity>,
    next: u64,
    timer: Option<(TimerId, Micros)>,
}

impl GraceQueue {
    /// Returns how many waits there are.
    pub(in crate::relay) fn len(&self) -> usize {
        self.by_deadline.len()
    }

    /// Returns a unique end for a wait that may begin.
    pub(in crate::relay) fn new_deadline(&mut self, at: Micros) -> SlotDeadline {
        self.next += 1;
        SlotDeadline {
            at,
            sequence: self.next,
        }
    }

    /// Starts to wait for the lost peer of a slot.
    pub(in crate::relay) fn add(
        &mut self,
        io: &mut Io<'_>,
        identity: Identity,
        deadline: SlotDeadline,
    ) {
        self.by_deadline.insert(deadline, identity);
        self.arm(io);
    }

    /// Cancels a wait.
    pub(in crate::relay) fn cancel(&mut self, deadline: SlotDeadline) {
        // The timer may then fire without effect.
        self.by_deadline.remove(&deadline);
    }

    /// Returns whether the timer is the one for the waits for lost peers.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        let is_ours = self.timer.is_some_and(|(id, _)| id == timer);
        if is_ours {
            self.timer = None;
        }
        is_ours
    }

    /// Takes out waits that are over, a limited number at a time; the rest follows in the next
    /// turn.
    pub(in crate::relay) fn take_expired(
        &mut self,
        io: &mut Io<'_>,
    ) -> Vec<(SlotDeadline, Identity)> {
        let mut over = Vec::new();
        while over.len() < SLICE
            && let Some(first) = self.by_deadline.first_entry()
            && first.key().at <= io.now()
        {
            over.push(first.remove_entry());
        }
        self.arm(io);
        over
    }

    /// Takes out the wait that would end first.
    pub(in crate::relay) fn take_first(&mut self) -> Option<(SlotDeadline, Identity)> {
        self.by_deadline.pop_first()
    }

    /// Sets the timer to the end of the wait that ends first.
    fn arm(&mut self, io: &mut Io<'_>) {
        let Some((first, _)) = self.by_deadline.first_key_value() else {
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
