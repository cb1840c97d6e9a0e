//! The loop's sending end of a queue.

use super::limits::{Counts, Limits, Mail, NoRoom, Overflow};
use super::receiver::Receiver;
use super::shelves::Shelves;
use std::fmt;
use std::sync::Arc;

/// Sends to another thread as the only sender of its queue, and never waits.
pub struct LoopSender<T>(Arc<Shelves<T>>);

/// Creates a queue from the loop to another thread.
pub fn from_loop<T: Mail>(limits: Limits, overflow: Overflow) -> (LoopSender<T>, Receiver<T>) {
    let shelves = Arc::new(Shelves::new(limits, overflow));
    (LoopSender(shelves.clone()), Receiver::new(shelves))
}

impl<T: Mail> LoopSender<T> {
    /// Sends an item.
    ///
    /// # Errors
    /// [`NoRoom`] with the item, if the queue is full and refuses.
    pub fn post(&mut self, item: T) -> Result<(), NoRoom<T>> {
        self.post_within(item, self.0.limits)
    }

    /// Sends an item with these limits instead of the queue's own.
    ///
    /// # Errors [`NoRoom`] with the item, if it does not fit and the queue refuses.
    pub fn post_within(&mut self, item: T, limits: Limits) -> Result<(), NoRoom<T>> {
        self.0
            .put(&mut self.0.shelf_of_sole_sender(), item, limits)?;
        self.0.tell();
        Ok(())
    }

    /// Returns the other end.
    pub fn receiver(&self) -> Receiver<T> {
        Receiver::new(self.0.clone())
    }

    /// Returns the state of the queue.
    pub fn counts(&self) -> Counts {
        self.0.counts()
    }
}

impl<T: Mail> fmt::Debug for LoopSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LoopSender").field(&self.0.counts()).finish()
    }
}
