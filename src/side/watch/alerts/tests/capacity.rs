//! Connections, descriptors and memory near their limits.

use super::super::alert_rule::{Labels, Severity};
use super::super::alert_table::AlertState::{Firing, Resolved};
use super::fleet_harness::{FleetHarness, flapping};
use crate::base::cause::Cause;
use crate::side::process::MemoryUse;

#[test]
fn descriptors() {
    let mut fleet = FleetHarness::new();
    fleet.sample.fds = Some((899, 1_000));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    fleet.sample.fds = Some((900, 1_000));
    fleet.evaluate_times(10);
    let alert = fleet.expect_firing("fds_near_limit");
    assert_eq!(
        alert.summary,
        "900 of 1000 file descriptors are open, 90.0 % (threshold 90 %)"
    );
    fleet.sample.fds = Some((730, 1_000));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    // Figures that cannot be read change nothing.
    fleet.sample.fds = None;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    fleet.sample.fds = Some((100, 1_000));
    fleet.expect_resolved("fds_near_limit");
}

#[test]
fn descriptors_that_have_run_out_are_told_at_once() {
    let mut fleet = FleetHarness::new();
    // Some descriptors were free again when the figures were read.
    fleet.sample.fds = Some((100, 1_000));
    fleet.counters().out_of_descriptors = 7;
    fleet.evaluate();
    let alert = fleet.expect_firing("fds_near_limit");
    assert_eq!(
        alert.summary,
        "accepting failed 7 times within 60 s: no file descriptor was free (threshold 90 %)"
    );
    // It is counted over the window, and does not need figures of the process.
    fleet.sample.fds = None;
    fleet.evaluate_times(5);
    fleet.expect_reports(&[]);
    fleet.sample.fds = Some((100, 1_000));
    fleet.expect_resolved("fds_near_limit");
    fleet.settings.fds_percent = 0;
    fleet.counters().out_of_descriptors = 8;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
}

#[test]
fn near_capacity_fires_at_nine_tenths_of_the_connections() {
    let mut fleet = FleetHarness::new();
    fleet.counters().places = (8_999, 10_000);
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    fleet.counters().places = (9_000, 10_000);
    fleet.evaluate_times(6);
    fleet.expect_reports(&[]);
    fleet.evaluate();
    let alert = fleet.expect_firing("near_capacity");
    assert_eq!(alert.severity, Severity::Warning);
    assert_eq!(alert.labels, Labels::new());
    assert_eq!(
        alert.summary,
        "9000 of at most 10000 connections are open, 90.0 % (threshold 90 %)"
    );
    // Between the bounds nothing changes.
    for taken in [8_000, 9_500, 7_200, 10_000, 8_999] {
        fleet.counters().places.0 = taken;
        fleet.evaluate_times(10);
    }
    fleet.expect_reports(&[]);
    fleet.counters().places.0 = 7_199;
    fleet.evaluate_times(6);
    fleet.expect_reports(&[]);
    fleet.expect_resolved("near_capacity");
    // A full gateway that refuses no connection is near its capacity, and nothing worse.
    fleet.counters().places.0 = 10_000;
    fleet.evaluate_times(30);
    fleet.expect_firing("near_capacity");
}

#[test]
fn at_capacity_fires_as_soon_as_a_newcomer_is_refused() {
    let mut fleet = FleetHarness::new();
    fleet.counters().places = (10_000, 10_000);
    fleet.counters().refused = 1;
    fleet.evaluate();
    let alert = fleet.expect_firing("at_capacity");
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(
        alert.summary,
        "1 newcomer was refused within 60 s: 10000 of at most 10000 connections are open"
    );
    // The alert that it is nearly full is not sent, too, even if the state lasts.
    fleet.evaluate_with(100, |fleet| fleet.counters().refused += 7);
    fleet.expect_reports(&[]);
    // There is room and connections are accepted: that alert ends, and the lesser one is reported.
    fleet.counters().places.0 = 9_500;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("at_capacity", Resolved), ("near_capacity", Firing)]);
    fleet.counters().places.0 = 1_000;
    fleet.expect_resolved("near_capacity");
    // Another threshold, and off.
    fleet.settings.refused = 100;
    fleet.counters().refused += 99;
    fleet.evaluate_times(5);
    fleet.expect_reports(&[]);
    fleet.counters().refused += 1;
    fleet.evaluate();
    fleet.expect_firing("at_capacity");
    fleet.settings.refused = 0;
    fleet.evaluate();
    fleet.expect_reports(&[("at_capacity", Resolved)]);
}

