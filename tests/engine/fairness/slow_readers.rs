//! Peers that read slowly: bursts, the close that reaches them, and when they are writable again.

use crate::fairness::host::net;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{Config, Handler, Io, Message, Request, SendOutcome, Verdict};
use pulsegate::testing::{Net, Received};
use pulsegate::{Class, ConnId, Micros};

#[test]
fn a_burst_to_a_peer_that_reads_is_no_offence() {
    let config = Config {
        max_pending_bytes: 4 << 20,
        ..Config::default()
    };
    let mut net = net(config);
    let (large, small) = (net.connect("/"), net.connect("/"));
    let (large_id, small_id) = (net.id(large), net.id(small));
    for i in 0..8 {
        let message = Message::binary(vec![i; 900_000]);
        let sent = net.with_io(|_, io| io.send(large_id, message));
        assert!(!matches!(sent, SendOutcome::Refused(_)), "{sent:?}");
    }
    for i in 0..50_000u32 {
        let message = Message::binary(i.to_be_bytes().to_vec());
        net.with_io(|_, io| io.send(small_id, message));
    }
    net.settle();
    assert_eq!(net.received(large).len(), 8);
    assert_eq!(net.received(small).len(), 50_000);
    assert!(net.is_open(large) && net.is_open(small));
}

/// A peer that reads 150 KB a second, with 859 KB queued, during a drain.
#[test]
fn the_close_reaches_a_peer_that_is_behind_and_reads() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_window(peer, Some(0));
    for i in 0..10 {
        net.with_io(|_, io| io.send(id, Message::binary(vec![i; 85_900])));
    }
    net.settle();
    net.set_window(peer, Some(10_000));
    net.settle();
    net.with_io(|_, io| io.close_for(id, Cause::DRAINING, 1012, "service restart"));
    for _ in 0..10 {
        net.set_window(peer, Some(15_000));
        net.advance(100);
    }
    let received = net.received(peer);
    let [Received::Message(first), Received::Close(1012, reason)] = &received[..] else {
        panic!("the frame in progress, then the close: {received:?}");
    };
    assert_eq!((first.len(), &**reason), (85_900, "service restart"));
    net.settle();
    let end = net.ending(peer).expect("it has ended");
    assert_eq!(
        (end.cause, end.code),
        (Cause::DRAINING, EndCode::Close(1012))
    );
    assert!(end.clean);
    assert_eq!(end.unsent, 9, "for the host to keep");
}

#[test]
fn a_close_that_never_left_was_not_told() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    net.with_io(|_, io| io.send(id, Message::binary(vec![1; 1_000])));
    net.settle();
    net.with_io(|_, io| io.close_for(id, Cause::DRAINING, 1012, "service restart"));
    net.advance(1_900);
    assert!(net.ending(peer).is_none());
    net.advance(200);
    let end = net.ending(peer).expect("no byte moved for a close timeout");
    assert_eq!((end.cause, end.code), (Cause::DRAINING, EndCode::None));
    // A peer that reads very slowly has ten close timeouts in all.
    let peer = net.connect("/");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    net.with_io(|_, io| io.send(id, Message::binary(vec![1; 1_000])));
    net.settle();
    net.with_io(|_, io| io.close(id, 4000, "out"));
    let closed = net.now();
    while net.ending(peer).is_none() {
        net.set_window(peer, Some(1));
        net.advance(500);
    }
    let took = net.now() - closed;
    let most = Micros::from_secs(20);
    assert!(
        (most..=most + Micros::from_secs(1)).contains(&took),
        "{took}"
    );
}

#[test]
fn a_destination_that_was_over_its_limit_tells_when_nothing_waits_though_it_never_blocked() {
    struct Telling(u32);
    impl Handler for Telling {
        fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
            Verdict::upgrade(Class(0))
        }
        fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
        fn on_writable(&mut self, _: &mut Io<'_>, _: ConnId) {
            self.0 += 1;
        }
    }
    let mut net = Net::new(Config::default(), Telling(0));
    let peer = net.connect("/");
    let id = net.id(peer);
    for _ in 0..6 {
        net.with_io(|_, io| io.send(id, Message::binary(vec![0; 1 << 20])));
    }
    assert!(net.with_io(|_, io| io.is_over_limit(id)));
    net.settle();
    assert_eq!(net.received(peer).len(), 6);
    assert_eq!(net.host().0, 1);
}
