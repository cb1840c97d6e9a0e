//! One event.

use crate::base::id::ConnId;
use crate::base::time::{Micros, Timestamp};
use crate::engine::{Class, Ending};
use crate::host::identity::Identity;
use crate::host::pair_target::PairTarget;
use crate::mail::QueueItem;
use std::net::SocketAddr;
use std::sync::Arc;

/// Something that has happened to a connection, or to a session that outlives its connections.
#[derive(Debug)]
#[non_exhaustive]
pub struct Event {
    /// The number of the event in this run of the gateway, from 1. A number that is missing belongs
    /// to an event that was lost.
    pub number: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The connection that it happened to.
    pub subject: EventSubject,
    /// What happened.
    pub kind: EventKind,
}

/// The connection that an event is about. Of a session that waits: the last connection of its
/// client.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "products write it down")]
pub struct EventSubject {
    /// The connection.
    pub id: ConnId,
    /// The class of the connection.
    pub class: Class,
    /// The user, if the connection is identified.
    pub user: Option<Box<str>>,
    /// The package of an app.
    pub package: Option<Box<str>>,
    /// Where its pair leads, if it is one leg of it.
    pub target: Option<PairTarget>,
    /// The other leg of its pair.
    pub partner: Option<ConnId>,
}

/// What happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventKind {
    /// A connection opened as a WebSocket.
    Opened {
        /// The peer's address.
        peer_addr: SocketAddr,
        /// The `User-Agent` of its request, escaped and cut.
        user_agent: Option<Arc<str>>,
    },
    /// An open connection said which user it is.
    Identified,
    /// The state of a connection changed.
    State {
        /// The new state: `healthy`, `suspect` or `stale`.
        state: &'static str,
        /// How long nothing had been received.
        silence: Micros,
        /// Pings that were sent and not answered.
        unanswered: u16,
    },
    /// A connection ended.
    Closed(Box<ClosedEvent>),
    /// A session has lost its client and waits for it.
    SessionHeld {
        /// The number of the session.
        session: u64,
    },
    /// The client of a session came back on this connection.
    SessionResumed {
        /// The number of the session.
        session: u64,
        /// How long the session had waited; zero if the former connection looked open.
        held: Micros,
        /// The messages that were sent again.
        sent_again: u64,
    },
    /// A session ended.
    SessionEnded {
        /// The number of the session.
        session: u64,
        /// Why: the end of a hold, or the cause for which a connection of the session ended.
        why: &'static str,
        /// How long the session had waited, if it was waiting for its client.
        held: Option<Micros>,
        /// How many times the client came back.
        resumes: u32,
    },
}

/// How a connection ended, as its record tells it.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClosedEvent {
    /// How it ended.
    pub end: Ending,
    /// Why it really ended, as far as the gateway knows: the name of the verdict.
    pub verdict: Option<&'static str>,
}

impl EventSubject {
    /// Describes a connection by its identity.
    pub(crate) fn new(id: ConnId, class: Class, identity: Option<&Identity>) -> Self {
        EventSubject {
            id,
            class,
            user: identity.map(|identity| identity.user.clone()),
            package: identity.and_then(Identity::package).map(Box::from),
            target: None,
            partner: None,
        }
    }

    /// Adds where its pair leads, and the other leg.
    pub(crate) fn with_pair(self, target: Option<PairTarget>, partner: Option<ConnId>) -> Self {
        EventSubject {
            target,
            partner,
            ..self
        }
    }
}

impl QueueItem for Event {
    /// Does not include user agents and targets, which events share.
    fn bytes(&self) -> usize {
        let names = [&self.subject.user, &self.subject.package];
        let names = names.into_iter().flatten().map(|name| name.len());
        let closed = match &self.kind {
            EventKind::Closed(closed) => size_of::<ClosedEvent>() + closed.end.reason.len(),
            _ => 0,
        };
        size_of::<Self>() + names.sum::<usize>() + closed
    }
}
