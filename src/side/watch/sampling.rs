//! The samples for causes over time and for rates.

use super::watchers::Watchers;
use crate::base::time::Timestamp;
use crate::gateway::GatewayQueries;
use crate::side::loop_query;
use std::sync::Arc;
use std::time::Duration;

/// The time from one sample to the next.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// Takes samples until the process ends.
pub(in crate::side) async fn sample(watchers: Arc<Watchers>, queries: GatewayQueries) {
    let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // This keeps the boxes from filling.
        watchers.collect_records();
        // Other code notices a loop that does not answer; the next sample covers the gap.
        if let Ok(snapshot) = loop_query::snapshot(&queries).await {
            watchers.series().add(Timestamp::now(), snapshot);
        }
    }
}
