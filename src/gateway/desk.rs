//! The desk: where other threads leave work for the loop, and the loop does some slices of it per turn.
//!
//! A turn's budget counts work units, whatever the work is: a slice stops after [`SLICE_UNITS`], also in the middle of one
//! session with 1 000 apps, and all slices of a turn together take [`DESK_UNITS`] at most.
//!
//! The loop never waits here: it only tries the lock, and whoever waits for an answer waits elsewhere.

use super::Gateway;
use crate::engine::{Full, Io, Remote};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Pieces of work that may wait. Each belongs to one request of an operator, so more than this is a flood.
const CAPACITY: usize = 64;

/// The work units that one slice of a piece takes at most; the last step of a slice may overshoot by a few. A work unit is
/// about a microsecond of CPU: see [`Io::spend`].
pub const SLICE_UNITS: u32 = 200;

/// The work units that all slices of one turn take together at most.
pub const DESK_UNITS: u32 = 400;

/// What a piece of work counts at least: being fetched, called, and answered.
const PIECE_UNITS: u32 = 20;

/// A piece of work: called again, in this turn or a later one, until it is [`Progress::Done`]. One call is a slice: it spends
/// ([`Io::spend`]) what it has used, at most [`SLICE_UNITS`], and remembers where it stopped.
pub type Work = Box<dyn FnMut(&mut Gateway, &mut Io<'_>) -> Progress + Send>;

/// Whether a piece of work has to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// When the other pieces have had a slice.
    More,
    /// It is finished.
    Done,
}

/// Counts the work of one slice, in ns of CPU as `benches/operator.rs` measures them for the steps of each walk.
#[derive(Debug, Default)]
pub(super) struct Effort {
    ns: u32,
}

impl Effort {
    /// Counts a step.
    pub(super) fn add(&mut self, ns: u32) {
        self.ns = self.ns.saturating_add(ns);
    }

    /// Returns whether the slice has no room for another step.
    pub(super) fn is_spent(&self) -> bool {
        self.units() >= SLICE_UNITS
    }

    /// Returns whether a step of so many ns would go beyond the slice.
    pub(super) fn is_too_much(&self, ns: u32) -> bool {
        self.ns.saturating_add(ns) > SLICE_UNITS * 1_000
    }

    /// Counts the slice against the budget of the turn.
    pub(super) fn spend(self, io: &mut Io<'_>) {
        io.spend(self.units());
    }

    fn units(&self) -> u32 {
        self.ns.div_ceil(1_000)
    }
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
    /// Does slices of the work that waits, each piece in its turn, as many as are sure to stay within [`DESK_UNITS`].
    pub(super) fn do_some_work(&mut self, io: &mut Io<'_>) {
        let collected = self.tray.collect();
        let mut used = 0;
        while used + SLICE_UNITS <= DESK_UNITS
            && let Some(mut work) = self.tray.begun.pop_front()
        {
            let before = io.stats().work_units;
            let progress = work(self, io);
            let slice = u32::try_from(io.stats().work_units - before).unwrap_or(u32::MAX);
            io.spend(PIECE_UNITS.saturating_sub(slice));
            used = used.saturating_add(slice.max(PIECE_UNITS));
            match progress {
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

    /// Begins work of the loop's own that takes more than one turn. It shares the budget of the desk, and finds room always:
    /// each kind of such work is there once.
    pub(super) fn begin(&mut self, io: &Io<'_>, work: Work) {
        self.tray.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.tray.begun.push_back(work);
        io.remote().wake();
    }
}
