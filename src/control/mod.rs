//! The side threads: what operators and their tools ask over HTTP, by well-kept libraries, beside the loop and never in its way.
//!
//! The thread `control` asks the loop through the [`Desk`](crate::gateway::Desk), which answers in slices, and keeps for itself what can be kept here: the
//! connections that have ended, the causes over time, alerts, and who has trouble again and again.
//!
//! The thread `errands` talks to servers of others: it sends webhooks and alerts, and writes the state file. So nothing that
//! such a server answers delays the admin listener.

mod alerts;
mod api;
mod ask;
mod closed;
mod dashboard;
mod errands;
mod guard;
mod live;
mod lock;
mod logins;
mod metrics;
mod priority;
mod probes;
mod problem;
mod process;
mod series;
mod serve;
mod shared;
mod start;
mod state_file;
mod tell;
mod token;
mod troubled;
mod webhooks;

pub use self::alerts::{AlertSettings, WebhookUrl};
pub use self::process::{MemoryLimit, memory_limit};
pub use self::shared::PolicyRefused;
pub use self::start::{Handle, Options, start};
pub use self::state_file::{
    Started, StateFile, StateFileStats, StateLock, load as load_state, lock_state, state_target,
};
pub use self::token::Token;
pub use self::webhooks::{
    DownApp, WebhookCounts, WebhookOptions, WebhookResult, WebhookSettings, WebhookStats,
    WebhookType, check_certificates,
};

use self::lock::lock;
use self::shared::Control;
