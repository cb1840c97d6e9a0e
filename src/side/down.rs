//! An app whose server is down: `errands` finds it out, and `watch` raises the alert.

use crate::base::time::UnixMillis;

/// A package whose server is taken to be down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownApp {
    /// Which.
    pub package: Box<str>,
    /// Since when.
    pub since: UnixMillis,
    /// What was wrong last.
    pub last_error: Box<str>,
}
