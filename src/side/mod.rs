//! The side threads: what is done off the loop, by well-kept libraries, and never in its way.
//!
//! - `errands` carries out the loop's errands: it sends webhooks and writes the state file.
//! - `watch` keeps what can be kept here: ended connections, causes over time, alerts, and the
//!   identities that have trouble again and again.
//! - `admin` answers operators and their tools over HTTP. It asks the loop through the
//!   [`Desk`](crate::gateway::Desk), which answers in slices.
//!
//! The thread `control` watches and answers. The thread `errands` talks to servers of others: it
//! sends webhooks and alerts. So nothing that such a server answers delays the admin listener.

mod admin;
mod ask;
mod down;
mod errands;
mod lock;
mod outgoing;
mod priority;
mod process;
mod start;
mod watch;

pub use self::admin::{PolicyRefused, Token};
pub use self::down::DownApp;
pub use self::errands::{
    Started, StateFile, StateFileStats, StateLock, WebhookCounts, WebhookOptions, WebhookResult,
    WebhookSettings, WebhookStats, WebhookType, load as load_state, lock_state, state_target,
};
pub use self::outgoing::check_certificates;
pub use self::process::{MemoryLimit, memory_limit};
pub use self::start::{Handle, Options, start};
pub use self::watch::{AlertSettings, WebhookUrl};
