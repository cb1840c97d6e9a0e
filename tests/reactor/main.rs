//! The reactor on real sockets.

#[path = "../support/sockets/mod.rs"]
mod sockets;

#[cfg(feature = "gateway")]
mod memory;
mod reactor;
