//! What late heartbeats tell is part of the one story: the exact list of posts for troubles that
//! begin with them.

use super::super::alert_rule::Severity;
use super::super::alert_table::Alert;
use super::super::alert_table::AlertEvent;
use super::super::alert_table::AlertState::{Firing, Resolved};
use super::super::payload::{self, AlertSource};
use super::fleet_harness::{FleetHarness, labels};
use super::story::{come_back, ended, pass};
use super::upstreams;
use crate::base::cause::Cause;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::engine::{Class, CohortView, FleetView, OwnFault};
use crate::gateway::{EndVerdict, UpstreamCondition};
use serde_json::Value;

/// Lets the peers of a class in this /24 stop answering.
fn go_dark(fleet: &mut FleetHarness, class: u8, block: u8, connections: u32) {
    let foresight = &mut fleet.counters().foresight;
    foresight.cohorts_alarmed += 1;
    foresight.alarmed.push(CohortView {
        class: Class(class),
        block: NetworkBlock::of([10, 0, block, 1].into()),
        connections,
        usual_late_permille: 20,
        score_percent: 100,
        late_peers: 5,
        late_ago: Some(Micros::ZERO),
        alarmed_for: Some(Micros::ZERO),
        cadence: None,
    });
}

/// Ends all alarms of cohorts.
fn all_answer(fleet: &mut FleetHarness) {
    let foresight = &mut fleet.counters().foresight;
    foresight.cohorts_alarmed = 0;
    foresight.alarmed.clear();
    foresight.fleet = FleetView::default();
}

fn set_fleet(fleet: &mut FleetHarness, late: u64, own_fault: Option<OwnFault>) {
    fleet.counters().foresight.fleet = FleetView {
        judged: 1_000,
        late,
        is_late: late > 300 && own_fault.is_none(),
        own_fault,
    };
}

/// Closes the connections of a block as stale, a third at each evaluation.
fn die(fleet: &mut FleetHarness, class: usize, block: u8, many: u64) {
    for third in 1..=3 {
        fleet.lose(class, many / 3, block, Cause::STALE);
        let counters = fleet.counters();
        counters.suspects[class] = counters.suspects[class].saturating_sub(many / 3);
        ended(fleet, class, EndVerdict::NetworkLost, [many / 3 * third, 0]);
        fleet.evaluate();
    }
}

/// Returns the alerts that were posted, in order.
fn posted(fleet: &FleetHarness) -> Vec<Alert> {
    let events = fleet.events.iter();
    let changed = events.filter_map(|event| match event {
        AlertEvent::Changed(alert) => Some(alert.clone()),
        AlertEvent::Repeated(_) => None,
    });
    changed.collect()
}

fn fingerprint(alert: &Alert) -> String {
    let body = payload::body(std::slice::from_ref(alert), &AlertSource::default());
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    body["alerts"][0]["fingerprint"].to_string()
}

#[test]
fn a_block_goes_dark_and_comes_back() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 200);
    fleet.evaluate();
    let alert = fleet.last_alert();
    assert_eq!(
        alert.labels,
        labels([("block", "10.0.7.0/24"), ("class", "glasses")])
    );
    assert_eq!(
        alert.summary,
        "the peers of glasses in 10.0.7.0/24 have stopped answering together: heartbeats of at \
         least 5 peers are late, of 200 connections"
    );
    // Then they are suspect, for longer than it takes to tell suspects.
    fleet.counters().suspects[0] = 200;
    fleet.evaluate_times(20);
    fleet.counters().suspects[0] = 0;
    all_answer(&mut fleet);
    pass(&mut fleet, 0, EndVerdict::NetworkLost, 0);
    fleet.expect_reports(&[("cohort_late", Firing), ("cohort_late", Resolved)]);
}

#[test]
fn a_block_goes_dark_and_dies() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 300);
    fleet.evaluate();
    fleet.counters().suspects[0] = 300;
    fleet.evaluate_times(3);
    fleet.counters().foresight.alarmed[0].connections = 0;
    die(&mut fleet, 0, 7, 300);
    come_back(&mut fleet, 0, 300);
    // The alarm ends a minute after the last late heartbeat.
    fleet.evaluate_times(6);
    all_answer(&mut fleet);
    pass(&mut fleet, 0, EndVerdict::NetworkLost, 300);
    fleet.expect_reports(&[
        ("cohort_late", Firing),
        ("mass_death", Firing),
        ("mass_death", Resolved),
    ]);
    // It is one alert, which has become worse.
    let alerts = posted(&fleet);
    let [first, rest @ ..] = &alerts[..] else {
        panic!("nothing was posted")
    };
    assert_eq!(first.severity, Severity::Warning);
    for alert in rest {
        assert_eq!(alert.severity, Severity::Critical);
        assert_eq!((alert.id, alert.since), (first.id, first.since));
        assert_eq!(fingerprint(alert), fingerprint(first));
        assert_eq!(alert.labels, labels([("class", "glasses")]));
    }
    // The next one is another.
    fleet.lose(0, 300, 9, Cause::STALE);
    fleet.evaluate();
    let next = fleet.expect_firing("mass_death");
    assert!(next.id > first.id);
    assert_ne!(fingerprint(&next), fingerprint(first));
}

