//! The live stream: one document a second, made once for all listeners, and not made without
//! listeners.
//!
//! A listener that reads slowly skips documents; none are queued for it. A listener that disappears
//! silently is noticed when its socket takes no more bytes, or at the end of its time.

use axum::body::{Body, Bytes};
use http_body_util::channel::Channel;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// The limit of concurrent listeners: half of the admin connections, so that other requests are
/// still answered.
pub(super) const LISTENERS: usize = 32;

/// How long one answer of the live stream lasts; then a listener must send a new request.
const LISTENS: Duration = Duration::from_secs(10 * 60);

/// The latest document, and its listeners.
pub(in crate::side) struct Live {
    /// The document as it is sent; empty if there is no recent one.
    pub(super) latest: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
    pub(super) wanted: Notify,
}

impl Default for Live {
    fn default() -> Self {
        Live {
            latest: watch::Sender::default(),
            places: Arc::new(Semaphore::new(LISTENERS)),
            wanted: Notify::default(),
        }
    }
}

impl Live {
    /// Starts an answer that sends the latest document and each later one. `None`: the limit of
    /// listeners is reached.
    pub(super) fn listen(&self) -> Option<Body> {
        let place = self.places.clone().try_acquire_owned().ok()?;
        let mut latest = self.latest.subscribe();
        self.wanted.notify_one();
        let (mut sender, body) = Channel::<Bytes, Infallible>::new(1);
        tokio::spawn(async move {
            latest.mark_changed();
            let telling = async {
                while latest.changed().await.is_ok() {
                    let document = latest.borrow_and_update().clone();
                    if !document.is_empty() && sender.send_data(document).await.is_err() {
                        return;
                    }
                }
            };
            // Timeout or not, the answer ends here.
            let _ = tokio::time::timeout(LISTENS, telling).await;
            drop(place);
        });
        Some(Body::new(body))
    }
}
