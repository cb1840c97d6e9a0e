//! Records of ended connections, for later lookups.
//!
//! The loop only queues records. Another thread takes them out, stores them and searches them, so a
//! search through 10 000 records costs the loop nothing.

use super::events::{ClosedEvent, EventKind, EventSender, EventSubject};
use super::history::History;
use super::identity::Identity;
use super::pair_target::PairTarget;
use super::reports::PackedReport;
use super::verdicts::JudgedEnd;
use crate::base::id::ConnId;
use crate::base::time::Timestamp;
use crate::engine::Ending;
use crate::mail::{self, Limits, LoopSender, Overflow, QueueItem, Receiver};
use std::net::IpAddr;
use std::sync::Arc;

/// How many ended connections are remembered.
pub const CLOSED_MAX: usize = 10_000;

/// A connection that has ended.
#[derive(Debug)]
pub struct ClosedConn {
    /// When the end of the connection was reported.
    pub at: Timestamp,
    /// The id that the connection had.
    pub id: ConnId,
    /// Whether the gateway generated the connection's user name.
    pub generated: bool,
    /// The user of the connection, if it was identified.
    pub user: Option<Box<str>>,
    /// The package of the connection's app, if it was an app.
    pub package: Option<Box<str>>,
    /// The client's address, if nothing proves the user.
    pub address: Option<Box<IpAddr>>,
    /// The `User-Agent` of its request, escaped and cut.
    pub user_agent: Option<Arc<str>>,
    /// Where its pair leads, if it was one leg of it, or was to become one.
    pub target: Option<PairTarget>,
    /// The other leg of its pair, or the last connection to an upstream that was made for it.
    pub partner: Option<ConnId>,
    /// How the connection ended.
    pub end: Ending,
    /// The history of the connection, if one was kept.
    pub history: Option<Box<History>>,
    /// The number of its session on the bridge.
    pub session: Option<u64>,
    /// The verdict, if it was a client's WebSocket.
    pub judged: Option<JudgedEnd>,
    /// What its client has reported of the end, if that is kept.
    pub report: Option<Box<PackedReport>>,
}

impl ClosedConn {
    /// Returns whether the connection had no user, or a generated one: no peer comes back under
    /// such a name.
    pub fn is_anonymous(&self) -> bool {
        self.generated || self.user.is_none()
    }

    /// Returns the event about the end. `None` for a connection that never opened: it was refused,
    /// and no event told that it had opened.
    fn event(&self) -> Option<(EventSubject, EventKind)> {
        let subject = EventSubject {
            id: self.id,
            class: self.end.class?,
            user: self.user.clone(),
            package: self.package.clone(),
            target: self.target.clone(),
            partner: self.partner,
        };
        let closed = ClosedEvent {
            end: self.end.clone(),
            verdict: self.judged.map(|judged| judged.verdict.name()),
        };
        Some((subject, EventKind::Closed(Box::new(closed))))
    }
}

impl QueueItem for ClosedConn {
    fn bytes(&self) -> usize {
        let names = [&self.user, &self.package].into_iter().flatten();
        let history = self.history.as_deref();
        size_of::<Self>()
            + names.map(|name| name.len()).sum::<usize>()
            + self.address.as_deref().map_or(0, size_of_val)
            + self.end.reason.len()
            + history.map_or(0, History::bytes)
            + self.report.as_deref().map_or(0, size_of_val)
    }
}

/// The limits of the queue; the oldest records are dropped first. The bytes do not include user
/// agents and targets, which records share.
const LIMITS: Limits = Limits {
    count: CLOSED_MAX,
    bytes: 64 << 20,
};

/// The reader's end of the queue of ended connections, for another thread.
pub type ClosedReceiver = Receiver<ClosedConn>;

/// The loop's end of the queue of ended connections.
pub(crate) struct ClosedSender {
    sender: LoopSender<ClosedConn>,
    events: EventSender,
}

impl Default for ClosedSender {
    fn default() -> Self {
        ClosedSender::new(EventSender::default())
    }
}

impl ClosedSender {
    /// Makes the queue. Each record of a connection that was open becomes an event, too.
    pub(crate) fn new(events: EventSender) -> Self {
        let (sender, _) = mail::from_loop(LIMITS, Overflow::DropOldest);
        ClosedSender { sender, events }
    }

    pub(crate) fn receiver(&self) -> ClosedReceiver {
        self.sender.receiver()
    }

    /// Queues an ended connection. Port scans and health checks are only counted.
    pub(crate) fn record(
        &mut self,
        id: ConnId,
        (identity, user_agent): (Option<Identity>, Option<Arc<str>>),
        generated: bool,
        history: Option<Box<History>>,
        (target, partner, session): (Option<PairTarget>, Option<ConnId>, Option<u64>),
        (end, judged): (&Ending, Option<JudgedEnd>),
    ) {
        if end.cause.is_check() {
            return;
        }
        let package = identity.as_ref().and_then(Identity::package).map(Box::from);
        let (user, address) = identity.map(|i| (i.user, i.address)).unzip();
        let record = ClosedConn {
            at: Timestamp::now(),
            id,
            generated,
            user,
            package,
            address: address.flatten(),
            user_agent,
            target,
            partner,
            end: end.clone(),
            history,
            session,
            judged,
            report: None,
        };
        self.events.send(|| record.event());
        // The newest record always finds room: the oldest ones are dropped.
        let _ = self.sender.send(record);
    }
}
