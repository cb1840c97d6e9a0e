//! The rules about the upstreams behind the routes.

use super::super::alert_table::AlertState::{Firing, Resolved};
use super::super::sample::Counters;
use super::fleet_harness::{FleetHarness, labels};
use crate::base::time::Micros;
use crate::gateway::{
    BRIDGE_CLASSES, Classes, HandshakeResult, HandshakeStats, RELAY_CLASSES, UpstreamCondition,
    UpstreamRow,
};

/// Returns a fleet of 500 pairs with one upstream, and none with another.
pub(super) fn fleet() -> FleetHarness {
    let classes = Classes::new(RELAY_CLASSES.into_iter().chain(BRIDGE_CLASSES));
    let mut fleet = FleetHarness::of(Counters {
        live: vec![0, 0, 500, 500],
        opened: vec![0, 0, 500, 500],
        places: (500, 10_000),
        ..Counters::zero(classes)
    });
    let row = |address: &str, pairs| UpstreamRow {
        route: "chat".into(),
        url: format!("http://{address}"),
        address: address.to_owned(),
        weight: 1,
        state: UpstreamCondition::Up,
        avoided_for: Micros::ZERO,
        pairs,
        dialing: 0,
        suspects: 0,
        since: Micros::ZERO,
        reason: String::new(),
        is_frozen: false,
        per_source: pairs,
        handshakes: HandshakeStats::default(),
    };
    fleet.sample.upstreams = vec![row("10.0.0.1:80", 500), row("10.0.0.2:80", 0)];
    fleet.sample.local_ports = Some(28_000);
    fleet
}

#[test]
fn more_than_half_of_its_connections_are_silent() {
    let mut fleet = fleet();
    fleet.sample.upstreams[0].suspects = 251;
    fleet.counters().suspects[3] = 251;
    fleet.evaluate();
    let alert = fleet.expect_firing("upstream_unresponsive");
    let of_it = labels([("route", "chat"), ("upstream", "10.0.0.1:80")]);
    assert_eq!(alert.labels, of_it);
    assert_eq!(
        alert.summary,
        "the upstream 10.0.0.1:80 of route chat does not answer: 251 of 500 connections are silent"
    );
    // It explains the suspects, however long they last.
    fleet.evaluate_times(60);
    fleet.expect_reports(&[]);
    fleet.sample.upstreams[0].suspects = 0;
    fleet.counters().suspects[3] = 0;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("upstream_unresponsive", Resolved)]);
}

#[test]
fn half_of_them_or_fewer_than_ten_are_no_frozen_service() {
    let mut fleet = fleet();
    for (pairs, suspects) in [(500, 250), (9, 9), (0, 0)] {
        let row = &mut fleet.sample.upstreams[0];
        (row.pairs, row.suspects) = (pairs, suspects);
        fleet.evaluate_times(5);
        fleet.expect_reports(&[]);
    }
}

/// Makes an upstream fail at 5 s.
fn fail(fleet: &mut FleetHarness, upstream: usize, state: UpstreamCondition) {
    let row = &mut fleet.sample.upstreams[upstream];
    (row.state, row.reason, row.since) = (state, "refused".to_owned(), Micros::from_secs(5));
    row.is_frozen |= state == UpstreamCondition::Unresponsive;
}

/// Makes an upstream serve again.
fn mend(fleet: &mut FleetHarness, upstream: usize) {
    let row = &mut fleet.sample.upstreams[upstream];
    (row.state, row.is_frozen) = (UpstreamCondition::Up, false);
}

#[test]
fn an_upstream_that_fails_is_down_once_and_explains_the_losses() {
    let mut fleet = fleet();
    fail(&mut fleet, 1, UpstreamCondition::Avoided);
    fleet.evaluate();
    fleet.expect_reports(&[]);
    fleet.counters().engine_time = Micros::from_secs(47);
    fleet.evaluate();
    let alert = fleet.expect_firing("upstream_down");
    let of_it = labels([("route", "chat"), ("upstream", "10.0.0.2:80")]);
    assert_eq!(alert.labels, of_it);
    assert_eq!(
        alert.summary,
        "the upstream 10.0.0.2:80 of route chat is down: it cannot be reached, or does not answer \
         requests: refused, for 42 s"
    );
    fleet.evaluate_times(60);
    fleet.expect_reports(&[]);
    // A drain by an operator is no trouble.
    fleet.sample.upstreams[1].state = UpstreamCondition::Drained;
    fleet.expect_resolved("upstream_down");
}

#[test]
fn ports_run_short() {
    let mut fleet = fleet();
    fleet.sample.upstreams[0].per_source = 25_200;
    fleet.evaluate_times(7);
    let alert = fleet.expect_firing("upstream_ports_near_limit");
    assert!(
        alert
            .summary
            .contains("take 25200 of 28000 local ports, 90.0 %")
    );
    fleet.sample.upstreams[0].per_source = 20_000;
    fleet.expect_resolved("upstream_ports_near_limit");
    fleet.settings.ports_percent = 0;
    fleet.sample.upstreams[0].per_source = 28_000;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
}

/// Counts handshakes with one upstream, each answered within `took`.
fn handshakes(fleet: &mut FleetHarness, upstream: usize, counts: [u64; 2], took: Micros) {
    let row = &fleet.sample.upstreams[upstream];
    let key = (row.route.clone(), row.address.clone());
    let stats = fleet.counters().handshakes.entry(key).or_default();
    let results = [HandshakeResult::Opened, HandshakeResult::Refused];
    for (result, count) in results.into_iter().zip(counts) {
        for _ in 0..count {
            stats.count(result);
            stats.add_answer_time(took);
        }
    }
}

