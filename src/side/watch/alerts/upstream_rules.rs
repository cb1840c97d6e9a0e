//! The measurements of the rules about the upstreams behind the routes.

use super::alert_rule::{Measurement, labels};
use super::rule_input::RuleInput;
use super::sample::percent;
use crate::gateway::{UpstreamCondition, UpstreamRow, is_service_unresponsive};

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
            labels: labels([("route", &row.route), ("upstream", &row.address)]),
            value,
            threshold,
            summary,
        }
    };
    Some(rows.map(measurement).collect())
}

pub(super) fn upstream_unresponsive(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    by_upstream(input, |row| {
        let is_unresponsive = is_service_unresponsive(row.pairs, row.suspects);
        let value = match is_unresponsive {
            true => percent(row.suspects, row.pairs),
            false => 0.0,
        };
        let summary = format!(
            "the upstream {} of route {} does not answer: {} of {} connections are silent",
            row.address, row.route, row.suspects, row.pairs
        );
        (value, UNRESPONSIVE_PERCENT, summary)
    })
}

pub(super) fn upstream_down(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    by_upstream(input, |row| {
        let is_wanted = !matches!(
            row.state,
            UpstreamCondition::Drained | UpstreamCondition::Vanished
        );
        let value = f64::from(u8::from(row.is_failing && is_wanted));
        let why = match row.state {
            UpstreamCondition::Unhealthy => "its health checks fail",
            _ => "it cannot be reached, or does not answer requests",
        };
        let summary = format!(
            "the upstream {} of route {} is down: {why}",
            row.address, row.route
        );
        (value, 1.0, summary)
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
