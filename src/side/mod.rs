//! The side threads: work that is done outside the loop, with well-maintained libraries, and never
//! blocks it.
//!
//! - `jobs` carries out the loop's jobs: it sends webhooks and writes the state file.
//! - `watch` observes the gateway: ended connections, causes over time, alerts, and the identities
//!   with repeated trouble.
//! - `admin` answers operators and their tools over HTTP. It asks the loop through the
//!   [`GatewayQueries`](crate::gateway::GatewayQueries), which answers in slices.
//! - `events` keeps what happens to connections for readers, and posts it to a backend.
//! - `http` passes plain HTTP requests to the upstreams.
//! - `resolver` looks up the host names of upstreams.
//! - `cadence_file` keeps what was learned about idle gaps in a file, on a thread of its own.
//!
//! The thread `control` runs `watch` and `admin`, and collects events. The thread `jobs` sends
//! webhooks, alerts and events to external servers. So a slow external server does not delay the
//! admin listener. The thread `http` runs `http`.

mod admin;
mod cadence_file;
mod down_app;
mod events;
mod health_checks;
mod http;
mod jobs;
mod kept_file;
mod lock;
mod loop_liveness;
mod loop_query;
mod outgoing;
mod priority;
mod process;
mod reload_report;
mod resolver;
mod start;
mod watch;

pub use self::admin::{AdminToken, PolicyRefused};
pub use self::cadence_file::CadenceFile;
pub use self::down_app::DownApp;
pub use self::events::{EventOptions, EventSettings};
pub use self::http::{HttpDrain, HttpSettings};
pub use self::jobs::{
    StartedApps, StateFile, StateFileStats, StateLock, WebhookCounts, WebhookOptions,
    WebhookResult, WebhookSettings, WebhookStats, WebhookType, load as load_state, lock_state,
};
pub use self::kept_file::kept_target;
pub use self::outgoing::check_certificates;
pub use self::process::{MemoryLimit, memory_limit};
pub use self::reload_report::ReloadReport;
pub use self::resolver::{HostName, Resolver};
pub use self::start::{HttpOptions, HttpSender, SideHandle, SideOptions, start};
pub use self::watch::{AlertSettings, WebhookUrl};
