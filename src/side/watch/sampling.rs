//! The samples that causes over time and rates are made from.

use super::watchers::Watchers;
use crate::base::time::Moment;
use crate::gateway::Desk;
use crate::side::ask;
use std::sync::Arc;
use std::time::Duration;

/// How often the counters are looked at.
const SAMPLE: Duration = Duration::from_secs(10);

/// Looks at the counters now and again, for ever.
pub(in crate::side) async fn sample(watchers: Arc<Watchers>, desk: Desk) {
    let mut ticks = tokio::time::interval(SAMPLE);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // So that the boxes do not fill.
        watchers.catch_up();
        // A loop that does not answer is seen elsewhere; the next sample covers the gap.
        if let Ok(snapshot) = ask::snapshot(&desk).await {
            watchers.series().add(Moment::now(), snapshot);
        }
    }
}
