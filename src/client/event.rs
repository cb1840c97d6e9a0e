//! What a client tells its host.

use super::outbox::Unconfirmed;
use super::reconnect_rule::CloseInfo;
use crate::base::time::Micros;
use crate::pulse::FailureClass;
use crate::wire::Message;

/// A try to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// How many ends there were since the last stable connection.
    pub n: u32,
    /// Why the try is needed; `None`: nothing has failed yet. After
    /// [`Rejected`](FailureClass::Rejected) the host fetches new credentials.
    pub why: Option<FailureClass>,
    /// The session that goes on if the gateway still has it.
    pub resume: Option<ResumeHint>,
}

/// What the request of a connection says about the session that it resumes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResumeHint {
    /// The id of the gateway that holds the session. It is not secret: a balancer may use it.
    pub gateway: Box<str>,
    /// The subprotocol of the session, the only one to offer.
    pub protocol: Option<Box<str>>,
}

/// What happened to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A try begins. A client without a fixed [`target`](super::PulseClients::add) waits for
    /// [`connect`](super::PulseClients::connect); the try fails if it does not come within
    /// [`open_timeout`](super::ClientOptions::open_timeout).
    Connecting(Attempt),
    /// A new session begins, or a plain connection is open.
    Opened,
    /// The session goes on, on a new connection.
    Resumed {
        /// How many messages are sent again.
        resent: u64,
    },
    /// The connection was lost. The client tries again.
    Suspended {
        /// How it ended; `None` after [`reconnect`](super::PulseClients::reconnect).
        end: Option<CloseInfo>,
        /// The time until the next try.
        retry_in: Micros,
    },
    /// A session was lost: the gateway or the service has ended, or the client was away for longer
    /// than the hold. What is sent from now on belongs to the next session.
    Reset(Unconfirmed),
    /// The gateway expects that the connection may be lost soon (`true`), because answers to its
    /// pings came late, or many clients of the same network are silent; or it expects that no more
    /// (`false`). A host may save its work, or show a bad connection. A new connection is not at
    /// risk at first.
    AtRisk(bool),
    /// A message came: text or binary.
    Message(Message),
    /// At most a half of the buffer is used again, after more was.
    Drained,
    /// The client has closed for good.
    Closed {
        /// How the last connection ended.
        end: CloseInfo,
        /// The messages that were never acknowledged.
        unconfirmed: Unconfirmed,
    },
}

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the states of the protocol's clients"
)]
pub enum ClientPhase {
    /// It was not started.
    #[default]
    Idle,
    /// It tries to connect, and was never open.
    Connecting,
    /// It has a connection.
    Open,
    /// It has lost its connection, and comes back.
    Suspended,
    /// It waits for the end of its closing handshake, at most 3 s.
    Closing,
    /// It has closed for good, until [`reconnect`](super::PulseClients::reconnect).
    Closed,
}

/// What the gateway promises for the present session.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionTerms {
    /// The id of the session's present connection, as the gateway's logs have it.
    pub id: Box<str>,
    /// How long the gateway holds the session after a loss.
    pub hold: Micros,
    /// The largest message that the gateway takes, in bytes.
    pub max_message_bytes: u64,
}

/// How well the connections of a client have done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkQuality {
    /// The last round-trip time of a probe.
    pub rtt: Option<Micros>,
    /// How many open connections were lost.
    pub losses: u64,
    /// How many of them were resumed.
    pub resumes: u64,
    /// How many sessions were lost.
    pub resets: u64,
}
