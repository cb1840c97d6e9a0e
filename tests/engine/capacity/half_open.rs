//! Slots of connections without a complete request: their share of the limit, and which one
//! yields.

use crate::echo::{Host, check_all_ended, server};
use crate::http::response::{check_response, retry_after};
use crate::nets::{S, check_invariants};
use pulsegate::Class;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Verdict};
use pulsegate::testing::{Net, PeerId, upgrade_request};

/// Connects peers that have sent the beginning of a request.
pub fn half_open(net: &mut Net<Host>, many: usize) -> Vec<PeerId> {
    let open = |_| {
        let peer = net.open_socket();
        net.write(peer, b"GET / HTTP/1.1\r\nHost: a\r\n");
        net.settle();
        peer
    };
    (0..many).map(open).collect()
}

#[test]
fn half_open_connections_get_a_quarter_of_the_room_and_the_oldest_yields() {
    let mut net = server(Config::default());
    net.set_max_connections(400);
    let early = net.connect("/");
    let peers = half_open(&mut net, 400);
    check_invariants(&net);
    assert_eq!(
        net.engine().len(),
        101,
        "no close waits for a FIN of those that yield"
    );
    let (gone, here) = peers.split_at(300);
    for peer in gone {
        let response = net.response(*peer).expect("an answer").to_owned();
        check_response("yields", &response, 408, false);
        assert!(response.contains("newer connection needed"), "{response}");
        assert!((5..=20).contains(&retry_after(&response)));
        assert_eq!(net.released(*peer), Some(false));
        net.expect_closed(*peer, Cause::HANDSHAKE_TIMEOUT);
    }
    assert!(here.iter().all(|p| net.released(*p).is_none()));
    // There is room for other addresses.
    let late = net.connect("/");
    assert!(net.is_open(early) && net.is_open(late));
    // The new connection has taken a slot and freed it again: one more had to yield, not two.
    net.connect("/");
    let left = here.iter().filter(|p| net.released(**p).is_none());
    assert_eq!(left.count(), 99);
    net.advance(13 * S);
    assert_eq!(net.engine().len(), 3);
    net.shutdown();
    check_all_ended(&mut net);
}

#[test]
fn sixty_four_half_open_connections_are_allowed_however_small_the_room() {
    let mut net = server(Config::default());
    net.set_max_connections(8);
    half_open(&mut net, 64);
    assert_eq!(net.endings().len(), 0);
    half_open(&mut net, 1);
    assert_eq!(net.endings().len(), 1);
}

#[test]
fn a_deferred_verdict_holds_no_place_of_a_half_open_connection() {
    let mut net = server(Config::default());
    net.set_max_connections(0);
    let deferred: Vec<PeerId> = (0..200).map(|_| net.connect("/defer")).collect();
    half_open(&mut net, 64);
    assert_eq!(net.endings().len(), 0);
    // A connection that was refused and is not closed yet holds a slot: it is the oldest, and has
    // its answer.
    let first = net.id(deferred[0]);
    net.with_io(|_, io| io.answer(first, Verdict::refuse(Cause::BLOCKED, 403, "no")));
    net.settle();
    check_invariants(&net);
    assert_eq!(net.released(deferred[0]), None);
    half_open(&mut net, 1);
    assert_eq!(net.released(deferred[0]), Some(false));
    net.expect_closed(deferred[0], Cause::BLOCKED);
    // An accepted connection holds none.
    let second = net.id(deferred[1]);
    net.with_io(|_, io| io.answer(second, Verdict::upgrade(Class(0))));
    net.settle();
    assert!(net.is_open(deferred[1]));
    half_open(&mut net, 64);
    assert!(net.is_open(deferred[1]));
    assert!(deferred[2..].iter().all(|p| net.released(*p).is_none()));
    check_invariants(&net);
}

#[test]
fn connections_that_were_answered_and_do_not_leave_are_dropped_for_newer_ones() {
    let mut net = server(Config::default());
    net.set_max_connections(256);
    for _ in 0..256 {
        net.connect("/nowhere");
    }
    assert_eq!(net.engine().len(), 64);
    let counted = net.engine().stats().rejected[Cause::BAD_REQUEST.index()];
    assert_eq!(counted, 192);
    check_invariants(&net);
}

#[test]
fn a_request_that_lies_in_the_socket_is_found_before_a_connection_yields() {
    let mut net = server(Config::default());
    net.set_max_connections(256);
    let overlooked = net.open_socket();
    net.set_unread(overlooked, true);
    net.write(overlooked, upgrade_request("/").as_bytes());
    let deferred = net.open_socket();
    net.set_unread(deferred, true);
    net.write(deferred, upgrade_request("/defer").as_bytes());
    half_open(&mut net, 70);
    assert!(net.is_open(overlooked));
    assert_eq!(net.released(deferred), None);
    assert!(net.response(deferred).is_none());
    check_invariants(&net);
}

#[test]
fn a_connection_that_is_answered_by_its_last_look_does_not_linger() {
    for (beyond, path, places, cause) in [
        (true, "/", 16, Cause::AT_CAPACITY),
        (true, "/healthz", 16, Cause::ANSWERED),
        (false, "/nowhere", 64, Cause::BAD_REQUEST),
    ] {
        let mut net = server(Config::default());
        net.set_max_connections(256);
        let mut peers = Vec::new();
        for _ in 0..200 {
            let peer = match beyond {
                true => net.open_refused_socket(),
                false => net.open_socket(),
            };
            net.set_unread(peer, true);
            net.write(peer, upgrade_request(path).as_bytes());
            net.settle();
            check_invariants(&net);
            peers.push(peer);
        }
        assert_eq!(net.engine().len(), places, "{path}");
        for peer in &peers[..200 - places] {
            assert!(net.response(*peer).is_some(), "{path}");
            assert_eq!(net.released(*peer), Some(false), "{path}");
            net.expect_closed(*peer, cause);
        }
    }
}