/// Returns a full gateway with a limit that the descriptors set: all of them are open, and there is
/// only one reason.
fn full_gateway() -> FleetHarness {
    let mut fleet = FleetHarness::new();
    fleet.settings.capped_by_descriptors = true;
    fleet.counters().places = (9_500, 9_800);
    fleet.sample.fds = Some((9_540, 10_000));
    fleet
}

#[test]
fn descriptors_that_connections_have_taken_are_explained_by_the_capacity() {
    let mut fleet = full_gateway();
    fleet.evaluate_times(100);
    let alert = fleet.expect_firing("near_capacity");
    assert_eq!(
        alert.summary,
        "9500 of at most 9800 connections are open, 96.9 % (threshold 90 %); the file descriptors \
         allow no more"
    );
    fleet.counters().places.0 = 9_800;
    fleet.sample.fds = Some((9_860, 10_000));
    fleet.evaluate_with(100, |fleet| fleet.counters().refused += 1);
    // The first alert ends as soon as the second reports the trouble, and the receiver gets both.
    fleet.expect_reports(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    let last = fleet.evaluator.table.all().pop().expect("it is remembered");
    assert_eq!((last.name, last.value), ("near_capacity", 100.0));
    assert_eq!(
        last.summary,
        "9800 of at most 9800 connections are open, 100.0 % (threshold 90 %); the file descriptors \
         allow no more; told as at_capacity"
    );
    // The same for a gateway that becomes full at once.
    let mut fleet = full_gateway();
    fleet.counters().places.0 = 9_800;
    fleet.evaluate_with(100, |fleet| fleet.counters().refused += 1);
    fleet.expect_firing("at_capacity");
}

#[test]
fn an_alert_that_fired_first_ends_when_what_explains_it_fires() {
    let firing = |fleet: &FleetHarness| -> Vec<&str> {
        let firing = fleet.evaluator.table.firing();
        firing.map(|alert| alert.name).collect()
    };
    // First the descriptors, then the connections that use them, then connections are refused.
    let mut fleet = full_gateway();
    fleet.counters().places.0 = 100;
    fleet.evaluate_times(30);
    fleet.expect_firing("fds_near_limit");
    fleet.counters().places.0 = 9_500;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("near_capacity", Firing), ("fds_near_limit", Resolved)]);
    fleet.counters().refused += 1;
    fleet.evaluate();
    fleet.expect_reports(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    assert_eq!(firing(&fleet), ["at_capacity"]);
    // Accepting fails: that is reported, too, as long as it is within the window.
    fleet.counters().out_of_descriptors = 1;
    fleet.evaluate();
    fleet.expect_firing("fds_near_limit");
    fleet.evaluate_with(5, |fleet| fleet.counters().refused += 1);
    assert_eq!(firing(&fleet), ["at_capacity", "fds_near_limit"]);
    fleet.evaluate_with(5, |fleet| fleet.counters().refused += 1);
    fleet.expect_reports(&[("fds_near_limit", Resolved)]);
    // Also an alert that is about to be resolved, and one without readable figures.
    let mut fleet = full_gateway();
    fleet.counters().places.0 = 100;
    fleet.evaluate_times(30);
    fleet.expect_firing("fds_near_limit");
    fleet.counters().places.0 = 9_500;
    fleet.evaluate_times(7);
    fleet.expect_reports(&[("near_capacity", Firing), ("fds_near_limit", Resolved)]);
    fleet.counters().places.0 = 100;
    fleet.sample.fds = None;
    fleet.evaluate_times(3);
    fleet.counters().refused += 1;
    fleet.evaluate();
    fleet.expect_reports(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    let mut fleet = full_gateway();
    fleet.counters().places.0 = 100;
    fleet.evaluate_times(30);
    fleet.expect_firing("fds_near_limit");
    fleet.sample.fds = None;
    fleet.counters().refused += 1;
    fleet.evaluate();
    fleet.expect_reports(&[("at_capacity", Firing), ("fds_near_limit", Resolved)]);
    // A mass death does not end alerts that began before it.
    let mut fleet = FleetHarness::new();
    fleet.counters().suspects[1] = 500;
    fleet.evaluate_times(30);
    fleet.expect_firing("many_suspects");
    fleet.lose(0, 500, 7, Cause::STALE);
    fleet.evaluate();
    fleet.expect_firing("mass_death");
    assert_eq!(firing(&fleet), ["mass_death", "many_suspects"]);
}

#[test]
fn what_is_resolved_has_the_value_and_the_summary_of_one_moment() {
    let mut fleet = FleetHarness::new();
    fleet.counters().places = (10_000, 10_000);
    fleet.counters().refused = 7;
    fleet.evaluate();
    let fired = fleet.expect_firing("at_capacity");
    fleet.counters().places.0 = 1_000;
    fleet.expect_resolved("at_capacity");
    // They are counted for a minute.
    let resolved = fleet.last_alert();
    assert_eq!(
        (resolved.value, resolved.threshold),
        (fired.value, fired.threshold)
    );
    assert_eq!(
        resolved.summary,
        "7 newcomers were refused within 60 s: 1000 of at most 10000 connections are open"
    );
    // An alert for which the rule has no measurement any more.
    fleet.sample.flapping = vec![flapping("ada", None), flapping("eve", None)];
    fleet.evaluate();
    fleet.expect_firing("flapping");
    fleet.sample.flapping.pop();
    fleet.evaluate();
    fleet.sample.flapping.clear();
    fleet.expect_resolved("flapping");
    let resolved = fleet.last_alert();
    assert_eq!(resolved.value, 1.0);
    assert_eq!(resolved.summary, "glasses of ada reconnect too often");
}

#[test]
fn descriptors_are_told_where_the_capacity_does_not_explain_them() {
    // The limit is lower than the descriptors allow.
    let mut fleet = full_gateway();
    fleet.settings.capped_by_descriptors = false;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("near_capacity", Firing), ("fds_near_limit", Firing)]);
    // There are few connections: something else uses the descriptors.
    let mut fleet = full_gateway();
    fleet.counters().places.0 = 100;
    fleet.evaluate_times(30);
    fleet.expect_firing("fds_near_limit");
    // The summary does not mention connections.
    let mut fleet = full_gateway();
    fleet.settings.capacity_percent = 0;
    fleet.evaluate_times(30);
    fleet.expect_firing("fds_near_limit");
    // With a limit that leaves room for the rest, descriptors do not run out.
    let mut fleet = full_gateway();
    fleet.evaluate_times(30);
    fleet.expect_firing("near_capacity");
    fleet.counters().out_of_descriptors = 1;
    fleet.evaluate();
    fleet.expect_firing("fds_near_limit");
}

