//! Unsent bytes above the limit, or for too long, end a connection; a peer that reads stays.

use crate::echo::{Host, check_all_ended, server};
use crate::frames::pattern;
use crate::nets::S;
use crate::timeouts::progress::end_time;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message, SendError, SendOutcome};
use pulsegate::testing::{Net, PeerId, Received};

#[test]
fn more_than_the_limit_pending_is_a_slow_consumer() {
    let limits = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 5_000,
        ..Config::default()
    };
    let mut net = server(limits);
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    let send = |net: &mut Net<Host>| {
        net.with_io(|_, io| io.send(id, Message::binary(pattern(996)))) // a frame of 1 000
    };
    assert_eq!(send(&mut net), SendOutcome::Flowing);
    net.settle();
    for _ in 0..4 {
        assert_eq!(send(&mut net), SendOutcome::Pending);
    }
    assert_eq!(net.with_io(|_, io| io.pending(id)), 4_990);
    assert_eq!(
        send(&mut net),
        SendOutcome::Pending,
        "it may be over for a while"
    );
    net.advance(999);
    assert!(net.is_open(peer));
    net.advance(6);
    net.set_window(peer, None);
    net.settle();
    let received = net.received(peer);
    let [Received::Message(_), Received::Close(1013, reason)] = &received[..] else {
        panic!("the frame in progress, then the close: {received:?}");
    };
    assert!(reason.starts_with("5990 bytes unsent for 100"), "{reason}");
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
    assert_eq!(send(&mut net), SendOutcome::Refused(SendError::Gone));
    check_all_ended(&mut net);
}

#[test]
fn twice_the_limit_pending_is_refused_at_once() {
    let limits = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 5_000,
        ..Config::default()
    };
    let mut net = server(limits);
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    let send = |net: &mut Net<Host>| {
        net.with_io(|_, io| io.send(id, Message::binary(pattern(996)))) // a frame of 1 000
    };
    assert_eq!(send(&mut net), SendOutcome::Flowing);
    net.settle();
    for _ in 0..9 {
        assert_eq!(send(&mut net), SendOutcome::Pending);
    }
    assert_eq!(send(&mut net), SendOutcome::Refused(SendError::OverLimit));
    assert_eq!(send(&mut net), SendOutcome::Refused(SendError::Closing));
    net.set_window(peer, None);
    net.settle();
    let received = net.received(peer);
    let [Received::Message(_), Received::Close(1013, reason)] = &received[..] else {
        panic!("the frame in progress, then the close: {received:?}");
    };
    assert_eq!(reason, "9990 bytes unsent for 0 ms");
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
    check_all_ended(&mut net);
}

#[test]
fn a_reader_over_the_limit_that_moves_on_is_not_slow() {
    let limits = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 5_000,
        ..Config::default()
    };
    let mut net = server(limits);
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    for _ in 0..9 {
        net.with_io(|_, io| io.send(id, Message::binary(pattern(996))));
    }
    net.settle();
    // A byte every 900 ms is progress.
    for _ in 0..20 {
        net.advance(900);
        net.set_window(peer, Some(1));
        net.settle();
        assert!(net.is_open(peer));
    }
    net.set_window(peer, None);
    net.settle();
    assert_eq!(net.received(peer).len(), 9 + 1, "all messages, and a ping");
    net.half_close(peer);
    net.settle();
    check_all_ended(&mut net);
}

#[test]
fn one_byte_pending_for_ten_minutes_is_a_slow_consumer() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(0));
    net.with_io(|_, io| io.send(id, Message::text("wait")));
    for _ in 0..59 {
        net.send(peer, Message::text("I talk, and I do not listen"));
        net.advance(10 * S);
        assert!(net.is_open(peer));
    }
    net.send(peer, Message::text("again"));
    let at = end_time(&mut net, peer, 20 * S);
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
    // Dropped after close_timeout, because the close frame cannot be sent.
    assert!((602 * S..=602 * S + 30).contains(&at.as_millis()), "{at}");
    let end = net.ending(peer).expect("an end");
    assert_eq!(end.blocked.as_millis(), 600_000, "until the close began");
    assert_eq!(
        (&*end.reason, end.clean),
        ("16 bytes unsent for 600000 ms", false),
        "the message, and a ping that could not leave either"
    );
    check_all_ended(&mut net);
}

#[test]
fn an_end_tells_for_how_long_bytes_had_waited() {
    type Ends = fn(&mut Net<Host>, PeerId);
    let ends: [(Cause, Ends); 3] = [
        (Cause::PEER_CLOSED, |net, peer| {
            net.send(peer, Message::Close(None))
        }),
        (Cause::PEER_EOF, |net, peer| net.half_close(peer)),
        (Cause::PEER_RESET, |net, peer| net.reset(peer)),
    ];
    for (cause, end) in ends {
        for blocks in [true, false] {
            let mut net = server(Config::default());
            let peer = net.connect("/sink");
            let id = net.id(peer);
            net.set_window(peer, blocks.then_some(0));
            net.with_io(|_, io| io.send(id, Message::text("wait")));
            net.advance(7 * S);
            end(&mut net, peer);
            net.settle();
            // The answer to its close frame leaves, and nothing waits any more.
            net.set_window(peer, None);
            net.settle();
            net.expect_closed(peer, cause);
            let blocked = net.ending(peer).expect("an end").blocked;
            let waited = if blocks { 7 * S } else { 0 };
            assert_eq!(blocked.as_millis(), waited, "{cause}");
        }
    }
}
