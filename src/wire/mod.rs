//! Bytes without policy: frames in both roles, messages that arrive in pieces, and the HTTP of the handshake. Pure; nothing here
//! knows connections.

pub(crate) mod chunks;
pub(crate) mod decoder;
pub(crate) mod encoder;
pub mod frame;
pub(crate) mod heartbeat;
pub(crate) mod http;
pub(crate) mod incoming;
pub mod mask;
pub(crate) mod scan;

pub use tungstenite::error::Error as WsError;
pub use tungstenite::{Bytes, Message};
