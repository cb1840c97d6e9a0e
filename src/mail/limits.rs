//! What a queue may hold, what becomes of the rest, and what one turn takes.

use crate::base::sabotage::{self, Bug};
use std::fmt;

/// Something that crosses threads.
pub trait Mail {
    /// Bytes that it takes while it waits, those of its own type included. The answer must not change meanwhile.
    fn bytes(&self) -> usize;
}

/// The most that waits in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Items, at least 1.
    pub count: usize,
    /// Bytes. An item that is larger finds room while nothing else waits.
    pub bytes: usize,
}

impl Limits {
    /// Returns whether an item of `bytes` finds room beside what waits.
    pub(super) fn have_room(self, waiting: (usize, usize), bytes: usize) -> bool {
        let most = self.count + usize::from(sabotage::on(Bug::MailBoundOffByOne));
        let (count, before) = waiting;
        count < most && (count == 0 || before.saturating_add(bytes) <= self.bytes)
    }

    /// Returns whether more waits than may.
    pub(super) fn are_exceeded(self, waiting: (usize, usize)) -> bool {
        let most = self.count + usize::from(sabotage::on(Bug::MailBoundOffByOne));
        waiting.0 > most || waiting.1 > self.bytes
    }
}

/// What becomes of an item that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// It is given back to its sender.
    Refuse,
    /// It is taken, and the oldest that wait are lost. What a receiver is just taking does not count.
    DropOldest,
}

/// An item that found no room.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct NoRoom<T>(pub T);

impl<T> fmt::Debug for NoRoom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NoRoom")
    }
}

impl<T> fmt::Display for NoRoom<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue is full")
    }
}

impl<T> std::error::Error for NoRoom<T> {}

/// How a queue is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Items that wait.
    pub waiting: usize,
    /// Bytes of those items.
    pub bytes: usize,
    /// Items that were refused or dropped for want of room, since the start.
    pub lost: u64,
}

/// What is left of what one turn takes.
#[derive(Debug, Clone, Copy)]
pub struct Budget(Limits);

impl Budget {
    /// A budget that nothing was taken from. At least one item is taken; the last one may exceed the bytes.
    pub fn new(limits: Limits) -> Self {
        Budget(limits)
    }

    /// Returns whether another item may be taken.
    pub(super) fn is_left(&self) -> bool {
        (self.0.count > 0 && self.0.bytes > 0) || sabotage::on(Bug::MailBudgetIgnored)
    }

    /// Counts an item.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.0.count = self.0.count.saturating_sub(1);
        self.0.bytes = self.0.bytes.saturating_sub(bytes);
    }
}
