//! Builds the documents that [`LiveStream`](super::live_stream::LiveStream) sends.

use super::admin_state::AdminState;
use super::api::LiveBuilder;
use axum::body::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The time from one document to the next.
const INTERVAL: Duration = Duration::from_secs(1);

/// Builds documents while there is a subscriber, until the process ends.
pub(super) async fn run(admin: Arc<AdminState>) {
    let live = &admin.live;
    loop {
        live.wanted.notified().await;
        let mut builder = LiveBuilder::default();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if live.latest.receiver_count() == 0 {
                break;
            }
            live.latest.send_replace(builder.next_event(&admin).await);
        }
        live.latest.send_replace(Bytes::new());
    }
}
