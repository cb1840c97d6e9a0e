//! Many connections against the engine on virtual time: seeded random actions, a shadow model of
//! what each peer did, and checks of the engine's promises after each step. Shared by
//! the tests in `tests/models`.

pub mod balancing;
mod bridge_host;
mod host;
mod host_actions;
mod late;
mod messages;
pub mod pairs;
mod peer_actions;
mod promises;
pub mod pulse_sessions;
mod world;

pub use world::run;
