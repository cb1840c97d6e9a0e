//! The alert about verdicts.

use super::super::super::verdicts::VerdictGrowth;
use super::super::alert_table::AlertState;
use super::fleet_harness::{FleetHarness, labels};
use crate::base::cause::Cause;
use crate::gateway::EndVerdict;

fn growth(verdict: EndVerdict, recent: u64, before: u64, before_minutes: u64) -> VerdictGrowth {
    VerdictGrowth {
        class: 0,
        verdict,
        recent,
        before,
        before_minutes,
    }
}

fn fires(growth: VerdictGrowth) -> bool {
    let mut fleet = FleetHarness::new();
    fleet.sample.verdicts = vec![growth];
    fleet.evaluate();
    !fleet.reports.is_empty()
}

#[test]
fn a_verdict_jumps_at_twenty_and_at_five_times_the_usual_number() {
    let of = |recent, before| growth(EndVerdict::NetworkLost, recent, before, 60);
    assert!(fires(of(20, 0)));
    assert!(!fires(of(19, 0)));
    assert!(fires(of(20, 24)), "4 in 10 min");
    assert!(!fires(of(20, 25)));
    assert!(fires(of(500, 600)));
    assert!(!fires(of(499, 600)));
}

#[test]
fn what_is_usual_must_be_known() {
    let of = |minutes| growth(EndVerdict::Unknown, 100, 0, minutes);
    assert!(!fires(of(0)), "the gateway has just started");
    assert!(!fires(of(9)));
    assert!(fires(of(10)));
    // 10 in 20 min are 5 in 10 min.
    assert!(fires(growth(EndVerdict::Unknown, 25, 10, 20)));
    assert!(!fires(growth(EndVerdict::Unknown, 24, 10, 20)));
}

#[test]
fn the_gateways_own_actions_are_no_surprise() {
    assert!(!fires(growth(EndVerdict::GatewayAction, 1_000, 0, 60)));
    let mut fleet = FleetHarness::new();
    fleet.counters().draining[0] = true;
    fleet.sample.verdicts = vec![growth(EndVerdict::PeerLeft, 1_000, 0, 60)];
    fleet.evaluate_times(3);
    assert_eq!(fleet.reports, [], "a rolling deploy");
}

#[test]
fn the_alert_names_the_class_and_the_verdict_and_0_turns_it_off() {
    let mut fleet = FleetHarness::new();
    fleet.sample.verdicts = vec![growth(EndVerdict::SlowLink, 30, 0, 60)];
    fleet.evaluate();
    let alert = fleet.expect_firing("verdict_jump");
    assert_eq!(
        alert.labels,
        labels([("class", "glasses"), ("verdict", "slow_link")])
    );
    assert!(
        alert.summary.starts_with("30 connections of glasses ended"),
        "{}",
        alert.summary
    );
    fleet.settings.verdict_jump = 0;
    fleet.expect_resolved("verdict_jump");
}

#[test]
fn a_mass_death_explains_the_jump_of_a_verdict() {
    let mut fleet = FleetHarness::new();
    fleet.lose(0, 200, 7, Cause::PEER_RESET);
    fleet.sample.verdicts = vec![growth(EndVerdict::Unknown, 200, 0, 60)];
    fleet.evaluate();
    fleet.expect_reports(&[("mass_death", AlertState::Firing)]);
}
