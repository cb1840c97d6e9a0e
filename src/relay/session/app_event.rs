//! The events of an app, and its state as seen from outside.

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
    /// Its connection was lost, and it may reconnect by itself.
    Lost,
    /// Its server is being asked for a session.
    Asked {
        /// The number of the errand.
        number: u64,
        /// Whether it ran before and was lost.
        revival: bool,
    },
    /// Its server has agreed, or need not be asked; the app should connect.
    Expected,
    /// It will be asked when the glasses are back.
    Dormant,
}

impl AppState {
    /// Returns the state's name.
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

/// An event of an app. Every `due` is new, for the wait that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum AppEvent {
    /// A connection of the app is admitted.
    Arrives {
        conn: ConnId,
        now: Micros,
        conduct: Conduct,
    },
    /// This connection announces its departure.
    Releases { conn: ConnId },
    /// The glasses are connected.
    GlassesAreHere,
    /// A connection has ended.
    Gone {
        conn: ConnId,
        now: Micros,
        parting: Parting,
        /// Until when the app may reconnect by itself; `None`: it may not.
        wait: Option<Due>,
        /// Until when the connection that its server was asked for is expected, if there is one.
        arrival: Due,
        /// Whether its server can be asked.
        has_webhook: bool,
    },
    /// A wait is over.
    Over {
        /// The wait.
        due: Due,
        /// The app is refused until then, so it cannot have connected.
        again: Option<Due>,
    },
    /// Its server is asked.
    Asked { number: u64, revival: bool },
    /// Its server need not be asked: the app should connect.
    Expected { now: Micros, due: Due },
    /// The server failed, and is asked again at this time. No connection is on its way until then.
    Postponed { until: Micros },
    /// The server has agreed.
    Answered { number: u64, now: Micros, due: Due },
    /// The server has not agreed. It may have received the request all the same, and may act on it
    /// until then.
    Failed { number: u64, until: Micros },
    /// The question was cancelled.
    Cancelled { number: u64 },
}

/// What an app's connection has told. The flags are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Conduct {
    /// It announced its departure.
    pub(in crate::relay) released: bool,
    /// It has the newer SDK, which reconnects after any close code: only `app_stopped` keeps it
    /// away.
    pub(in crate::relay) insists: bool,
    /// It was told to wait for the glasses, and is acknowledged when they connect.
    pub(in crate::relay) deferred: bool,
}

/// What an app needs when the glasses connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Wakes {
    /// Its server is asked.
    Asked,
    /// Its connection is acknowledged.
    Acknowledged,
}

/// What an app that is removed from its session leaves behind.
#[derive(Debug, Default)]
pub(in crate::relay) struct Estate {
    /// The connection that holds its place.
    pub(in crate::relay) conn: Option<ConnId>,
    /// The wait for it.
    pub(in crate::relay) due: Option<Due>,
    /// The question to its server that has no outcome yet.
    pub(in crate::relay) question: Option<u64>,
    /// What was kept for it.
    pub(in crate::relay) leavings: Leavings,
}
