//! The hello: what the gateway promises to a client at the beginning of each connection.

use super::control_text::control_text;
use super::limits::{PULSE_VERSION, REPORT_BYTES_MAX};
use super::number::number;
use super::resume_token::OpaqueToken;
use super::short_text::short_text;
use crate::base::json_fields::Object;
use serde::de::Deserializer;
use serde::{Deserialize, Serialize, Serializer};

/// What the gateway promises to a client at the beginning of each connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hello {
    /// The version of the protocol: 1.
    #[serde(deserialize_with = "number")]
    pub v: u64,
    /// The id of the connection: of the gateway's run, the slot and its generation.
    #[serde(deserialize_with = "short_text")]
    pub conn: Box<str>,
    /// The token with which the client resumes the session after this connection.
    #[serde(deserialize_with = "opaque_token", serialize_with = "write_token")]
    pub resume: OpaqueToken,
    /// Whether the session of the client's token goes on. If not, a new session begins here.
    pub resumed: bool,
    /// How many messages the gateway has received in the session.
    #[serde(deserialize_with = "number")]
    pub rx: u64,
    /// The time from one ping to the next, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub ping_ms: u64,
    /// How much later than expected a ping may come, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub grace_ms: u64,
    /// The silence after which the gateway closes the connection, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub timeout_ms: u64,
    /// How long the gateway keeps the session after the connection was lost, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub hold_ms: u64,
    /// The largest message that the gateway takes, in bytes.
    #[serde(deserialize_with = "number")]
    pub max_message_bytes: u64,
    /// When to come back after a loss without a bye.
    #[serde(deserialize_with = "object")]
    pub retry: RetryHint,
    /// The largest report that the gateway takes, in bytes; 0: it takes none.
    #[serde(deserialize_with = "number")]
    pub report_bytes: u64,
}

impl Hello {
    /// Returns the hello of a new session, with nothing received, and no promises yet.
    pub fn new(conn: &str, resume: OpaqueToken) -> Self {
        Hello {
            v: u64::from(PULSE_VERSION),
            conn: conn.into(),
            resume,
            resumed: false,
            rx: 0,
            ping_ms: 0,
            grace_ms: 0,
            timeout_ms: 0,
            hold_ms: 0,
            max_message_bytes: 0,
            retry: RetryHint::default(),
            report_bytes: REPORT_BYTES_MAX as u64,
        }
    }
}

/// When clients come back after they have all been lost at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RetryHint {
    /// The time over which first tries are spread, in milliseconds: the number of connections
    /// divided by the rate at which the gateway accepts.
    #[serde(deserialize_with = "number")]
    pub first_ms: u64,
    /// The longest time between two tries, in milliseconds.
    #[serde(deserialize_with = "number")]
    pub max_ms: u64,
}

/// Returns the first frame of a connection.
pub fn hello_frame(hello: &Hello) -> String {
    #[derive(Serialize)]
    struct Frame<'a> {
        hello: &'a Hello,
    }
    control_text(&Frame { hello })
}

fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Object::deserialize(deserializer)?.0)
}

fn opaque_token<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OpaqueToken, D::Error> {
    Ok(OpaqueToken::new(&short_text(deserializer)?))
}

fn write_token<S: Serializer>(token: &OpaqueToken, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.as_str())
}
