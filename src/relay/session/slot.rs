//! The common parts of the two state machines of a session: a slot that a connection holds, and a
//! slot that waits for its peer.

use super::backlog::Backlog;
use super::grace_queue::SlotDeadline;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;

/// How the last connection of a slot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct LastEnding {
    /// The cause of the end of the connection.
    pub(in crate::relay) cause: Cause,
    /// Whether the connection was lost: neither side closed it on purpose.
    pub(in crate::relay) lost: bool,
}

/// How a slot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttachKind {
    /// The slot was free: no connection held it, and it did not wait for a lost peer.
    #[default]
    First,
    /// The slot was waiting for its peer, whose connection had been lost.
    Resume,
    /// The slot was taken from an older connection of the same peer.
    Takeover,
}

impl AttachKind {
    /// Returns the name for logs and the API.
    pub const fn name(self) -> &'static str {
        match self {
            AttachKind::First => "first",
            AttachKind::Resume => "resume",
            AttachKind::Takeover => "takeover",
        }
    }
}

/// The time in which a slot waits for its lost peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Absence {
    /// When the wait began: engine time.
    pub since: Micros,
    /// How the connection ended; `None` if there was none: the session is from before a restart, or
    /// an app is expected.
    pub cause: Option<Cause>,
    /// When the wait for the peer ends.
    pub deadline: SlotDeadline,
}

/// The state of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotState {
    /// No connection holds the slot, and it does not wait for one.
    Empty,
    /// A connection holds the slot.
    Held {
        /// The connection.
        conn: ConnId,
        /// How the connection took the slot.
        kind: AttachKind,
    },
    /// The slot waits for its lost peer.
    Absent(Absence),
}

/// A view of a slot at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotView {
    /// The state of the slot.
    pub state: SlotState,
    /// How often the peer came back after a loss, or replaced its own older connection.
    pub resumes: u32,
    /// The number of frames that are kept for the peer.
    pub kept_frames: usize,
    /// The bytes of those frames.
    pub kept_bytes: usize,
}

impl SlotView {
    /// Returns the connection that holds the slot.
    pub fn conn(&self) -> Option<ConnId> {
        match self.state {
            SlotState::Held { conn, .. } => Some(conn),
            SlotState::Empty | SlotState::Absent(_) => None,
        }
    }

    /// Returns the loss of the connection, if the slot waits for its peer.
    pub fn absence(&self) -> Option<Absence> {
        match self.state {
            SlotState::Absent(absence) => Some(absence),
            SlotState::Empty | SlotState::Held { .. } => None,
        }
    }

    /// Returns whether the peer is connected or awaited.
    pub fn is_occupied(&self) -> bool {
        self.state != SlotState::Empty
    }

    pub(super) fn new(state: SlotState, resumes: u32, backlog: Option<&Backlog>) -> Self {
        let (kept_frames, kept_bytes) = backlog.map_or((0, 0), Backlog::count);
        SlotView {
            state,
            resumes,
            kept_frames,
            kept_bytes,
        }
    }
}

/// The receiver of a slot's frames.
#[derive(Debug)]
pub(in crate::relay) enum Destination<'a> {
    /// No connection holds the slot, and it does not wait for one.
    Empty,
    /// The slot waits for its lost peer; frames for it are kept.
    Absent(&'a mut Backlog),
    /// This connection holds the slot.
    Held(ConnId, &'a mut Backlog),
}

/// A slot that a connection holds.
#[derive(Debug)]
pub(super) struct HeldSlot {
    conn: ConnId,
    kind: AttachKind,
    backlog: Backlog,
}

impl HeldSlot {
    /// Returns the slot after a connection has taken it while it was empty.
    pub(super) fn new(conn: ConnId) -> Self {
        HeldSlot {
            conn,
            kind: AttachKind::First,
            backlog: Backlog::default(),
        }
    }

    pub(super) fn conn(&self) -> ConnId {
        self.conn
    }

    pub(super) fn state(&self) -> SlotState {
        SlotState::Held {
            conn: self.conn,
            kind: self.kind,
        }
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(super) fn destination(&mut self) -> Destination<'_> {
        Destination::Held(self.conn, &mut self.backlog)
    }

    /// Returns the slot after a newer connection has taken it, and the older connection.
    pub(super) fn take_over(self, conn: ConnId) -> (Self, ConnId) {
        let newer = HeldSlot {
            conn,
            kind: AttachKind::Takeover,
            backlog: self.backlog,
        };
        (newer, self.conn)
    }

    /// Returns the slot after its connection has ended; it waits for another until `deadline`.
    pub(super) fn lose(self, since: Micros, deadline: SlotDeadline) -> AbsentSlot {
        AbsentSlot {
            since,
            deadline,
            backlog: self.backlog,
        }
    }

    /// Ends the slot with its connection, without a wait. Returns the kept frames.
    pub(super) fn into_backlog(self) -> Backlog {
        self.backlog
    }
}

/// A slot that waits for its peer.
#[derive(Debug)]
pub(super) struct AbsentSlot {
    since: Micros,
    deadline: SlotDeadline,
    backlog: Backlog,
}

impl AbsentSlot {
    /// Makes a wait for a peer that had no connection.
    pub(super) fn new(since: Micros, deadline: SlotDeadline) -> Self {
        AbsentSlot {
            since,
            deadline,
            backlog: Backlog::default(),
        }
    }

    pub(super) fn deadline(&self) -> SlotDeadline {
        self.deadline
    }

    pub(super) fn since(&self) -> Micros {
        self.since
    }

    pub(super) fn state(&self, last_ending: Option<LastEnding>) -> SlotState {
        SlotState::Absent(Absence {
            since: self.since,
            cause: last_ending.map(|ending| ending.cause),
            deadline: self.deadline,
        })
    }

    pub(super) fn backlog(&self) -> &Backlog {
        &self.backlog
    }

    pub(super) fn destination(&mut self) -> Destination<'_> {
        Destination::Absent(&mut self.backlog)
    }

    /// Moves the end of the wait.
    pub(super) fn extend(self, deadline: SlotDeadline) -> Self {
        AbsentSlot { deadline, ..self }
    }

    /// Returns the slot after a connection has taken it.
    pub(super) fn attach(self, conn: ConnId, kind: AttachKind) -> HeldSlot {
        HeldSlot {
            conn,
            kind,
            backlog: self.backlog,
        }
    }

    /// Ends the wait. Returns the kept frames.
    pub(super) fn into_backlog(self) -> Backlog {
        self.backlog
    }
}
