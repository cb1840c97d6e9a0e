//! The measurements of the rules about the upstreams behind the routes.

use super::alert_rule::{Measurement, labels};
use super::rule_input::RuleInput;
use super::sample::{Counters, percent};
use crate::base::time::Micros;
use crate::gateway::{
    HandshakeResult, HandshakeStats, UpstreamCondition, UpstreamRow, is_service_unresponsive,
};
use std::collections::HashMap;

/// An upstream is unresponsive if more than this percentage of its connections, and at least ten,
/// do not answer.
pub(super) const UNRESPONSIVE_PERCENT: f64 = 50.0;

/// Returns one measurement for each upstream that the settings still have.
fn by_upstream(
    input: &RuleInput<'_>,
    measure: impl Fn(&UpstreamRow) -> (f64, f64, String),
) -> Option<Vec<Measurement>> {
    input.fleet.as_ref()?;
    let is_used = |row: &&UpstreamRow| row.state != UpstreamCondition::Removed;
    let rows = input.sample.upstreams.iter().filter(is_used);
    let measurement = |row: &UpstreamRow| {
        let (value, threshold, summary) = measure(row);
        Measurement {
            labels: labels([("route", &row.route), ("upstream", name_of(row))]),
            value,
            threshold,
            summary,
            ..Measurement::default()
        }
    };
    Some(rows.map(measurement).collect())
}

pub(super) fn upstream_unresponsive(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    by_upstream(input, |row| {
        // The gateway itself closes the silent ones: the verdict outlives them.
        let value = match row.is_frozen {
            true => 100.0,
            false if is_service_unresponsive(row.pairs, row.suspects) => {
                percent(row.suspects, row.pairs)
            }
            false => 0.0,
        };
        let why = match row.state == UpstreamCondition::Avoided {
            true => row.reason.clone(),
            false => format!("{} of {} connections are silent", row.suspects, row.pairs),
        };
        let summary = format!(
            "the upstream {} of route {} does not answer: {why}{}",
            name_of(row),
            row.route,
            lasting(input, row)
        );
        (value, UNRESPONSIVE_PERCENT, summary)
    })
}

pub(super) fn upstream_down(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    by_upstream(input, |row| {
        let value = f64::from(u8::from(row.state.is_failing()));
        let what = match row.state {
            UpstreamCondition::Unhealthy => "its health checks fail",
            UpstreamCondition::Unresolved => "it has no address",
            _ => "it cannot be reached, or does not answer requests",
        };
        let summary = format!(
            "the upstream {} of route {} is down: {what}: {}{}",
            name_of(row),
            row.route,
            row.reason,
            lasting(input, row)
        );
        (value, 1.0, summary)
    })
}

/// Returns the name of an upstream: its address, or its location if no address is known.
fn name_of(row: &UpstreamRow) -> &str {
    match row.address.is_empty() {
        true => &row.url,
        false => &row.address,
    }
}

/// Returns for how long an upstream has been in its state, in words; empty if since the start.
fn lasting(input: &RuleInput<'_>, row: &UpstreamRow) -> String {
    let now = input.sample.counters.as_ref().map(|now| now.engine_time);
    match now {
        Some(now) if row.since > Micros::ZERO => {
            format!(", for {} s", (now - row.since).as_secs_f64().round())
        }
        _ => String::new(),
    }
}

/// An upstream refuses if it has answered this percentage of at least this many handshakes within
/// the window with another status than 101, or broken them off. One that is kept out of the choice
/// for that gets few of them: for it those of its route make the number.
pub(super) const REFUSING_PERCENT: f64 = 20.0;
const REFUSING_LEAST: u64 = 50;

/// An upstream is slow if its answers to at least this many handshakes within the window have taken
/// this long on average, in seconds.
pub(super) const SLOW_SECONDS: f64 = 1.0;
const SLOW_LEAST: u64 = 20;

/// Returns the handshakes with an upstream within the window.
fn handshakes_of(input: &RuleInput<'_>, row: &UpstreamRow) -> HandshakeStats {
    let key = (row.route.clone(), row.address.clone());
    let of = |counters: &Counters| counters.handshakes.get(&key).copied();
    let fleet = input.fleet.as_ref();
    let now = fleet.and_then(|fleet| of(fleet.now)).unwrap_or_default();
    let then = fleet.and_then(|fleet| of(fleet.then)).unwrap_or_default();
    now.since(&then)
}

/// Returns how many handshakes had an outcome that the upstream has decided, and how many of them
/// it has refused or broken off.
fn outcomes(counts: &HandshakeStats) -> (u64, u64) {
    let broken = counts.get(HandshakeResult::Invalid);
    let refused = counts.get(HandshakeResult::Refused) + broken;
    (counts.answered() + broken, refused)
}

pub(super) fn upstream_refusing(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let mut by_route: HashMap<&str, u64> = HashMap::new();
    for row in &input.sample.upstreams {
        let (all, _) = outcomes(&handshakes_of(input, row));
        *by_route.entry(&row.route).or_default() += all;
    }
    by_upstream(input, |row| {
        let (all, refused) = outcomes(&handshakes_of(input, row));
        let of_route = by_route.get(&*row.route).copied().unwrap_or(0);
        let enough = match row.state {
            UpstreamCondition::Refusing => of_route >= REFUSING_LEAST,
            _ => all >= REFUSING_LEAST,
        };
        let value = match enough {
            true => percent(refused, all),
            false => 0.0,
        };
        let summary = format!(
            "the upstream {} of route {} has refused {refused} of {all} WebSockets",
            name_of(row),
            row.route
        );
        (value, REFUSING_PERCENT, summary)
    })
}

pub(super) fn upstream_slow(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    by_upstream(input, |row| {
        let counts = handshakes_of(input, row);
        let answered = counts.answered();
        let value = match answered >= SLOW_LEAST {
            true => counts.answer_time().as_secs_f64() / answered as f64,
            false => 0.0,
        };
        let summary = format!(
            "the upstream {} of route {} has taken {value:.1} s on average to answer {answered} \
             requests",
            row.address, row.route
        );
        (value, SLOW_SECONDS, summary)
    })
}

pub(super) fn upstream_ports_near_limit(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let ports = input.sample.local_ports?;
    let threshold = input.settings.ports_percent as f64;
    by_upstream(input, |row| {
        let value = percent(row.per_source, ports);
        let summary = format!(
            "connections to the upstream {} of route {} take {} of {ports} local ports, {value:.1} \
             % (threshold {threshold} %)",
            row.address, row.route, row.per_source
        );
        (value, threshold, summary)
    })
}
