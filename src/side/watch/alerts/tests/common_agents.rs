//! Losses and suspects that have a user agent in common.

use super::fleet_harness::{FleetHarness, lost};
use crate::base::cause::Cause;
use crate::base::time::Micros;
use crate::gateway::AgentCount;
use std::sync::Arc;

/// Returns a fleet with this percentage of each class on this user agent.
fn fleet_of(agent: &str, percent: u64) -> FleetHarness {
    let mut fleet = FleetHarness::new();
    let count = |name, open| AgentCount {
        name: Arc::from(name),
        open,
        suspects: 0,
    };
    let counts = vec![
        count("glasses-os/3.1", 1_000 - 10 * percent),
        count(agent, 10 * percent),
    ];
    fleet.counters().agents = vec![counts.clone(), counts];
    fleet.evaluate();
    fleet
}

#[test]
fn a_mass_death_of_one_release_names_its_user_agent() {
    let mut fleet = fleet_of("glasses-os/3.2", 30);
    for block in 0..95 {
        fleet.lose_of(0, 2, block, Cause::PEER_RESET, Some("glasses-os/3.2"));
    }
    fleet.lose_of(0, 10, 200, Cause::PEER_RESET, Some("glasses-os/3.1"));
    // They are back at once, most of them with another release.
    fleet.counters().agents = vec![Vec::new(); 2];
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert_eq!(
        alert.summary,
        "200 connections of class glasses from 96 address blocks were lost within 20 s, all of \
         them peer_reset; 95 % of the losses have the user agent \"glasses-os/3.2\", which at most \
         30 % of the connections have: check that client's release"
    );
    assert!(alert.action.contains("user agent"), "{}", alert.action);
    // Within one block it may be the network or the user agent.
    let mut fleet = fleet_of("glasses-os/3.2", 30);
    fleet.lose_of(0, 100, 7, Cause::STALE, Some("glasses-os/3.2"));
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert!(
        alert
            .summary
            .starts_with("100 connections from 10.0.7.0/24")
            && alert
                .summary
                .ends_with("check that client's release, or this block's network"),
        "{}",
        alert.summary
    );
}

#[test]
fn a_release_that_is_rare_has_no_share_in_the_summary() {
    let mut fleet = FleetHarness::new();
    for block in 0..100 {
        fleet.lose_of(0, 1, block, Cause::PEER_RESET, Some("rare/1"));
    }
    fleet.evaluate();
    let summary = fleet.expect_firing("mass_death").summary;
    assert!(
        summary.ends_with(
            "; 100 % of the losses have the user agent \"rare/1\", which is not among the most \
             frequent ones: check that client's release"
        ),
        "{summary}"
    );
}

#[test]
fn a_user_agent_has_no_words_for_the_operator() {
    let summary = |agent: &str| {
        let mut fleet = FleetHarness::new();
        for block in 0..100 {
            fleet.lose_of(0, 1, block, Cause::PEER_RESET, Some(agent));
        }
        fleet.evaluate();
        fleet.expect_firing("mass_death").summary
    };
    let named = |agent: &str| {
        let summary = summary(agent);
        let (_, rest) = summary.split_once("the user agent \"").expect("a name");
        rest.split_once("\", which ").expect("a share").0.to_owned()
    };
    assert_eq!(
        named("glasses-os/3.2 (call 555-1234 at once)"),
        "glasses-os/3.2"
    );
    assert_eq!(named("<b>x</b>\\x1b"), "?b?x?/b??x1b");
    assert_eq!(named(&"x".repeat(128)), "x".repeat(48));
}

