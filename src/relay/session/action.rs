//! The actions that the relay carries out after a slot has changed its state.

use super::backlog::Backlog;
use super::grace_queue::SlotDeadline;
use super::slot::{AttachKind, LastEnding};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::relay::subscriptions::Subscriptions;

/// An action that the relay must carry out after a slot has changed its state. Actions are carried
/// out in the order in which they are returned.
#[derive(Debug)]
pub(in crate::relay) enum Action {
    /// Start to wait for the slot's peer until this time; give up other waits if there are too
    /// many.
    StartWait(SlotDeadline),
    /// Start another wait for the slot: the last one is over.
    ExtendWait(SlotDeadline),
    /// Cancel this wait.
    CancelWait(SlotDeadline),
    /// Release what was kept for a peer that is given up.
    Discard(SlotContent),
    /// A connection has taken the slot: acknowledge it, and send it the kept frames.
    Attach(AttachInfo),
    /// Acknowledge this connection: the glasses that it waited for are connected.
    Acknowledge(ConnId),
    /// Count a peer that did not come back in time; its last connection ended this way.
    CountExpired(Option<LastEnding>),
    /// Count the outcome of asking the app's server.
    CountAnswer {
        /// Whether the server agreed, or the app connected.
        answered: bool,
    },
    /// The app does not reconnect by itself: ask its server once the glasses are connected, or
    /// remove it.
    Revive,
    /// Remove the app from its session, and tell the glasses why.
    Remove(RemoveReason),
    /// End the session.
    EndSession,
}

/// What was kept for a slot that is given up.
#[derive(Debug, Default)]
pub(in crate::relay) struct SlotContent {
    /// The frames that were kept for the peer.
    pub(in crate::relay) backlog: Backlog,
    /// The app's subscriptions.
    pub(in crate::relay) subscriptions: Subscriptions,
}

impl SlotContent {
    pub(super) fn new(backlog: Backlog, subscriptions: Subscriptions) -> Self {
        SlotContent {
            backlog,
            subscriptions,
        }
    }
}

/// What to do for a connection that has taken a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct AttachInfo {
    /// How the connection took the slot.
    pub(in crate::relay) attached: Attached,
    /// The number of the unanswered request to the app's server that this connection answers.
    pub(in crate::relay) answered_request: Option<u64>,
    /// Whether to tell the glasses that the app runs.
    pub(in crate::relay) is_new_to_glasses: bool,
}

/// How a slot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum Attached {
    /// The slot was free: no connection had been lost.
    First,
    /// The slot was waiting for its peer, whose connection had been lost.
    Resumed {
        /// How long the peer was lost.
        absence: Micros,
        /// How the peer's last connection ended.
        last_ending: LastEnding,
    },
    /// The slot was taken from an older connection of the same peer.
    TookOver {
        /// The older connection.
        older: ConnId,
        /// Whether the older connection had announced its departure.
        released: bool,
        /// Whether the app at that connection reconnects unless it is told that it has stopped.
        has_newer_sdk: bool,
    },
}

impl Attached {
    /// Returns how the slot was taken, without details.
    pub(in crate::relay) fn kind(self) -> AttachKind {
        match self {
            Attached::First => AttachKind::First,
            Attached::Resumed { .. } => AttachKind::Resume,
            Attached::TookOver { .. } => AttachKind::Takeover,
        }
    }
}

/// Why an app is removed from its session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum RemoveReason {
    /// The app announced its departure.
    Released,
    /// The app's server accepted the request, but the app did not connect in time.
    NotConnected,
    /// The app's server did not accept the request.
    NotAnswered,
}

/// Counts how often these actions took a slot again: after a loss, or from an older connection.
pub(super) fn count_resumes(actions: &[Action]) -> u32 {
    let again = |action: &&Action| match action {
        Action::Attach(info) => info.attached != Attached::First,
        _ => false,
    };
    actions.iter().filter(again).count() as u32
}
