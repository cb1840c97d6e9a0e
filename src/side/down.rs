//! An app whose server is down: the errands find it out, and alerts tell it.

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
