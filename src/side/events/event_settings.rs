//! The settings of events for backends.

use crate::gateway::{EventReceiver, WebhookSigner};
use crate::side::watch::WebhookUrl;
use std::sync::{Arc, Mutex};

/// Where events are posted; a reload may change it.
#[derive(Debug, Clone, Default)]
pub struct EventSettings {
    /// `EVENTS_URL`. `None`: events are not posted.
    pub url: Option<WebhookUrl>,
    /// Signs the posts. `None`: they are not signed.
    pub signer: Option<WebhookSigner>,
}

/// The options of events for backends.
#[derive(Debug)]
pub struct EventOptions {
    /// The queue of events from the loop.
    pub receiver: EventReceiver,
    /// `EVENTS_KEPT`: the most events that are kept.
    pub kept: usize,
    /// Where events are posted.
    pub settings: Arc<Mutex<EventSettings>>,
}
