//! Connections that the gateway closes: stale ones and replaced ones.

use crate::commands::gateway_with;
use crate::peers::{assert_served, glasses};
use crate::sockets::{Client, Controls, Event, eventually, field, frame};
use pulsegate::wire::frame::CLOSE;

#[test]
fn a_frozen_client_is_closed_and_the_log_says_why() {
    let gateway = gateway_with(&[]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let mut frozen = glasses(&gateway, "frozen");
    let (pings, event) = frozen.next_mute();
    let Event::Close(3008, reason) = event else {
        panic!("{event:?}");
    };
    assert!(pings >= 1);
    assert!(reason.starts_with("nothing heard for "), "{reason}");
    let line = gateway.line(&["[WARN] close ", "user=frozen"]);
    let wanted = [
        ("class", "glasses"),
        ("cause", "stale"),
        ("code", "3008"),
        ("by", "us"),
        ("clean", "false"),
        ("unanswered", &pings.to_string()),
    ];
    for (key, value) in wanted {
        assert_eq!(field(&line, key), Some(value), "{line}");
    }
    let silence = field(&line, "silence_ms").and_then(|ms| ms.parse().ok());
    assert!(silence.is_some_and(|ms: u64| ms >= 3_000), "{line}");
    controls.finish();
    gateway.end();
}

/// Asserts that each newer connection at a path replaces the one before it.
fn replaced(path: &str, class: &str, code: u16, reason: &str) {
    let gateway = gateway_with(&[("CLOSE_TIMEOUT_MS", "20000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let line = |nth: usize| {
        let parts = ["cause=replaced", "user=alice", &format!("class={class} ")];
        let lines = eventually("the log of a replaced one", || {
            let lines = gateway.lines(&parts);
            (lines.len() >= nth).then_some(lines)
        });
        assert_eq!(lines.len(), nth);
        lines[nth - 1].clone()
    };
    let open = || Client::open(gateway.addr, path);
    let closed = Event::Close(code, reason.to_owned());
    let mut first = open();
    let mut second = open();
    assert_eq!(first.next_answering(), closed);
    // The replaced connection ends late, while the newer one is active.
    assert_served(&mut second);
    first.try_write(&frame(CLOSE, &code.to_be_bytes()));
    assert_eq!(first.next(), Event::Eof);
    let told = line(1);
    assert_eq!(field(&told, "code"), Some(&*code.to_string()), "{told}");
    assert_eq!(field(&told, "by"), Some("us"), "{told}");
    // This has not taken the place from the second connection: a third finds it there.
    let mut third = open();
    assert_eq!(second.expect_close(), (code, reason.to_owned()));
    line(2);
    // And the same when the replaced connection ends without an answer.
    let mut fourth = open();
    assert_eq!(third.next_answering(), closed);
    drop(third);
    line(3);
    let mut fifth = open();
    assert_eq!(fourth.expect_close(), (code, reason.to_owned()));
    assert_served(&mut fifth);
    controls.finish();
    gateway.end();
}

#[test]
fn newer_glasses_of_the_same_user_replace_the_older() {
    let reason = "replaced by a newer connection (superseded by newer session)";
    replaced("/glasses-ws?user=alice", "glasses", 4003, reason);
}

#[test]
fn a_newer_connection_of_the_same_app_replaces_the_older() {
    let path = "/tpa-ws?user=alice&package=com.example.app";
    replaced(path, "app", 1000, "replaced by a newer connection");
}

#[test]
fn another_package_or_another_user_is_another_identity() {
    let gateway = gateway_with(&[]);
    let paths = [
        "/tpa-ws?user=alice&package=com.example.app",
        "/glasses-ws?user=alice",
        "/tpa-ws?user=bob&package=a",
        "/app-ws?user=bob&package=b",
        "/glasses-ws?user=bob",
        "/glasses-ws?user=carol",
    ];
    let mut peers = paths.map(|path| Client::open(gateway.addr, path));
    peers.iter_mut().for_each(assert_served);
    assert_eq!(gateway.lines(&["cause=replaced"]), [""; 0]);
    gateway.end();
}
