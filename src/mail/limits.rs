//! The limits of a queue, what happens to items beyond them, and the budget of one turn.

use crate::base::sabotage::{self, Bug};
use std::fmt;

/// An item that crosses threads.
pub trait QueueItem {
    /// Returns the memory that the item takes in the queue, in bytes, including its own type. The
    /// value must not change while the item waits.
    fn bytes(&self) -> usize;
}

/// The limits of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most items; at least 1.
    pub count: usize,
    /// The most bytes. A single item may be larger if no other waits.
    pub bytes: usize,
}

impl Limits {
    /// Returns whether an item of `bytes` fits beside the waiting items.
    pub(super) fn have_room(self, waiting: (usize, usize), bytes: usize) -> bool {
        let most = self.count + usize::from(sabotage::on(Bug::MailBoundOffByOne));
        let (count, before) = waiting;
        count < most && (count == 0 || before.saturating_add(bytes) <= self.bytes)
    }

    /// Returns whether the waiting items exceed the limits.
    pub(super) fn are_exceeded(self, waiting: (usize, usize)) -> bool {
        let most = self.count + usize::from(sabotage::on(Bug::MailBoundOffByOne));
        waiting.0 > most || waiting.1 > self.bytes
    }
}

/// What happens to an item that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// The item is returned to its sender.
    Refuse,
    /// The item is accepted, and the oldest waiting items are dropped.
    DropOldest,
}

/// An item that did not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoRoom<T>(pub T);

impl<T> fmt::Debug for NoRoom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoRoom")
    }
}

impl<T> fmt::Display for NoRoom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full: its receiver is behind")
    }
}

impl<T> std::error::Error for NoRoom<T> {}

/// The state of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Waiting items.
    pub waiting: usize,
    /// Bytes of the waiting items.
    pub bytes: usize,
    /// Items refused or dropped since the start because they did not fit.
    pub lost: u64,
}

/// How many items and bytes one turn of the loop may still take from a queue.
#[derive(Debug, Clone, Copy)]
pub struct Budget(Limits);

impl Budget {
    /// Creates a full budget. It always allows one item, and the last item may exceed the bytes.
    pub fn new(limits: Limits) -> Self {
        Budget(limits)
    }

    /// Returns whether another item may be taken.
    pub(super) fn is_left(&self) -> bool {
        (self.0.count > 0 && self.0.bytes > 0) || sabotage::on(Bug::MailBudgetIgnored)
    }

    /// Subtracts one item of `bytes` from the budget.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.0.count = self.0.count.saturating_sub(1);
        self.0.bytes = self.0.bytes.saturating_sub(bytes);
    }
}
