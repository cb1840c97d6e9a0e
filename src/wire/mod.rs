//! Bytes without policy: frames, messages that arrive in pieces, and the HTTP of the handshake. Pure; nothing here knows connections.

pub(crate) mod chunks;
pub(crate) mod decoder;
pub(crate) mod http;
pub(crate) mod incoming;
pub(crate) mod scan;
