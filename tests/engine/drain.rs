//! Drains and stops: their pace, their answers, and what peers are told.

use crate::echo::{Host, check_all_ended, end_of, scripted, server};
use crate::http::response::{check_response, retry_after};
use crate::nets::S;
use pulsegate::Micros;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::Config;
use pulsegate::testing::{Net, PeerId, upgrade_request};

#[test]
fn clients_that_ask_during_a_drain_are_told_different_times_to_come_back() {
    let mut net = server(Config::default());
    net.connect("/");
    net.with_io(|_, io| io.remote().drain(Micros::ZERO, Micros::from_secs(5)));
    net.advance(20);
    let mut values = Vec::new();
    for _ in 0..16 {
        let peer = net.connect("/");
        values.push(retry_after(net.response(peer).expect("an answer")));
    }
    // Their requests are still incomplete when it ends.
    let slow: Vec<PeerId> = (0..16).map(|_| net.open_socket()).collect();
    net.advance(5 * S + 20);
    for peer in slow {
        let response = net.response(peer).expect("an answer");
        assert!(response.contains("service restart"), "{response}");
        values.push(retry_after(response));
    }
    assert!(values.windows(2).all(|w| w[0] != w[1]), "{values:?}");
    values.sort_unstable();
    values.dedup();
    assert!(values.len() >= 14, "{values:?}");
}

#[test]
fn a_drain_is_spread_evenly_and_health_says_so_at_once() {
    let mut net = server(Config::default());
    let peers: Vec<PeerId> = (0..200).map(|_| net.connect("/")).collect();
    let (delay, spread) = (Micros::from_secs(1), Micros::from_secs(5));
    net.with_io(|_, io| io.remote().drain(delay, spread));
    net.settle();
    let ask = |net: &mut Net<Host>, path: &str| {
        let peer = net.open_socket();
        net.write(peer, upgrade_request(path).as_bytes());
        net.settle();
        let status = net.response(peer).map(|r| r[9..12].to_owned());
        net.half_close(peer);
        net.settle();
        status.expect("an answer")
    };
    assert_eq!(ask(&mut net, "/healthz"), "503");
    let peer = net.open_socket();
    net.write(peer, b"OPTIONS /healthz HTTP/1.0\r\n\r\n");
    net.settle();
    let answer = net.response(peer).unwrap_or_default().to_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(
        ask(&mut net, "/"),
        "101",
        "until the delay is over it goes on accepting"
    );
    net.advance(990);
    let draining = |net: &Net<Host>| {
        net.endings()
            .iter()
            .filter(|(_, e)| e.cause == Cause::DRAINING)
            .count()
    };
    assert_eq!(draining(&net), 0);
    net.advance(10);
    let mut before = 0;
    for step in 1..=50 {
        net.advance(100);
        let closed = draining(&net);
        let due = 200 * step / 50;
        assert!(
            closed.abs_diff(due) <= 2,
            "{closed} closed after {step} tenths, due {due}"
        );
        assert!(step == 50 || closed - before <= 5, "in leaps");
        before = closed;
        if step == 25 {
            let late = net.open_socket();
            net.write(late, upgrade_request("/").as_bytes());
            net.settle();
            check_response("late", net.response(late).expect("an answer"), 503, false);
        }
    }
    net.advance(3 * S);
    for peer in peers {
        let end = (
            Cause::DRAINING,
            EndCode::Close(1012),
            "service restart".to_owned(),
            true,
        );
        assert_eq!(end_of(&net, peer), Some(end));
    }
    assert!(net.engine().is_over());
    check_all_ended(&mut net);
}

#[test]
fn a_drain_at_once_closes_all_connections() {
    let mut net = server(Config::default());
    let (open, mute, slow) = (net.connect("/"), scripted(&mut net, "/"), net.open_socket());
    net.write(slow, b"GET / HT");
    net.settle();
    net.with_io(|_, io| io.remote().drain(Micros::ZERO, Micros::ZERO));
    net.advance(20);
    net.expect_closed(open, Cause::DRAINING);
    check_response(
        "half a head",
        net.response(slow).expect("an answer"),
        503,
        false,
    );
    net.advance(2 * S + 20);
    net.expect_closed(mute, Cause::DRAINING);
    net.expect_closed(slow, Cause::DRAINING);
    assert!(net.engine().is_over());
    check_all_ended(&mut net);
}

#[test]
fn a_stop_says_nothing_to_any_peer() {
    let mut net = server(Config::default());
    let (open, probe) = (net.connect("/"), net.open_socket());
    net.with_io(|_, io| io.remote().stop());
    net.settle();
    assert!(net.received(open).is_empty() && net.response(probe).is_none());
    for peer in [open, probe] {
        assert_eq!(
            end_of(&net, peer),
            Some((Cause::SHUTDOWN, EndCode::None, String::new(), false))
        );
        assert_eq!(net.released(peer), Some(false));
    }
    assert!(net.engine().is_over());
    check_all_ended(&mut net);
}
