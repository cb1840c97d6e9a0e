//! Rules about identities and apps, and about the loop itself.

use super::super::alert_table::AlertState::{Firing, Resolved};
use super::fleet_harness::{FleetHarness, S, flapping, labels};
use crate::base::time::UnixMillis;
use crate::side::down_app::DownApp;

#[test]
fn flapping_identities_are_named() {
    let mut fleet = FleetHarness::new();
    fleet.settings.flapping = 2;
    fleet.sample.flapping = vec![flapping("ada", Some("org.a"))];
    fleet.evaluate_times(10);
    fleet.expect_reports(&[]);
    let users = (0..7).map(|n| flapping(&format!("u{n}"), Some("org.a")));
    fleet.sample.flapping = users.collect();
    fleet.evaluate();
    let alert = fleet.expect_firing("flapping");
    assert_eq!(
        alert.labels,
        labels([("class", "app"), ("package", "org.a")])
    );
    assert_eq!(
        alert.summary,
        "org.a of u0, u1, u2, u3, u4 and 2 more reconnect too often"
    );
    // Accepted once, and refused again.
    fleet.sample.flapping.clear();
    fleet.evaluate_times(5);
    fleet.sample.flapping = vec![flapping("u1", Some("org.a")), flapping("u2", Some("org.a"))];
    fleet.evaluate_times(5);
    fleet.expect_reports(&[]);
    fleet.sample.flapping.clear();
    fleet.expect_resolved("flapping");
    fleet.settings.flapping = 1;
    fleet.sample.flapping = vec![
        flapping(&"x".repeat(10_000), None),
        flapping("a\nb", None),
        flapping("eve\u{202e}", None),
    ];
    fleet.evaluate();
    let alert = fleet.expect_firing("flapping");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        format!(
            "glasses of \"a\\nb\", \"eve\\u{{202e}}\", \"{}…\" reconnect too often",
            "x".repeat(64)
        )
    );
}

#[test]
fn apps_that_are_down_are_named_each() {
    let mut fleet = FleetHarness::new();
    let down = |package: &str| DownApp {
        package: package.into(),
        since: UnixMillis(0),
        last_error: "answered with status 503".into(),
    };
    fleet.sample.down = vec![down("org.a"), down("org.b")];
    fleet.evaluate_times(6);
    fleet.expect_reports(&[]);
    fleet.evaluate();
    fleet.expect_reports(&[("app_down", Firing), ("app_down", Firing)]);
    assert_eq!(fleet.last_alert().labels, labels([("package", "org.b")]));
    assert_eq!(
        fleet.last_alert().summary,
        "the webhook of org.b fails: answered with status 503"
    );
    fleet.sample.down = vec![down("org.a")];
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("app_down", Resolved)]);
    fleet.settings.app_down = false;
    fleet.evaluate();
    fleet.expect_reports(&[("app_down", Resolved)]);
}

#[test]
fn stalls_of_the_loop() {
    let mut fleet = FleetHarness::new();
    fleet.settings.stalls = 2;
    let counters = fleet.counters();
    (counters.stalls, counters.stalled) = (1, S(6));
    fleet.evaluate_times(30);
    fleet.expect_reports(&[]);
    let counters = fleet.counters();
    (counters.stalls, counters.stalled) = (3, S(18));
    fleet.evaluate();
    let alert = fleet.expect_firing("loop_stalls");
    assert_eq!(
        alert.summary,
        "the event loop stalled 2 times, for 12000 ms in all, within 60 s"
    );
    fleet.expect_resolved("loop_stalls");
}

#[test]
fn a_loop_that_does_not_answer_is_a_stall_and_nothing_else_changes() {
    let mut fleet = FleetHarness::new();
    fleet.counters().suspects[0] = 500;
    fleet.evaluate_times(20);
    fleet.expect_firing("many_suspects");
    let counters = fleet.sample.counters.take();
    fleet.evaluate_times(100);
    fleet.expect_firing("loop_stalls");
    fleet.sample.counters = counters;
    fleet.counters().suspects[0] = 0;
    fleet.evaluate_times(30);
    fleet.expect_reports(&[("loop_stalls", Resolved), ("many_suspects", Resolved)]);
}
