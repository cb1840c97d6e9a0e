//! What the gateway is like, told once a second to whoever listens: made once for all of them, and not at all for nobody.
//!
//! A listener who reads slowly skips documents; none are queued for it. One who is gone without a word is noticed when its
//! socket takes no more, or at the end of its time.

use axum::body::{Body, Bytes};
use http_body_util::channel::Channel;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// Listeners at one time: half of the connections that are served, so that questions are answered beside them.
pub(super) const LISTENERS: usize = 32;

/// How long one answer goes on; who still listens then asks again.
const LISTENS: Duration = Duration::from_secs(10 * 60);

/// The latest document, and who listens.
pub(in crate::side) struct Live {
    /// As it goes over the wire; empty: there is none that is not old.
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
    /// An answer that goes on, the latest document first. `None`: there are listeners enough.
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
            // Either way it is over.
            let _ = tokio::time::timeout(LISTENS, telling).await;
            drop(place);
        });
        Some(Body::new(body))
    }
}
