//! The actions that the relay carries out after a place or an app has changed its state.

use super::graces::Due;
use super::kept::Kept;
use super::seat::{How, Parting};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// An action that the relay must carry out after a place has changed its state. Actions are carried
/// out in the order in which they are returned.
#[derive(Debug)]
pub(in crate::relay) enum Action {
    /// Start to wait for the place's peer until this time; give up other waits if there are too
    /// many.
    Wait(Due),
    /// Start another wait for the place: the last one is over.
    Prolong(Due),
    /// Cancel this wait.
    Cancel(Due),
    /// Release what was kept for a peer that is given up.
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
    /// How the connection took the place.
    pub(in crate::relay) taken: Taken,
    /// The number of the unanswered request to the app's server that this connection answers.
    pub(in crate::relay) answers: Option<u64>,
    /// Whether to tell the glasses that the app runs.
    pub(in crate::relay) is_news: bool,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Taken {
    /// The place was free: no connection had been lost.
    First,
    /// The place was waiting for its peer, whose connection had been lost.
    Resumed {
        /// How long the peer was lost.
        absence: Micros,
        /// How the peer's last connection ended.
        parting: Parting,
    },
    /// The place was taken from an older connection of the same peer.
    Over {
        /// The older connection.
        older: ConnId,
        /// Whether the older connection had announced its departure.
        released: bool,
        /// Whether the app at that connection reconnects unless it is told that it has stopped.
        insists: bool,
    },
}

impl Taken {
    /// Returns how the place was taken, without details.
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
    /// The app announced its departure.
    Released,
    /// The app's server accepted the request, but the app did not connect in time.
    NotConnected,
    /// The app's server did not accept the request.
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
