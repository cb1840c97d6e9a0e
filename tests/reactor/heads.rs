//! Slow and incomplete requests.

use crate::sockets::{Client, Controls, Event, Host, config, upgrade};
use pulsegate::cause::Cause;
use pulsegate::{Config, Micros};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn a_slow_head_is_answered_408() {
    let config = Config {
        handshake_timeout: Micros::from_secs(1),
        ..config()
    };
    let host = Host::start_with(config, 10_000);
    let controls = Controls::start(host.addr);
    let head = upgrade("/slow");
    let mut silent = Client::connect(host.addr);
    let mut partial = Client::connect(host.addr);
    partial.write(&head.as_bytes()[..head.len() - 2]);
    // Sending byte by byte makes no difference.
    let mut dripping = Client::connect(host.addr);
    let mut drops = head.as_bytes()[..head.len() - 2].iter();
    let answered = AtomicBool::new(false);
    let dripping = std::thread::scope(|scope| {
        let answered = &answered;
        let mut writer = dripping.writer();
        scope.spawn(move || {
            while !answered.load(SeqCst) && drops.next().is_some_and(|b| writer.try_write(&[*b])) {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let response = dripping.response();
        answered.store(true, SeqCst);
        response
    });
    // A client that never sent a byte gets no answer.
    assert_eq!(silent.next(), Event::Eof);
    for response in [partial.response(), dripping] {
        assert_eq!(response.status, 408, "{response:?}");
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(response.body.contains("\"status\":408"), "{response:?}");
    }
    drop((silent, partial));
    controls.finish();
    let stats = host.stop();
    assert!(stats.rejected[Cause::HANDSHAKE_TIMEOUT.index()] >= 2);
    assert!(stats.rejected[Cause::PROBE.index()] >= 1);
    assert_eq!(stats.opened(), Controls::MANY as u64);
}

#[test]
fn a_peer_that_leaves_before_the_request_is_answered_is_told_apart() {
    let host = Host::start();
    let controls = Controls::start(host.addr);
    drop(Client::connect(host.addr));
    assert_eq!(host.rejected(1)[0].cause, Cause::PROBE);
    Client::connect(host.addr).reset();
    assert_eq!(host.rejected(2)[1].cause, Cause::PROBE);
    let mut client = Client::connect(host.addr);
    client.write(b"GET / HT");
    drop(client);
    assert_eq!(host.rejected(3)[2].cause, Cause::ABORTED);
    let response = Client::get(host.addr, "/healthz");
    assert_eq!(
        (response.status, &*response.body),
        (200, "{\"status\":\"ok\"}")
    );
    assert_eq!(host.rejected(4)[3].cause, Cause::ANSWERED);
    // A whole head, a message and the end, in one segment.
    let mut client = Client::connect(host.addr);
    client.cork();
    client.write(upgrade("/brief").as_bytes());
    client.send_text("all at once");
    client.send_fin();
    host.message("/brief", "all at once");
    assert_eq!(host.ending("/brief").cause, Cause::PEER_EOF);
    controls.finish();
    host.stop();
}
