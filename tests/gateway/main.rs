//! The gateway as a process: its settings, its start, its stop, and the machine around it.

#[path = "../support/sockets/mod.rs"]
mod sockets;
#[path = "../support/tokens.rs"]
mod tokens;

mod config;
mod docs;
mod process;
mod product;
mod secrets;
mod service;
