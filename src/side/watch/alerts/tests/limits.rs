//! Connections, descriptors and memory near their limits.

use super::super::book::AlertState::{Firing, Resolved};
use super::super::rule::{Labels, Severity};
use super::bench::{Bench, flapping};
use crate::base::cause::Cause;
use crate::side::process::Memory;

#[test]
fn descriptors() {
    let mut bench = Bench::new();
    bench.sample.fds = Some((899, 1_000));
    bench.looks(30);
    bench.told(&[]);
    bench.sample.fds = Some((900, 1_000));
    bench.looks(10);
    let alert = bench.fires("fds_near_limit");
    assert_eq!(
        alert.summary,
        "900 of 1000 file descriptors are open, 90.0 % (threshold 90 %)"
    );
    bench.sample.fds = Some((730, 1_000));
    bench.looks(30);
    bench.told(&[]);
    // Figures that cannot be read change nothing.
    bench.sample.fds = None;
    bench.looks(30);
    bench.told(&[]);
    bench.sample.fds = Some((100, 1_000));
    bench.resolves("fds_near_limit");
}

#[test]
fn descriptors_that_have_run_out_are_told_at_once() {
    let mut bench = Bench::new();
    // Some descriptors were free again when the figures were read.
    bench.sample.fds = Some((100, 1_000));
    bench.counters().out_of_descriptors = 7;
    bench.look();
    let alert = bench.fires("fds_near_limit");
    assert_eq!(
        alert.summary,
        "accepting failed 7 times within 60 s: no file descriptor was free (threshold 90 %)"
    );
    // It is counted over the window, and does not need figures of the process.
    bench.sample.fds = None;
    bench.looks(5);
    bench.told(&[]);
    bench.sample.fds = Some((100, 1_000));
    bench.resolves("fds_near_limit");
    bench.settings.fds_percent = 0;
    bench.counters().out_of_descriptors = 8;
    bench.looks(30);
    bench.told(&[]);
}

#[test]
fn near_capacity_fires_at_nine_tenths_of_the_connections() {
    let mut bench = Bench::new();
    bench.counters().places = (8_999, 10_000);
    bench.looks(30);
    bench.told(&[]);
    bench.counters().places = (9_000, 10_000);
    bench.looks(6);
    bench.told(&[]);
    bench.look();
    let alert = bench.fires("near_capacity");
    assert_eq!(alert.severity, Severity::Warning);
    assert_eq!(alert.labels, Labels::new());
    assert_eq!(
        alert.summary,
        "9000 of at most 10000 connections are open, 90.0 % (threshold 90 %)"
    );
    // Between the bounds nothing changes.
    for taken in [8_000, 9_500, 7_200, 10_000, 8_999] {
        bench.counters().places.0 = taken;
        bench.looks(10);
    }
    bench.told(&[]);
    bench.counters().places.0 = 7_199;
    bench.looks(6);
    bench.told(&[]);
    bench.resolves("near_capacity");
    // A full gateway that refuses no connection is near its capacity, and nothing worse.
    bench.counters().places.0 = 10_000;
    bench.looks(30);
    bench.fires("near_capacity");
}

#[test]
fn at_capacity_fires_as_soon_as_a_newcomer_is_refused() {
    let mut bench = Bench::new();
    bench.counters().places = (10_000, 10_000);
    bench.counters().refused = 1;
    bench.look();
    let alert = bench.fires("at_capacity");
    assert_eq!(alert.severity, Severity::Critical);
    assert_eq!(
        alert.summary,
        "1 newcomer was refused within 60 s: 10000 of at most 10000 connections are open"
    );
    // The alert that it is nearly full is not sent, too, even if the state lasts.
    bench.looks_with(100, |bench| bench.counters().refused += 7);
    bench.told(&[]);
    // There is room and connections are accepted: that alert ends, and the lesser one is reported.
    bench.counters().places.0 = 9_500;
    bench.looks(30);
    bench.told(&[("at_capacity", Resolved), ("near_capacity", Firing)]);
    bench.counters().places.0 = 1_000;
    bench.resolves("near_capacity");
    // Another threshold, and off.
    bench.settings.refused = 100;
    bench.counters().refused += 99;
    bench.looks(5);
    bench.told(&[]);
    bench.counters().refused += 1;
    bench.look();
    bench.fires("at_capacity");
    bench.settings.refused = 0;
    bench.look();
    bench.told(&[("at_capacity", Resolved)]);
}

/// Returns a full gateway with a limit that the descriptors set: all of them are open, and there is
/// only one reason.
fn full_house() -> Bench {
    let mut bench = Bench::new();
    bench.settings.capped_by_descriptors = true;
    bench.counters().places = (9_500, 9_800);
    bench.sample.fds = Some((9_540, 10_000));
    bench
}

