//! Drains at SIGTERM and SIGINT.

use crate::peers::glasses;
use crate::sockets::{Client, Controls, Event, Gateway, eventually};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

#[test]
fn sigterm_drains() {
    let mut gateway = Gateway::start(&[
        ("DRAIN_MS", "3000"),
        ("DRAIN_DELAY_MS", "1000"),
        ("CLOSE_TIMEOUT_MS", "20000"),
    ]);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    assert_eq!(gateway.health(), 200);
    gateway.signal("TERM");
    gateway.line(&["signal", "effect=drain"]);
    assert_eq!(gateway.health(), 503);
    // Load balancers have not noticed yet: new connections are served.
    let mut late = glasses(&gateway, "late");
    let late = std::thread::spawn(move || late.expect_close());
    let ends = controls.wait_for_end();
    let end = late.join().expect("it was closed");
    assert_eq!(
        end,
        (1012, "service restart".to_owned()),
        "the late one, too"
    );
    let mut at: Vec<Instant> = Vec::new();
    for control in ends {
        let (code, reason, when) = control.close.expect("a close frame");
        assert_eq!((code, &*reason), (1012, "service restart"));
        assert_eq!(control.end, Some(Event::Eof));
        at.push(when);
    }
    at.sort();
    let spread = at[at.len() - 1] - at[0];
    assert!(
        spread >= Duration::from_millis(300),
        "closed within {spread:?}, though over 3 s was asked for"
    );
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    let parts = ["close ", "cause=draining", "code=1012", "clean=true"];
    eventually("the lines of all", || {
        (gateway.lines(&parts).len() == Controls::MANY + 1).then_some(())
    });
}

#[test]
fn health_checks_are_answered_503_until_the_drain_ends() {
    let settings = [("DRAIN_MS", "3000"), ("CLOSE_TIMEOUT_MS", "20000")];
    let mut gateway = Gateway::start(&settings);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    gateway.signal("INT");
    gateway.line(&["close ", "cause=draining"]);
    // The first connections are closed already, and the last ones stay open for long.
    for _ in 0..20 {
        let response = Client::get(gateway.addr, "/healthz");
        let draining = "{\"status\":\"draining\"}";
        assert_eq!((response.status, &*response.body), (503, draining));
        let refused = Client::refused(gateway.addr, "/glasses-ws?user=late");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert!(refused.body.contains("service restart"), "{refused:?}");
        assert!(refused.header("retry-after").is_some(), "{refused:?}");
    }
    assert!(controls.over() < Controls::MANY as u64, "the drain goes on");
    for control in controls.wait_for_end() {
        let (code, _, _) = control.close.expect("a close frame");
        assert_eq!(code, 1012);
    }
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn health_checks_do_not_keep_a_drained_gateway_alive() {
    let mut gateway = Gateway::start(&[("DRAIN_MS", "500")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    let over = Arc::new(AtomicBool::new(false));
    let checks = std::thread::spawn({
        let (over, addr) = (Arc::clone(&over), gateway.addr);
        move || {
            // Some send a request, and some only connect and send nothing, until the end and
            // beyond.
            let mut silent = std::collections::VecDeque::new();
            while !over.load(Relaxed) {
                if let Ok(stream) = std::net::TcpStream::connect(addr) {
                    silent.push_back(stream);
                }
                if silent.len() > 64 {
                    silent.pop_front();
                }
                std::thread::yield_now();
            }
        }
    });
    gateway.signal("TERM");
    controls.wait_for_end();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
    over.store(true, Relaxed);
    checks.join().expect("no panic");
}

#[test]
fn with_reuse_port_the_listener_is_closed_before_the_first_connection() {
    let settings = [("DRAIN_MS", "3000"), ("REUSE_PORT", "1")];
    let mut gateway = Gateway::start(&settings);
    let controls = Controls::start_at_gateway(gateway.addr);
    controls.await_pings(1);
    gateway.signal("TERM");
    gateway.line(&["close ", "cause=draining"]);
    let refused = std::net::TcpStream::connect(gateway.addr);
    assert!(refused.is_err(), "the port is the successor's");
    assert!(controls.over() < Controls::MANY as u64, "the drain goes on");
    controls.wait_for_end();
    assert_eq!(gateway.wait_for_exit().code(), Some(0));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut gateway = Gateway::start(&[("DRAIN_MS", "86400000"), ("DRAIN_DELAY_MS", "86400000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    gateway.signal("TERM");
    gateway.line(&["signal", "effect=drain"]);
    assert_eq!(gateway.health(), 503);
    controls.await_pings(2);
    assert_eq!(controls.over(), 0, "the drain has hardly begun");
    gateway.signal("INT");
    for control in controls.wait_for_end() {
        assert_eq!(control.close, None, "no close frame");
        assert!(control.end.is_some());
    }
    let status = gateway.wait_for_exit();
    assert!(status.code().is_some(), "it was not killed: {status}");
}
