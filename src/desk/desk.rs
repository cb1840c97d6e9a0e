//! The desk: where other threads leave work for the loop, and the loop does some slices of it per turn.
//!
//! A turn's budget counts work units, whatever the work is: a slice stops after [`SLICE_UNITS`], also in the middle of one
//! session with 1 000 apps, and all slices of a turn together take [`DESK_UNITS`] at most.
//!
//! The loop never waits here, and whoever waits for an answer waits elsewhere.

use crate::engine::{Full, Io, Remote};
use crate::mail::{self, Limits, LoopReceiver, Mail, NoRoom, Overflow, Sender};

/// Pieces of work that may wait, or be begun. Each belongs to one request of an operator, so more than this is a flood. Their
/// bytes are those of the closures themselves, without what these have allocated.
const LIMITS: Limits = Limits {
    count: 64,
    bytes: 16 << 20,
};

/// The work units that one slice of a piece takes at most; the last step of a slice may overshoot by a few. A work unit is
/// about a microsecond of CPU: see [`Io::spend`].
pub const SLICE_UNITS: u32 = 200;

/// The work units that all slices of one turn take together at most.
pub const DESK_UNITS: u32 = 400;

/// What a piece of work counts at least: being fetched, called, and answered.
const PIECE_UNITS: u32 = 20;

/// A piece of work: called again, in this turn or a later one, until it is [`Progress::Done`]. One call is a slice: it spends
/// ([`Io::spend`]) what it has used, at most [`SLICE_UNITS`], and remembers where it stopped.
pub(crate) type Work<H> = Box<dyn FnMut(&mut H, &mut Io<'_>) -> Progress + Send>;

/// Whether a piece of work has to be called again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// When the other pieces have had a slice.
    More,
    /// It is finished.
    Done,
}

type Question<H> = Box<dyn FnOnce(&mut H, &mut Io<'_>) + Send>;

/// What is left for the loop.
enum Piece<H> {
    /// It is done in one go.
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

/// The side of whoever asks. Cheap to clone.
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

/// The loop's side. What it has begun waits at the end of what it has received.
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
    /// Has the loop do something in one go, in its next turns. It spends ([`Io::spend`]) what that costs, at most
    /// [`SLICE_UNITS`]; for more there is [`leave`](Desk::leave). An answer is sent back by the closure itself.
    ///
    /// # Errors
    /// [`Full`], as of [`leave`](Desk::leave).
    pub fn ask(
        &self,
        question: impl FnOnce(&mut H, &mut Io<'_>) + Send + 'static,
    ) -> Result<(), Full> {
        self.post(Piece::Question(Box::new(question)))
    }

    /// Leaves work of several turns for the loop.
    ///
    /// # Errors
    /// [`Full`] if 64 pieces wait already, or 16 MiB of them: the loop is stalled, or operators ask too much.
    pub fn leave(&self, work: Work<H>) -> Result<(), Full> {
        self.post(Piece::Work(work))
    }

    /// The loop's own handle.
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

    /// Does slices of the work that waits at the tray `of` this host, each piece in its turn, as many as are sure to stay
    /// within [`DESK_UNITS`].
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

    /// Begins work of the loop's own that takes more than one turn. It shares the budget of the desk, and finds room always:
    /// each kind of such work is there once.
    pub(crate) fn begin(&mut self, io: &Io<'_>, work: Work<H>) {
        self.pieces.add(Piece::Work(work));
        io.remote().wake();
    }
}