#[test]
fn memory_says_which_limit() {
    let mut fleet = FleetHarness::new();
    let memory = |used: u64| MemoryUse {
        used: used << 20,
        limit: 1_000 << 20,
        name: "the cgroup's limit",
    };
    fleet.sample.memory = Some(memory(899));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    fleet.sample.memory = Some(memory(950));
    fleet.evaluate_times(10);
    let alert = fleet.expect_firing("memory_near_limit");
    assert_eq!(
        alert.summary,
        "950 MiB of 1000 MiB are used, 95.0 % of the cgroup's limit (threshold 90 %)"
    );
    fleet.sample.memory = Some(memory(100));
    fleet.expect_resolved("memory_near_limit");
}

#[test]
fn plain_http_requests_are_near_their_limit() {
    let mut fleet = FleetHarness::new();
    fleet.sample.http_requests = Some((899, 1_000));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    fleet.sample.http_requests = Some((900, 1_000));
    fleet.evaluate_times(10);
    let alert = fleet.expect_firing("http_requests_near_limit");
    assert_eq!(
        alert.summary,
        "900 of at most 1000 plain HTTP requests are in progress, 90.0 % (threshold 90 %)"
    );
    fleet.sample.http_requests = Some((0, 1_000));
    fleet.expect_resolved("http_requests_near_limit");
}
