//! Connections beyond the limit: each is answered 503, and few hold a slot.

use crate::bare::Bare;
use crate::capacity::half_open::half_open;
use crate::echo::server;
use crate::http::response::{check_response, retry_after};
use crate::nets::check_invariants;
use pulsegate::Micros;
use pulsegate::cause::Cause;
use pulsegate::engine::Config;
use pulsegate::testing::{PeerId, upgrade_request};

#[test]
fn at_capacity_a_request_is_answered_503_and_health_is_not() {
    for (path, status, cause) in [
        ("/", 503, Cause::AT_CAPACITY),
        ("/healthz", 200, Cause::ANSWERED),
    ] {
        let mut bare = Bare::new(Config::default());
        let id = bare.accept(true);
        bare.engine
            .on_bytes(id, upgrade_request(path).as_bytes(), bare.now);
        bare.turn();
        let response = String::from_utf8(bare.written.clone()).expect("ASCII");
        let head = check_response(path, &response, status, false);
        assert_eq!(head.contains("retry-after: "), status == 503);
        bare.sleep_until(Micros::from_secs(3));
        assert_eq!(bare.engine.stats().rejected[cause.index()], 1);
        assert!(bare.engine.is_empty());
    }
}

#[test]
fn beyond_the_cap_the_oldest_silent_connection_makes_room_for_the_next() {
    let mut net = server(Config::default());
    let mut refused: Vec<PeerId> = Vec::new();
    for n in 0..100 {
        let peer = net.open_refused_socket();
        if n % 2 == 0 {
            net.write(peer, b"GET / HT");
        }
        net.settle();
        refused.push(peer);
    }
    assert_eq!(net.engine().len(), 16);
    let mut values = Vec::new();
    for peer in &refused[..84] {
        let response = net.response(*peer).expect("an answer").to_owned();
        check_response("refused", &response, 503, false);
        values.push(retry_after(&response));
        net.expect_closed(*peer, Cause::AT_CAPACITY);
    }
    assert!(values.windows(2).all(|w| w[0] != w[1]), "{values:?}");
    assert!(values.iter().all(|v| (5..=20).contains(v)), "{values:?}");
    let probe = net.open_refused_socket();
    net.write(probe, upgrade_request("/healthz").as_bytes());
    net.settle();
    let response = net.response(probe).expect("an answer").to_owned();
    check_response("/healthz", &response, 200, false);
}

#[test]
fn beyond_the_cap_an_answered_connection_that_lingers_holds_no_place() {
    let mut net = server(Config::default());
    let silent: Vec<PeerId> = (0..15).map(|_| net.open_refused_socket()).collect();
    for _ in 0..100 {
        let peer = net.open_refused_socket();
        net.write(peer, upgrade_request("/").as_bytes());
        net.settle();
        check_response("full", net.response(peer).expect("an answer"), 503, false);
        assert!(net.released(peer).is_none(), "it has not left yet");
    }
    assert_eq!(net.engine().len(), 16);
    assert!(silent.iter().all(|p| net.released(*p).is_none()));
    check_invariants(&net);
    // They do not count as half-open: those have slots of their own.
    half_open(&mut net, 64);
    assert_eq!(net.engine().len(), 80);
}
