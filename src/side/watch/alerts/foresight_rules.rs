//! The measurements of the rules about late heartbeats: of all clients, and of single cohorts.
//!
//! While this process itself is at fault for late heartbeats, both rules see none.

use super::alert_rule::{Extent, Measurement, labels};
use super::rule_input::RuleInput;
use super::sample::percent;
use crate::engine::CohortView;

/// The share of late heartbeats, in percent, from which the engine says that the fleet is late.
pub(super) const FLEET_LATE_PERCENT: f64 = 30.0;

/// Returns the share of the latest heartbeats of all clients that were late.
pub(super) fn fleet_late(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let fleet = input.fleet.as_ref()?.now.foresight.fleet;
    if !fleet.is_late || fleet.own_fault.is_some() {
        return Some(Vec::new());
    }
    let value = percent(fleet.late, fleet.judged);
    let summary = format!(
        "{} of the latest {} heartbeats of all clients were late, {value:.1} % (threshold \
         {FLEET_LATE_PERCENT} %), in several address blocks: the cause is in front of this \
         gateway, not the peers",
        fleet.late, fleet.judged
    );
    Measurement::single(value, FLEET_LATE_PERCENT, summary)
}

/// Returns the cohorts whose peers have stopped answering together. The peers of a class that is
/// drained are about to go.
pub(super) fn cohort_late(input: &RuleInput<'_>) -> Option<Vec<Measurement>> {
    let now = input.fleet.as_ref()?.now;
    let foresight = &now.foresight;
    if foresight.fleet.own_fault.is_some() {
        return Some(Vec::new());
    }
    let others = match foresight.cohorts_alarmed.saturating_sub(1) {
        0 => String::new(),
        1 => "; so have those of another block".to_owned(),
        others => format!("; so have those of {others} others"),
    };
    let measurement = |cohort: &CohortView| {
        let (class, block) = (now.classes.name(cohort.class), cohort.block.to_string());
        Measurement {
            summary: format!(
                "the peers of {class} in {block} have stopped answering together: heartbeats of at \
                 least {} peers are late, of {} connections{others}",
                cohort.late_peers, cohort.connections
            ),
            labels: labels([("class", class), ("block", &block)]),
            value: f64::from(cohort.connections),
            threshold: input.settings.cohort_late as f64,
            extent: Extent {
                blocks: vec![cohort.block],
                connections: cohort.connections.into(),
            },
        }
    };
    let drains = |cohort: &&CohortView| {
        let drains = now.draining.get(usize::from(cohort.class.0));
        drains.copied().unwrap_or(false)
    };
    let alarmed = foresight.alarmed.iter();
    let told = alarmed.filter(|cohort| !drains(cohort));
    Some(told.map(measurement).collect())
}
