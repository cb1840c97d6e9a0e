//! The host sends: to one, to many, and to readers that are behind.

use crate::echo::{Told, server, told_of};
use crate::frames::data_and_control;
use pulsegate::ConnId;
use pulsegate::engine::{Config, Message, SendOutcome};
use pulsegate::testing::{PeerId, Received};

#[test]
fn one_message_goes_to_many_and_the_missing_are_counted() {
    let mut net = server(Config::default());
    let peers: Vec<PeerId> = (0..5).map(|_| net.connect("/sink")).collect();
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    net.reset(peers[0]);
    net.settle();
    net.mute(peers[1]);
    net.with_io(|_, io| io.close(ids[1], 4_000, ""));
    net.set_window(peers[2], Some(0));
    let took = net.with_io(|_, io| io.send_many(ids.iter().copied(), &Message::text("to all")));
    assert_eq!(took, 3, "one is gone, one is closing");
    net.settle();
    for (at, messages) in [0, 0, 0, 1, 1].into_iter().enumerate() {
        assert_eq!(
            data_and_control(net.received(peers[at])).0.len(),
            messages,
            "peer {at}"
        );
    }
    net.set_window(peers[2], None);
    net.settle();
    assert_eq!(
        net.received(peers[2]),
        [Received::Message(Message::text("to all"))]
    );
    assert_eq!(told_of(&mut net, peers[2]), [Told::Opened, Told::Writable]);
    assert_eq!(
        told_of(&mut net, peers[3]),
        [Told::Opened],
        "nothing had to wait"
    );
    let closed = net.with_io(|_, io| io.send_many(ids.iter().copied(), &Message::Close(None)));
    assert_eq!(closed, 3, "the missing are gone for a close, too");
}

#[test]
fn a_reader_a_megabyte_behind_costs_the_others_nothing() {
    const MESSAGES: usize = 20;
    let mut net = server(Config::default());
    let peers: Vec<PeerId> = (0..5).map(|_| net.connect("/sink")).collect();
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    net.set_window(peers[0], Some(0));
    let message = |i: usize| Message::binary(vec![i as u8; 64 * 1024]);
    for i in 0..MESSAGES {
        let took = net.with_io(|_, io| io.send_many(ids.iter().copied(), &message(i)));
        assert_eq!(took, 5);
        let sent_at = net.now();
        net.run_turn();
        for peer in &peers[1..] {
            assert!(net.received(*peer) == [Received::Message(message(i))]);
            assert!(
                net.progress_at(*peer)
                    .last()
                    .is_none_or(|at| *at == sent_at)
            );
        }
    }
    for (at, id) in ids.iter().enumerate() {
        let waits = net.with_io(|_, io| io.pending(*id));
        assert_eq!(waits > 1 << 20, at == 0, "{waits} bytes wait for peer {at}");
    }
    // Each of its bytes is stored once for all readers; it gets them in order when it reads again.
    let bytes = (MESSAGES * (64 * 1024 + 10)) as u64;
    let charged = net.engine().stats().pending_bytes;
    let most = bytes + MESSAGES as u64 * 96 + 400;
    assert!((bytes..=most).contains(&charged), "{charged}");
    net.set_window(peers[0], None);
    net.settle();
    let received = net.received(peers[0]);
    assert_eq!(received.len(), MESSAGES);
    let as_sent = |(i, got): (usize, &Received)| *got == Received::Message(message(i));
    assert!(received.iter().enumerate().all(as_sent));
}

#[test]
fn writable_is_told_once_when_nothing_waits_any_more() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(3));
    let sent: Vec<SendOutcome> = (0..2)
        .map(|_| {
            let sent = net.with_io(|_, io| io.send(id, Message::text("four")));
            net.settle();
            sent
        })
        .collect();
    assert_eq!(sent, [SendOutcome::Flowing, SendOutcome::Pending]);
    for _ in 0..4 {
        net.set_window(peer, Some(2));
        net.settle();
        assert_eq!(told_of(&mut net, peer), [Told::Opened]);
    }
    net.set_window(peer, None);
    net.settle();
    assert_eq!(told_of(&mut net, peer), [Told::Opened, Told::Writable]);
    assert_eq!(
        net.with_io(|_, io| io.send(id, Message::text("four"))),
        SendOutcome::Flowing
    );
}
