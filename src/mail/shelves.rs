//! What both ends of a queue share: two shelves, what waits on them, and how the receiving thread is told.

use super::limits::{Counts, Limits, Mail, NoRoom, Overflow};
use crate::base::sabotage::{self, Bug};
use std::collections::VecDeque;
use std::hint;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// The most items whose memory an empty shelf keeps.
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

/// A callback that makes the receiving thread look.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

pub(super) struct Shelves<T> {
    shelves: [Mutex<Shelf<T>>; 2],
    /// The shelf that senders fill. Only the receiver changes it, and only when the other shelf is empty.
    filled: AtomicUsize,
    /// Items that wait, also those that the receiver has taken over and not handed out.
    waiting: AtomicUsize,
    /// Bytes of those items.
    bytes: AtomicUsize,
    lost: AtomicU64,
    /// The receiver was told since it looked last.
    told: AtomicBool,
    /// The receiver is to look, whether items wait or not.
    poked: AtomicBool,
    wake: OnceLock<Wake>,
    /// Held by a thread that takes, where several may.
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

    /// The shelf that is filled. Waits while another sender is at it.
    pub(super) fn shelf(&self) -> MutexGuard<'_, Shelf<T>> {
        loop {
            let at = self.filled.load(Acquire);
            let shelf = self.lock(at);
            // The receiver may have emptied this shelf before it was locked here: newer items are on the other one then.
            if self.filled.load(Acquire) == at {
                return shelf;
            }
        }
    }

    /// The shelf that is filled, for the only sender of a queue. A shelf is locked only while the receiver empties it, and then
    /// senders were directed to the other one before: that one is free, unless the receiver has taken again meanwhile.
    pub(super) fn shelf_of_sole_sender(&self) -> MutexGuard<'_, Shelf<T>> {
        loop {
            let at = self.filled.load(Acquire);
            match self.try_lock(at) {
                Some(shelf) if self.filled.load(Acquire) == at => return shelf,
                Some(_) | None => hint::spin_loop(),
            }
        }
    }

    /// Puts an item on the shelf that is filled, within these limits. The shelf is locked, so of two senders at most one is here,
    /// but for the moment in which the receiver changes the shelf.
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
            // What a receiver is just taking from the other shelf does not count: it may take its time. The newest stays,
            // whatever its size.
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

    /// Puts an item on the shelf that is filled, beyond any limit.
    pub(super) fn put_always(&self, shelf: &mut Shelf<T>, item: T) {
        let bytes = item.bytes();
        self.enter(bytes);
        shelf.bytes += bytes;
        shelf.items.push_back(item);
    }

    /// Has the receiver look, unless it was told already and has not looked since. To be called without a lock.
    pub(super) fn tell(&self) {
        if !self.told.swap(true, AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Has the receiver look and find that it was poked.
    pub(super) fn poke(&self) {
        self.poked.store(true, Release);
        self.tell();
    }

    /// Sets how the receiver is told, also of what waits already. Only the first one counts.
    pub(super) fn set_wake(&self, wake: Wake) {
        if self.wake.set(wake).is_ok()
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    // ---- the receiver ----

    /// Returns whether the receiver was told since it looked last.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Acquire)
    }

    /// Begins a look: what is sent from now on tells anew. Returns whether the receiver was poked since the last look. To be
    /// called before [`turn`](Shelves::turn): what was sent before the poke is on the shelf that is emptied then.
    pub(super) fn look(&self) -> bool {
        if !sabotage::on(Bug::MailWakeLost) {
            self.told.swap(false, AcqRel);
        }
        // Behind the swap: a poke that has found itself told already is found here.
        self.poked.load(Relaxed) && self.poked.swap(false, AcqRel)
    }

    /// Directs senders to the other shelf, which must be empty, and returns the one that they have filled.
    pub(super) fn turn(&self) -> usize {
        let at = self.filled.load(Relaxed);
        self.filled.store(1 - at, Release);
        at
    }

    /// Moves what is on a shelf behind `to`.
    pub(super) fn empty(shelf: &mut Shelf<T>, to: &mut VecDeque<T>) {
        shelf.bytes = 0;
        let items = &mut shelf.items;
        if to.is_empty() {
            // Its memory is the shelf's from now on.
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
        // A shelf is whole after every step, so a panic of another thread leaves nothing broken behind.
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

    /// An item of `bytes` waits no longer.
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

/// Gives the memory of an empty buffer back, if it is much.
pub(super) fn give_back<T>(buffer: &mut VecDeque<T>) {
    if buffer.capacity() > KEPT {
        *buffer = VecDeque::new();
    }
}
