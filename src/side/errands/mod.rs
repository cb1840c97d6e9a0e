//! Carries out the loop's errands, on the thread `errands`.

mod runner;
mod state_file;
mod webhooks;

pub(super) use self::runner::Runner;
pub use self::state_file::{
    Started, StateFile, StateFileStats, StateLock, load, lock_state, state_target,
};
pub use self::webhooks::{
    WebhookCounts, WebhookOptions, WebhookResult, WebhookSettings, WebhookStats, WebhookType,
};