/// While its alert goes on as a mass death, which is about other blocks by now, the block goes dark
/// again.
#[test]
fn what_goes_on_does_not_begin_a_second_time() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 100);
    fleet.evaluate();
    fleet.lose(0, 100, 7, Cause::STALE);
    fleet.evaluate_times(4);
    fleet.lose(0, 100, 8, Cause::STALE);
    fleet.evaluate_times(4);
    fleet.lose(0, 100, 9, Cause::STALE);
    fleet.evaluate();
    fleet.expect_reports(&[("cohort_late", Firing), ("mass_death", Firing)]);
    all_answer(&mut fleet);
    fleet.expect_resolved("mass_death");
}

/// Both classes of a block are one trouble.
#[test]
fn a_block_with_two_classes_dies() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 300);
    go_dark(&mut fleet, 1, 7, 90);
    fleet.evaluate();
    assert!(
        fleet
            .last_alert()
            .summary
            .ends_with("; so have those of another block")
    );
    fleet.lose(1, 90, 7, Cause::STALE);
    die(&mut fleet, 0, 7, 300);
    all_answer(&mut fleet);
    pass(&mut fleet, 0, EndVerdict::NetworkLost, 300);
    fleet.expect_reports(&[
        ("cohort_late", Firing),
        ("cohort_late", Firing),
        ("mass_death", Firing),
        ("cohort_late", Resolved),
        ("mass_death", Resolved),
    ]);
    let alerts = posted(&fleet);
    assert!(alerts[3].summary.ends_with("; told as mass_death"));
    assert_eq!(&*alerts[3].labels["class"], "app", "the smaller one yields");
    assert_eq!(alerts[2].id, alerts[4].id);
}

/// A class that dies in many blocks is told as the class. One of the alerts goes on as that.
#[test]
fn a_class_goes_dark_in_four_blocks_and_dies() {
    let mut fleet = FleetHarness::new();
    for block in 1..=4 {
        go_dark(&mut fleet, 0, block, 60 + u32::from(block));
    }
    fleet.evaluate();
    fleet.expect_reports(&[("cohort_late", Firing); 4]);
    for block in 1..=4 {
        fleet.lose(0, 60, block, Cause::STALE);
    }
    fleet.evaluate();
    let wanted = [
        ("mass_death", Firing),
        ("cohort_late", Resolved),
        ("cohort_late", Resolved),
        ("cohort_late", Resolved),
    ];
    fleet.expect_reports(&wanted);
    let largest = posted(&fleet).into_iter().find(|alert| {
        alert
            .labels
            .get("block")
            .is_some_and(|b| **b == *"10.0.4.0/24")
    });
    let mass = posted(&fleet)
        .into_iter()
        .find(|alert| alert.name == "mass_death");
    assert_eq!(largest.map(|alert| alert.id), mass.map(|alert| alert.id));
    all_answer(&mut fleet);
    fleet.expect_resolved("mass_death");
}

#[test]
fn everything_goes_late_in_two_blocks_and_dies() {
    let mut fleet = FleetHarness::new();
    set_fleet(&mut fleet, 620, None);
    go_dark(&mut fleet, 0, 7, 450);
    go_dark(&mut fleet, 0, 8, 450);
    fleet.evaluate();
    assert_eq!(
        fleet.last_alert().summary,
        "620 of the latest 1000 heartbeats of all clients were late, 62.0 % (threshold 30 %), in \
         several address blocks: the cause is in front of this gateway, not the peers"
    );
    fleet.counters().suspects[0] = 900;
    fleet.evaluate_times(3);
    die(&mut fleet, 0, 7, 450);
    die(&mut fleet, 0, 8, 450);
    all_answer(&mut fleet);
    come_back(&mut fleet, 0, 900);
    pass(&mut fleet, 0, EndVerdict::NetworkLost, 900);
    fleet.expect_reports(&[("fleet_late", Firing), ("fleet_late", Resolved)]);
}

