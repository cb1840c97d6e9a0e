//! The end at which the loop receives.

use super::limits::{Budget, Counts, Limits, Mail, Overflow};
use super::sender::Sender;
use super::shelves::{Shelves, give_back};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Receives in the loop, a budget per turn, without ever waiting.
///
/// Each turn calls [`collect`](LoopReceiver::collect) once, and then [`take`](LoopReceiver::take) as often as its budget
/// allows. If items [are left over](LoopReceiver::has_left_over) the next turn must come by itself: nobody wakes the loop for them.
pub struct LoopReceiver<T> {
    shelves: Arc<Shelves<T>>,
    /// Taken over and not handed out. These items count as waiting.
    stock: VecDeque<T>,
    /// A shelf that a sender held when it was to be emptied.
    behind: Option<usize>,
    /// Poked, but not everything that was sent before is in the stock.
    poked_early: bool,
    poked: bool,
}

/// A queue from any number of threads to the loop.
pub fn to_loop<T: Mail>(limits: Limits, overflow: Overflow) -> (Sender<T>, LoopReceiver<T>) {
    let shelves = Arc::new(Shelves::new(limits, overflow));
    let receiver = LoopReceiver {
        shelves: shelves.clone(),
        stock: VecDeque::new(),
        behind: None,
        poked_early: false,
        poked: false,
    };
    (Sender(shelves), receiver)
}

impl<T: Mail> LoopReceiver<T> {
    /// Takes over what was sent. Returns whether that is everything; if not, a sender is just putting an item down, and the rest
    /// is taken over with the next call.
    ///
    /// If nothing was sent since the last call this is one look at a flag.
    pub fn collect(&mut self) -> bool {
        if self.behind.is_none() && !self.shelves.is_told() {
            return true;
        }
        if !self.catch_up() {
            return false;
        }
        if self.shelves.is_told() {
            self.poked_early |= self.shelves.look();
            self.behind = Some(self.shelves.turn());
            if !self.catch_up() {
                return false;
            }
        }
        self.poked |= std::mem::take(&mut self.poked_early);
        true
    }

    /// Empties the shelf that is to be emptied. Returns whether none is left.
    fn catch_up(&mut self) -> bool {
        let Some(at) = self.behind else { return true };
        let Some(mut shelf) = self.shelves.try_lock(at) else {
            return false;
        };
        Shelves::empty(&mut shelf, &mut self.stock);
        self.behind = None;
        true
    }

    /// Takes the oldest item out of what was taken over, if there is one and the budget allows it.
    pub fn take(&mut self, budget: &mut Budget) -> Option<T> {
        if !budget.is_left() {
            return None;
        }
        let item = self.take_kept()?;
        let bytes = item.bytes();
        budget.spend(bytes);
        self.release(bytes);
        Some(item)
    }

    /// Takes the oldest item out of what was taken over. It counts as waiting until its bytes are
    /// [released](LoopReceiver::release), or it is [put back](LoopReceiver::put_back).
    pub fn take_kept(&mut self) -> Option<T> {
        let item = self.stock.pop_front();
        if self.stock.is_empty() {
            give_back(&mut self.stock);
        }
        item
    }

    /// An item of `bytes` that was [kept](LoopReceiver::take_kept) is finished.
    pub fn release(&self, bytes: usize) {
        self.shelves.leave(bytes);
    }

    /// Puts an item that was [kept](LoopReceiver::take_kept) behind what was taken over.
    pub fn put_back(&mut self, item: T) {
        self.stock.push_back(item);
    }

    /// Puts an item of the loop's own behind what was taken over, beyond any limit. It wakes nobody.
    pub fn add(&mut self, item: T) {
        self.shelves.enter(item.bytes());
        self.stock.push_back(item);
    }

    /// Returns whether a sender [has poked](Sender::poke) since the last time. All that it had sent before is taken over.
    pub fn take_poke(&mut self) -> bool {
        std::mem::take(&mut self.poked)
    }

    /// Returns whether there is more to do without anything new: items that were not handed out, or a sender that was met.
    pub fn has_left_over(&self) -> bool {
        self.behind.is_some() || !self.stock.is_empty()
    }

    /// Returns how the queue is doing.
    pub fn counts(&self) -> Counts {
        self.shelves.counts()
    }
}

impl<T: Mail> fmt::Debug for LoopReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.shelves.counts();
        f.debug_tuple("LoopReceiver").field(&counts).finish()
    }
}
