//! What a client says of its surroundings.

use super::number::some_number;
use crate::base::json_fields::present;
use serde::{Deserialize, Serialize};

/// The network that a device uses. A client that does not know sends none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NetworkKind {
    /// A cellular network of unknown generation.
    Cell,
    /// A cellular network of the second generation.
    #[serde(rename = "2g")]
    Cell2g,
    /// A cellular network of the third generation.
    #[serde(rename = "3g")]
    Cell3g,
    /// A cellular network of the fourth generation.
    #[serde(rename = "4g")]
    Cell4g,
    /// A cellular network of the fifth generation.
    #[serde(rename = "5g")]
    Cell5g,
    /// A wireless local network.
    Wifi,
    /// A cable.
    Wired,
    /// No network.
    None,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

/// Whether the user sees the page or app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PageVisibility {
    /// The user sees it.
    Visible,
    /// It is in the background.
    Hidden,
    /// A kind that this version does not know.
    #[serde(other)]
    Other,
}

/// What a client says of its surroundings: on each change, at most once in 10 s. Absent: the client
/// does not know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ClientCondition {
    /// The network in use.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub net: Option<NetworkKind>,
    /// Whether the user sees the page.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub vis: Option<PageVisibility>,
    /// Whether the user has asked for less traffic.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub saver: Option<bool>,
    /// The longest time between two pings that keeps the connection open, in milliseconds, as the
    /// client has learned it.
    #[serde(
        deserialize_with = "some_number",
        skip_serializing_if = "Option::is_none"
    )]
    pub want_ms: Option<u64>,
}
