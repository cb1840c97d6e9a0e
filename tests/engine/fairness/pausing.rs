//! Peers whose reading the host has paused.

use crate::fairness::host::{net, numbered};
use pulsegate::Micros;
use pulsegate::cause::Cause;
use pulsegate::engine::Config;

#[test]
fn a_paused_peer_is_neither_read_nor_pinged_nor_dead() {
    let mut net = net(Config::default());
    let peer = net.connect("/pause");
    net.write(peer, &numbered(3));
    net.settle();
    assert_eq!(net.host().heard.len(), 1, "paused at the first");
    net.mute(peer);
    drop(net.received(peer));
    net.advance(300_000);
    assert!(net.is_open(peer));
    assert!(net.received(peer).is_empty(), "not pinged");
    let id = net.id(peer);
    net.with_io(|host, io| {
        host.pausing.clear();
        io.resume_reading(id);
    });
    let resumed = net.now();
    net.settle();
    assert_eq!(net.host().heard.len(), 3);
    net.advance(44_000);
    assert!(net.is_open(peer), "its time begins anew");
    net.advance(2_000);
    net.expect_closed(peer, Cause::STALE);
    assert!(net.now() >= resumed + Micros::from_secs(45));
}

/// Its bytes wait for a host that may never resume reading, but the host must still be told of the
/// end.
#[test]
fn a_paused_peer_that_resets_ends_at_once() {
    let mut net = net(Config::default());
    let peer = net.connect("/pause");
    net.write(peer, &numbered(3));
    net.settle();
    assert!(net.engine().stats().held_bytes > 0);
    net.reset(peer);
    net.settle();
    net.expect_closed(peer, Cause::PEER_RESET);
    assert_eq!(net.engine().stats().held_bytes, 0);
}

#[test]
fn a_ping_from_before_a_pause_gives_no_round_trip_time() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_latency(peer, 100);
    // The first ping is sent when reading stops.
    while net.received(peer).is_empty() {
        net.advance(10);
    }
    net.with_io(|_, io| io.pause_reading(id));
    net.advance(60_000);
    net.with_io(|_, io| io.resume_reading(id));
    net.settle();
    let rtt = net.with_io(|_, io| io.health(id)).expect("open").rtt;
    assert_eq!(rtt.srtt_us(), None, "{rtt:?}");
}
