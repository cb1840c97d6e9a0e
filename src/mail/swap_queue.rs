//! The state that both ends of a queue share: two buffers, the counters, and the wake-up of the
//! receiving thread.

use super::limits::{Counts, Limits, NoRoom, Overflow, QueueItem};
use crate::base::sabotage::{self, Bug};
use std::collections::VecDeque;
use std::hint;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};

/// The most items that the kept memory of an empty buffer can hold.
const CAPACITY_KEPT: usize = 1_024;

/// Items in their order, with their bytes.
pub(super) struct SwapBuffer<T> {
    pub(super) items: VecDeque<T>,
    bytes: usize,
}

impl<T> Default for SwapBuffer<T> {
    fn default() -> Self {
        SwapBuffer {
            items: VecDeque::new(),
            bytes: 0,
        }
    }
}

/// A callback that wakes the receiving thread.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

/// A queue of two buffers: senders fill one of them while the receiver empties the other.
pub(super) struct SwapQueue<T> {
    buffers: [Mutex<SwapBuffer<T>>; 2],
    /// The buffer that senders fill. Only the receiver changes it, and only when the other buffer
    /// is empty.
    active: AtomicUsize,
    /// Waiting items, including those that the receiver has collected and not taken.
    waiting: AtomicUsize,
    /// Bytes of the waiting items.
    bytes: AtomicUsize,
    lost: AtomicU64,
    /// Whether the receiver was woken since it last collected.
    woken: AtomicBool,
    /// Whether the receiver must collect even if no items wait.
    notified: AtomicBool,
    wake: OnceLock<Wake>,
    /// The lock of the thread that takes items, for queues that several threads may take from.
    pub(super) takers: Mutex<()>,
    pub(super) limits: Limits,
    overflow: Overflow,
}

impl<T: QueueItem> SwapQueue<T> {
    pub(super) fn new(limits: Limits, overflow: Overflow) -> Self {
        SwapQueue {
            buffers: [Mutex::default(), Mutex::default()],
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            lost: AtomicU64::new(0),
            woken: AtomicBool::new(false),
            notified: AtomicBool::new(false),
            wake: OnceLock::new(),
            takers: Mutex::default(),
            limits,
            overflow,
        }
    }

    // ---- senders ----

