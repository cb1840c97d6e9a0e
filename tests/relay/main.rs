//! The relay on virtual time: the whole gateway, without a socket.

#[path = "../support/fleet.rs"]
mod fleet;
#[path = "../support/tokens.rs"]
mod tokens;

mod memory;
mod newer_sdk;
mod relay;
