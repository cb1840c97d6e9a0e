//! The result of a kick.

use crate::base::id::ConnId;

/// The result of a kick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KickOutcome {
    /// There is no connection with this id.
    NoSuch,
    /// The connection is already being closed. Nothing was done.
    Closing,
    /// Its identity cannot be blocked. Nothing was done.
    NotBlocked(NotBlocked),
    /// The connection is being closed.
    Done {
        /// Whether the identity of the connection is blocked from now on.
        blocked: bool,
        /// The other leg of its pair, which ends, too.
        partner: Option<ConnId>,
    },
}

/// Why an identity is not blocked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else")]
pub enum NotBlocked {
    /// The connection has no identity, and its pair has none.
    Unnamed,
    /// The name is generated: no peer comes back under it.
    Generated,
    /// As many identities as can be are blocked already.
    Full,
}
