//! Counters of the relay.

use super::role::RELAY_CLASSES;
use crate::engine::Histogram;

/// Counters of the relay since the start, and its current state. Arrays are by class.
#[derive(Debug, Clone, Default)]
pub struct RelayStats {
    /// Connections that joined a session for the first time: they resumed nothing and replaced no
    /// connection.
    pub firsts: [u64; RELAY_CLASSES.len()],
    /// Connections of lost peers that came back within their grace.
    pub resumes: [u64; RELAY_CLASSES.len()],
    /// Connections that replaced an older connection of the same peer.
    pub takeovers: [u64; RELAY_CLASSES.len()],
    /// Peers that were declared stale and came back within a second, so they had not been dead.
    pub false_deaths: [u64; RELAY_CLASSES.len()],
    /// How long peers were lost until they came back, in µs.
    pub absence: Histogram,
    /// Lost peers that may still come back.
    pub absent: [u64; RELAY_CLASSES.len()],
    /// Lost peers that did not come back in time.
    pub expired_slots: [u64; RELAY_CLASSES.len()],
    /// Connections that were refused because their identity reconnected too often.
    pub flapping: [u64; RELAY_CLASSES.len()],
    /// Frames forwarded to peers, by the class of the receiver.
    pub relayed: [u64; RELAY_CLASSES.len()],
    /// Frames without a receiver: no subscriber, or no glasses.
    pub unrouted: u64,
    /// Frames of apps that may not be sent to glasses: types reserved for the gateway, and types
    /// that `may_send` does not name.
    pub forbidden: u64,
    /// Malformed frames: not JSON, or not in the protocol.
    pub malformed: u64,
    /// Kept frames that were sent to a peer that came back.
    pub replayed: u64,
    /// Frames that were written before a loss and that no pong had confirmed.
    pub doubtful: u64,
    /// Frames that were dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Frames kept now: unconfirmed, or waiting for the peer.
    pub kept: u64,
    /// Bytes of the frames kept now.
    pub kept_bytes: u64,
    /// Webhooks queued to ask an app to connect because its user started it.
    pub starts: u64,
    /// Webhooks queued to ask an app to connect again after its connection was lost.
    pub revivals: u64,
    /// Webhooks queued to stop an app.
    pub stops: u64,
    /// Of `starts` and `revivals`, those that the app's server answered.
    pub webhooks_answered: u64,
    /// Of `starts` and `revivals`, those that were given up.
    pub webhooks_failed: u64,
}

/// Why a frame was dropped. All but the last two are for an absent peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// Frames dropped to make room for newer ones.
    Overflow,
    /// The frame was older than `REPLAY_MAX_AGE_MS`.
    Expired,
    /// The frame is of a type that is never kept: binary, or named in `REPLAY_SKIP`.
    Skipped,
    /// The peer did not come back within its grace, or its session ended.
    EndedSession,
    /// The frame is a large text whose sender's connection ended before the gateway had read all of
    /// it.
    Unread,
    /// The frame was being delivered when memory ran short and its sender was closed for that; some
    /// apps may have received it. Or too many frames of older connections of its sender were being
    /// delivered.
    NoRoom,
}

impl DropReason {
    /// All reasons; the position is the number that `as usize` yields.
    pub const ALL: [DropReason; 6] = [
        DropReason::Overflow,
        DropReason::Expired,
        DropReason::Skipped,
        DropReason::EndedSession,
        DropReason::Unread,
        DropReason::NoRoom,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::Overflow => "overflow",
            DropReason::Expired => "expired",
            DropReason::Skipped => "skipped",
            DropReason::EndedSession => "ended",
            DropReason::Unread => "unread",
            DropReason::NoRoom => "no_room",
        }
    }
}

impl RelayStats {
    pub(super) fn count_drops(&mut self, reason: DropReason, frames: u64) {
        self.dropped[reason as usize] += frames;
    }
}
