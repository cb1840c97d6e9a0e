//! The desk: other threads leave work for the loop here, and the loop runs some slices of it in
//! each turn.
//!
//! A turn's budget counts work units for any kind of work. A slice stops after [`SLICE_UNITS`],
//! even in the middle of a session with 1 000 apps. All slices of a turn together take at most
//! [`DESK_UNITS`].
//!
//! The loop never waits for this work; the caller waits for its answer on its own thread.

use crate::engine::{Full, Io, Remote};
use crate::mail::{self, Limits, LoopReceiver, Mail, NoRoom, Overflow, Sender};

/// The limits of the pieces of work that wait or are unfinished. Each belongs to one request of an
/// operator, so more than this is a flood. The bytes are those of the closures, without what they
/// have allocated.
const LIMITS: Limits = Limits {
    count: 64,
    bytes: 16 << 20,
};

/// The most work units of one slice; its last step may overshoot by a few. A work unit is about a
/// microsecond of CPU: see [`Io::spend`].
pub const SLICE_UNITS: u32 = 200;

/// The most work units of all slices of one turn.
pub const DESK_UNITS: u32 = 400;

/// The least work units that a piece counts: it is fetched, called, and answered.
const PIECE_UNITS: u32 = 20;

/// A piece of work, called repeatedly, in this turn or later ones, until it is [`Progress::Done`].
/// One call is one slice: it spends ([`Io::spend`]) the work units that it used, at most
/// [`SLICE_UNITS`], and remembers where it stopped.
pub(crate) type Work<H> = Box<dyn FnMut(&mut H, &mut Io<'_>) -> Progress + Send>;

/// Whether a piece of work must be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is called again after the other pieces have had a slice.
    More,
    /// It is finished.
    Done,
}

type Question<H> = Box<dyn FnOnce(&mut H, &mut Io<'_>) + Send>;

/// One piece of work in the queue.
enum Piece<H> {
    /// A question: one call is enough.
    Question(Question<H>),
    Work(Work<H>),
}

impl<H> Mail for Piece<H> {
    fn bytes(&self) -> usize {
        match self {
            Piece::Question(question) => size_of_val(&**question),
            Piece::Work(work) => size_of_val(&**work),
        }
    }
}

/// The other threads' end of the queue. Cheap to clone.
pub struct Desk<H> {
    pieces: Sender<Piece<H>>,
    remote: Remote,
}

impl<H> Clone for Desk<H> {
    fn clone(&self) -> Self {
        Desk {
            pieces: self.pieces.clone(),
            remote: self.remote.clone(),
        }
    }
}

/// The loop's end of the queue. Unfinished pieces go to the end of the queue.
pub(crate) struct Tray<H> {
    pieces: LoopReceiver<Piece<H>>,
    sender: Sender<Piece<H>>,
}

impl<H> Default for Tray<H> {
    fn default() -> Self {
        let (sender, pieces) = mail::to_loop(LIMITS, Overflow::Refuse);
        Tray { pieces, sender }
    }
}

impl<H> Desk<H> {
    /// Asks the loop to call a closure once, in one of its next turns. The closure spends
    /// ([`Io::spend`]) what it costs, at most [`SLICE_UNITS`]; for more there is
    /// [`leave`](Desk::leave). It sends back an answer by itself.
    ///
    /// # Errors
    /// [`Full`], as for [`leave`](Desk::leave).
    pub fn ask(
        &self,
        question: impl FnOnce(&mut H, &mut Io<'_>) + Send + 'static,
    ) -> Result<(), Full> {
        self.post(Piece::Question(Box::new(question)))
    }

    /// Leaves work that takes several turns for the loop.
    ///
    /// # Errors
    /// [`Full`] if 64 pieces, or 16 MiB of them, already wait: the loop is stalled, or operators
    /// ask too much.
    pub fn leave(&self, work: Work<H>) -> Result<(), Full> {
        self.post(Piece::Work(work))
    }

    /// Returns the handle of the loop.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    fn post(&self, piece: Piece<H>) -> Result<(), Full> {
        self.pieces.post(piece).map_err(|NoRoom(_)| Full)
    }
}

impl<H> Tray<H> {
    pub(crate) fn desk(&self, remote: Remote) -> Desk<H> {
        let waker = remote.clone();
        self.sender.set_wake(Box::new(move || waker.wake()));
        Desk {
            pieces: self.sender.clone(),
            remote,
        }
    }

    /// Runs slices of the work in the tray `of` this host, one piece after another, as long as the
    /// next slice is sure to stay within [`DESK_UNITS`].
    pub(crate) fn do_some_work(host: &mut H, of: fn(&mut H) -> &mut Tray<H>, io: &mut Io<'_>) {
        of(host).pieces.collect();
        let mut used = 0;
        while used + SLICE_UNITS <= DESK_UNITS
            && let Some(piece) = of(host).pieces.take_kept()
        {
            let (before, bytes) = (io.stats().work_units, piece.bytes());
            let unfinished = match piece {
                Piece::Question(question) => {
                    question(host, io);
                    None
                }
                Piece::Work(mut work) => match work(host, io) {
                    Progress::More => Some(work),
                    Progress::Done => None,
                },
            };
            let slice = u32::try_from(io.stats().work_units - before).unwrap_or(u32::MAX);
            io.spend(PIECE_UNITS.saturating_sub(slice));
            used = used.saturating_add(slice.max(PIECE_UNITS));
            let pieces = &mut of(host).pieces;
            match unfinished {
                Some(work) => pieces.put_back(Piece::Work(work)),
                None => pieces.release(bytes),
            }
        }
        if of(host).pieces.has_left_over() {
            io.remote().wake();
        }
    }

    /// Adds work of the loop itself that takes more than one turn. It shares the budget of the
    /// desk, and is never refused: there is at most one piece of each such kind.
    pub(crate) fn begin(&mut self, io: &Io<'_>, work: Work<H>) {
        self.pieces.add(Piece::Work(work));
        io.remote().wake();
    }
}
