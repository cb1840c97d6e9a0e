//! The actions that the relay carries out after a place or an app has changed its state.

use super::graces::Due;
use super::kept::Kept;
use super::seat::{How, Parting};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// One thing for the relay to do. Actions are carried out in the order in which they are returned.
#[derive(Debug)]
pub(in crate::relay) enum Action {
    /// Start to wait for the place's peer until then; give up other waits if there are too many.
    Wait(Due),
    /// Start another wait for the place: the last one is over.
    Prolong(Due),
    /// Cancel this wait.
    Cancel(Due),
    /// Release what was kept.
    Discard(Leavings),
    /// A connection has taken the place: acknowledge it, and send it the kept frames.
    Welcome(Welcome),
    /// Acknowledge this connection: the glasses that it waited for are connected.
    Acknowledge(ConnId),
    /// Count a peer that did not come back in time; its last connection ended this way.
    Missed(Option<Parting>),
    /// Count the outcome of asking the app's server.
    Replied {
        /// Whether the server agreed, or the app connected.
        answered: bool,
    },
    /// The app does not reconnect by itself: ask its server once the glasses are connected, or
    /// remove it.
    Revive,
    /// Remove the app from its session, and tell the glasses why.
    Remove(Why),
    /// End the session.
    EndSession,
}

/// What was kept for a place that is given up.
#[derive(Debug, Default)]
pub(in crate::relay) struct Leavings {
    /// Frames that were kept.
    pub(in crate::relay) kept: Kept,
    /// The app's subscriptions.
    pub(in crate::relay) subscriptions: Subscriptions,
}

impl Leavings {
    pub(super) fn new(kept: Kept, subscriptions: Subscriptions) -> Self {
        Leavings {
            kept,
            subscriptions,
        }
    }
}

/// What to do for a connection that has taken a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Welcome {
    /// How it took the place.
    pub(in crate::relay) taken: Taken,
    /// The question to the app's server that the arrival answers.
    pub(in crate::relay) answers: Option<u64>,
    /// Whether to tell the glasses that the app runs.
    pub(in crate::relay) is_news: bool,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Taken {
    /// It was free: no connection had been lost.
    First,
    /// It had been lost.
    Resumed {
        /// How long it was lost.
        absence: Micros,
        /// How its last connection ended.
        parting: Parting,
    },
    /// It was taken from an older connection.
    Over {
        /// The older connection.
        older: ConnId,
        /// Whether that connection had announced its departure.
        released: bool,
        /// Whether that app reconnects unless it is told that it has stopped.
        insists: bool,
    },
}

impl Taken {
    /// Returns the same without details.
    pub(in crate::relay) fn how(self) -> How {
        match self {
            Taken::First => How::First,
            Taken::Resumed { .. } => How::Resume,
            Taken::Over { .. } => How::Takeover,
        }
    }
}

/// Why an app is removed from its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Why {
    /// It announced its departure.
    Released,
    /// It agreed to connect, and did not.
    NotConnected,
    /// Its server did not agree.
    NotAnswered,
}

/// Counts how often these actions took a place again: after a loss, or from an older connection.
pub(super) fn resumes(actions: &[Action]) -> u32 {
    let again = |action: &&Action| match action {
        Action::Welcome(welcome) => welcome.taken != Taken::First,
        _ => false,
    };
    actions.iter().filter(again).count() as u32
}
