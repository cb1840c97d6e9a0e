//! The policy changes: no peer that answers ends, and no ghost stays longer.

use crate::health::peer::{Does, Peer, at, seconds};
use pulsegate::health::{Health, HealthState, HeartbeatMode, Policy};
use pulsegate::time::Micros;

#[test]
fn under_a_shorter_policy_a_peer_has_an_interval_to_be_pinged_and_a_timeout_to_be_heard() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.answers(15.1, 0.1);
    peer.changes(28.0, 2.0, 6.0);
    let ping = seconds(peer.due());
    assert!(ping > 28.0 && ping <= 30.0, "within an interval: {ping}");
    peer.looks(ping, Does::Pings);
    let mut ghost = peer.clone();
    ghost.looks(ping + 2.0, Does::PingsAndSuspects);
    ghost.looks(33.999_999, Does::Pings);
    ghost.looks(34.0, Does::Stale);
    peer.answers(ping + 0.1, 0.1);
    peer.looks(ping + 2.0, Does::Pings);
}

#[test]
fn a_new_policy_gives_no_peer_more_time_than_the_former_one() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.looks(30.0, Does::PingsAndSuspects);
    // Not 40 s from now: it would have been stale at 45 s.
    peer.changes(44.0, 15.0, 40.0);
    peer.looks(44.999_999, Does::Nothing);
    peer.looks(45.0, Does::Stale);
}

#[test]
fn a_ping_that_is_on_its_way_has_one_of_the_new_intervals_to_be_answered() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.changes(15.5, 2.0, 45.0);
    peer.looks(16.999_999, Does::Nothing);
    let due = seconds(peer.due());
    assert!((17.0..=17.5).contains(&due), "{due}");
    peer.looks(due, Does::PingsAndSuspects);
}

#[test]
fn a_ping_that_waits_has_one_of_the_new_intervals_to_leave() {
    let mut peer = Peer::new();
    peer.asks(15.0);
    peer.changes(15.5, 2.0, 45.0);
    peer.is(15.5, HealthState::Healthy, 0, 17.5);
    peer.looks(17.5, Does::Suspects);
}

#[test]
fn under_a_longer_policy_the_next_ping_stays_and_silence_counts_from_when_it_began() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.answers(15.1, 0.1);
    peer.changes(29.0, 60.0, 180.0);
    peer.is(29.0, HealthState::Healthy, 0, 30.0);
    peer.looks(30.0, Does::Pings);
    peer.looks(90.0, Does::PingsAndSuspects);
    peer.looks(150.0, Does::Pings);
    peer.looks(195.099_999, Does::Nothing);
    peer.looks(195.1, Does::Stale);
}

#[test]
fn talkers_that_were_pinged_when_idle_are_pinged_spread_over_the_interval() {
    let idle = Policy {
        mode: HeartbeatMode::Idle,
        ..Policy::default()
    };
    let always = Policy::default();
    let mut dues = Vec::new();
    for seed in 0..1_000 {
        let mut health = Health::new(&idle, Micros::ZERO, seed);
        let first = health.due(&idle);
        health.on_due(&idle, first);
        health.on_ping_sent(&idle, first, false);
        for second in 16..1_000 {
            health.on_heard(at(f64::from(second)));
        }
        health.change_policy(&idle, &always, at(1_000.0), seed);
        dues.push(seconds(health.ping_due(&always)) - 1_000.0);
    }
    assert!(dues.iter().all(|due| *due > 0.0 && *due <= 15.0));
    for tenth in 0..9 {
        let from = 1.5 * f64::from(tenth);
        let n = dues
            .iter()
            .filter(|d| (from..from + 1.5).contains(*d))
            .count();
        assert!((60..150).contains(&n), "{n} from {from} s on");
    }
}

#[test]
fn days_of_silence_that_a_policy_allowed_are_not_blamed_under_a_short_one() {
    for hours in [1.0, 1.2, 23.9, 70.0] {
        let day = 72.0 * 3_600.0;
        let mut peer = Peer::with(|policy| {
            policy.heartbeat_interval = at(day);
            policy.connection_timeout = at(2.0 * day);
        });
        let now = hours * 3_600.0;
        peer.changes(now, 2.0, 6.0);
        let stale_at = seconds(peer.health.stale_at(&peer.policy));
        assert!((now + 6.0..now + 6.002).contains(&stale_at), "{stale_at}");
    }
}
