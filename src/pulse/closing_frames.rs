//! What the gateway says before it closes a connection.

use super::control_text::control_text;
use super::number::number;
use super::short_text::short_text;
use crate::base::json_fields::BoundedStr;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize};

/// The longest reason of a close frame (RFC 6455 §5.5: 125 bytes with the code).
const REASON_BYTES_MAX: usize = 123;

/// The gateway is about to close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Bye {
    /// Why, in a word: `restart`, `overload`, `replaced`, …
    #[serde(deserialize_with = "short_text")]
    pub why: Box<str>,
    /// The earliest time to come back, in milliseconds from now.
    #[serde(deserialize_with = "number")]
    pub retry_ms: u64,
    /// The time after it over which clients spread their tries, in milliseconds.
    #[serde(default, deserialize_with = "number")]
    pub spread_ms: u64,
}

/// The gateway does not admit the client. A close with 4000 + `status` follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Refused {
    /// The HTTP status that a refused upgrade would have had.
    pub status: u16,
    /// The earliest time to come back, in milliseconds; 0: the client decides.
    #[serde(default, deserialize_with = "number")]
    pub retry_ms: u64,
}

/// The end of a session: what the close frame of the service said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SessionEnd {
    /// The close code; 1005 if the close frame had none (RFC 6455 §7.1.5).
    pub code: u16,
    /// The reason, at most 123 bytes.
    #[serde(default, deserialize_with = "reason")]
    pub reason: Box<str>,
}

impl Bye {
    /// Returns a bye for this reason, with times in milliseconds.
    pub fn new(why: &str, retry_ms: u64, spread_ms: u64) -> Self {
        Bye {
            why: why.into(),
            retry_ms,
            spread_ms,
        }
    }
}

impl Refused {
    /// Returns a refusal with this HTTP status. `retry_ms` is the earliest time to come back; 0:
    /// the client decides.
    pub const fn new(status: u16, retry_ms: u64) -> Self {
        Refused { status, retry_ms }
    }
}

impl SessionEnd {
    /// Returns the end that a close frame stands for. A reason with more than 123 bytes is cut.
    pub fn new(code: u16, reason: &str) -> Self {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        SessionEnd {
            code,
            reason: reason[..end].into(),
        }
    }
}

/// Returns the frame that tells a client when to come back.
pub fn bye_frame(bye: &Bye) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        bye: &'a Bye,
    }
    control_text(&Frame { bye })
}

/// Returns the frame that refuses a client.
pub fn refused_frame(refused: Refused) -> String {
    #[derive(Serialize)]
    struct Frame {
        refused: Refused,
    }
    control_text(&Frame { refused })
}

/// Returns the frame that ends a session.
pub fn end_frame(end: &SessionEnd) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        end: &'a SessionEnd,
    }
    control_text(&Frame { end })
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<str>, D::Error> {
    let BoundedStr::<'_, REASON_BYTES_MAX>(text) = BoundedStr::deserialize(deserializer)?;
    Ok(text.into())
}
