//! The settings of events for backends.

use crate::gateway::{EventReceiver, PostSigner};
use crate::side::watch::WebhookUrl;
use std::sync::{Arc, Mutex};

/// Where events are posted; a reload may change it.
#[derive(Debug, Clone, Default)]
pub struct EventSettings {
    /// `EVENTS_URL`. `None`: events are not posted.
    pub url: Option<WebhookUrl>,
    /// Signs the posts. `None`: they are not signed.
    pub signer: Option<PostSigner>,
}

/// How many events are kept by default.
const KEPT: usize = 16_384;

/// The options of events for backends.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct EventOptions {
    /// The queue of events from the loop.
    pub receiver: EventReceiver,
    /// `EVENTS_KEPT`: the most events that are kept.
    pub kept: usize,
    /// Where events are posted.
    pub settings: Arc<Mutex<EventSettings>>,
}

impl EventOptions {
    /// Returns the defaults: the events of this queue are kept, and posted nowhere.
    pub fn new(receiver: EventReceiver) -> Self {
        EventOptions {
            receiver,
            kept: KEPT,
            settings: Arc::default(),
        }
    }
}
