//! The other steps of a turn: commands, broadcasts, output and mass death.

use crate::fairness::host::net;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::{PeerId, Received};
use pulsegate::{Class, ConnId, Micros};

#[test]
fn commands_have_a_bound_and_none_is_lost() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let (id, remote) = (net.id(peer), net.engine().remote());
    for i in 0..3_000u32 {
        let message = Message::binary(i.to_be_bytes().to_vec());
        remote.try_send(id, message).expect("room");
    }
    let mut counts = Vec::new();
    for _ in 0..4 {
        net.run_turn();
        counts.push(net.received(peer).len());
    }
    assert_eq!(counts, [1_024, 1_024, 952, 0]);
}

#[test]
fn a_broadcast_takes_turns_and_reaches_all_that_were_connected() {
    let mut net = net(Config::default());
    let peers: Vec<PeerId> = (0..2_500).map(|_| net.connect("/")).collect();
    let took = net.with_io(|_, io| io.broadcast(Class(0), &Message::text("to all")));
    assert!(took);
    let late = net.connect("/");
    net.settle();
    let all = [Received::Message(Message::text("to all"))];
    assert!(peers.iter().all(|p| net.received(*p) == all));
    assert!(net.received(late).is_empty(), "it came later");
    // One turn looks at 1 024 slots.
    net.with_io(|_, io| io.broadcast(Class(0), &Message::text("again")));
    let before = net.engine().stats().messages_out;
    net.run_turn();
    assert_eq!(net.engine().stats().messages_out - before, 1_024);
}

#[test]
fn what_goes_out_in_a_turn_is_bounded_and_heartbeats_go_first() {
    let mut net = net(Config::default());
    let peers: Vec<PeerId> = (0..40).map(|_| net.connect("/")).collect();
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    net.advance(14_000);
    peers.iter().for_each(|p| drop(net.received(*p)));
    // 40 times 128 KiB; then heartbeats become due.
    let large = Message::binary(vec![1; 128 * 1024]);
    net.with_io(|_, io| io.send_many(ids.iter().copied(), &large));
    let before = net.engine().stats().bytes_out;
    net.run_turn_after(0);
    let out = net.engine().stats().bytes_out - before;
    assert!(out <= (1 << 20) + 130 * 1024 * 2, "{out} bytes in one turn");
    let mut got: Vec<usize> = peers.iter().map(|p| net.received(*p).len()).collect();
    assert!(got.iter().sum::<usize>() < 20, "{got:?}");
    for _ in 0..8 {
        net.run_turn();
    }
    got = peers.iter().map(|p| net.received(*p).len()).collect();
    assert!(got.iter().sum::<usize>() >= 30, "{got:?}");
}

#[test]
fn a_mass_death_is_looked_at_64_in_a_turn() {
    let config = Config {
        stale_closes_per_second: 0,
        ..Config::default()
    };
    let mut net = net(config);
    let peers: Vec<PeerId> = (0..500).map(|_| net.connect("/")).collect();
    peers.iter().for_each(|p| net.mute(*p));
    net.advance(44_900);
    let mut most = 0;
    let mut ended = 0;
    while ended < 500 {
        net.run_turn_after(1);
        let now = net.endings().len();
        most = most.max(now - ended);
        ended = now;
        assert!(net.now() < Micros::from_secs(50));
    }
    assert!(most <= 64, "{most} in one turn");
}
