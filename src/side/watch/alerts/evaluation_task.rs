//! The task that takes samples and evaluates the alerts.

use super::alerting::Alerts;
use super::sample::{Counters, Observed, Sample};
use crate::base::time::{Micros, Timestamp};
use crate::gateway::{ForesightMark, ForesightSnapshot, GatewayQueries};
use crate::side::down_app::DownApp;
use crate::side::{loop_query, process};
use std::time::Duration;

/// The longest sleep before the task looks around: the settings may change while it waits for the
/// next evaluation, and what late heartbeats say is told at once.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// Evaluates the rules at regular intervals and reports alerts, until the process ends. `down`
/// returns the apps with a server that is down, and `http_requests` the plain HTTP requests in
/// progress and their limit. `collect_records` records the connections that have
/// ended, and returns what the watchers have seen.
pub(in crate::side) async fn run(
    alerts: &Alerts,
    queries: &GatewayQueries,
    down: impl Fn() -> Vec<DownApp>,
    http_requests: impl Fn() -> Option<(u64, u64)>,
    collect_records: impl Fn() -> Observed,
) {
    let mut evaluated_at: Option<Micros> = None;
    let mut mark: Option<ForesightMark> = None;
    loop {
        let settings = alerts.settings();
        if let Some(evaluated_at) = evaluated_at {
            let left = (evaluated_at + settings.interval - Timestamp::now().raw).as_duration();
            if !left.is_zero() {
                tokio::time::sleep(left.min(SLEEP_MAX)).await;
                let waits_on = left > SLEEP_MAX && settings.watches_late();
                if !(waits_on && has_changed(queries, mark).await) {
                    continue;
                }
            }
        }
        evaluated_at = Some(Timestamp::now().raw);
        let sample = if settings.on {
            Sample {
                down: down(),
                http_requests: http_requests(),
                ..take_sample(queries).await
            }
        } else {
            // Every rule is off, and firing alerts are resolved.
            Sample::default()
        };
        // This also keeps the box from filling.
        let Observed { verdicts, trouble } = collect_records();
        let Timestamp { raw, wall } = Timestamp::now();
        let sample = Sample {
            now: raw,
            wall,
            verdicts,
            trouble,
            ..sample
        };
        let foresight = sample.counters.as_ref().map(|now| &now.foresight);
        mark = foresight.map(ForesightSnapshot::mark).or(mark);
        alerts.evaluate(&settings, &sample);
    }
}

/// Returns whether late heartbeats say something else than at the last evaluation. A loop that does
/// not answer says nothing.
async fn has_changed(queries: &GatewayQueries, mark: Option<ForesightMark>) -> bool {
    let asked = loop_query::query(queries, |gateway, io| gateway.foresight_mark(io));
    asked.await.is_ok_and(|now| Some(now) != mark)
}

async fn take_sample(queries: &GatewayQueries) -> Sample {
    let asked = loop_query::query(queries, |gateway, io| {
        let (flapping, _) = gateway.flapping_identities(io);
        (gateway.snapshot(io), gateway.top_user_agents(io), flapping)
    });
    let (mut counters, mut flapping_now, mut upstreams) = (None, Vec::new(), Vec::new());
    if let Ok((snapshot, agents, flapping)) = asked.await {
        let counted = Counters::from(&snapshot);
        counters = Some(Counters { agents, ..counted });
        flapping_now = flapping;
        upstreams = snapshot.upstreams;
    }
    let process_stats = process::stats();
    Sample {
        counters,
        flapping: flapping_now,
        fds: process_stats.open_fds.zip(process_stats.max_fds),
        memory: process::memory(),
        upstreams,
        local_ports: process::local_ports(),
        ..Sample::default()
    }
}
