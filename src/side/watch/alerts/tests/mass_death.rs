//! Many connections that are lost at once.

use super::fleet_harness::{FleetHarness, labels, lost};
use crate::base::cause::{Cause, EndCode};
use crate::base::time::Micros;
use crate::gateway::SESSION_ENDED;

#[test]
fn a_mass_death_in_one_block_is_told_once_and_nothing_else_is() {
    let mut fleet = FleetHarness::new();
    fleet.lose(0, 49, 7, Cause::STALE);
    fleet.evaluate_times(60);
    fleet.expect_reports(&[]);
    fleet.lose(0, 500, 7, Cause::STALE);
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert_eq!(alert.labels, labels([("class", "glasses")]));
    assert_eq!(
        alert.summary,
        "500 connections from 10.0.7.0/24 were lost within 20 s, 500 of them of class glasses, all \
         of them stale: the cause is the network or a proxy, not the peers"
    );
    // All of them come back within a few seconds.
    let counters = fleet.counters();
    counters.live[0] += 500;
    counters.opened[0] += 500;
    fleet.expect_resolved("mass_death");
}

#[test]
fn a_mass_death_of_a_class_names_the_class() {
    let mut fleet = FleetHarness::new();
    for block in 0..100 {
        fleet.lose(1, 2, block, Cause::PEER_EOF);
    }
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert_eq!(alert.labels, labels([("class", "app")]));
    assert!(
        alert
            .summary
            .starts_with("200 connections of class app from 100 address blocks were lost"),
        "{}",
        alert.summary
    );
    fleet.expect_resolved("mass_death");
}

#[test]
fn a_class_that_dies_in_big_blocks_is_told_once() {
    let mut fleet = FleetHarness::new();
    for block in 0..5 {
        fleet.lose(0, 100, block, Cause::PEER_RESET);
    }
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert!(
        alert
            .summary
            .starts_with("500 connections of class glasses from 5 address blocks"),
        "{}",
        alert.summary
    );
    fleet.expect_resolved("mass_death");
}

#[test]
fn a_mass_death_that_two_evaluations_see_in_part_is_told_once() {
    let mut fleet = FleetHarness::new();
    for _ in 0..4 {
        fleet.lose(0, 60, 7, Cause::STALE);
        fleet.evaluate();
    }
    fleet.expect_firing("mass_death");
    fleet.expect_resolved("mass_death");
}

#[test]
fn a_step_of_the_wall_clock_makes_no_mass_death_and_hides_none() {
    for step_s in [-600_i64, 3_600] {
        // 62 losses one after the other, over minutes, are no mass death, even if the clock steps
        // back meanwhile.
        let mut fleet = FleetHarness::new();
        for n in 0..62 {
            if n % 8 == 7 {
                fleet.step_wall(step_s);
            }
            fleet.lose(0, 1, 7, Cause::STALE);
            fleet.evaluate_times(2);
        }
        fleet.expect_reports(&[]);
        // 500 losses at once are one, even if the clock steps before the evaluation.
        fleet.lose(0, 500, 9, Cause::STALE);
        fleet.step_wall(step_s);
        fleet.evaluate();
        fleet.expect_firing("mass_death");
        fleet.step_wall(step_s);
        fleet.counters().live[0] = 1_000;
        fleet.expect_resolved("mass_death");
    }
}

#[test]
fn what_is_usual_is_no_mass_death() {
    let mut fleet = FleetHarness::new();
    // The block of a proxy: more and more connections come and go all the time.
    let coming_and_going = |many: u64| {
        move |fleet: &mut FleetHarness| {
            fleet.lose(0, many, 7, Cause::PEER_EOF);
            fleet.counters().live[0] += many;
            fleet.counters().opened[0] += many;
        }
    };
    fleet.settings.storm_percent = 0;
    for many in [20, 24, 30, 40] {
        fleet.evaluate_with(30, coming_and_going(many));
    }
    fleet.expect_reports(&[]);
    fleet.lose(0, 400, 7, Cause::PEER_EOF);
    fleet.evaluate();
    fleet.expect_firing("mass_death");
}

#[test]
fn a_few_clients_that_return_again_and_again_are_no_mass_death() {
    let mut fleet = FleetHarness::new();
    fleet.settings.storm_percent = 0;
    // Four users, sixteen times each, within three seconds; and one connection without a name.
    for _ in 0..10 {
        for n in 0..80 {
            let user = ["ada", "eve", "bob", "joe", ""][n as usize % 5];
            let user = Some(user).filter(|user| !user.is_empty());
            let at = fleet.sample.now + Micros::from_millis(40 * n);
            // As from a radio network: each connection has another address.
            let address = [10, 0, 7, if user.is_some() { n as u8 } else { 200 }];
            fleet.evaluator.losses.record([&lost(user, at, n, address)]);
        }
        fleet.evaluate();
    }
    fleet.expect_reports(&[]);
    // Generated names are no identities: these connections count by their address.
    for n in 0..80 {
        let at = fleet.sample.now + Micros::from_millis(n);
        let name = format!("anonymous-{n}");
        let closed = lost(Some(&name), at, n, [10, 0, 7, 200]);
        fleet.evaluator.losses.record([&closed]);
    }
    fleet.evaluate_times(3);
    fleet.expect_reports(&[]);
    // As many different identities are a mass death, although these four are among them.
    for n in 0..60 {
        let at = fleet.sample.now + Micros::from_millis(n);
        let name = format!("user{n}");
        let closed = lost(Some(&name), at, n, [10, 0, 7, 1]);
        fleet.evaluator.losses.record([&closed]);
    }
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert!((60.0..70.0).contains(&alert.value), "{}", alert.value);
    fleet.expect_resolved("mass_death");
}

#[test]
fn a_client_that_leaves_or_is_sent_away_has_not_died() {
    let mut fleet = FleetHarness::new();
    let is_loss = |cause: Cause, code| cause.is_loss(EndCode::Close(code));
    for cause in [
        Cause::PEER_CLOSED,
        Cause::DRAINING,
        Cause::KICKED,
        Cause::REPLACED,
        SESSION_ENDED,
        Cause::SHUTDOWN,
    ] {
        assert!(!is_loss(cause, 1000) && !is_loss(cause, 1001), "{cause}");
    }
    for cause in [Cause::STALE, Cause::PEER_EOF, Cause::PEER_RESET] {
        assert!(cause.is_loss(EndCode::None), "{cause}");
    }
    assert!(is_loss(Cause::PEER_CLOSED, 1002));
    // A rolling drain of all connections.
    fleet.evaluate_with(50, |fleet| {
        fleet.counters().live[0] -= 20;
        fleet.counters().ended[0] += 20;
    });
    fleet.expect_reports(&[]);
}
