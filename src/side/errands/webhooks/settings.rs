//! What of webhooks a reload may change.

use crate::gateway::Apps;
use ipnet::IpNet;

/// What every webhook is held against when it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `WEBHOOK_ALLOW`: the networks that webhooks may go to. `None`: all but link-local ones and
    /// metadata services.
    pub allow: Option<Vec<IpNet>>,
    /// The apps, whose keys webhooks are signed with. `None`: they are not signed.
    pub apps: Option<Apps>,
}
