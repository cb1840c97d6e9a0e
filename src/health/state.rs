//! The state of a peer, and the action that a deadline requires.

use super::rtt::Rtt;
use crate::base::time::Micros;

/// Whether a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a peer answers or it does not")]
pub enum HealthState {
    /// The peer is not suspect.
    Healthy,
    /// A heartbeat was unanswered for an interval, and nothing was heard since it was sent. Or a
    /// heartbeat could not be sent for that long, and none of our waiting bytes was sent.
    Suspect,
}

/// A change of [`HealthState`], with the numbers that explain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests of hosts write it down")]
pub struct HealthChange {
    /// The new state.
    pub state: HealthState,
    /// Time since the last sign of life.
    pub silence: Micros,
    /// Heartbeats that were sent since the last sign of life.
    pub unanswered: u16,
    /// The latest round-trip time.
    pub rtt: Rtt,
}

/// The action that a deadline requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must do what each of them says"
)]
pub enum HealthAction {
    /// No action: something was received from the peer in the meantime.
    None,
    /// A heartbeat interval is over.
    Heartbeat {
        /// Whether a heartbeat must be sent. It is not sent if the previous one has not left yet.
        ping: bool,
        /// The change of state, if the peer has become suspect.
        change: Option<HealthChange>,
    },
    /// Nothing was heard for the connection timeout.
    Stale,
}
