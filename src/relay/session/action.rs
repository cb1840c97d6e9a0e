//! What the relay has to do after a place or an app has changed its state.

use super::graces::Due;
use super::kept::Kept;
use super::seat::How;
use super::seat::Parting;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// Something that the relay has to do. Actions are carried out in the order in which they are returned.
#[derive(Debug)]
pub(in crate::relay) enum Action {
    /// Wait for the place until then, and make room for that.
    Wait(Due),
    /// Wait for the place until then: its wait was over, and goes on.
    Prolong(Due),
    /// Forget this wait.
    Cancel(Due),
    /// Release what was kept.
    Discard(Leavings),
    /// A connection has taken the place: acknowledge it, and send what was kept.
    Welcome(Welcome),
    /// Tell this connection that the glasses are here which it waits for.
    Acknowledge(ConnId),
    /// Count that the place was waited for in vain; its last connection ended for this cause.
    Missed(Option<Parting>),
    /// Count what became of asking the app's server.
    Replied {
        /// Whether the server agreed, or the app came.
        answered: bool,
    },
    /// The app does not come by itself: ask its server as soon as the glasses are there, or take it out.
    Revive,
    /// Take the app out of its session, and tell the glasses why.
    Remove(Why),
    /// The session is over.
    EndSession,
}

/// What a place had that is given up.
#[derive(Debug, Default)]
pub(in crate::relay) struct Leavings {
    /// Frames that were kept.
    pub(in crate::relay) kept: Kept,
    /// What the app wanted to hear.
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

/// What there is to do for a connection that has taken a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Welcome {
    /// How it took the place.
    pub(in crate::relay) taken: Taken,
    /// The question to the app's server that is answered by that.
    pub(in crate::relay) answers: Option<u64>,
    /// Whether the glasses have to be told that the app runs.
    pub(in crate::relay) is_news: bool,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Taken {
    /// No connection had been lost.
    First,
    /// It had been lost.
    Resumed {
        /// For how long.
        absence: Micros,
        /// For what.
        parting: Parting,
    },
    /// An older connection had it.
    Over {
        /// Which.
        older: ConnId,
        /// It had said that it leaves.
        released: bool,
        /// It comes back unless it is told that the app has stopped.
        insists: bool,
    },
}

impl Taken {
    /// In one word.
    pub(in crate::relay) fn how(self) -> How {
        match self {
            Taken::First => How::First,
            Taken::Resumed { .. } => How::Resume,
            Taken::Over { .. } => How::Takeover,
        }
    }
}

/// Why an app is taken out of its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Why {
    /// It has said that it leaves.
    Released,
    /// It has agreed to come, and has not.
    NotConnected,
    /// Its server has not agreed.
    NotAnswered,
}

/// How often a place was taken again by that: after a loss, or from an older connection.
pub(super) fn resumes(actions: &[Action]) -> u32 {
    let again = |action: &&Action| match action {
        Action::Welcome(welcome) => welcome.taken != Taken::First,
        _ => false,
    };
    actions.iter().filter(again).count() as u32
}
