//! What the gateway is like, told once a second to whoever listens: made once for all of them, and not at all for nobody.
//!
//! A listener who reads slowly skips documents; none are queued for it. One who is gone without a word is noticed when its
//! socket takes no more, or at the end of its time.

use super::Control;
use super::api::live::Teller;
use axum::body::{Body, Bytes};
use http_body_util::channel::Channel;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, watch};

/// From one document to the next.
const PACE: Duration = Duration::from_secs(1);

/// Listeners at one time: half of the connections that are served, so that questions are answered beside them.
pub(super) const LISTENERS: usize = 32;

/// How long one answer goes on; who still listens then asks again.
const LISTENS: Duration = Duration::from_secs(10 * 60);

/// The latest document, and who listens.
pub(super) struct Live {
    /// As it goes over the wire; empty: there is none that is not old.
    latest: watch::Sender<Bytes>,
    places: Arc<Semaphore>,
    wanted: Notify,
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

/// Makes documents while somebody listens, for ever.
pub(super) async fn run(control: Arc<Control>) {
    let live = &control.live;
    loop {
        live.wanted.notified().await;
        let mut teller = Teller::default();
        let mut ticks = tokio::time::interval(PACE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if live.latest.receiver_count() == 0 {
                break;
            }
            live.latest.send_replace(teller.tell(&control).await);
        }
        live.latest.send_replace(Bytes::new());
    }
}
