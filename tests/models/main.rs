//! Random histories compared with models, on virtual time. Each deliberate bug must be caught.

#[path = "../support/fleet/mod.rs"]
mod fleet;
#[path = "../support/pulse_client.rs"]
mod pulse_client;
#[path = "../support/tokens.rs"]
mod tokens;

mod engine;
mod fan_outs;
mod mail;
mod mailbox;
mod pairs;
mod pulse;
mod pulse_model;
mod pulse_peers;
mod pulse_sessions;
#[cfg(feature = "sabotage")]
mod sabotage;
mod sessions;
mod simulation;
mod upstreams;
