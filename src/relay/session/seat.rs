//! The common parts of the two state machines of a session: a place that a connection holds, and a
//! place that waits for its peer.

use super::graces::Due;
use super::kept::Kept;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;

/// How the last connection of a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Parting {
    /// The cause.
    pub(in crate::relay) cause: Cause,
    /// Whether it was lost: neither side closed it on purpose.
    pub(in crate::relay) lost: bool,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// It was free: no connection held it, and it awaited none.
    #[default]
    First,
    /// It had been lost.
    Resume,
    /// It was taken from an older connection.
    Takeover,
}

impl How {
    /// Returns the name for logs and the API.
    pub const fn name(self) -> &'static str {
        match self {
            How::First => "first",
            How::Resume => "resume",
            How::Takeover => "takeover",
        }
    }
}

/// The loss of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// When it began: engine time.
    pub since: Micros,
    /// How the connection ended; `None` if there was none: the session is from before a restart, or
    /// an app is expected.
    pub cause: Option<Cause>,
    /// When the wait ends.
    pub due: Due,
}

/// The state of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceState {
    /// No connection holds it, and it waits for none.
    Empty,
    /// A connection holds it.
    Held {
        /// The connection.
        conn: ConnId,
        /// How it took the place.
        how: How,
    },
    /// It waits for its peer.
    Absent(Absence),
}

/// A view of a place at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceView {
    /// Its state.
    pub state: PlaceState,
    /// How often it was taken again after a loss, or from an older connection.
    pub resumes: u32,
    /// Frames that are kept for the peer.
    pub kept_frames: usize,
    /// Bytes of those frames.
    pub kept_bytes: usize,
}

impl PlaceView {
    /// Returns the connection that holds it.
    pub fn conn(&self) -> Option<ConnId> {
        match self.state {
            PlaceState::Held { conn, .. } => Some(conn),
            PlaceState::Empty | PlaceState::Absent(_) => None,
        }
    }

    /// Returns the loss, if it waits for its peer.
    pub fn absence(&self) -> Option<Absence> {
        match self.state {
            PlaceState::Absent(absence) => Some(absence),
            PlaceState::Empty | PlaceState::Held { .. } => None,
        }
    }

    /// Returns whether the peer is connected or awaited.
    pub fn is_held(&self) -> bool {
        self.state != PlaceState::Empty
    }

    pub(super) fn new(state: PlaceState, resumes: u32, kept: Option<&Kept>) -> Self {
        let (kept_frames, kept_bytes) = kept.map_or((0, 0), Kept::count);
        PlaceView {
            state,
            resumes,
            kept_frames,
            kept_bytes,
        }
    }
}

/// The receiver of a place's frames.
#[derive(Debug)]
pub(in crate::relay) enum Addressee<'a> {
    /// No connection holds it, and it waits for none.
    Missing,
    /// It waits for its peer; frames for it are kept.
    Absent(&'a mut Kept),
    /// This connection holds it.
    Here(ConnId, &'a mut Kept),
}

/// A place that a connection holds.
#[derive(Debug)]
pub(super) struct Held {
    conn: ConnId,
    how: How,
    kept: Kept,
}

impl Held {
    /// A connection takes an empty place.
    pub(super) fn first(conn: ConnId) -> Self {
        Held {
            conn,
            how: How::First,
            kept: Kept::default(),
        }
    }

    pub(super) fn conn(&self) -> ConnId {
        self.conn
    }

    pub(super) fn state(&self) -> PlaceState {
        PlaceState::Held {
            conn: self.conn,
            how: self.how,
        }
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(super) fn addressee(&mut self) -> Addressee<'_> {
        Addressee::Here(self.conn, &mut self.kept)
    }

    /// A newer connection takes the place. Returns the older connection as well.
    pub(super) fn taken_over(self, conn: ConnId) -> (Self, ConnId) {
        let newer = Held {
            conn,
            how: How::Takeover,
            kept: self.kept,
        };
        (newer, self.conn)
    }

    /// The connection has ended, and the place waits for another until `due`.
    pub(super) fn lost(self, since: Micros, due: Due) -> Wait {
        Wait {
            since,
            due,
            kept: self.kept,
        }
    }

    /// The connection has ended, and the place waits for none.
    pub(super) fn left(self) -> Kept {
        self.kept
    }
}

/// A place that waits for its peer.
#[derive(Debug)]
pub(super) struct Wait {
    since: Micros,
    due: Due,
    kept: Kept,
}

impl Wait {
    /// An empty place starts to wait for its peer.
    pub(super) fn new(since: Micros, due: Due) -> Self {
        Wait {
            since,
            due,
            kept: Kept::default(),
        }
    }

    pub(super) fn due(&self) -> Due {
        self.due
    }

    pub(super) fn since(&self) -> Micros {
        self.since
    }

    pub(super) fn state(&self, parting: Option<Parting>) -> PlaceState {
        PlaceState::Absent(Absence {
            since: self.since,
            cause: parting.map(|parting| parting.cause),
            due: self.due,
        })
    }

    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(super) fn addressee(&mut self) -> Addressee<'_> {
        Addressee::Absent(&mut self.kept)
    }

    /// Moves the end of the wait.
    pub(super) fn until(self, due: Due) -> Self {
        Wait { due, ..self }
    }

    /// A connection takes the place.
    pub(super) fn taken(self, conn: ConnId, how: How) -> Held {
        Held {
            conn,
            how,
            kept: self.kept,
        }
    }

    /// Ends the wait. Returns what was kept.
    pub(super) fn over(self) -> Kept {
        self.kept
    }
}
