//! The desk: where other threads leave work for the loop, and the loop does some slices of it per turn.
//!
//! A turn's budget counts work units, whatever the work is: a slice stops after [`SLICE_UNITS`], also in the middle of one
//! session with 1 000 apps, and all slices of a turn together take [`DESK_UNITS`] at most.
//!
//! The loop never waits here: it only tries the lock, and whoever waits for an answer waits elsewhere.

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
pub type Work<H> = Box<dyn FnMut(&mut H, &mut Io<'_>) -> Progress + Send>;

/// Whether a piece of work has to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// When the other pieces have had a slice.
    More,
    /// It is finished.
    Done,
}

/// The side of whoever asks. Cheap to clone.
pub struct Desk<H> {
    shared: Arc<Shared<H>>,
    remote: Remote,
}

impl<H> Clone for Desk<H> {
    fn clone(&self) -> Self {
        Desk {
            shared: self.shared.clone(),
            remote: self.remote.clone(),
        }
    }
}

struct Shared<H> {
    new: Mutex<VecDeque<Work<H>>>,
    /// Pieces that are not finished.
    waiting: AtomicUsize,
}

/// The loop's side.
pub(crate) struct Tray<H> {
    shared: Arc<Shared<H>>,
    begun: VecDeque<Work<H>>,
}

impl<H> Default for Tray<H> {
    fn default() -> Self {
        Tray {
            shared: Arc::new(Shared {
                new: Mutex::default(),
                waiting: AtomicUsize::new(0),
            }),
            begun: VecDeque::new(),
        }
    }
}

impl<H> Desk<H> {
    /// Leaves work for the loop.
    ///
    /// # Errors
    /// [`Full`] if 64 pieces wait already: the loop is stalled, or somebody asks too much.
    pub fn leave(&self, work: Work<H>) -> Result<(), Full> {
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

impl<H> Tray<H> {
    pub(crate) fn desk(&self, remote: Remote) -> Desk<H> {
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

impl<H> Tray<H> {
    /// Does slices of the work that waits at the tray `of` this host, each piece in its turn, as many as are sure to stay
    /// within [`DESK_UNITS`].
    pub(crate) fn do_some_work(host: &mut H, of: fn(&mut H) -> &mut Tray<H>, io: &mut Io<'_>) {
        let collected = of(host).collect();
        let mut used = 0;
        while used + SLICE_UNITS <= DESK_UNITS
            && let Some(mut work) = of(host).begun.pop_front()
        {
            let before = io.stats().work_units;
            let progress = work(host, io);
            let slice = u32::try_from(io.stats().work_units - before).unwrap_or(u32::MAX);
            io.spend(PIECE_UNITS.saturating_sub(slice));
            used = used.saturating_add(slice.max(PIECE_UNITS));
            let tray = of(host);
            match progress {
                Progress::More => tray.begun.push_back(work),
                Progress::Done => {
                    tray.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
        if !(collected && of(host).begun.is_empty()) {
            io.remote().wake();
        }
    }

    /// Begins work of the loop's own that takes more than one turn. It shares the budget of the desk, and finds room always:
    /// each kind of such work is there once.
    pub(crate) fn begin(&mut self, io: &Io<'_>, work: Work<H>) {
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        self.begun.push_back(work);
        io.remote().wake();
    }
}
