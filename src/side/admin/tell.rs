//! Builds the documents that [`Live`](super::live::Live) sends.

use super::api::Teller;
use super::control::Control;
use axum::body::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The time from one document to the next.
const PACE: Duration = Duration::from_secs(1);

/// Builds documents while a client listens, until the process ends.
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