#[test]
fn strangers_name_no_user_agent() {
    // A connection without an identity, or with a generated name.
    for name in [None, Some("anonymous-")] {
        let mut fleet = FleetHarness::new();
        for n in 0..100 {
            let at = fleet.sample.now + Micros::from_millis(n);
            let user = name.map(|name| format!("{name}{n}"));
            let mut closed = lost(user.as_deref(), at, n, [10, n as u8, 7, 1]);
            closed.user_agent = Some("evil/1".into());
            fleet.evaluator.losses.record([&closed]);
        }
        fleet.evaluate();
        let alert = fleet.expect_firing("mass_death");
        assert!(!alert.summary.contains("user agent"), "{}", alert.summary);
    }
}

#[test]
fn suspects_of_one_release_name_its_user_agent() {
    let mut fleet = fleet_of("glasses-os/3.2", 30);
    fleet.counters().suspects[0] = 100;
    let agents = &mut fleet.counters().agents[0];
    (agents[0].suspects, agents[1].suspects) = (20, 80);
    fleet.evaluate_times(13);
    let alert = fleet.expect_firing("many_suspects");
    assert_eq!(
        alert.summary,
        "10.0 % of glasses are suspect, 100 of 1000 (threshold 10 %); 80 % of the suspects have \
         the user agent \"glasses-os/3.2\", which at most 30 % of the connections have: check that \
         client's release"
    );
    fleet.counters().agents[0][1].suspects = 79;
    fleet.evaluate();
    let all = fleet.evaluator.table.all();
    assert!(!all[0].summary.contains("user agent"), "{}", all[0].summary);
}

#[test]
fn a_release_is_not_blamed_for_what_all_suffer() {
    let blamed = |agent: Option<&str>, percent, lost_of_it| {
        let mut fleet = fleet_of(agent.unwrap_or("glasses-os/3.2"), percent);
        for n in 0..100 {
            let agent = agent.filter(|_| n < lost_of_it);
            fleet.lose_of(0, 1, n as u8, Cause::PEER_RESET, agent);
        }
        fleet.evaluate();
        let summary = fleet.expect_firing("mass_death").summary;
        let is_network = summary.ends_with("the cause is the network or a proxy, not the peers");
        assert_ne!(is_network, summary.contains("user agent"), "{summary}");
        !is_network
    };
    let agent = Some("glasses-os/3.2");
    // Nearly all clients have it, so nearly all losses do, too.
    assert!(!blamed(agent, 90, 100));
    assert!(!blamed(agent, 81, 100));
    assert!(blamed(agent, 80, 100));
    assert!(blamed(agent, 60, 80));
    assert!(!blamed(agent, 10, 79));
    // Connections without a user agent have nothing in common.
    assert!(!blamed(None, 10, 100));
}

#[test]
fn user_agents_that_are_not_known_are_not_named() {
    let mut fleet = FleetHarness::new();
    for n in 0..100 {
        let at = fleet.sample.now + Micros::from_millis(n);
        let mut closed = lost(Some(&format!("user{n}")), at, n, [10, n as u8, 7, 1]);
        closed.user_agent = Some("other".into());
        fleet.evaluator.losses.record([&closed]);
    }
    fleet.evaluate();
    let alert = fleet.expect_firing("mass_death");
    assert!(!alert.summary.contains("user agent"), "{}", alert.summary);
}

#[test]
fn stale_closes_of_one_release_name_its_user_agent() {
    let mut fleet = fleet_of("app-sdk/2 \"x\"", 20);
    // One after the other, from everywhere; nothing else changes.
    for n in 0..30 {
        for block in 0..9 {
            fleet.lose_of(
                1,
                1,
                9 * (n % 28) + block,
                Cause::STALE,
                Some("app-sdk/2 \"x\""),
            );
        }
        fleet.counters().live[1] += 9;
        fleet.counters().agents[1][1].open += 9;
        fleet.evaluate();
    }
    let alert = fleet.expect_firing("stale_closes");
    assert!(
        alert.summary.ends_with(
            "; 100 % of the losses have the user agent \"app-sdk/2\", which at most 20 % of the \
             connections have: check that client's release"
        ),
        "{}",
        alert.summary
    );
}
