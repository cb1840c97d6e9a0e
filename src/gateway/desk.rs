//! The desk: where other threads leave work for the loop, and the loop does one slice of it per turn.
//!
//! The loop never waits here: it only tries the lock, and whoever waits for an answer waits elsewhere.

use super::Gateway;
use crate::engine::{Full, Io, Remote};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Pieces of work that may wait. Each belongs to one request of an operator, so more than this is a flood.
const CAPACITY: usize = 64;

/// A piece of work: called once a turn until it is [`Progress::Done`]. One call may look at 1 000 connections or so, not at
/// all of them.
pub type Work = Box<dyn FnMut(&mut Gateway, &mut Io<'_>) -> Progress + Send>;

/// Whether a piece of work has to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// In a later turn.
    More,
    /// It is finished.
    Done,
}

/// The side of whoever asks. Cheap to clone.
#[derive(Clone)]
pub struct Desk {
    shared: Arc<Shared>,
    remote: Remote,
}

#[derive(Default)]
struct Shared {
    new: Mutex<VecDeque<Work>>,
    /// Pieces that are not finished.
    waiting: AtomicUsize,
}

/// The loop's side.
#[derive(Default)]
pub(super) struct Tray {
    shared: Arc<Shared>,
    begun: VecDeque<Work>,
}

impl Desk {
    /// Leaves work for the loop.
    ///
    /// # Errors
    /// [`Full`] if 64 pieces wait already: the loop is stalled, or somebody asks too much.
    pub fn leave(&self, work: Work) -> Result<(), Full> {
        let mut new = self
            .shared
            .new
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Only here, under the lock, the number grows.
        if self.shared.waiting.load(Ordering::Relaxed) >= CAPACITY {
            return Err(Full);
        }
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        new.push_back(work);
        drop(new);
        self.remote.wake();
        Ok(())
    }

    /// The loop's own handle.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }
}

impl Tray {
    pub(super) fn desk(&self, remote: Remote) -> Desk {
        Desk {
            shared: self.shared.clone(),
            remote,
        }
    }

    /// Takes over what is new. `false`: somebody is just putting something in.
    fn collect(&mut self) -> bool {
        let mut new = match self.shared.new.try_lock() {
            Ok(new) => new,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.begun.append(&mut new);
        true
    }
}

impl Gateway {
    /// Does one slice of the work that waits, each piece in its turn.
    pub(super) fn do_some_work(&mut self, io: &mut Io<'_>) {
        let collected = self.tray.collect();
        if let Some(mut work) = self.tray.begun.pop_front() {
            match work(self, io) {
                Progress::More => self.tray.begun.push_back(work),
                Progress::Done => {
                    self.tray.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if !(collected && self.tray.begun.is_empty()) {
            io.remote().wake();
        }
    }
}
