//! The risk that a client's connection is lost soon.

use serde::{Deserialize, Serialize};

/// Whether the gateway expects that it will soon hear nothing from a client: what a client may tell
/// its application, so that it saves its work, or shows a bad connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LinkRisk {
    /// It does not: so it is at the beginning of each connection.
    Low,
    /// One of the latest two heartbeats was late, or many clients of the same network are silent.
    High,
    /// A word that this version does not know.
    #[serde(other)]
    Other,
}

impl LinkRisk {
    /// Returns the word in frames.
    pub(super) const fn word(self) -> &'static str {
        match self {
            LinkRisk::Low => "low",
            LinkRisk::High => "high",
            LinkRisk::Other => "other",
        }
    }
}
