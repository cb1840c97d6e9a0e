//! Wire formats: frames in both roles, messages that arrive in pieces, and the HTTP of the
//! handshake. This module is pure: it has no policy and does not know connections.

pub(crate) mod chunks;
pub(crate) mod control_decoder;
pub(crate) mod encoder;
pub mod frame;
pub(crate) mod heartbeat;
pub(crate) mod heartbeat_text;
pub(crate) mod http;
pub(crate) mod incoming_message;
pub mod mask;
pub(crate) mod run;
pub(crate) mod scan;

pub use heartbeat_text::HeartbeatText;
pub use tungstenite::error::Error as WsError;
pub use tungstenite::{Bytes, Message, Utf8Bytes};
