//! The live stream: one document a second, made once for all subscribers, and not made without
//! subscribers.
//!
//! A subscriber that reads slowly skips documents; none are queued for it. One that disappears
//! silently is noticed when its socket takes no more bytes, or at the end of its time.

use axum::body::{Body, Bytes};
use http_body_util::channel::Channel;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// The limit of concurrent subscribers: half of the admin connections, so that other requests are
/// still answered.
pub(super) const SUBSCRIBERS_MAX: usize = 32;

/// How long one answer of the live stream lasts; then a subscriber must send a new request.
const STREAM_TIME: Duration = Duration::from_secs(10 * 60);

/// The latest document, and its subscribers.
pub(in crate::side) struct LiveStream {
    /// The document as it is sent; empty if there is no recent one.
    pub(super) latest: watch::Sender<Bytes>,
    permits: Arc<Semaphore>,
    pub(super) wanted: Notify,
}

impl Default for LiveStream {
    fn default() -> Self {
        LiveStream {
            latest: watch::Sender::default(),
            permits: Arc::new(Semaphore::new(SUBSCRIBERS_MAX)),
            wanted: Notify::default(),
        }
    }
}

impl LiveStream {
    /// Starts an answer that sends the latest document and each later one. `None`: the limit of
    /// subscribers is reached.
    pub(super) fn subscribe(&self) -> Option<Body> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let mut latest = self.latest.subscribe();
        self.wanted.notify_one();
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        tokio::spawn(async move {
            latest.mark_changed();
            let sending = async {
                while latest.changed().await.is_ok() {
                    let document = latest.borrow_and_update().clone();
                    if !document.is_empty() && sender.send_data(document).await.is_err() {
                        return;
                    }
                }
            };
            // Timeout or not, the answer ends here.
            let _ = tokio::time::timeout(STREAM_TIME, sending).await;
            drop(permit);
        });
        Some(Body::new(body))
    }
}
