//! The webhook settings that a reload may change.

use crate::gateway::AppRegistry;
use ipnet::IpNet;

/// The settings that are applied to every webhook when it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookSettings {
    /// `WEBHOOK_ALLOW`: the networks that webhooks may be sent to. `None`: all but link-local ones
    /// and metadata services.
    pub allow: Option<Vec<IpNet>>,
    /// The apps with the signing keys. `None`: webhooks are not signed.
    pub apps: Option<AppRegistry>,
}
