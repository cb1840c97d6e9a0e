//! Counters of sessions.

use crate::host::reports::{ReportCounts, ReportOutcome};
use crate::pulse::IgnoredFrame;
use std::fmt;

/// Why a client that wanted its session back got a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResetReason {
    /// No session has this token: the hold was over, the upstream was lost, or the gateway was
    /// restarted.
    Unknown,
    /// The session belongs to another route, identity, origin or subprotocol.
    Foreign,
    /// The session was too old.
    TooOld,
    /// The client has received what was not sent to it.
    Mismatch,
    /// The first message did not ask for a session.
    NoToken,
    /// What was kept for the client had no room any more.
    Full,
}

/// How a hold ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HoldEnd {
    /// The client came back.
    Resumed,
    /// The client did not come back in time.
    Expired,
    /// The upstream could not be read for 15 s, because what it sent had no room.
    Full,
    /// The connection to the upstream was lost.
    UpstreamLost,
    /// Another hold of the same client, or of the same address, took the place.
    Crowded,
    /// What is kept for all holds reached `HOLD_MAX_BYTES`, and the most was kept for this client.
    Shed,
    /// An operator ended it.
    Ended,
    /// An operator blocked its identity.
    Blocked,
    /// The gateway drains, or its upstream leaves.
    Draining,
    /// The session reached the age of `PULSE_SESSION_MAX_MS`.
    TooOld,
}

/// Why a session was not held although its client was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotHeld {
    /// No frame of the client has proved that it has a token.
    Unproved,
    /// The gateway drains.
    Draining,
    /// `HOLD_MS` is 0.
    Off,
    /// The session has the age of `PULSE_SESSION_MAX_MS`.
    TooOld,
}

macro_rules! names {
    ($type:ident { $($kind:ident => $name:literal),* $(,)? }) => {
        impl $type {
            /// All of them; the position equals the number that `as usize` yields.
            pub const ALL: &[$type] = &[$($type::$kind),*];

            /// Returns the name in logs and metrics.
            pub const fn name(self) -> &'static str {
                match self {
                    $($type::$kind => $name),*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

names!(ResetReason {
    Unknown => "unknown",
    Foreign => "foreign",
    TooOld => "too_old",
    Mismatch => "mismatch",
    NoToken => "no_token",
    Full => "ledger_full",
});

names!(HoldEnd {
    Resumed => "resumed",
    Expired => "expired",
    Full => "hold_full",
    UpstreamLost => "upstream_lost",
    Crowded => "crowded",
    Shed => "shed",
    Ended => "ended",
    Blocked => "blocked",
    Draining => "draining",
    TooOld => "too_old",
});

names!(NotHeld {
    Unproved => "unproved",
    Draining => "draining",
    Off => "off",
    TooOld => "too_old",
});

/// Counters and gauges of sessions.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SessionCounts {
    /// Sessions that began.
    pub opened: u64,
    /// Sessions whose client has a connection now.
    pub attached: u64,
    /// Sessions that wait for their client now.
    pub held: u64,
    /// The bytes that are kept for sessions that wait.
    pub held_bytes: u64,
    /// Connections of sessions that were lost.
    pub losses: u64,
    /// Those of them whose client had not acknowledged everything.
    pub losses_unacknowledged: u64,
    /// Clients that got a new session instead of theirs, by [`ResetReason`].
    pub resets: [u64; ResetReason::ALL.len()],
    /// Holds that ended, by [`HoldEnd`].
    pub holds_ended: [u64; HoldEnd::ALL.len()],
    /// Sessions that were not held, by [`NotHeld`].
    pub not_held: [u64; NotHeld::ALL.len()],
    /// Connections of a client that another one of the same session has taken over while they
    /// looked open.
    pub taken_over: u64,
    /// Messages that were sent again after a resume.
    pub sent_again: u64,
    /// Messages of upstreams that were not acknowledged when their session ended.
    pub unacknowledged: u64,
    /// Clients that were refused after their WebSocket was open, so that a browser learns why.
    pub refused: u64,
    /// Reports of clients, by [`ReportOutcome`].
    pub reports: ReportCounts,
    /// States of clients that were ignored, because they came too often.
    pub states_ignored: u64,
}

impl SessionCounts {
    /// Adds the counters and gauges of another product.
    pub(crate) fn add(&mut self, other: &SessionCounts) {
        let add_all = |own: &mut [u64], others: &[u64]| {
            own.iter_mut()
                .zip(others)
                .for_each(|(own, other)| *own += other);
        };
        add_all(&mut self.resets, &other.resets);
        add_all(&mut self.holds_ended, &other.holds_ended);
        add_all(&mut self.not_held, &other.not_held);
        add_all(&mut self.reports, &other.reports);
        self.opened += other.opened;
        self.attached += other.attached;
        self.held += other.held;
        self.held_bytes += other.held_bytes;
        self.losses += other.losses;
        self.losses_unacknowledged += other.losses_unacknowledged;
        self.taken_over += other.taken_over;
        self.sent_again += other.sent_again;
        self.unacknowledged += other.unacknowledged;
        self.refused += other.refused;
        self.states_ignored += other.states_ignored;
    }

    /// Counts a report of a client.
    pub(crate) const fn count_report(&mut self, outcome: ReportOutcome) {
        self.reports[outcome as usize] += 1;
    }

    /// Counts a frame of a client that was ignored.
    pub(crate) fn count_ignored(&mut self, frame: IgnoredFrame) {
        match frame {
            IgnoredFrame::State => self.states_ignored += 1,
            IgnoredFrame::Report => self.count_report(ReportOutcome::Repeated),
        }
    }
}
