//! What happens to an app, and what is seen of it from outside.

use super::action::Leavings;
use super::graces::Due;
use super::seat::Parting;
use crate::base::id::ConnId;
use crate::base::time::Micros;

/// The state of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppState {
    /// Connected.
    Running,
    /// Its connection was lost, and it may come back by itself.
    Lost,
    /// Its server is being asked for a session.
    Asked {
        /// The errand.
        number: u64,
        /// It ran before, and was lost.
        revival: bool,
    },
    /// Its server has agreed, or need not be asked; it is to connect.
    Expected,
    /// It will be asked when the glasses are back.
    Dormant,
}

impl AppState {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            AppState::Running => "running",
            AppState::Lost => "lost",
            AppState::Asked { .. } => "asked",
            AppState::Expected => "expected",
            AppState::Dormant => "dormant",
        }
    }
}

/// What happens to an app. Every `due` is new, for the wait that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum AppEvent {
    /// A connection of it is let in.
    Arrives {
        conn: ConnId,
        now: Micros,
        conduct: Conduct,
    },
    /// This connection says that it leaves.
    Releases { conn: ConnId },
    /// The glasses are here.
    GlassesAreHere,
    /// A connection is over.
    Gone {
        conn: ConnId,
        now: Micros,
        parting: Parting,
        /// Until when it may come back by itself, if it may.
        wait: Option<Due>,
        /// Until when the connection is awaited that its server was asked for, if it was.
        arrival: Due,
        /// Whether its server can be asked.
        has_webhook: bool,
    },
    /// A wait is over.
    Over {
        /// Which.
        due: Due,
        /// The app is refused until then, and cannot have come.
        again: Option<Due>,
    },
    /// Its server is asked.
    Asked { number: u64, revival: bool },
    /// Its server need not be asked: the app is to connect.
    Expected { now: Micros, due: Due },
    /// The server was asked in vain, and is asked again at this time. No connection is on its way until then.
    Postponed { until: Micros },
    /// The server has agreed.
    Answered { number: u64, now: Micros, due: Due },
    /// The server has not agreed. It may have heard the question all the same, and act upon it until then.
    Failed { number: u64, until: Micros },
    /// The question was taken back.
    Cancelled { number: u64 },
}

/// What an app's connection has said of itself. Each may be without the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Conduct {
    /// It has said that it leaves.
    pub(in crate::relay) released: bool,
    /// It is one of the newer SDK, which comes back whatever code it is closed with: only `app_stopped` keeps it away.
    pub(in crate::relay) insists: bool,
    /// It was told to wait for the glasses, and is acknowledged when they are here.
    pub(in crate::relay) deferred: bool,
}

/// What the return of the glasses means to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Wakes {
    /// Its server is asked.
    Asked,
    /// Its connection is acknowledged.
    Acknowledged,
}

/// What an app leaves behind that is taken out of its session.
#[derive(Debug, Default)]
pub(in crate::relay) struct Estate {
    /// The connection that has its place.
    pub(in crate::relay) conn: Option<ConnId>,
    /// The wait for it.
    pub(in crate::relay) due: Option<Due>,
    /// The question to its server that has no outcome yet.
    pub(in crate::relay) question: Option<u64>,
    /// What was kept for it.
    pub(in crate::relay) leavings: Leavings,
}
