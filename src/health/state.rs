//! What is known of a peer, and what a deadline asks for.

use super::rtt::Rtt;
use crate::base::time::Micros;

/// Whether a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a peer answers or it does not")]
pub enum State {
    /// Nothing speaks against it.
    Healthy,
    /// A heartbeat has gone unanswered for an interval, and nothing was heard since it was sent; or it could not even be sent
    /// for that long, and no byte of ours moved.
    Suspect,
}

/// A change of [`State`], with the numbers that it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests of hosts write it down")]
pub struct HealthChange {
    /// The new state.
    pub state: State,
    /// How long nothing had been heard.
    pub silence: Micros,
    /// Pings that had gone out and unanswered.
    pub unanswered: u16,
    /// The round-trip time as last known.
    pub rtt: Rtt,
}

/// What a deadline asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must do what each of them says"
)]
pub enum Due {
    /// Nothing: the peer was heard meanwhile.
    Nothing,
    /// An interval is over.
    Beat {
        /// A heartbeat is to go out; not so if the one before has not left yet.
        ping: bool,
        /// The peer has become suspect.
        change: Option<HealthChange>,
    },
    /// Nothing was heard for the timeout.
    Stale,
}
