//! Connections that the gateway closes: stale ones and replaced ones.

use crate::peers::glasses;
use crate::sockets::{Client, Controls, Event, Gateway, eventually, field, frame};
use pulsegate::wire::frame::CLOSE;

#[test]
fn a_frozen_client_is_closed_and_the_log_says_why() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0")]);
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

#[test]
fn a_newer_connection_of_the_same_peer_replaces_the_older() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("CLOSE_TIMEOUT_MS", "20000")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let reason = "replaced by a newer connection";
    let superseded = "replaced by a newer connection (superseded by newer session)";
    for (path, class, code, reason) in [
        ("/glasses-ws?user=alice", "glasses", 4003, superseded),
        (
            "/tpa-ws?user=alice&package=com.example.app",
            "app",
            1000,
            reason,
        ),
    ] {
        let line = |n: usize| {
            let parts = ["cause=replaced", "user=alice", &format!("class={class} ")];
            let lines = eventually("the log of a replaced one", || {
                let lines = gateway.lines(&parts);
                (lines.len() >= n).then_some(lines)
            });
            assert_eq!(lines.len(), n);
            lines[n - 1].clone()
        };
        let mut first = Client::open(gateway.addr, path);
        let mut second = Client::open(gateway.addr, path);
        assert_eq!(
            first.next_answering(),
            Event::Close(code, reason.to_owned())
        );
        // The replaced connection ends late, while the newer one is active.
        second.send_text("{\"type\":\"ping\"}");
        let pong = second.next_answering();
        assert!(
            matches!(&pong, Event::Text(t) if t.contains("pong")),
            "{pong:?}"
        );
        first.try_write(&frame(CLOSE, &code.to_be_bytes()));
        assert_eq!(first.next(), Event::Eof);
        let line1 = line(1);
        assert_eq!(field(&line1, "code"), Some(&*code.to_string()), "{line1}");
        assert_eq!(field(&line1, "by"), Some("us"), "{line1}");
        // This has not taken the place from the second connection: a third finds it there.
        let mut third = Client::open(gateway.addr, path);
        assert_eq!(second.expect_close(), (code, reason.to_owned()));
        line(2);
        // And the same when the replaced connection ends without an answer.
        let mut fourth = Client::open(gateway.addr, path);
        let told = third.next_answering();
        assert_eq!(told, Event::Close(code, reason.to_owned()));
        drop(third);
        line(3);
        let mut fifth = Client::open(gateway.addr, path);
        assert_eq!(fourth.expect_close(), (code, reason.to_owned()));
        fifth.send_text("{\"type\":\"ping\"}");
        assert!(matches!(fifth.next_answering(), Event::Text(_)));
    }
    // Another package, or another user, is another identity.
    let paths = [
        "/tpa-ws?user=bob&package=a",
        "/app-ws?user=bob&package=b",
        "/glasses-ws?user=bob",
        "/glasses-ws?user=carol",
    ];
    let mut others = paths.map(|p| Client::open(gateway.addr, p));
    for client in &mut others {
        client.send_text("{\"type\":\"ping\"}");
        assert!(matches!(client.next_answering(), Event::Text(_)));
    }
    controls.finish();
    gateway.end();
}
