//! Webhooks: session requests to the servers of apps, and notices that sessions have ended.

mod breaker;
mod client;
mod queue;
mod rules;
mod sender;
mod settings;
mod stats;
#[cfg(test)]
mod tests;

pub use self::sender::WebhookOptions;
pub(super) use self::sender::Webhooks;
pub use self::settings::WebhookSettings;
pub use self::stats::{WebhookCounts, WebhookResult, WebhookStats, WebhookType};
