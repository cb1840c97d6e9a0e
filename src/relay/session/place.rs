//! Room for one peer of a session.

use super::backlog::Backlog;
use super::graces::Due;
use crate::cause::Cause;
use crate::id::ConnId;
use crate::time::Micros;

/// Room for one peer: it is there, or it was lost and is waited for, or neither.
#[derive(Debug, Default)]
pub struct Place {
    /// Whose it is now.
    pub conn: Option<ConnId>,
    /// If its peer was lost and is waited for.
    pub absence: Option<Box<Absence>>,
    /// What is kept for the peer.
    pub(crate) backlog: Option<Box<Backlog>>,
    /// How often it was taken again after a loss, or from an older connection.
    pub resumes: u32,
    /// How it was taken last.
    pub how: How,
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
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    /// Since when: engine time.
    pub since: Micros,
    /// How the connection ended; `None`: there was none, it is a session from before a restart, or an app that has to come.
    pub cause: Option<Cause>,
    /// The connection was lost: neither side wanted it to end.
    pub lost: bool,
    /// Until when it is waited for.
    pub due: Due,
}

impl Place {
    /// Returns whether the peer is there or waited for.
    pub fn is_held(&self) -> bool {
        self.conn.is_some() || self.absence.is_some()
    }

    /// Frames that are kept for it, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        let backlog = self.backlog.as_ref();
        backlog.map_or((0, 0), |backlog| (backlog.len(), backlog.bytes()))
    }
}