/// A cohort needs eight late heartbeats, the fleet three hundred: the cohort may be told first.
#[test]
fn a_block_that_was_told_first_yields_to_the_fleet() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 450);
    fleet.evaluate();
    set_fleet(&mut fleet, 301, None);
    go_dark(&mut fleet, 0, 8, 450);
    fleet.evaluate_times(30);
    fleet.expect_reports(&[
        ("cohort_late", Firing),
        ("fleet_late", Firing),
        ("cohort_late", Resolved),
    ]);
    assert!(posted(&fleet)[2].summary.ends_with("; told as fleet_late"));
    all_answer(&mut fleet);
    fleet.expect_resolved("fleet_late");
}

#[test]
fn our_own_stall_is_no_fault_of_peers() {
    let mut fleet = FleetHarness::new();
    fleet.counters().stalls += 1;
    go_dark(&mut fleet, 0, 7, 450);
    go_dark(&mut fleet, 0, 8, 450);
    set_fleet(&mut fleet, 900, Some(OwnFault::Stall));
    fleet.evaluate();
    all_answer(&mut fleet);
    pass(&mut fleet, 0, EndVerdict::GatewayStall, 0);
    fleet.expect_reports(&[("loop_stalls", Firing), ("loop_stalls", Resolved)]);
}

/// Without a stall: the deadlines are handled too late, and no other alert tells it.
#[test]
fn while_the_gateway_is_at_fault_nothing_is_told_and_what_was_told_ends() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 450);
    set_fleet(&mut fleet, 900, Some(OwnFault::Lateness));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    set_fleet(&mut fleet, 900, None);
    fleet.evaluate();
    fleet.expect_reports(&[("fleet_late", Firing)]);
    set_fleet(&mut fleet, 900, Some(OwnFault::Lateness));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("fleet_late", Resolved)]);
}

#[test]
fn upstreams_and_clients_are_late() {
    let mut fleet = upstreams::fleet();
    go_dark(&mut fleet, 2, 7, 250);
    go_dark(&mut fleet, 2, 8, 250);
    set_fleet(&mut fleet, 900, Some(OwnFault::Upstreams));
    fleet.evaluate();
    fleet.expect_reports(&[]);
    fleet.sample.upstreams[0].suspects = 500;
    fleet.counters().suspects = vec![0, 0, 500, 500];
    fleet.evaluate_times(3);
    // The fault is over first, and the alert still explains what is late.
    set_fleet(&mut fleet, 900, None);
    fleet.evaluate_times(3);
    fleet.counters().suspects = vec![0; 4];
    fleet.sample.upstreams[0].suspects = 0;
    fleet.sample.upstreams[0].state = UpstreamCondition::Up;
    all_answer(&mut fleet);
    pass(&mut fleet, 2, EndVerdict::UpstreamLost, 0);
    fleet.expect_reports(&[
        ("upstream_unresponsive", Firing),
        ("upstream_unresponsive", Resolved),
    ]);
}

/// A small block hides no trouble of the whole class, and a large one hides that of its class only.
#[test]
fn a_block_explains_what_it_can_be_the_reason_for() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 20);
    fleet.counters().suspects = vec![100, 0];
    fleet.evaluate_times(13);
    fleet.expect_reports(&[("cohort_late", Firing), ("many_suspects", Firing)]);
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 500);
    fleet.counters().suspects = vec![500, 500];
    fleet.evaluate_times(13);
    fleet.expect_reports(&[("cohort_late", Firing), ("many_suspects", Firing)]);
    assert_eq!(fleet.last_alert().labels, labels([("class", "app")]));
}

/// The ends of a block that is too small for a mass death are told under its name.
#[test]
fn a_small_block_goes_dark_and_dies() {
    let mut fleet = FleetHarness::new();
    go_dark(&mut fleet, 0, 7, 30);
    fleet.evaluate_times(3);
    fleet.counters().foresight.alarmed[0].connections = 0;
    die(&mut fleet, 0, 7, 30);
    all_answer(&mut fleet);
    pass(&mut fleet, 0, EndVerdict::NetworkLost, 30);
    fleet.expect_reports(&[("cohort_late", Firing), ("cohort_late", Resolved)]);
}

#[test]
fn the_settings_and_a_drain_turn_it_off() {
    let mut fleet = FleetHarness::new();
    fleet.settings.cohort_late = 21;
    fleet.settings.fleet_late = false;
    go_dark(&mut fleet, 0, 7, 20);
    set_fleet(&mut fleet, 900, None);
    fleet.evaluate_times(30);
    fleet.settings.cohort_late = 20;
    fleet.counters().draining[0] = true;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    fleet.counters().draining[0] = false;
    fleet.evaluate();
    fleet.expect_firing("cohort_late");
    fleet.settings.cohort_late = 0;
    fleet.evaluate();
    fleet.expect_reports(&[("cohort_late", Resolved)]);
}
