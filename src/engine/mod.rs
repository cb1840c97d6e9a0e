//! Connections without sockets.

#[doc(hidden)] // for benches and model tests
pub mod wheel;