/// Few clients are sent to an upstream that refuses, so those of the others count for it.
#[test]
fn it_refuses_the_few_websockets_that_it_gets_of_at_least_fifty_of_its_route() {
    let mut fleet = fleet();
    fleet.sample.upstreams[1].state = UpstreamCondition::Refusing;
    handshakes(&mut fleet, 0, [41, 0], QUICK);
    handshakes(&mut fleet, 1, [0, 8], QUICK);
    fleet.evaluate();
    fleet.expect_reports(&[]);
    let key = ("chat".into(), "10.0.0.2:80".into());
    let broken = fleet.counters().handshakes.entry(key).or_default();
    broken.count(HandshakeResult::Invalid);
    fleet.evaluate();
    let alert = fleet.expect_firing("upstream_refusing");
    assert_eq!(
        alert.summary,
        "the upstream 10.0.0.2:80 of route chat has refused 9 of 9 WebSockets"
    );
}

const QUICK: Micros = Micros::from_millis(5);

#[test]
fn it_refuses_a_fifth_of_at_least_fifty_websockets() {
    let mut fleet = fleet();
    handshakes(&mut fleet, 0, [39, 10], QUICK);
    handshakes(&mut fleet, 1, [81, 19], QUICK);
    fleet.evaluate();
    fleet.expect_reports(&[]);
    handshakes(&mut fleet, 0, [1, 0], QUICK);
    fleet.evaluate();
    let alert = fleet.expect_firing("upstream_refusing");
    let of_it = labels([("route", "chat"), ("upstream", "10.0.0.1:80")]);
    assert_eq!(alert.labels, of_it);
    assert_eq!(
        alert.summary,
        "the upstream 10.0.0.1:80 of route chat has refused 10 of 50 WebSockets"
    );
}

#[test]
fn its_answers_take_a_second_on_average() {
    let mut fleet = fleet();
    handshakes(&mut fleet, 0, [19, 0], Micros::from_millis(9_000));
    fleet.evaluate_with(60, |fleet| {
        handshakes(fleet, 1, [10, 0], Micros::from_millis(999));
    });
    fleet.expect_reports(&[]);
    fleet.evaluate_with(120, |fleet| {
        handshakes(fleet, 1, [10, 0], Micros::from_millis(1_001));
    });
    let alert = fleet.expect_firing("upstream_slow");
    let of_it = labels([("route", "chat"), ("upstream", "10.0.0.2:80")]);
    assert_eq!(alert.labels, of_it);
}

/// A frozen service with a health check, and one without, whose connections are closed in the end.
#[test]
fn a_frozen_service_fires_one_alert_whatever_is_noticed_first() {
    use UpstreamCondition::{Avoided, Unhealthy, Unresponsive};
    for (states, name) in [
        ([Unhealthy, Unresponsive, Avoided], "upstream_down"),
        ([Unresponsive, Avoided, Unhealthy], "upstream_unresponsive"),
        ([Avoided, Unresponsive, Unhealthy], "upstream_down"),
    ] {
        let mut fleet = fleet();
        for state in states {
            fail(&mut fleet, 0, state);
            fleet.evaluate_times(60);
        }
        fleet.expect_firing(name);
        // Another upstream of the same route has its own.
        fail(&mut fleet, 1, Unresponsive);
        fleet.evaluate_times(60);
        fleet.expect_firing("upstream_unresponsive");
        mend(&mut fleet, 1);
        fleet.evaluate_times(30);
        fleet.expect_reports(&[("upstream_unresponsive", Resolved)]);
        mend(&mut fleet, 0);
        fleet.expect_resolved(name);
    }
}

#[test]
fn refusals_and_slow_answers_are_told_as_the_upstream_that_is_down() {
    let mut fleet = fleet();
    handshakes(&mut fleet, 0, [0, 60], QUICK);
    fleet.evaluate();
    fleet.expect_firing("upstream_refusing");
    // That another one is down explains nothing.
    fail(&mut fleet, 1, UpstreamCondition::Avoided);
    fleet.evaluate_with(3, |fleet| handshakes(fleet, 0, [0, 10], QUICK));
    fleet.expect_firing("upstream_down");
    fail(&mut fleet, 0, UpstreamCondition::Avoided);
    fleet.evaluate_with(2, |fleet| handshakes(fleet, 0, [0, 10], QUICK));
    fleet.expect_reports(&[("upstream_down", Firing), ("upstream_refusing", Resolved)]);
    // The clients of the two go to a third one of the route, which becomes slow.
    let slow = Micros::from_millis(5_000);
    let third = UpstreamRow {
        address: "10.0.0.3:80".to_owned(),
        ..fleet.sample.upstreams[0].clone()
    };
    fleet.sample.upstreams.push(third);
    mend(&mut fleet, 2);
    fleet.evaluate_with(120, |fleet| handshakes(fleet, 2, [10, 0], slow));
    fleet.expect_reports(&[]);
    // So does one of another route, for a reason of its own.
    fleet.sample.upstreams[2].route = "other".into();
    fleet.evaluate_with(120, |fleet| handshakes(fleet, 2, [10, 0], slow));
    fleet.expect_firing("upstream_slow");
}
