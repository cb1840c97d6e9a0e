//! Liveness of peers. This module is pure: it takes events with their times, and returns the next
//! action and its deadline.

mod cadence;
mod cohort;
mod exploration;
mod forecast;
mod gap_history;
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
mod saved_cadence;
mod span;
mod spread;
mod state;

pub use cadence::{Cadence, Pace, PaceInput};
pub use cohort::{Cohort, CohortChange};
pub use exploration::Exploration;
pub use forecast::{LateHistory, Risk};
pub use gap_history::{GapBucket, GapHistory};
pub use health::Health;
pub use marks::LifeSign;
pub use payload::PAYLOAD_LEN;
pub use policy::{
    AliveBy, HeartbeatForm, HeartbeatMode, Policy, PolicyError, PolicyFault, StaleAction,
};
pub use rtt::Rtt;
pub use saved_cadence::SavedCadence;
pub use state::{HealthAction, HealthChange, HealthState};
