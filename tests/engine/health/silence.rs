//! When heartbeats are sent, and when a peer becomes suspect, healthy again and stale. The policy
//! is the default: a ping every 15 s, stale after 45 s.

use crate::health::peer::{Does, Peer, at, seconds};
use pulsegate::health::{HealthState, HeartbeatMode, Policy};

#[test]
fn a_ghost_is_suspect_at_30_s_and_stale_at_45_s() {
    let mut peer = Peer::new();
    //          at, s        what is done        the new state, and the next look
    peer.looks(15.000_000, Does::Pings);
    peer.is(15.000_000, HealthState::Healthy, 1, 30.0);
    peer.looks(29.999_999, Does::Nothing);
    peer.looks(30.000_000, Does::PingsAndSuspects);
    peer.is(30.000_000, HealthState::Suspect, 2, 45.0);
    peer.looks(44.999_999, Does::Nothing);
    peer.looks(45.000_000, Does::Stale);
}

#[test]
fn with_its_first_ping_at_p_a_ghost_is_suspect_at_p_and_15_s() {
    for seed in 0..1_000 {
        let mut peer = Peer::with_seed(Policy::default(), seed);
        let p = seconds(peer.due());
        assert!(p > 0.0 && p <= 15.0, "within an interval: {p}");
        peer.looks(p - 0.000_001, Does::Nothing);
        peer.looks(p, Does::Pings);
        peer.looks(p + 14.999_999, Does::Nothing);
        peer.looks(p + 15.0, Does::PingsAndSuspects);
        if p + 30.0 < 45.0 {
            peer.looks(p + 30.0, Does::Pings);
            peer.is(p + 30.0, HealthState::Suspect, 3, 45.0);
        }
        peer.looks(44.999_999, Does::Nothing);
        peer.looks(45.0, Does::Stale);
    }
}

#[test]
fn a_peer_that_answers_is_pinged_every_interval_and_never_suspect() {
    let mut peer = Peer::new();
    for round in 1..1_000 {
        let at = 15.0 * f64::from(round);
        peer.looks(at, Does::Pings);
        peer.is(at, HealthState::Healthy, 1, at + 15.0);
        peer.answers(at + 0.050, 0.050);
        peer.is(at + 0.050, HealthState::Healthy, 0, at + 15.0);
        assert_eq!(peer.health.rtt().srtt_us(), Some(50_000));
    }
}

#[test]
fn a_suspect_that_is_heard_is_healthy_at_once() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.looks(30.0, Does::PingsAndSuspects);
    let change = peer.health.on_heard(at(37.0)).expect("a change");
    assert_eq!(
        (change.state, change.silence, change.unanswered),
        (HealthState::Healthy, at(37.0), 2)
    );
    peer.is(37.0, HealthState::Healthy, 0, 45.0);
    peer.looks(45.0, Does::Pings);
    peer.looks(60.0, Does::PingsAndSuspects);
    peer.looks(75.0, Does::Pings);
    peer.is(75.0, HealthState::Suspect, 3, 82.0);
    peer.looks(82.0, Does::Stale);
}

#[test]
fn patience_is_counted_in_unanswered_pings() {
    let mut peer = Peer::with(|policy| {
        policy.suspect_after = 3;
        policy.connection_timeout = at(300.0);
    });
    peer.looks(15.0, Does::Pings);
    peer.looks(30.0, Does::Pings);
    peer.looks(45.0, Does::Pings);
    peer.looks(60.0, Does::PingsAndSuspects);
    peer.looks(75.0, Does::Pings);
}

#[test]
fn in_idle_mode_a_talker_is_pinged_once_and_then_only_when_it_falls_silent() {
    let mut peer = Peer::with(|policy| policy.mode = HeartbeatMode::Idle);
    for second in 1..15 {
        assert_eq!(peer.health.on_heard(at(f64::from(second))), None);
    }
    peer.looks(15.0, Does::Pings); // the first is sent in both modes: it spreads the later ones
    for second in 16..=100 {
        let now = f64::from(second);
        assert_eq!(peer.health.on_heard(at(now)), None);
        peer.is(now, HealthState::Healthy, 0, now + 15.0);
        peer.looks(now + 0.5, Does::Nothing);
    }
    peer.looks(115.0, Does::Pings);
    peer.looks(130.0, Does::PingsAndSuspects);
    peer.looks(145.0, Does::Stale);
}
