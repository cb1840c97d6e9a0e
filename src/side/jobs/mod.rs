//! Carries out the loop's jobs, on the thread `jobs`.

mod runner;
mod state_file;
mod webhooks;

pub(super) use self::runner::JobRunner;
pub use self::state_file::{StartedApps, StateFile, StateFileStats, StateLock, load, lock_state};
pub use self::webhooks::{
    WebhookCounts, WebhookOptions, WebhookResult, WebhookSettings, WebhookStats, WebhookType,
};
