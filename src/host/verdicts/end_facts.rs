//! What the gateway knows of the end of a client's connection.

use super::kernel_view::KernelView;
use crate::base::cause::{Cause, EndCode, EndedBy};
use crate::base::time::Micros;
use crate::engine::Ending;
use crate::host::classes::Classes;

/// How a client's connection ended, as its cause says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndKind {
    /// The peer was silent for the timeout.
    Stale,
    /// The peer ended the stream without a close frame.
    Eof,
    /// The connection was reset.
    Reset,
    /// The kernel gave up, or the network refused.
    NetworkError,
    /// Another connection of the same client took over.
    Replaced,
    /// The peer did not take what waited for it.
    SlowConsumer,
    /// The gateway closed the connection: by a rule, for its operator, or because it stops.
    Action,
    /// The connection to the upstream was lost.
    UpstreamLost,
    /// The upstream closed.
    UpstreamClosed,
    /// The peer sent a close frame.
    PeerClosed,
    /// Anything else.
    Other,
}

/// What the gateway knows of the end of a client's connection, for the tables of verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndFacts {
    /// How it ended.
    pub kind: EndKind,
    /// What the kernel said of the last heartbeat that was late.
    pub kernel: KernelView,
    /// The close code, if a close frame was sent or received.
    pub code: Option<u16>,
    /// Whether the closing handshake was completed.
    pub clean: bool,
    /// Whether at least five connections of the class ended at this age.
    pub common_age: bool,
    /// Whether at least three connections of the network block ended after such an idle time.
    pub common_gap: bool,
    /// Whether the round-trip time is large.
    pub slow_path: bool,
    /// The longest stall of the loop since something was last heard, or just before that, in
    /// milliseconds.
    pub stall_ms: u32,
    /// For how long nothing had been heard, in milliseconds.
    pub silence_ms: u32,
    /// For how long the peer had not taken all bytes that waited for it, in milliseconds.
    pub blocked_ms: u32,
    /// Whether the client reports that it heard something while those bytes waited, or, if the
    /// kernel still waits for an acknowledgement, in the second half of the silence.
    pub heard_meanwhile: bool,
}

/// A round-trip time from which a path is slow, in microseconds.
const SLOW_RTT_US: u32 = 500_000;

impl EndKind {
    /// Reads the kind from an end as it is told. `None`: it is not the end of a client's
    /// WebSocket, or it follows the end that it is about.
    pub(super) fn of(end: &Ending, classes: &Classes) -> Option<Self> {
        let class = end.class?;
        if classes.is_upstream(class) {
            return None;
        }
        let first = end.partner.and_then(|partner| partner.first);
        Some(match first.filter(|_| end.cause == Cause::PARTNER_ENDED) {
            Some((cause, class)) if classes.is_upstream(class) => match Self::of_cause(cause) {
                EndKind::PeerClosed => EndKind::UpstreamClosed,
                EndKind::Action => EndKind::Action,
                _ => EndKind::UpstreamLost,
            },
            Some((cause, _)) => Self::of_cause(cause),
            None => Self::of_cause(end.cause),
        })
    }

    fn of_cause(cause: Cause) -> Self {
        let kinds = [
            (Cause::STALE, EndKind::Stale),
            (Cause::FRAME_TIMEOUT, EndKind::Stale),
            (Cause::PEER_EOF, EndKind::Eof),
            (Cause::PEER_RESET, EndKind::Reset),
            (Cause::TCP_TIMEOUT, EndKind::NetworkError),
            (Cause::READ_ERROR, EndKind::NetworkError),
            (Cause::WRITE_ERROR, EndKind::NetworkError),
            (Cause::REPLACED, EndKind::Replaced),
            (Cause::SLOW_CONSUMER, EndKind::SlowConsumer),
            (Cause::PEER_CLOSED, EndKind::PeerClosed),
        ];
        match kinds.iter().find(|(of, _)| *of == cause) {
            Some((_, kind)) => *kind,
            None if matches!(cause.by(), EndedBy::Server | EndedBy::Operator) => EndKind::Action,
            None => EndKind::Other,
        }
    }
}

impl EndFacts {
    /// Returns what an end alone says. The judge adds what it knows of other ends.
    pub(super) fn of(kind: EndKind, end: &Ending, kernel: KernelView) -> Self {
        EndFacts {
            kind,
            kernel,
            code: match end.code {
                EndCode::Close(code) => Some(code),
                EndCode::None | EndCode::Http(_) => None,
            },
            clean: end.clean,
            common_age: false,
            common_gap: false,
            slow_path: end.rtt.srtt_us().is_some_and(|srtt| srtt >= SLOW_RTT_US),
            stall_ms: 0,
            silence_ms: milliseconds(end.silence),
            blocked_ms: milliseconds(end.blocked),
            heard_meanwhile: false,
        }
    }

    pub(super) fn with_stall(mut self, stall: Micros) -> Self {
        self.stall_ms = milliseconds(stall);
        self
    }
}

/// A report is on its way for a while, and both sides round. So what the client heard counts as
/// heard later than the gateway's event if it was heard so much later, in milliseconds.
const LATER_MS: i64 = 1_000;

impl EndFacts {
    /// Returns whether the peer was silent while the kernel waited for an acknowledgement that was
    /// not overdue.
    pub(super) fn waits_in_kernel(&self) -> bool {
        self.kind == EndKind::Stale && self.kernel == KernelView::Unacknowledged
    }

    /// Adds what follows from when the client heard something last. `heard_ago`: milliseconds
    /// before its report was received, which was `after_ms` after the end, or before it if that is
    /// negative.
    pub(super) fn with_heard(mut self, heard_ago: Option<u64>, after_ms: i64) -> Self {
        // A path that is gone carries nothing after the first heartbeat that is not answered, which
        // is in the first half of a timeout.
        let waits = match self.waits_in_kernel() {
            true => self.blocked_ms.max(self.silence_ms / 2),
            false => self.blocked_ms,
        };
        let began_ago = after_ms.saturating_add(waits.into());
        let heard_ago = heard_ago.and_then(|ago| i64::try_from(ago).ok());
        self.heard_meanwhile = heard_ago.is_some_and(|ago| ago + LATER_MS <= began_ago);
        self
    }
}

fn milliseconds(span: Micros) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
