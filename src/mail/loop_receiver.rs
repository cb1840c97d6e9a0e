//! The loop's receiving end of a queue.

use super::limits::{Budget, Counts, Limits, Mail, Overflow};
use super::sender::Sender;
use super::shelves::{Shelves, give_back};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// Receives in the loop with a budget per turn, and never waits.
///
/// Each turn calls [`collect`](LoopReceiver::collect) once, and then [`take`](LoopReceiver::take)
/// as often as its budget allows. If items [are left over](LoopReceiver::has_left_over), the loop
/// must start the next turn by itself: the queue does not wake it for them.
pub struct LoopReceiver<T> {
    shelves: Arc<Shelves<T>>,
    /// Collected items that were not taken yet. They count as waiting.
    stock: VecDeque<T>,
    /// A shelf that could not be emptied because a sender held it.
    behind: Option<usize>,
    /// Whether a poke waits until all items sent before it are collected.
    poked_early: bool,
    poked: bool,
}

/// Creates a queue from any number of threads to the loop.
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
    /// Collects the sent items. Returns whether these are all; if not, a sender is just adding an
    /// item, and the next call collects the rest.
    ///
    /// If nothing was sent since the last call, this only reads a flag.
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

    /// Empties the shelf that is still to be emptied, if any. Returns whether none is left.
    fn catch_up(&mut self) -> bool {
        let Some(at) = self.behind else { return true };
        let Some(mut shelf) = self.shelves.try_lock(at) else {
            return false;
        };
        Shelves::empty(&mut shelf, &mut self.stock);
        self.behind = None;
        true
    }

    /// Takes the oldest collected item, if there is one and the budget allows it.
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

    /// Takes the oldest collected item. It counts as waiting until its bytes are
    /// [released](LoopReceiver::release), or it is [put back](LoopReceiver::put_back).
    pub fn take_kept(&mut self) -> Option<T> {
        let item = self.stock.pop_front();
        if self.stock.is_empty() {
            give_back(&mut self.stock);
        }
        item
    }

    /// Releases the `bytes` of an item that was [kept](LoopReceiver::take_kept).
    pub fn release(&self, bytes: usize) {
        self.shelves.leave(bytes);
    }

    /// Puts an item that was [kept](LoopReceiver::take_kept) behind the collected items.
    pub fn put_back(&mut self, item: T) {
        self.stock.push_back(item);
    }

    /// Adds an item of the loop itself behind the collected items, without any limit. It does not
    /// wake the loop.
    pub fn add(&mut self, item: T) {
        self.shelves.enter(item.bytes());
        self.stock.push_back(item);
    }

    /// Returns whether a sender [has poked](Sender::poke) since the last call. All items that it
    /// sent before are collected.
    pub fn take_poke(&mut self) -> bool {
        std::mem::take(&mut self.poked)
    }

    /// Returns whether work is left without new items: items not taken yet, or a shelf that a
    /// sender held.
    pub fn has_left_over(&self) -> bool {
        self.behind.is_some() || !self.stock.is_empty()
    }

    /// Returns the state of the queue.
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
