//! The task that keeps ends with alerts, and the sample of open connections.

use super::living_traits::LivingTraits;
use crate::gateway::{Classes, GatewayQueries};
use crate::side::loop_query;
use std::time::Duration;

/// The time from one look at the alerts to the next.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks for new alerts until the process ends. `is_news` returns whether an alert needs a sample
/// of the open connections; `update` takes it, and brings everything up to date.
pub(in crate::side) async fn run(
    queries: &GatewayQueries,
    classes: &Classes,
    is_news: impl Fn() -> bool,
    update: impl Fn(Option<LivingTraits>),
) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let living = match is_news() {
            true => ask_living(queries, classes).await,
            false => None,
        };
        update(living);
    }
}

/// Returns how frequent traits are among the open connections. `None`: the loop does not answer.
pub(in crate::side) async fn ask_living(
    queries: &GatewayQueries,
    classes: &Classes,
) -> Option<LivingTraits> {
    let sample = loop_query::sample_living(queries).await.ok()?;
    Some(LivingTraits::of(classes, &sample))
}