    /// Locks the buffer that senders fill. Waits while another sender uses it.
    pub(super) fn lock_active(&self) -> MutexGuard<'_, SwapBuffer<T>> {
        loop {
            let at = self.active.load(Acquire);
            let buffer = self.lock(at);
            // The receiver may have emptied this buffer before the lock was taken; newer items are
            // then on the other one.
            if self.active.load(Acquire) == at {
                return buffer;
            }
        }
    }

    /// Locks the active buffer, for the only sender of a queue. The receiver locks a buffer
    /// only to empty it, after it has directed senders to the other one. So the other one is free,
    /// unless the receiver has taken again in the meantime.
    pub(super) fn lock_active_sole(&self) -> MutexGuard<'_, SwapBuffer<T>> {
        loop {
            let at = self.active.load(Acquire);
            match self.try_lock(at) {
                Some(buffer) if self.active.load(Acquire) == at => return buffer,
                Some(_) | None => hint::spin_loop(),
            }
        }
    }

    /// Adds an item to the locked buffer, within these limits. The lock keeps other senders out,
    /// except for the moment in which the receiver switches buffers.
    pub(super) fn push(
        &self,
        buffer: &mut SwapBuffer<T>,
        item: T,
        limits: Limits,
    ) -> Result<(), NoRoom<T>> {
        let bytes = item.bytes();
        if self.overflow == Overflow::Refuse && !limits.have_room(self.totals(), bytes) {
            self.count_lost();
            return Err(NoRoom(item));
        }
        self.push_unlimited(buffer, item);
        if self.overflow == Overflow::DropOldest {
            // What a receiver is just taking from the other buffer does not count: a slow receiver
            // costs no items. The newest item stays, even if it alone exceeds the limits.
            while limits.are_exceeded((buffer.items.len(), buffer.bytes))
                && buffer.items.len() > 1
                && let Some(oldest) = buffer.items.pop_front()
            {
                let bytes = oldest.bytes();
                buffer.bytes -= bytes;
                self.count_out(bytes);
                self.count_lost();
            }
        }
        Ok(())
    }

    /// Adds an item to the active buffer, without any limit.
    pub(super) fn push_unlimited(&self, buffer: &mut SwapBuffer<T>, item: T) {
        let bytes = item.bytes();
        self.count_in(bytes);
        buffer.bytes += bytes;
        buffer.items.push_back(item);
    }

    /// Wakes the receiver, unless it was woken already and has not collected since. Call without a
    /// lock.
    pub(super) fn wake_receiver(&self) {
        if !self.woken.swap(true, AcqRel)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Notifies the receiver and wakes it.
    pub(super) fn notify(&self) {
        self.notified.store(true, Release);
        self.wake_receiver();
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

    /// Returns whether the receiver was woken since it last collected.
    pub(super) fn is_woken(&self) -> bool {
        self.woken.load(Acquire)
    }

    /// Begins a collection: later items wake the receiver again. Returns whether the receiver was
    /// notified since the last collection. Call this before [`swap`](SwapQueue::swap): items sent
    /// before the notification are then on the buffer that is emptied.
    pub(super) fn clear_wake(&self) -> bool {
        if !sabotage::on(Bug::MailWakeLost) {
            self.woken.swap(false, AcqRel);
        }
        // After the swap: a notification that found the wake-up already sent is seen here.
        self.notified.load(Relaxed) && self.notified.swap(false, AcqRel)
    }

    /// Directs senders to the other buffer, which must be empty, and returns the one that they have
    /// filled.
    pub(super) fn swap(&self) -> usize {
        let at = self.active.load(Relaxed);
        self.active.store(1 - at, Release);
        at
    }

    /// Moves the items of a buffer behind `to`.
    pub(super) fn move_items(buffer: &mut SwapBuffer<T>, to: &mut VecDeque<T>) {
        buffer.bytes = 0;
        let items = &mut buffer.items;
        if to.is_empty() {
            // The buffer takes over the memory of `to`.
            std::mem::swap(items, to);
            shrink(items);
        } else if sabotage::on(Bug::MailOvertakes) {
            items.drain(..).rev().for_each(|item| to.push_front(item));
        } else {
            to.append(items);
            shrink(items);
        }
    }

    pub(super) fn lock(&self, at: usize) -> MutexGuard<'_, SwapBuffer<T>> {
        // A buffer is consistent after every step, so a panic of another thread does no damage.
        self.buffers[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_lock(&self, at: usize) -> Option<MutexGuard<'_, SwapBuffer<T>>> {
        match self.buffers[at].try_lock() {
            Ok(buffer) => Some(buffer),
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    // ---- accounts ----

    pub(super) fn count_in(&self, bytes: usize) {
        self.waiting.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// Counts an item of `bytes` that no longer waits.
    pub(super) fn count_out(&self, bytes: usize) {
        self.waiting.fetch_sub(1, Relaxed);
        if !sabotage::on(Bug::MailRoomLeaks) {
            self.bytes.fetch_sub(bytes, Relaxed);
        }
    }

    fn totals(&self) -> (usize, usize) {
        (self.waiting.load(Relaxed), self.bytes.load(Relaxed))
    }

    fn count_lost(&self) {
        if !sabotage::on(Bug::MailLossUncounted) {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let (waiting, bytes) = self.totals();
        Counts {
            waiting,
            bytes,
            lost: self.lost.load(Relaxed),
        }
    }
}

/// Frees the memory of an empty buffer if it is large.
pub(super) fn shrink<T>(buffer: &mut VecDeque<T>) {
    if buffer.capacity() > CAPACITY_KEPT {
        *buffer = VecDeque::new();
    }
}
