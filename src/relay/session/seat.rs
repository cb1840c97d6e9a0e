//! What the two state machines of a session share: a place that a connection has, and a place that is waited for.

use super::graces::Due;
use super::kept::Kept;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;

/// How the last connection of a place ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Parting {
    /// For what.
    pub(in crate::relay) cause: Cause,
    /// It was lost: neither side wanted it to end.
    pub(in crate::relay) lost: bool,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// Nobody had it, and nobody was waited for.
    #[default]
    First,
    /// It had been lost.
    Resume,
    /// An older connection had it.
    Takeover,
}

impl How {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            How::First => "first",
            How::Resume => "resume",
            How::Takeover => "takeover",
        }
    }
}

/// A loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// Since when: engine time.
    pub since: Micros,
    /// How the connection ended; `None`: there was none, it is a session from before a restart, or an app that has to come.
    pub cause: Option<Cause>,
    /// Until when it is waited for.
    pub due: Due,
}

/// The state of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaceState {
    /// No connection has it, and none is waited for.
    Empty,
    /// A connection has it.
    Held {
        /// Which.
        conn: ConnId,
        /// How it took the place.
        how: How,
    },
    /// It is waited for.
    Absent(Absence),
}

/// A place as it is now.
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
    /// The connection that has it.
    pub fn conn(&self) -> Option<ConnId> {
        match self.state {
            PlaceState::Held { conn, .. } => Some(conn),
            PlaceState::Empty | PlaceState::Absent(_) => None,
        }
    }

    /// The loss, if it is waited for.
    pub fn absence(&self) -> Option<Absence> {
        match self.state {
            PlaceState::Absent(absence) => Some(absence),
            PlaceState::Empty | PlaceState::Held { .. } => None,
        }
    }

    /// Returns whether the peer is there or waited for.
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

/// A place as the post sees it.
#[derive(Debug)]
pub(in crate::relay) enum Addressee<'a> {
    /// No connection has it, and none is waited for.
    Nobody,
    /// It is waited for; frames for it are kept.
    Absent(&'a mut Kept),
    /// This connection has it.
    Here(ConnId, &'a mut Kept),
}

/// A place that a connection has.
#[derive(Debug)]
pub(super) struct Held {
    conn: ConnId,
    how: How,
    kept: Kept,
}

impl Held {
    /// A place that was empty is taken.
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

    /// A newer connection takes the place. Returns the older one as well.
    pub(super) fn taken_over(self, conn: ConnId) -> (Self, ConnId) {
        let newer = Held {
            conn,
            how: How::Takeover,
            kept: self.kept,
        };
        (newer, self.conn)
    }

    /// The connection is over, and another is waited for until `due`.
    pub(super) fn lost(self, since: Micros, due: Due) -> Wait {
        Wait {
            since,
            due,
            kept: self.kept,
        }
    }

    /// The connection is over, and none is waited for.
    pub(super) fn left(self) -> Kept {
        self.kept
    }
}

/// A place that is waited for.
#[derive(Debug)]
pub(super) struct Wait {
    since: Micros,
    due: Due,
    kept: Kept,
}

impl Wait {
    /// A place that was empty is waited for.
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

    /// It is waited for until another time.
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

    /// It is not waited for any more.
    pub(super) fn over(self) -> Kept {
        self.kept
    }
}
