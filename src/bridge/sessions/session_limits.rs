//! The limits of sessions.

use crate::base::time::Micros;

/// The limits of sessions that outlive their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct SessionLimits {
    /// How long a session waits for its client; 0: not at all.
    pub hold: Micros,
    /// The most sessions that wait at one time.
    pub holds_max: usize,
    /// The most bytes that are kept for sessions that wait. From three quarters of them on, the
    /// upstreams of the heaviest are not read; when they are reached, the heaviest ends.
    pub hold_bytes_max: usize,
    /// The most sessions of one identity that wait at one time. The oldest gives way. Clients
    /// without an identity that is proved share a sixteenth of `holds_max` per address.
    pub holds_per_identity: usize,
    /// The age after which a session is not resumed any more.
    pub session_max: Micros,
}

impl Default for SessionLimits {
    fn default() -> Self {
        SessionLimits {
            hold: Micros::from_secs(60),
            holds_max: 20_000,
            hold_bytes_max: 64 << 20,
            holds_per_identity: 8,
            session_max: Micros::from_secs(3_600),
        }
    }
}
