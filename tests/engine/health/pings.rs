//! First pings are spread, and only the right pong yields a round-trip time.

use crate::health::peer::{Does, Peer, at};
use pulsegate::health::{Health, HealthState, HeartbeatMode, Policy};
use pulsegate::time::Micros;

#[test]
fn first_pings_are_spread() {
    spread_of_first_pings(HeartbeatMode::Always);
}

#[test]
fn first_pings_are_spread_in_idle_mode_too() {
    spread_of_first_pings(HeartbeatMode::Idle);
}

/// 100 000 clients that reconnect at once get sequential slots: 150 buckets of 100 ms, each with
/// its share.
fn spread_of_first_pings(mode: HeartbeatMode) {
    const CLIENTS: u64 = 100_000;
    const BUCKETS: usize = 150;
    let policy = Policy {
        mode,
        ..Policy::default()
    };
    let mut buckets = [0_u64; BUCKETS];
    for slot in 0..CLIENTS {
        let first = Health::new(&policy, Micros::ZERO, slot).ping_due(&policy);
        // (0, interval]: the bucket that ends with it.
        buckets[(first.0 as usize - 1) * BUCKETS / policy.heartbeat_interval.0 as usize] += 1;
    }
    let mean = CLIENTS / BUCKETS as u64;
    for (i, &n) in buckets.iter().enumerate() {
        assert!(
            (mean * 8 / 10..=mean * 12 / 10).contains(&n),
            "{n} first pings in bucket {i}; {mean} would be even"
        );
    }
}

#[test]
fn a_round_trip_time_comes_only_from_the_latest_pings_pong_and_once() {
    let mut peer = Peer::with(|policy| {
        policy.suspect_after = 2;
        policy.connection_timeout = at(300.0);
    });
    assert_eq!(
        peer.health.on_pong(&peer.health.ping_payload(), at(1.0)),
        None,
        "no ping yet"
    );
    peer.looks(15.0, Does::Pings);
    let first = peer.health.ping_payload();
    peer.asks(30.0);
    let second = peer.health.ping_payload();
    assert_ne!(first, second);
    assert_eq!(
        peer.health.on_pong(&second, at(30.1)),
        None,
        "it has not left yet"
    );
    peer.leaves(31.0);
    let longer = [&second[..], b"x"].concat();
    for (payload, why) in [
        (&first[..], "an earlier ping's"),
        (b"", "unsolicited"),
        (&longer, "too long"),
    ] {
        assert_eq!(peer.health.on_pong(payload, at(31.1)), None, "{why}");
    }
    assert_eq!(
        peer.health.on_pong(&second, at(31.2)),
        Some(Micros(200_000))
    );
    assert_eq!(peer.health.on_pong(&second, at(31.3)), None, "twice");
    assert_eq!(peer.health.rtt().srtt_us(), Some(200_000));
    assert_eq!(peer.health.rtt().rttvar_us(), Some(100_000));
    assert_eq!(
        peer.health.unanswered(),
        2,
        "a pong is heard by the frame that it is, not here"
    );
}

#[test]
fn a_ping_that_was_out_while_we_were_away_yields_none() {
    let mut peer = Peer::new();
    peer.looks(15.0, Does::Pings);
    peer.health.discard_rtt();
    assert_eq!(
        peer.health.on_pong(&peer.health.ping_payload(), at(15.1)),
        None
    );
    peer.is(15.1, HealthState::Healthy, 1, 30.0);
    peer.looks(30.0, Does::PingsAndSuspects); // it is still unanswered
    peer.answers(30.1, 0.1);
    assert_eq!(peer.health.rtt().srtt_us(), Some(100_000));
}

#[test]
fn a_ping_that_had_not_left_when_we_were_away_yields_one() {
    let mut peer = Peer::new();
    peer.asks(15.0);
    peer.health.discard_rtt();
    assert!(peer.health.is_ping_queued());
    peer.leaves(16.0);
    peer.answers(16.3, 0.3);
}
