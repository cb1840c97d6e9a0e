//! Webhooks: asking apps' servers for sessions, and telling them of their ends.

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
