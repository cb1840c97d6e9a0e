//! The rule about a service behind the gateway that does not answer.

use super::super::alert_table::AlertState::Resolved;
use super::super::sample::Counters;
use super::fleet_harness::{FleetHarness, labels};
use crate::gateway::{BRIDGE_CLASSES, Classes, RELAY_CLASSES};

const UPSTREAM: usize = 3;

/// Returns a fleet of 500 pairs.
fn fleet() -> FleetHarness {
    let classes = Classes::new(RELAY_CLASSES.into_iter().chain(BRIDGE_CLASSES));
    FleetHarness::of(Counters {
        live: vec![0, 0, 500, 500],
        opened: vec![0, 0, 500, 500],
        places: (500, 10_000),
        ..Counters::zero(classes)
    })
}

#[test]
fn more_than_half_of_its_connections_are_silent() {
    let mut fleet = fleet();
    fleet.counters().suspects[UPSTREAM] = 251;
    fleet.evaluate();
    let alert = fleet.expect_firing("upstream_unresponsive");
    assert_eq!(alert.labels, labels([("class", "upstream")]));
    assert_eq!(
        alert.summary,
        "the service behind the gateway does not answer: 251 of 500 connections of class upstream \
         are silent"
    );
    // It explains the suspects, however long they last.
    fleet.evaluate_times(60);
    fleet.expect_reports(&[]);
    fleet.counters().suspects[UPSTREAM] = 0;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("upstream_unresponsive", Resolved)]);
}

#[test]
fn half_of_them_or_fewer_than_ten_are_no_frozen_service() {
    let mut fleet = fleet();
    fleet.counters().suspects[UPSTREAM] = 250;
    fleet.evaluate_times(5);
    fleet.expect_reports(&[]);
    let counters = fleet.counters();
    (counters.live[UPSTREAM], counters.suspects[UPSTREAM]) = (9, 9);
    fleet.evaluate_times(5);
    fleet.expect_reports(&[]);
    // Silent clients are many dead peers, not one.
    let counters = fleet.counters();
    (counters.suspects[UPSTREAM], counters.suspects[UPSTREAM - 1]) = (0, 400);
    fleet.evaluate_times(5);
    assert!(
        !fleet
            .reports
            .iter()
            .any(|(name, _)| *name == "upstream_unresponsive")
    );
}
