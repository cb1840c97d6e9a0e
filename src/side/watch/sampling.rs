//! The samples for causes over time and for rates.

use super::watchers::Watchers;
use crate::base::time::Timestamp;
use crate::gateway::GatewayQueries;
use crate::side::loop_query;
use std::sync::Arc;
use std::time::Duration;

/// The time from one sample to the next.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);

/// The time from one collection of records to the next. With 10 000 places in the queue, 40 000
/// connections may end within a second without the loss of a record.
const COLLECT_INTERVAL: Duration = Duration::from_millis(250);

/// Collects the records of ended connections until the process ends.
pub(in crate::side) async fn collect(watchers: Arc<Watchers>) {
    loop {
        tokio::time::sleep(COLLECT_INTERVAL).await;
        watchers.collect_records();
    }
}

/// Takes samples until the process ends.
pub(in crate::side) async fn sample(watchers: Arc<Watchers>, queries: GatewayQueries) {
    let mut ticks = tokio::time::interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // Other code notices a loop that does not answer; the next sample covers the gap.
        if let Ok(snapshot) = loop_query::snapshot(&queries).await {
            watchers.series().add(Timestamp::now(), snapshot);
        }
    }
}
