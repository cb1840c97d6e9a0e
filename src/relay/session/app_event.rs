//! The events of an app, and its state as seen from outside.

use super::action::SlotContent;
use super::grace_queue::SlotDeadline;
use super::slot::LastEnding;
use crate::base::id::ConnId;
use crate::base::time::Micros;

/// The state of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppState {
    /// The app is connected.
    Running,
    /// The app's connection was lost, and the app may reconnect by itself.
    Lost,
    /// The app's server is being asked, by a webhook, to connect.
    Asked {
        /// The number of the start.
        number: u64,
        /// Whether the app ran before and was lost.
        revival: bool,
    },
    /// The app's server has accepted the request, or need not be asked; the app should connect.
    Expected,
    /// The app's server will be asked when the glasses are back.
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

/// An event that may change the state of an app. Every `deadline` in it is a new end for the wait
/// that may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum AppEvent {
    /// A connection of the app is admitted.
    Attached {
        conn: ConnId,
        now: Micros,
        flags: ConnFlags,
    },
    /// This connection announces its departure.
    Released { conn: ConnId },
    /// The glasses are connected.
    GlassesConnected,
    /// A connection has ended.
    Ended {
        conn: ConnId,
        now: Micros,
        last_ending: LastEnding,
        /// Until when the app may reconnect by itself; `None`: it may not.
        wait: Option<SlotDeadline>,
        /// Until when a connection is expected, if the app's server was asked for one.
        arrival: SlotDeadline,
        /// Whether the app has a webhook by which its server can be asked.
        has_webhook: bool,
    },
    /// A wait is over.
    WaitOver {
        /// The wait that is over, by its end.
        deadline: SlotDeadline,
        /// The new end of the wait, because until then the app is refused and cannot connect;
        /// `None` if it is not refused.
        extended: Option<SlotDeadline>,
    },
    /// The app's server is asked to connect.
    Asked { number: u64, revival: bool },
    /// The app's server need not be asked: the app should connect by itself.
    Expected { now: Micros, deadline: SlotDeadline },
    /// The server failed, and is asked again at this time. Until then the app is not expected to
    /// connect.
    Postponed { until: Micros },
    /// The server has accepted the request.
    Answered {
        number: u64,
        now: Micros,
        deadline: SlotDeadline,
    },
    /// The server has not accepted the request. It may have received it nevertheless, and may act
    /// on it until then.
    Failed { number: u64, until: Micros },
    /// The request to the server was cancelled.
    Cancelled { number: u64 },
}

/// What is known about the behaviour of an app from its current connection. The flags are
/// independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct ConnFlags {
    /// The app announced its departure.
    pub(in crate::relay) released: bool,
    /// The app has the newer SDK, which reconnects after any close code: only `app_stopped` stops
    /// it.
    pub(in crate::relay) has_newer_sdk: bool,
    /// The app was told to wait for the glasses, and is acknowledged when they connect.
    pub(in crate::relay) deferred: bool,
}

/// What an app needs when the glasses connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum WakeAction {
    /// The app's server is asked to connect.
    AskServer,
    /// The app's connection is acknowledged.
    Acknowledge,
}

/// What an app that is removed from its session leaves behind.
#[derive(Debug, Default)]
pub(in crate::relay) struct RemovedApp {
    /// The app's connection, if it has one.
    pub(in crate::relay) conn: Option<ConnId>,
    /// The wait for the app, if it is awaited.
    pub(in crate::relay) deadline: Option<SlotDeadline>,
    /// The number of the request to the app's server that has no outcome yet, if any.
    pub(in crate::relay) pending_request: Option<u64>,
    /// What was kept for the app.
    pub(in crate::relay) content: SlotContent,
}
