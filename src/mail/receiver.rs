//! The end at which a thread beside the loop receives.

use super::limits::{Counts, Mail};
use super::shelves::Shelves;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, PoisonError};

/// Receives from the loop, on any thread. Cheap to clone; all clones are one.
pub struct Receiver<T>(Arc<Shelves<T>>);

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver(self.0.clone())
    }
}

impl<T: Mail> Receiver<T> {
    pub(super) fn new(shelves: Arc<Shelves<T>>) -> Self {
        Receiver(shelves)
    }

    /// Takes out what was sent since the last time, oldest first.
    pub fn take(&self) -> VecDeque<T> {
        let mut items = VecDeque::new();
        self.take_into(&mut items);
        items
    }

    /// Takes out what was sent since the last time and puts it behind `items`, oldest first. If `items` is empty nothing is
    /// copied, and its memory is used for what is sent next.
    pub fn take_into(&self, items: &mut VecDeque<T>) {
        // Of two takers the second one waits: a shelf must be empty before it is filled again.
        let _one_taker = self.0.takers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = items.len();
        self.0.look();
        let at = self.0.turn();
        Shelves::empty(&mut self.0.lock(at), items);
        for item in items.range(before..) {
            self.0.leave(item.bytes());
        }
    }

    /// Sets how the receiving thread is woken, from now on and also for what waits already. It must not wait for anything.
    /// Only the first call counts.
    pub fn set_wake(&self, wake: Box<dyn Fn() + Send + Sync>) {
        self.0.set_wake(wake);
    }

    /// Returns how many items were lost for want of room.
    pub fn lost(&self) -> u64 {
        self.0.counts().lost
    }

    /// Returns how the queue is doing.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }

    #[cfg(test)]
    pub(super) fn shelves(&self) -> &Shelves<T> {
        &self.0
    }
}

impl<T: Mail> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.0.counts()).finish()
    }
}
