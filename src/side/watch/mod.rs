//! Observes the gateway: ended connections, causes over time, alerts, and the identities with
//! repeated trouble.

mod alerts;
mod ended;
mod incidents;
mod sampling;
mod series;
mod troubled;
mod verdicts;
mod watchers;

pub(super) use self::alerts::{Alert, AlertState, Alerts, SinkStats, run as run_alerts};
pub use self::alerts::{AlertSettings, WebhookUrl};
pub(super) use self::incidents::{
    CommonTrait, EndedSummary, IdentityCounts, IdentityOpening, Incident, LivingTraits,
    MINUTES_MAX, SampledEnd, ask_living, in_common, run as run_incidents,
};
pub(super) use self::sampling::{collect, sample};
pub(super) use self::series::{Minute, SeriesStep};
pub(super) use self::troubled::RankedIdentity;
pub(super) use self::verdicts::{JoinOutcome, VerdictCounts};
pub(super) use self::watchers::Watchers;
