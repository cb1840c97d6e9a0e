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
    /// The cause of the end of the connection.
    pub(in crate::relay) cause: Cause,
    /// Whether the connection was lost: neither side closed it on purpose.
    pub(in crate::relay) lost: bool,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// The place was free: no connection held it, and it did not wait for a lost peer.
    #[default]
    First,
    /// The place was waiting for its peer, whose connection had been lost.
    Resume,
    /// The place was taken from an older connection of the same peer.
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

/// The time in which a place waits for its lost peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// When the wait began: engine time.
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
    /// No connection holds the place, and it does not wait for one.
    Empty,
    /// A connection holds the place.
    Held {
        /// The connection.
        conn: ConnId,
        /// How the connection took the place.
        how: How,
    },
    /// The place waits for its lost peer.
    Absent(Absence),
}

/// A view of a place at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceView {
    /// The state of the place.
    pub state: PlaceState,
    /// How often the peer came back after a loss, or replaced its own older connection.
    pub resumes: u32,
    /// The number of frames that are kept for the peer.
    pub kept_frames: usize,
    /// The bytes of those frames.
    pub kept_bytes: usize,
}

impl PlaceView {
    /// Returns the connection that holds the place.
    pub fn conn(&self) -> Option<ConnId> {
        match self.state {
            PlaceState::Held { conn, .. } => Some(conn),
            PlaceState::Empty | PlaceState::Absent(_) => None,
        }
    }

    /// Returns the loss of the connection, if the place waits for its peer.
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
    /// No connection holds the place, and it does not wait for one.
    Missing,
    /// The place waits for its lost peer; frames for it are kept.
    Absent(&'a mut Kept),
    /// This connection holds the place.
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
    /// Returns the place after a connection has taken it while it was empty.
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

    /// Returns the place after a newer connection has taken it, and the older connection.
    pub(super) fn taken_over(self, conn: ConnId) -> (Self, ConnId) {
        let newer = Held {
            conn,
            how: How::Takeover,
            kept: self.kept,
        };
        (newer, self.conn)
    }

    /// Returns the place after its connection has ended; it waits for another until `due`.
    pub(super) fn lost(self, since: Micros, due: Due) -> Wait {
        Wait {
            since,
            due,
            kept: self.kept,
        }
    }

    /// Ends the place with its connection, without a wait. Returns the kept frames.
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
    /// Makes a wait for a peer that had no connection.
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

    /// Returns the place after a connection has taken it.
    pub(super) fn taken(self, conn: ConnId, how: How) -> Held {
        Held {
            conn,
            how,
            kept: self.kept,
        }
    }

    /// Ends the wait. Returns the kept frames.
    pub(super) fn over(self) -> Kept {
        self.kept
    }
}