#[test]
fn descriptors_that_connections_have_taken_are_explained_by_the_capacity() {
    let mut bench = full_house();
    bench.looks(100);
    let alert = bench.fires("near_capacity");
    assert_eq!(
        alert.summary,
        "9500 of at most 9800 connections are open, 96.9 % (threshold 90 %); the file descriptors \
         allow no more"
    );
    bench.counters().places.0 = 9_800;
    bench.sample.fds = Some((9_860, 10_000));
    bench.looks_with(100, |bench| bench.counters().refused += 1);
    // The first alert ends as soon as the second reports the trouble, and the receiver gets both.
    bench.told(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    let last = bench.watch.book.all().pop().expect("it is remembered");
    assert_eq!((last.name, last.value), ("near_capacity", 100.0));
    assert_eq!(
        last.summary,
        "9800 of at most 9800 connections are open, 100.0 % (threshold 90 %); the file descriptors \
         allow no more; told as at_capacity"
    );
    // The same for a gateway that becomes full at once.
    let mut bench = full_house();
    bench.counters().places.0 = 9_800;
    bench.looks_with(100, |bench| bench.counters().refused += 1);
    bench.fires("at_capacity");
}

#[test]
fn an_alert_that_fired_first_ends_when_what_explains_it_fires() {
    let firing = |bench: &Bench| -> Vec<&str> {
        let firing = bench.watch.book.firing();
        firing.map(|alert| alert.name).collect()
    };
    // First the descriptors, then the connections that use them, then connections are refused.
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    bench.counters().places.0 = 9_500;
    bench.looks(30);
    bench.told(&[("near_capacity", Firing), ("fds_near_limit", Resolved)]);
    bench.counters().refused += 1;
    bench.look();
    bench.told(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    assert_eq!(firing(&bench), ["at_capacity"]);
    // Accepting fails: that is reported, too, as long as it is within the window.
    bench.counters().out_of_descriptors = 1;
    bench.look();
    bench.fires("fds_near_limit");
    bench.looks_with(5, |bench| bench.counters().refused += 1);
    assert_eq!(firing(&bench), ["at_capacity", "fds_near_limit"]);
    bench.looks_with(5, |bench| bench.counters().refused += 1);
    bench.told(&[("fds_near_limit", Resolved)]);
    // Also an alert that is about to be resolved, and one without readable figures.
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    bench.counters().places.0 = 9_500;
    bench.looks(7);
    bench.told(&[("near_capacity", Firing), ("fds_near_limit", Resolved)]);
    bench.counters().places.0 = 100;
    bench.sample.fds = None;
    bench.looks(3);
    bench.counters().refused += 1;
    bench.look();
    bench.told(&[("at_capacity", Firing), ("near_capacity", Resolved)]);
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    bench.sample.fds = None;
    bench.counters().refused += 1;
    bench.look();
    bench.told(&[("at_capacity", Firing), ("fds_near_limit", Resolved)]);
    // A mass death does not end alerts that began before it.
    let mut bench = Bench::new();
    bench.counters().suspects[1] = 500;
    bench.looks(30);
    bench.fires("many_suspects");
    bench.lose(0, 500, 7, Cause::STALE);
    bench.look();
    bench.fires("mass_death");
    assert_eq!(firing(&bench), ["mass_death", "many_suspects"]);
}

#[test]
fn what_is_resolved_has_the_value_and_the_summary_of_one_moment() {
    let mut bench = Bench::new();
    bench.counters().places = (10_000, 10_000);
    bench.counters().refused = 7;
    bench.look();
    let fired = bench.fires("at_capacity");
    bench.counters().places.0 = 1_000;
    bench.resolves("at_capacity");
    // They are counted for a minute.
    let resolved = bench.alert();
    assert_eq!(
        (resolved.value, resolved.threshold),
        (fired.value, fired.threshold)
    );
    assert_eq!(
        resolved.summary,
        "7 newcomers were refused within 60 s: 1000 of at most 10000 connections are open"
    );
    // An alert for which the rule has no reading any more.
    bench.sample.flapping = vec![flapping("ada", None), flapping("eve", None)];
    bench.look();
    bench.fires("flapping");
    bench.sample.flapping.pop();
    bench.look();
    bench.sample.flapping.clear();
    bench.resolves("flapping");
    let resolved = bench.alert();
    assert_eq!(resolved.value, 1.0);
    assert_eq!(resolved.summary, "glasses of ada reconnect too often");
}

#[test]
fn descriptors_are_told_where_the_capacity_does_not_explain_them() {
    // The limit is lower than the descriptors allow.
    let mut bench = full_house();
    bench.settings.capped_by_descriptors = false;
    bench.looks(30);
    bench.told(&[("near_capacity", Firing), ("fds_near_limit", Firing)]);
    // There are few connections: something else uses the descriptors.
    let mut bench = full_house();
    bench.counters().places.0 = 100;
    bench.looks(30);
    bench.fires("fds_near_limit");
    // The summary does not mention connections.
    let mut bench = full_house();
    bench.settings.capacity_percent = 0;
    bench.looks(30);
    bench.fires("fds_near_limit");
    // With a limit that leaves room for the rest, descriptors do not run out.
    let mut bench = full_house();
    bench.looks(30);
    bench.fires("near_capacity");
    bench.counters().out_of_descriptors = 1;
    bench.look();
    bench.fires("fds_near_limit");
}

#[test]
fn memory_says_which_limit() {
    let mut bench = Bench::new();
    let memory = |used: u64| Memory {
        used: used << 20,
        limit: 1_000 << 20,
        of: "the cgroup's limit",
    };
    bench.sample.memory = Some(memory(899));
    bench.looks(30);
    bench.told(&[]);
    bench.sample.memory = Some(memory(950));
    bench.looks(10);
    let alert = bench.fires("memory_near_limit");
    assert_eq!(
        alert.summary,
        "950 MiB of 1000 MiB are used, 95.0 % of the cgroup's limit (threshold 90 %)"
    );
    bench.sample.memory = Some(memory(100));
    bench.resolves("memory_near_limit");
}
