//! The measurement of the rule about verdicts.

use super::super::verdicts::VerdictGrowth;
use super::alert_rule::{Extent, Measurement, labels};
use super::rule_input::RuleInput;
use crate::base::time::Micros;
use crate::gateway::EndVerdict;

/// How many times the usual number of ends makes a jump.
const JUMP_FACTOR: u64 = 5;

/// The span of the recent ends, in minutes.
const RECENT_MINUTES: u64 = 10;

/// The same as a time.
pub(super) const RECENT_ENDS: Micros = Micros::from_secs(60 * RECENT_MINUTES);

/// How many minutes before the recent ones must be known: a gateway that has just started has no
/// usual number.
const BEFORE_MINUTES_MIN: u64 = 10;

/// Returns the verdicts with more ends in the last 10 minutes than usual. What the gateway does on
/// purpose, and what happens while a class is drained, is no surprise.
pub(super) fn verdict_jump(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let fleet = input.fleet.as_ref()?;
    let is_told = |growth: &&VerdictGrowth| {
        let drains = fleet.now.draining.get(growth.class).copied();
        growth.verdict != EndVerdict::GatewayAction
            && growth.before_minutes >= BEFORE_MINUTES_MIN
            && !drains.unwrap_or(false)
    };
    let growths = input.sample.verdicts.iter().filter(is_told);
    let measured = growths.map(|growth| {
        let (class, verdict) = (fleet.class_name(growth.class), growth.verdict);
        // The usual number in as many minutes.
        let usual = (growth.before * RECENT_MINUTES) as f64 / growth.before_minutes as f64;
        let threshold = (usual * JUMP_FACTOR as f64).max(input.settings.verdict_jump as f64);
        Measurement {
            labels: labels([("class", class), ("verdict", verdict.name())]),
            value: growth.recent as f64,
            threshold,
            summary: format!(
                "{} connections of {class} ended with the verdict {verdict} within \
                 {RECENT_MINUTES} min; {usual:.1} are usual: {}. {}",
                growth.recent,
                verdict.meaning(),
                verdict.action()
            ),
            extent: Extent {
                connections: growth.recent,
                ..Extent::default()
            },
        }
    });
    Some(measured.collect())
}
