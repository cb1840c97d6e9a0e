//! The state that both ends of a queue share: two shelves, the counters, and the wake-up of the
//! receiving thread.

use super::limits::{Counts, Limits, Mail, NoRoom, Overflow};
use crate::base::sabotage::{self, Bug};
use std::collections::VecDeque;
use std::hint;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// The most items that the kept memory of an empty shelf can hold.
const KEPT: usize = 1_024;

/// Items in their order, with their bytes.
pub(super) struct Shelf<T> {
    pub(super) items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf {
            items: VecDeque::new(),
            bytes: 0,
        }
    }
}

/// A callback that wakes the receiving thread.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

pub(super) struct Shelves<T> {
    shelves: [Mutex<Shelf<T>>; 2],
    /// The shelf that senders fill. Only the receiver changes it, and only when the other shelf is
    /// empty.
    filled: AtomicUsize,
    /// Waiting items, including those that the receiver has collected and not taken.
    waiting: AtomicUsize,
    /// Bytes of those items.
    bytes: AtomicUsize,
    lost: AtomicU64,
    /// Whether the receiver was woken since it last looked.
    told: AtomicBool,
    /// Whether the receiver must look even if no items wait.
    poked: AtomicBool,
    wake: OnceLock<Wake>,
    /// Held by a thread that takes, if several threads may.
    pub(super) takers: Mutex<()>,
    pub(super) limits: Limits,
    overflow: Overflow,
}

impl<T: Mail> Shelves<T> {
    pub(super) fn new(limits: Limits, overflow: Overflow) -> Self {
        Shelves {
            shelves: [Mutex::default(), Mutex::default()],
            filled: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            told: AtomicBool::new(false),
            poked: AtomicBool::new(false),
            wake: OnceLock::new(),
            takers: Mutex::default(),
            limits,
            overflow,
        }
    }

    // ---- senders ----

    /// Locks the shelf that senders fill. Waits while another sender uses it.
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf<T>> {
        loop {
            let at = self.filled.load(Acquire);
            let shelf = self.lock(at);
            // The receiver may have emptied this shelf before the lock was taken; newer items are
            // then on the other one.
            if self.filled.load(Acquire) == at {
                return shelf;
            }
        }
    }

    /// Locks the shelf that is filled, for the only sender of a queue. The receiver locks a shelf
    /// only to empty it, after it has directed senders to the other one. So the other one is free,
    /// unless the receiver has taken again in the meantime.
    pub(super) fn shelf_of_sole_sender(&self) -> MutexGuard<'_, Shelf<T>> {
        loop {
            let at = self.filled.load(Acquire);
            match self.try_lock(at) {
                Some(shelf) if self.filled.load(Acquire) == at => return shelf,
                Some(_) | None => hint::spin_loop(),
            }
        }
    }

    /// Adds an item to the locked shelf, within these limits. The lock keeps other senders out,
    /// except for the moment in which the receiver switches shelves.
    pub(super) fn put(
        &self,
        shelf: &mut Shelf<T>,
        item: T,
        limits: Limits,
    ) -> Result<(), NoRoom<T>> {
        let bytes = item.bytes();
        if self.overflow == Overflow::Refuse && !limits.have_room(self.load(), bytes) {
            self.count_lost();
            return Err(NoRoom(item));
        }
        self.put_always(shelf, item);
        if self.overflow == Overflow::DropOldest {
            // What a receiver is just taking from the other shelf does not count: a slow receiver
            // costs no items. The newest item stays, even if it alone exceeds the limits.
            while limits.are_exceeded((shelf.items.len(), shelf.bytes))
                && shelf.items.len() > 1
                && let Some(oldest) = shelf.items.pop_front()
            {
                let bytes = oldest.bytes();
                shelf.bytes -= bytes;
                self.leave(bytes);
                self.count_lost();
            }
        }
        Ok(())
    }

    /// Adds an item to the shelf that is filled, without any limit.
    pub(super) fn put_always(&self, shelf: &mut Shelf<T>, item: T) {
        let bytes = item.bytes();
        self.enter(bytes);
        shelf.bytes += bytes;
        shelf.items.push_back(item);
    }

    /// Wakes the receiver, unless it was woken already and has not looked since. Call without a
    /// lock.
    pub(super) fn tell(&self) {
        if !self.told.swap(true, AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Pokes the receiver and wakes it.
    pub(super) fn poke(&self) {
        self.poked.store(true, Release);
        self.tell();
    }

    /// Sets the callback that wakes the receiver, also for items that already wait. Only the first
    /// one has an effect.
    pub(super) fn set_wake(&self, wake: Wake) {
        if self.wake.set(wake).is_ok()
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    // ---- the receiver ----

    /// Returns whether the receiver was woken since it last looked.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Acquire)
    }

    /// Begins a look: later items wake the receiver again. Returns whether the receiver was poked
    /// since the last look. Call this before [`turn`](Shelves::turn): items sent before the poke
    /// are then on the shelf that is emptied.
    pub(super) fn look(&self) -> bool {
        if !sabotage::on(Bug::MailWakeLost) {
            self.told.swap(false, AcqRel);
        }
        // After the swap: a poke that found the wake-up already sent is seen here.
        self.poked.load(Relaxed) && self.poked.swap(false, AcqRel)
    }

    /// Directs senders to the other shelf, which must be empty, and returns the one that they have
    /// filled.
    pub(super) fn turn(&self) -> usize {
        let at = self.filled.load(Relaxed);
        self.filled.store(1 - at, Release);
        at
    }

    /// Moves the items of a shelf behind `to`.
    pub(super) fn empty(shelf: &mut Shelf<T>, to: &mut VecDeque<T>) {
        shelf.bytes = 0;
        let items = &mut shelf.items;
        if to.is_empty() {
            // The shelf takes over the memory of `to`.
            std::mem::swap(items, to);
            give_back(items);
        } else if sabotage::on(Bug::MailOvertakes) {
            items.drain(..).rev().for_each(|item| to.push_front(item));
        } else {
            to.append(items);
            give_back(items);
        }
    }

    pub(super) fn lock(&self, at: usize) -> MutexGuard<'_, Shelf<T>> {
        // A shelf is consistent after every step, so a panic of another thread does no damage.
        self.shelves[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_lock(&self, at: usize) -> Option<MutexGuard<'_, Shelf<T>>> {
        match self.shelves[at].try_lock() {
            Ok(shelf) => Some(shelf),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    // ---- accounts ----

    pub(super) fn enter(&self, bytes: usize) {
        self.waiting.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts an item of `bytes` that no longer waits.
    pub(super) fn leave(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Relaxed);
        if !sabotage::on(Bug::MailRoomLeaks) {
            self.bytes.fetch_sub(bytes, Relaxed);
        }
    }

    fn load(&self) -> (usize, usize) {
        (self.waiting.load(Relaxed), self.bytes.load(Relaxed))
    }

    fn count_lost(&self) {
        if !sabotage::on(Bug::MailLossUncounted) {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let (waiting, bytes) = self.load();
        Counts {
            waiting,
            bytes,
            lost: self.lost.load(Relaxed),
        }
    }
}

/// Frees the memory of an empty buffer if it is large.
pub(super) fn give_back<T>(buffer: &mut VecDeque<T>) {
    if buffer.capacity() > KEPT {
        *buffer = VecDeque::new();
    }
}
