//! Liveness of peers. This module is pure: it takes events with their times, and returns the next
//! action and its deadline.

mod cohort;
mod forecast;
#[expect(
    clippy::module_inception,
    reason = "the state machine itself, beside its parts"
)]
mod health;
mod heartbeat;
mod marks;
mod payload;
mod policy;
mod rtt;
mod span;
mod spread;
mod state;

pub use cohort::{Cohort, CohortChange};
pub use forecast::{LateHistory, Risk};
pub use health::Health;
pub use marks::LifeSign;
pub use payload::PAYLOAD_LEN;
pub use policy::{
    AliveBy, HeartbeatForm, HeartbeatMode, Policy, PolicyError, PolicyFault, StaleAction,
};
pub use rtt::Rtt;
pub use state::{HealthAction, HealthChange, HealthState};
