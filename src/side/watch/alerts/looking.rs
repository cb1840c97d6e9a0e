//! The looks that feed the alerts.

use super::alerting::Alerts;
use super::sample::{Counters, Sample};
use crate::base::time::{Micros, Timestamp};
use crate::gateway::Desk;
use crate::side::down::DownApp;
use crate::side::{ask, process};
use std::time::Duration;

/// The longest sleep before the settings are read again: they may change while the task waits for
/// the next evaluation.
const NOTICE: Duration = Duration::from_secs(1);

/// Evaluates the rules at regular intervals and reports alerts, until the process ends. `down`
/// returns the apps with a server that is down. `catch_up` records the connections that have ended.
pub(in crate::side) async fn watch(
    alerts: &Alerts,
    desk: &Desk,
    down: impl Fn() -> Vec<DownApp>,
    catch_up: impl Fn(),
) {
    let mut looked: Option<Micros> = None;
    loop {
        let settings = alerts.settings();
        if let Some(looked) = looked {
            let left = (looked + settings.interval - Timestamp::now().raw).as_duration();
            if !left.is_zero() {
                tokio::time::sleep(left.min(NOTICE)).await;
                continue;
            }
        }
        looked = Some(Timestamp::now().raw);
        let sample = if settings.on {
            look_at(desk, &down).await
        } else {
            // Every rule is off, and firing alerts are resolved.
            Sample::default()
        };
        // This also keeps the box from filling.
        catch_up();
        let Timestamp { raw, wall } = Timestamp::now();
        let sample = Sample {
            now: raw,
            wall,
            ..sample
        };
        alerts.look(&settings, &sample);
    }
}

async fn look_at(desk: &Desk, down: impl Fn() -> Vec<DownApp>) -> Sample {
    let asked = ask::ask(desk, |gateway, io| {
        let (flapping, _) = gateway.flapping(io);
        (gateway.snapshot(io), gateway.user_agents(io), flapping)
    });
    let (mut counters, mut flapping_now) = (None, Vec::new());
    if let Ok((snapshot, agents, flapping)) = asked.await {
        let counted = Counters::from(&snapshot);
        counters = Some(Counters { agents, ..counted });
        flapping_now = flapping;
    }
    let figures = process::figures();
    Sample {
        counters,
        flapping: flapping_now,
        down: down(),
        fds: figures.open_fds.zip(figures.max_fds),
        memory: process::memory(),
        ..Sample::default()
    }
}
