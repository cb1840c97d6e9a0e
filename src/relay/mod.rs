//! The relay product: sessions of glasses and third-party apps that survive their connections.

mod admission;
mod app_lifecycle;
mod app_servers;
mod audit;
mod backpressure;
mod causes;
mod fan_out_steps;
mod glasses_state;
mod jobs;
mod message_reader;
mod newer_sdk;
mod product;
pub(crate) mod protocol;
pub(in crate::relay) mod pulse;
mod pulse_ends;
mod pulse_messages;
mod pulse_requests;
mod pulse_resumes;
#[expect(
    clippy::module_inception,
    reason = "the type that gives the folder its name"
)]
mod relay;
mod relay_settings;
mod relay_stats;
mod reload_scan;
mod role;
mod routing;
pub(in crate::relay) mod session;
mod slot_changes;
mod subscriptions;
pub(in crate::relay) mod tables;
mod tasks;

pub use self::app_lifecycle::is_reserved_reason;
pub use self::causes::{APP_STOPPED, CAUSES, FLAPPING, SESSION_ENDED, SESSION_UNKNOWN};
pub use self::jobs::{
    Job, JobReceiver, RetryPolicy, StartOutcome, StateJob, StopReason, WebhookJob,
};
pub(crate) use self::relay::Relay;
pub use self::relay_settings::{RelaySettings, ReplayLimits};
pub use self::relay_stats::{DropReason, RelayStats};
pub use self::role::{APP, GLASSES, RELAY_CLASSES};
pub use self::session::{
    Absence, AppSlot, AppState, AttachKind, Session, SlotDeadline, SlotState, SlotView,
};
pub use self::subscriptions::Subscriptions;
#[cfg(test)]
pub(crate) use self::tables::ExpiredSender;
pub use self::tables::{ExpiredPeer, ExpiredReceiver};
