//! What the relay counts.

use super::role::RELAY_CLASSES;
use crate::engine::Histogram;

/// Counters of the relay since the start, and what there is now. Arrays are by class.
#[derive(Debug, Clone, Default)]
pub struct RelayStats {
    /// Connections that took a place which nobody held or was waited for.
    pub firsts: [u64; RELAY_CLASSES.len()],
    /// Connections that took a place that was lost and waited for.
    pub resumes: [u64; RELAY_CLASSES.len()],
    /// Connections that took a place from an older connection.
    pub takeovers: [u64; RELAY_CLASSES.len()],
    /// Peers that were declared stale and came back within a second: they had not been dead.
    pub false_deaths: [u64; RELAY_CLASSES.len()],
    /// How long places were lost before their peers came back, in µs.
    pub absence: Histogram,
    /// Places that are lost and waited for now.
    pub absent: [u64; RELAY_CLASSES.len()],
    /// Places that were waited for in vain.
    pub expired_places: [u64; RELAY_CLASSES.len()],
    /// Newcomers that were refused because their identity came back too often.
    pub flapping: [u64; RELAY_CLASSES.len()],
    /// Frames sent on to peers: to glasses, to apps.
    pub relayed: [u64; RELAY_CLASSES.len()],
    /// Frames that nobody wanted: no subscriber, no glasses.
    pub unrouted: u64,
    /// Frames of apps that they may not send to glasses: the gateway's own words, and what `may_send` does not name.
    pub forbidden: u64,
    /// Frames that were no JSON of the contract.
    pub malformed: u64,
    /// Frames that had waited and were sent to a peer that came back.
    pub replayed: u64,
    /// Frames that were written before a loss, and that no pong had confirmed.
    pub doubtful: u64,
    /// Frames that were dropped, by [`DropReason`].
    pub dropped: [u64; DropReason::ALL.len()],
    /// Frames kept now: unconfirmed, or waiting.
    pub kept: u64,
    /// Bytes of those.
    pub kept_bytes: u64,
    /// Webhooks ordered to ask an app for a session because its user wanted it.
    pub starts: u64,
    /// Webhooks ordered to ask an app for a session that had lost its place.
    pub revivals: u64,
    /// Webhooks ordered to stop an app.
    pub stops: u64,
    /// Of the first two, those that the app's server answered.
    pub webhooks_answered: u64,
    /// Of the first two, those that were given up.
    pub webhooks_failed: u64,
}

/// Why a frame was dropped: all but the last two are for an absent peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// To make room for newer ones.
    Overflow,
    /// It was older than `REPLAY_MAX_AGE_MS`.
    Expired,
    /// It is of a kind that is never kept: binary, or named in `REPLAY_SKIP`.
    Skipped,
    /// The peer did not come back within its grace, or its session ended.
    Ended,
    /// Its sender's connection ended before the gateway had read it: it is a large text.
    Unread,
    /// It was on its way when memory ran short, and its sender was closed for that: some of its apps may have got it. Or too many
    /// frames of its sender's older connections were on their way.
    NoRoom,
}

impl DropReason {
    /// One of each; the position is the number that `as usize` yields.
    pub const ALL: [DropReason; 6] = [
        DropReason::Overflow,
        DropReason::Expired,
        DropReason::Skipped,
        DropReason::Ended,
        DropReason::Unread,
        DropReason::NoRoom,
    ];

    /// The name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::Overflow => "overflow",
            DropReason::Expired => "expired",
            DropReason::Skipped => "skipped",
            DropReason::Ended => "ended",
            DropReason::Unread => "unread",
            DropReason::NoRoom => "no_room",
        }
    }
}

impl RelayStats {
    pub(super) fn drop_some(&mut self, reason: DropReason, frames: u64) {
        self.dropped[reason as usize] += frames;
    }
}
