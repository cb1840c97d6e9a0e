//! The calls of a host.

mod closing;
mod sending;
mod timers_and_commands;
