//! Webhooks: session requests to the servers of apps, and notices that sessions have ended.

mod breaker;
mod client;
mod operations;
mod queue;
mod sender;
#[cfg(test)]
mod tests;
mod webhook_settings;
mod webhook_stats;

pub use self::sender::WebhookOptions;
pub(super) use self::sender::WebhookSender;
pub use self::webhook_settings::WebhookSettings;
pub use self::webhook_stats::{WebhookCounts, WebhookResult, WebhookStats, WebhookType};
