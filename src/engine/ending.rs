//! How a connection ended.

use crate::base::cause::{Cause, EndCode, EndedBy};
use crate::base::id::{Class, ConnId};
use crate::base::time::Micros;
use crate::engine::silence::SilenceEvidence;
use crate::engine::traffic::Traffic;
use crate::health::Rtt;
use std::net::SocketAddr;

/// How a connection ended.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Ending {
    /// The cause.
    pub cause: Cause,
    /// The side that ended it.
    pub by: EndedBy,
    /// Whether the connection was lost: neither side wanted it to end ([`Cause::is_loss`]). One
    /// that this side dialled is not lost before it has opened.
    pub lost: bool,
    /// The close code that was sent or received; [`EndCode::None`] if our close frame was never
    /// sent.
    pub code: EndCode,
    /// The close reason that went with the code; at most 123 bytes.
    pub reason: Box<str>,
    /// Whether the closing handshake was completed.
    pub clean: bool,
    /// The connection's class, if it was a WebSocket or this side dialled it.
    pub class: Option<Class>,
    /// The peer's address.
    pub peer_addr: SocketAddr,
    /// Time since it opened (or was accepted, if it never opened).
    pub age: Micros,
    /// Time since something was last heard.
    pub silence: Micros,
    /// Pings that were sent and not answered.
    pub unanswered: u16,
    /// Heartbeats that were late, in the whole life of the connection.
    pub late_heartbeats: u32,
    /// What was seen of the peer when the latest of them was found late; `None` if the peer was
    /// heard since, or none was late.
    pub silence_evidence: Option<SilenceEvidence>,
    /// Round-trip time.
    pub rtt: Rtt,
    /// The traffic counters of the connection.
    pub traffic: Traffic,
    /// The number of messages, the last ones sent to it, of which no byte was sent.
    pub unsent: u32,
    /// For how long the socket had taken fewer bytes than there were when the close began; zero if
    /// nothing waited then.
    pub blocked: Micros,
    /// The connection that it was linked to, if any.
    pub partner: Option<PartnerEnd>,
}

#[cfg(test)]
impl Ending {
    /// Returns the end, for this cause, of a connection of class 0 on which nothing happened.
    pub(crate) fn sample(cause: Cause) -> Self {
        Ending {
            cause,
            by: cause.by(),
            lost: cause.is_loss(EndCode::None),
            code: EndCode::None,
            reason: "".into(),
            clean: false,
            class: Some(Class(0)),
            peer_addr: ([192, 0, 2, 1], 9).into(),
            age: Micros::from_secs(100),
            silence: Micros::ZERO,
            unanswered: 0,
            late_heartbeats: 0,
            silence_evidence: None,
            rtt: Rtt::default(),
            traffic: Traffic::default(),
            unsent: 0,
            blocked: Micros::ZERO,
            partner: None,
        }
    }
}

/// The partner of a linked connection that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartnerEnd {
    /// The partner.
    pub id: ConnId,
    /// The cause of the partner's end and its class, if it was the first of the pair to end.
    pub first: Option<(Cause, Class)>,
}

/// An ending that has not been reported to the host yet. The remaining fields of [`Ending`] are
/// read from the connection when it is reported.
#[derive(Debug, Clone)]
pub(crate) struct EndingDraft {
    pub(crate) cause: Cause,
    pub(crate) code: EndCode,
    pub(crate) reason: Box<str>,
    /// Whether the closing handshake was completed.
    pub(crate) clean: bool,
    /// Whether it was reported to the host already.
    pub(crate) reported: bool,
    /// Messages that were removed from the queue when the close began.
    pub(crate) unsent: u32,
    /// For how long bytes had waited for the socket when the close began; `None` if none began.
    pub(crate) blocked: Option<Micros>,
}

impl EndingDraft {
    pub(crate) fn of(cause: Cause) -> Self {
        EndingDraft {
            cause,
            code: EndCode::None,
            reason: "".into(),
            clean: false,
            reported: false,
            unsent: 0,
            blocked: None,
        }
    }

    /// Returns whether the connection is released with an RST, so that the kernel keeps none of its
    /// data.
    pub(crate) fn is_reset(&self) -> bool {
        self.cause == Cause::STALE
    }
}
