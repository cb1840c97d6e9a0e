//! Sessions that outlive their connections, with the real gateway between clients that speak pulse
//! and services that know nothing of it: seeded random actions, and checks after each step. Shared
//! by `tests/models/pulse_sessions.rs` and `tests/models/sabotage.rs`.

mod actions;
mod checks;
mod cuts;
mod ground_truth;
mod hearing;
mod misdeeds;
mod operators;
mod services;
mod visitor;
mod world;

pub use ground_truth::Tally;
pub use world::{run, run_counted};
