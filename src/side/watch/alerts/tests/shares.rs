//! Rules about shares of a class: suspects, stale closes, round trips, storms.

use super::super::alert_table::AlertState::Resolved;
use super::fleet_harness::{FleetHarness, labels};

#[test]
fn suspects_of_a_class() {
    let mut fleet = FleetHarness::new();
    fleet.counters().suspects = vec![99, 99];
    fleet.evaluate_times(100);
    fleet.expect_reports(&[]);
    fleet.counters().suspects[0] = 100;
    fleet.evaluate_times(12);
    fleet.expect_reports(&[]);
    fleet.evaluate();
    let alert = fleet.expect_firing("many_suspects");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        "10.0 % of glasses are suspect, 100 of 1000 (threshold 10 %)"
    );
    // Up and down between the bounds.
    for n in [99, 101, 80, 150, 81, 99, 100] {
        fleet.counters().suspects[0] = n;
        fleet.evaluate_times(10);
    }
    fleet.expect_reports(&[]);
    fleet.counters().suspects[0] = 79;
    fleet.evaluate_times(6);
    fleet.expect_reports(&[]);
    fleet.expect_resolved("many_suspects");
}

#[test]
fn a_value_at_the_threshold_does_not_flap() {
    let mut fleet = FleetHarness::new();
    for n in 0..1_000 {
        fleet.counters().suspects[0] = if n % 2 == 0 { 101 } else { 99 };
        fleet.evaluate();
    }
    fleet.expect_reports(&[]);
    fleet.counters().suspects[0] = 101;
    fleet.evaluate_times(20);
    fleet.expect_firing("many_suspects");
    for n in 0..1_000 {
        fleet.counters().suspects[0] = if n % 2 == 0 { 101 } else { 60 };
        fleet.evaluate();
    }
    fleet.expect_reports(&[]);
}

#[test]
fn a_handful_of_connections_has_no_share() {
    let mut fleet = FleetHarness::new();
    let counters = fleet.counters();
    (counters.live[1], counters.suspects[1]) = (49, 49);
    fleet.evaluate_times(100);
    fleet.expect_reports(&[]);
}

#[test]
fn a_class_that_is_sent_away_is_not_judged() {
    let mut fleet = FleetHarness::new();
    fleet.counters().draining = vec![true; 2];
    fleet.counters().suspects[0] = 900;
    fleet.evaluate_times(100);
    fleet.expect_reports(&[]);
}

#[test]
fn stale_closes() {
    // One after the other, from everywhere: no mass death.
    let trickle = |n: u64| {
        move |fleet: &mut FleetHarness| {
            fleet.counters().stale[1] += n;
            fleet.counters().ended[1] += n;
        }
    };
    let mut fleet = FleetHarness::new();
    fleet.evaluate_with(100, trickle(8));
    fleet.expect_reports(&[]);
    fleet.evaluate_with(30, trickle(9));
    let alert = fleet.expect_firing("stale_closes");
    assert_eq!(alert.labels, labels([("class", "app")]));
    assert!(alert.summary.starts_with("5"), "{}", alert.summary);
    fleet.expect_resolved("stale_closes");
    // The share is high, but there are few.
    fleet.counters().live[1] = 100;
    fleet.evaluate_times(10);
    fleet.evaluate_with(100, trickle(8));
    fleet.expect_reports(&[]);
}

#[test]
fn round_trips() {
    let mut fleet = FleetHarness::new();
    let pongs = |slow: u64, us: u64| {
        move |fleet: &mut FleetHarness| {
            for _ in 0..1_000 - slow {
                fleet.counters().rtt.record(50_000);
            }
            for _ in 0..slow {
                fleet.counters().rtt.record(us);
            }
        }
    };
    fleet.evaluate_with(100, pongs(9, 20_000_000));
    fleet.evaluate_with(100, pongs(20, 4_000_000));
    fleet.expect_reports(&[]);
    fleet.evaluate_with(30, pongs(20, 6_000_000));
    fleet.expect_reports(&[]);
    fleet.evaluate_with(10, pongs(20, 6_000_000));
    let alert = fleet.expect_firing("rtt_high");
    assert!(alert.value >= 5_000.0 && alert.threshold == 5_000.0);
    fleet.evaluate_with(30, pongs(0, 0));
    fleet.expect_reports(&[("rtt_high", Resolved)]);
    // Slow round trips, but hardly any.
    fleet.evaluate_with(100, |fleet| fleet.counters().rtt.record(60_000_000));
    fleet.expect_reports(&[]);
}

#[test]
fn a_storm_counts_arrivals_and_departures() {
    let mut fleet = FleetHarness::new();
    let churn = |n: u64| {
        move |fleet: &mut FleetHarness| {
            fleet.counters().opened[0] += n;
            fleet.counters().ended[0] += n;
        }
    };
    fleet.evaluate_with(100, churn(83));
    fleet.expect_reports(&[]);
    fleet.evaluate_with(18, churn(84));
    fleet.expect_reports(&[]);
    fleet.evaluate_with(10, churn(84));
    let alert = fleet.expect_firing("reconnect_storm");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    fleet.expect_resolved("reconnect_storm");
    // A fleet that only connects is not a storm, however fast.
    for _ in 0..40 {
        let more = fleet.counters().live[0] / 5;
        fleet.counters().opened[0] += more;
        fleet.counters().live[0] += more;
        fleet.evaluate();
    }
    fleet.expect_reports(&[]);
}
