//! The time for a request, a verdict and a first message.

use crate::capacity::half_open::half_open;
use crate::echo::{Host, check_all_ended, end_of, server};
use crate::http::response::check_response;
use crate::nets::{S, one_class};
use crate::timeouts::progress::end_time;
use pulsegate::Micros;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{Config, Message};
use pulsegate::health::Policy;
use pulsegate::testing::{Net, PeerId, Received, upgrade_request};

/// Browsers open connections in advance, and would take an answer on one as that to their next
/// request.
#[test]
fn a_connection_that_never_sent_a_byte_is_closed_silently_as_a_probe() {
    let mut net = server(Config::default());
    net.advance(123);
    let peer = net.open_socket();
    let rest = 10_123 - net.now().as_millis();
    net.advance(rest - 1);
    assert_eq!(net.released(peer), None);
    net.advance(11);
    assert_eq!(
        net.response(peer),
        None,
        "nothing is written to it, least of all a 408"
    );
    assert_eq!(net.released(peer), Some(false), "a FIN, no RST");
    net.expect_closed(peer, Cause::PROBE);
    check_all_ended(&mut net);

    // The same if a new connection needs its slot before that.
    let mut net = server(Config::default());
    net.set_max_connections(8);
    let oldest = net.open_socket();
    half_open(&mut net, 64);
    assert_eq!(net.response(oldest), None);
    assert_eq!(net.released(oldest), Some(false));
    net.expect_closed(oldest, Cause::PROBE);
    net.shutdown();
    check_all_ended(&mut net);
}

#[test]
fn no_head_no_verdict_in_time_is_408() {
    type Deed = fn(&mut Net<Host>, PeerId);
    let slowly: Deed = |net, peer| {
        for byte in upgrade_request("/").as_bytes().chunks(1).take(9) {
            net.write(peer, byte);
            net.advance(S);
        }
    };
    let deferred: Deed = |net, peer| net.write(peer, upgrade_request("/defer").as_bytes());
    for (deed, what) in [(slowly, "request head"), (deferred, "verdict")] {
        let mut net = server(Config::default());
        net.advance(123);
        let peer = net.open_socket();
        deed(&mut net, peer);
        let rest = 10_123 - net.now().as_millis();
        net.advance(rest - 1);
        assert!(net.response(peer).is_none());
        net.advance(11);
        let response = net.response(peer).expect("an answer").to_owned();
        check_response(what, &response, 408, false);
        assert!(response.contains(what), "{response}");
        net.advance(2 * S + 10);
        net.expect_closed(peer, Cause::HANDSHAKE_TIMEOUT);
        check_all_ended(&mut net);
    }
}

#[test]
fn no_first_message_is_init_timeout_and_pings_do_not_count() {
    let policy = Policy {
        first_message_timeout: Some(Micros::from_secs(20)),
        ..Policy::default()
    };
    let mut net = server(one_class(policy));
    let (silent, talker) = (net.connect("/"), net.connect("/"));
    net.send(talker, Message::text("hello"));
    net.send(silent, Message::Ping(b"x".to_vec().into()));
    let at = end_time(&mut net, silent, 30 * S);
    assert!((20 * S..=20 * S + 20).contains(&at.as_millis()), "{at}");
    let Some(Received::Close(3008, reason)) = net.received(silent).pop() else {
        panic!("no close frame");
    };
    assert_eq!(reason, "no first message within 20000 ms");
    assert_eq!(
        end_of(&net, silent),
        Some((Cause::INIT_TIMEOUT, EndCode::Close(3008), reason, true))
    );
    net.advance(100 * S);
    assert!(net.is_open(talker));
}
