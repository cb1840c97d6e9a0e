//! The relay on virtual time: the whole gateway, without sockets. Real clients are tested in
//! `tests/foreign/clients`.

#[path = "../support/fleet/mod.rs"]
mod fleet;
#[path = "../support/pulse_client.rs"]
mod pulse_client;
#[path = "../support/tokens.rs"]
mod tokens;

mod admission;
mod app_frames;
mod app_lifecycle;
mod backlogs;
mod backpressure;
mod bounds;
mod fan_outs;
mod glasses_state;
mod memory;
mod newer_sdk;
mod pulse_bounds;
mod pulse_ends;
mod pulse_sessions;
mod reloads;
mod restarts;
mod routing;
mod scenarios;
mod sessions;
mod slices;
