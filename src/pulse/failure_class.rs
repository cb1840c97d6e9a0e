//! Why a client reconnects, or does not.

use serde::{Deserialize, Serialize};

/// How a client classifies the end of a connection. The class decides when it tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureClass {
    /// The gateway said when to come back.
    Told,
    /// The session is over.
    Over,
    /// Another connection has taken the client's place.
    Replaced,
    /// The client's credentials were refused.
    Rejected,
    /// One of the two sides has violated the protocol.
    Fault,
    /// The gateway restarts (1012), and did not say when to come back.
    Restart,
    /// The gateway or the service has too much to do (1013, 1011).
    Overload,
    /// The device has no network.
    Offline,
    /// The device was asleep.
    Slept,
    /// Connections end shortly after they were opened, again and again.
    Flap,
    /// Something between the two sides ends idle connections at one age.
    IdleCut,
    /// The connection was open, and was lost.
    Blip,
    /// The try failed before the connection was open.
    Unreachable,
}
