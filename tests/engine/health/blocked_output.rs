//! Our own bytes have to wait, and heartbeats behind them.

use crate::health::peer::{Does, Peer, at};
use crate::health::story::some_policy;
use crate::seeds::for_seeds;
use pulsegate::health::{Health, HealthAction, HealthState, Policy};
use pulsegate::time::Micros;

#[test]
fn a_heartbeat_is_not_queued_behind_another_and_waits_its_interval_from_when_it_left() {
    let mut peer = Peer::with(|policy| policy.connection_timeout = at(300.0));
    peer.asks(15.0);
    let payload = peer.health.ping_payload();
    peer.health.on_progress(at(29.0));
    peer.looks(30.0, Does::Waits);
    peer.looks(44.999_999, Does::Nothing);
    peer.health.on_progress(at(44.0));
    peer.looks(45.0, Does::Waits); // not suspect: a ping that is not sent cannot be answered
    assert_eq!(peer.health.ping_payload(), payload, "still the same ping");
    peer.health.on_progress(at(52.0));
    peer.leaves(52.0);
    peer.is(52.0, HealthState::Healthy, 1, 67.0);
    peer.looks(67.0, Does::PingsAndSuspects);
}

#[test]
fn a_frozen_peer_is_suspect_though_no_ping_leaves() {
    let mut peer = Peer::with(|policy| policy.connection_timeout = at(300.0));
    peer.asks(15.0);
    peer.looks(29.999_999, Does::Nothing);
    peer.looks(30.0, Does::Suspects);
    peer.is(30.0, HealthState::Suspect, 0, 45.0);
    assert!(peer.health.on_heard(at(31.0)).is_some(), "it was only slow");
    peer.looks(45.0, Does::Waits);
    peer.looks(60.0, Does::Suspects);
}

#[test]
fn patience_is_counted_in_intervals_that_a_ping_has_waited_too() {
    let mut peer = Peer::with(|policy| {
        policy.suspect_after = 3;
        policy.connection_timeout = at(300.0);
    });
    peer.looks(15.0, Does::Pings);
    peer.asks(30.0);
    let mut heard = peer.clone();
    peer.looks(45.0, Does::Waits); // one that was sent, and one interval
    peer.looks(60.0, Does::Suspects);

    let mut moved = heard.clone();
    moved.looks(45.0, Does::Waits);
    moved.health.on_progress(at(45.0)); // only intervals without movement count
    moved.looks(60.0, Does::Waits);
    moved.looks(75.0, Does::Suspects);

    heard.looks(45.0, Does::Waits);
    assert_eq!(heard.health.on_heard(at(45.0)), None);
    heard.looks(60.0, Does::Waits);
    heard.looks(75.0, Does::Waits);
    heard.looks(90.0, Does::Suspects);
}

#[test]
fn a_ghost_with_blocked_output_is_suspect_after_an_interval_without_movement_and_stale_later() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.health.on_progress(at(29.0));
    peer.asks(30.0); // not suspect yet; and this ping waits
    peer.is(30.0, HealthState::Healthy, 1, 45.0);
    peer.looks(44.999_999, Does::Nothing);
    peer.looks(45.0, Does::Suspects); // without another ping
    peer.is(45.0, HealthState::Suspect, 1, 60.0);
    peer.looks(60.0, Does::Waits);
    peer.is(60.0, HealthState::Suspect, 1, 74.0);
    peer.looks(73.999_999, Does::Nothing);
    peer.looks(74.0, Does::Stale);
}

#[test]
fn bytes_that_moved_within_an_interval_defer_suspicion_by_one() {
    for (moved, at_30, at_45) in [
        (15.0, Does::PingsAndSuspects, Does::Pings),
        (15.000_001, Does::Pings, Does::PingsAndSuspects),
        (30.0, Does::Pings, Does::PingsAndSuspects),
    ] {
        let mut peer = Peer::new();
        peer.looks(15.0, Does::Pings);
        peer.health.on_progress(at(moved));
        peer.health.on_progress(at(14.0)); // reported late: changes nothing
        peer.looks(30.0, at_30);
        peer.looks(45.0, at_45);
        assert_eq!(peer.health.stale_at(&peer.policy), at(moved + 45.0));
    }
}

#[test]
fn a_slow_peer_has_time_to_answer_when_all_that_waited_has_left() {
    let mut slow = Peer::new();
    slow.looks(15.0, Does::Pings);
    for second in 16..60 {
        slow.health.on_progress(at(f64::from(second))); // a message of ours, 45 seconds long
        match second {
            30 => slow.asks(30.0),
            45 => slow.looks(45.0, Does::Waits),
            _ => slow.looks(f64::from(second), Does::Nothing),
        }
    }
    slow.health.on_progress(at(60.0));
    slow.leaves(60.0);
    slow.is(60.0, HealthState::Healthy, 2, 75.0);
    slow.looks(74.999_999, Does::Nothing);

    let mut ghost = slow.clone();
    ghost.looks(75.0, Does::PingsAndSuspects);
    ghost.looks(90.0, Does::Pings);
    ghost.looks(104.999_999, Does::Nothing);
    ghost.looks(105.0, Does::Stale);

    slow.answers(74.999_999, 14.999_999);
    slow.looks(75.0, Does::Pings);
    slow.is(75.0, HealthState::Healthy, 1, 90.0);
}

#[test]
fn whenever_the_last_byte_moves_suspicion_and_death_count_from_there() {
    for_seeds(3_000, |rng| {
        let policy = Policy {
            suspect_after: 1,
            ..some_policy(rng)
        };
        let (interval, timeout) = (policy.heartbeat_interval, policy.connection_timeout);
        let mut health = Health::new(&policy, Micros(rng.u64(1..1 << 50)), rng.u64(..));
        let mut moved = health.due(&policy);
        let pings = HealthAction::Heartbeat {
            ping: true,
            change: None,
        };
        assert_eq!(health.on_due(&policy, moved), pings);
        health.on_ping_sent(&policy, moved, false);
        health.on_progress(moved);
        let gap = Micros(rng.u64(1..=interval.0));
        let mut moves = rng.u64(1..60); // within the hour that movement counts for
        let (mut asked, mut suspect) = (0, None);
        let stale = loop {
            let due = health.due(&policy);
            if moves > 0 && moved + gap <= due {
                moves -= 1;
                moved += gap;
                health.on_progress(moved);
                continue;
            }
            match health.on_due(&policy, due) {
                HealthAction::None => panic!("nothing to do when due"),
                HealthAction::Stale => break due,
                HealthAction::Heartbeat { ping, change } => {
                    asked += u8::from(ping);
                    suspect = suspect.or(change.map(|_| due));
                }
            }
        };
        assert_eq!((moves, stale), (0, moved + timeout));
        assert!(asked <= 1, "{asked} pings queued");
        match suspect {
            Some(at) => assert!(moved + interval <= at && at < moved + interval + interval),
            None => assert!(timeout < interval + interval, "never suspect"),
        }
    });
}
