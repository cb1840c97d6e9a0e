//! Apps with a server that is down: found by the webhooks, reported by the alerts.

use crate::base::time::UnixMillis;

/// A package with a server that is considered down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownApp {
    /// The package.
    pub package: Box<str>,
    /// The time since which it is down.
    pub since: UnixMillis,
    /// The last error.
    pub last_error: Box<str>,
}
