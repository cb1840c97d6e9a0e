//! The states of alerts, and the table of the rules.

use super::super::alert_settings::AlertSettings;
use super::super::alert_table::AlertState::{Firing, Resolved};
use super::super::alert_table::{ACTIVE_MAX, AlertEvent, RESOLVED_MAX};
use super::super::rule_table::RULES;
use super::fleet_harness::FleetHarness;
use crate::base::time::{Micros, UnixMillis};
use crate::side::down_app::DownApp;

#[test]
fn a_threshold_of_zero_is_off_and_a_reload_applies() {
    let mut fleet = FleetHarness::new();
    fleet.counters().suspects[0] = 500;
    fleet.evaluate_times(20);
    fleet.expect_firing("many_suspects");
    fleet.settings.suspects_percent = 60;
    fleet.evaluate_times(10);
    fleet.expect_reports(&[]);
    fleet.settings.suspects_percent = 80;
    fleet.evaluate_times(10);
    fleet.expect_reports(&[("many_suspects", Resolved)]);
    fleet.settings.suspects_percent = 10;
    fleet.evaluate_times(20);
    fleet.expect_firing("many_suspects");
    fleet.settings.suspects_percent = 0;
    fleet.evaluate();
    fleet.expect_reports(&[("many_suspects", Resolved)]);
    fleet.settings.suspects_percent = 10;
    fleet.evaluate_times(20);
    fleet.expect_firing("many_suspects");
    fleet.settings.on = false;
    fleet.sample.counters = None;
    fleet.evaluate();
    fleet.expect_reports(&[("many_suspects", Resolved)]);
    fleet.evaluate_times(100);
    fleet.expect_reports(&[]);
}

#[test]
fn what_still_fires_is_told_again_and_no_more_often() {
    let mut fleet = FleetHarness::new();
    fleet.counters().suspects[0] = 500;
    fleet.evaluate_times(20);
    fleet.events.clear();
    // A little more than twelve hours.
    fleet.evaluate_times(6 * 60 * 12 + 10);
    assert_eq!(fleet.events.len(), 3);
    let is_still =
        |event: &AlertEvent| matches!(event, AlertEvent::Repeated(alert) if alert.state == Firing);
    assert!(fleet.events.iter().all(is_still));
}

#[test]
fn the_table_of_alerts_is_bounded() {
    let mut fleet = FleetHarness::new();
    fleet.settings.app_down_for = Micros::ZERO;
    fleet.settings.resolve = Micros::ZERO;
    let many = ACTIVE_MAX + 10;
    let down = |n: usize| DownApp {
        package: format!("p{n}").into(),
        since: UnixMillis(0),
        last_error: "-".into(),
    };
    fleet.sample.down = (0..many).map(down).collect();
    fleet.evaluate_times(2);
    assert_eq!(fleet.reports.len(), ACTIVE_MAX);
    assert_eq!(fleet.evaluator.table.refused, 20);
    assert_eq!(fleet.evaluator.table.all().len(), ACTIVE_MAX);
    fleet.sample.down.clear();
    fleet.evaluate_times(2);
    assert_eq!(fleet.reports.len(), 2 * ACTIVE_MAX);
    assert_eq!(fleet.evaluator.table.all().len(), RESOLVED_MAX);
}

#[test]
fn the_rules_are_fit_to_be_shown() {
    for (nth, rule) in RULES.iter().enumerate() {
        let is_plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(rule.name.chars().all(is_plain), "{}", rule.name);
        assert!(rule.action.ends_with('.') && rule.action.len() <= 300);
        assert!(RULES[..nth].iter().all(|other| other.name != rule.name));
        assert!((rule.threshold)(&AlertSettings::default()) > 0.0);
    }
}

/// The handbook of alerts describes each rule, and no others.
#[test]
fn the_handbook_has_every_alert() {
    let page = include_str!("../../../../../docs/alerts.md");
    let (_, rest) = page.split_once("<!-- rules:begin -->").expect("a begin");
    let (rows, _) = rest.split_once("<!-- rules:end -->").expect("an end");
    let names = rows.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut names: Vec<&str> = names.filter_map(|line| line.split('`').next()).collect();
    let mut wanted: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(names, wanted);
}
