//! Is this peer alive? Pure: it is told what happened and when, and says what is to be done and by when.

#[expect(
    clippy::module_inception,
    reason = "the state machine itself, beside its parts"
)]
mod health;
mod payload;
mod policy;
mod rtt;
mod span;
mod spread;
mod state;

pub use health::Health;
pub use payload::PAYLOAD;
pub use policy::{HeartbeatMode, Policy, PolicyError, PolicyFault};
pub use rtt::Rtt;
pub use state::{Due, HealthChange, State};
