//! How a client opts in, and what it is promised.

use crate::rig::{Rig, S, control};
use pulsegate::Micros;
use pulsegate::testing::OnDial;

#[test]
fn the_service_sees_neither_the_parameters_nor_an_extension() {
    for (target, line) in [
        ("/?pulse=1", "GET / HTTP/1.1"),
        ("/?a=1&pulse=1&b", "GET /?a=1&b HTTP/1.1"),
        ("/x?pulse=1&resumes=1", "GET /x?resumes=1 HTTP/1.1"),
    ] {
        let mut rig = Rig::new();
        let pair = rig.open_as(
            target,
            "Sec-WebSocket-Extensions: permessage-deflate\r\nCookie: a=b\r\n",
        );
        let head = rig.net.request(pair.service).expect("a request").to_owned();
        assert!(head.starts_with(line), "{head}");
        let lower = head.to_ascii_lowercase();
        assert!(!lower.contains("sec-websocket-extensions"), "{head}");
        assert!(lower.contains("cookie: a=b"), "{head}");
        let answer = rig.net.response(pair.client).expect("an answer").to_owned();
        assert!(
            !answer.to_ascii_lowercase().contains("extensions"),
            "{answer}"
        );
    }
}

#[test]
fn other_requests_are_ordinary_pairs() {
    for (target, allows) in [("/?pulse=0", true), ("/", true), ("/?pulse=1", false)] {
        let mut rig = Rig::tuned(|route, _, _| route.pulse = allows);
        let client = rig.ask(target, "");
        let service = rig.dialed();
        let head = rig.net.request(service).expect("a request");
        assert!(head.starts_with(&format!("GET {target} ")), "{head}");
        rig.net.agree(service, "");
        rig.text(service, "\u{1}{}");
        assert_eq!(rig.heard(client), ["\u{1}{}"]);
        rig.text(client, "\u{1}?");
        assert_eq!(rig.heard(service), ["\u{1}?"]);
    }
}

#[test]
fn the_hello_says_what_the_gateway_promises() {
    let mut rig = Rig::tuned(|route, limits, _| {
        limits.hold = Micros::from_secs(90);
        route.max_message_bytes = 5_000;
        route.accept_per_second = 4;
    });
    let hello = rig.open().hello;
    let id = hello
        .conn
        .split_once('.')
        .expect("the run and the connection");
    assert_eq!(id.0.len(), 8, "{}", hello.conn);
    assert_eq!(hello.resume.as_str().len(), 32);
    assert_eq!((hello.v, hello.resumed, hello.rx), (1, false, 0));
    // A third of the time between the ping and the end of patience, at most 10 s.
    let times = (hello.ping_ms, hello.grace_ms, hello.timeout_ms);
    assert_eq!(times, (15_000, 10_000, 45_000));
    assert_eq!((hello.hold_ms, hello.max_message_bytes), (90_000, 5_000));
    assert_eq!((hello.retry.max_ms, hello.report_bytes), (30_000, 2_048));
    // Clients that are all lost at once come back at the rate that the service accepts.
    assert_eq!(rig.open().hello.retry.first_ms, 2 * 1_000 / 4);
}

#[test]
fn the_subprotocol_is_that_of_the_service() {
    let mut rig = Rig::new();
    let client = rig.ask("/?pulse=1", "Sec-WebSocket-Protocol: a, b\r\n");
    let service = rig.dialed();
    let head = rig.net.request(service).expect("a request");
    assert!(head.contains("a, b"), "{head}");
    rig.net.agree(service, "Sec-WebSocket-Protocol: b\r\n");
    rig.net.settle();
    let answer = rig
        .net
        .response(client)
        .expect("an answer")
        .to_ascii_lowercase();
    assert!(answer.contains("sec-websocket-protocol: b\r\n"), "{answer}");
}

#[test]
fn messages_pass_both_ways_and_control_frames_do_not() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.text(pair.client, "to the service");
    rig.text(pair.client, "\u{1}\u{1}{\"rx\":1}");
    rig.say(pair.client, r#"{"state":{"net":"wifi"}}"#);
    rig.say(pair.client, r#"{"of_tomorrow":1}"#);
    assert_eq!(
        rig.heard(pair.service),
        ["to the service", "\u{1}{\"rx\":1}"]
    );
    rig.text(pair.service, "to the client");
    rig.text(pair.service, "\u{1}{\"rx\":9}");
    assert_eq!(
        rig.heard(pair.client),
        ["to the client", "\u{1}\u{1}{\"rx\":9}"]
    );
}

#[test]
fn a_long_message_is_announced() {
    let mut rig = Rig::new();
    let pair = rig.open();
    for (len, announced) in [(16_384, false), (16_385, true)] {
        let long = "x".repeat(len);
        rig.text(pair.service, &long);
        let expected = match announced {
            true => vec![control(r#"{"big":16385}"#), long],
            false => vec![long],
        };
        assert_eq!(rig.heard(pair.client), expected);
    }
}

#[test]
fn heartbeats_are_texts_and_say_what_was_received() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.text(pair.client, "one");
    for number in 1..20 {
        rig.pass(15 * S);
        let heard = rig.heard(pair.client);
        let pings: Vec<_> = heard.iter().filter(|line| line.contains("ping")).collect();
        assert_eq!(pings.len(), 1, "{heard:?}");
        let json = pings[0].trim_start_matches('\u{1}');
        let ping: serde_json::Value = serde_json::from_str(json).expect("JSON");
        assert_eq!(ping["rx"], 1, "{json}");
        assert!(!heard.contains(&"ping".to_owned()), "{number}: {heard:?}");
        rig.say(
            pair.client,
            &format!(r#"{{"pong":{},"rx":0}}"#, ping["ping"]),
        );
    }
    assert!(rig.net.is_open(pair.client));
    // What a proxy may say for a client that has gone does not count.
    for _ in 0..5 {
        rig.pass(10 * S);
        rig.net
            .send(pair.client, pulsegate::Message::Pong("".into()));
    }
    assert!(
        rig.heard(pair.client)
            .last()
            .expect("a close")
            .starts_with("close 3008")
    );
}

#[test]
fn what_was_received_is_acknowledged_after_a_second_of_quiet() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.text(pair.client, "one");
    rig.pass(900);
    assert_eq!(rig.heard(pair.client), [""; 0]);
    rig.text(pair.client, "two");
    rig.pass(900);
    assert_eq!(rig.heard(pair.client), [""; 0]);
    rig.pass(200);
    assert_eq!(rig.heard(pair.client), [control(r#"{"rx":2}"#)]);
    // Many are acknowledged at once.
    for _ in 0..64 {
        rig.text(pair.client, "more");
    }
    assert_eq!(rig.heard(pair.client), [control(r#"{"rx":66}"#)]);
    rig.pass(5 * S);
    assert_eq!(
        rig.heard(pair.client),
        [""; 0],
        "an acknowledgement is said once"
    );
}

#[test]
fn a_probe_is_answered_at_once() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.text(pair.client, "one");
    rig.say(pair.client, r#"{"probe":7}"#);
    assert_eq!(rig.heard(pair.client), [control(r#"{"probe":7,"rx":1}"#)]);
}

#[test]
fn a_client_hears_something_as_often_as_it_wants() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.say(pair.client, r#"{"state":{"want_ms":4000}}"#);
    rig.pass(13 * S);
    let heard = rig.heard(pair.client);
    assert_eq!(heard, vec![control(r#"{"rx":0}"#); 3]);
}

#[test]
fn a_message_that_is_too_long_ends_the_session() {
    let mut rig = Rig::tuned(|route, _, _| route.max_message_bytes = 100);
    let pair = rig.open();
    rig.text(pair.client, &"x".repeat(100));
    rig.text(pair.client, &"x".repeat(101));
    let closed = "close 1009 a message of 101 bytes, at most 100 are allowed";
    assert_eq!(rig.heard(pair.client), [closed]);
    rig.pass(3 * S);
    let heard = rig.heard(pair.service);
    assert!(
        heard[1].starts_with("close 1001 client closed"),
        "{heard:?}"
    );
    // One of the service ends the connection to the service, and the client is told.
    let pair = rig.open();
    rig.text(pair.service, &"x".repeat(101));
    rig.pass(3 * S);
    let heard = rig.heard(pair.client);
    assert!(
        heard[0].starts_with("close 1011 upstream closed"),
        "{heard:?}"
    );
    rig.assert_empty();
}

#[test]
fn a_client_that_leaves_before_the_answer_is_forgotten() {
    let mut rig = Rig::new();
    let client = rig.ask("/?pulse=1", "");
    let service = rig.dialed();
    rig.cut(client);
    rig.pass(5 * S);
    assert!(rig.net.ending(service).is_some());
    // Or just when the answer comes.
    let client = rig.ask("/?pulse=1", "");
    let service = rig.dialed();
    rig.net.agree(service, "");
    rig.net.reset(client);
    rig.net.settle();
    rig.pass(5 * S);
    assert!(rig.net.ending(service).is_some());
    rig.assert_empty();
}

#[test]
fn a_service_that_agrees_and_dies_at_once_is_told_in_a_frame() {
    let mut rig = Rig::new();
    let client = rig.ask("/?pulse=1", "");
    let service = rig.dialed();
    rig.net.agree(service, "");
    rig.net.half_close(service);
    rig.pass(S);
    let heard = rig.heard(client);
    let answer = rig.net.response(client).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(
        heard.last().is_some_and(|line| line.starts_with("close ")),
        "{heard:?}"
    );
    rig.assert_empty();
}

#[test]
fn a_client_that_does_not_take_the_subprotocol_it_has_is_refused() {
    // Its WebSocket was open before the service has chosen.
    let mut rig = Rig::new();
    rig.net.set_on_dial(OnDial::Accept);
    let pair = rig.open();
    let client = rig.resume_as(
        "/?pulse=1&resume=0",
        "Sec-WebSocket-Protocol: a\r\n",
        &pair.hello,
        0,
    );
    let service = rig.dialed();
    rig.net.agree(service, "");
    rig.net.settle();
    let heard = rig.heard(client);
    assert_eq!(
        heard[0],
        control(r#"{"refused":{"status":502,"retry_ms":0}}"#)
    );
    assert!(heard[1].starts_with("close 4502"), "{heard:?}");
}

#[test]
fn a_client_that_has_waited_for_its_session_is_pinged_again() {
    for wait in [1, 3, 5, 7, 9] {
        let mut rig = Rig::tuned(|_, _, config| {
            config.classes[2].policy.heartbeat_interval = Micros::from_secs(2);
            config.classes[2].policy.connection_timeout = Micros::from_secs(6);
        });
        let client = rig.ask("/?pulse=1&resume=0", "");
        rig.say(client, r#"{"resume":"gone","rx":0}"#);
        let service = rig.dialed();
        rig.pass(wait * S);
        rig.net.agree(service, "");
        rig.net.settle();
        rig.heard(client);
        for second in 0..20 {
            rig.pass(S);
            for line in rig.heard(client) {
                let json = line.trim_start_matches('\u{1}');
                let ping: serde_json::Value = serde_json::from_str(json).expect(json);
                rig.say(client, &format!(r#"{{"pong":{},"rx":0}}"#, ping["ping"]));
            }
            assert!(rig.net.is_open(client), "after {wait} and {second} s");
        }
    }
}

/// A heartbeat overtakes what waits for a slow client, and what was received must not go back.
#[test]
fn what_a_slow_client_is_told_never_goes_back() {
    let mut rig = Rig::new();
    let pair = rig.open();
    rig.net.set_window(pair.client, Some(0));
    rig.text(pair.service, "waits");
    for _ in 0..3 {
        rig.text(pair.client, "up");
        rig.pass(2 * S);
    }
    rig.text(pair.client, "up");
    rig.pass(9 * S + 500);
    rig.net.set_window(pair.client, None);
    rig.pass(2 * S);
    let heard = rig.heard(pair.client);
    let number = |line: &String| {
        let json = line.strip_prefix('\u{1}')?;
        let frame: serde_json::Value = serde_json::from_str(json).ok()?;
        frame["rx"].as_u64()
    };
    let said: Vec<u64> = heard.iter().filter_map(number).collect();
    assert!(said.len() > 2 && said.is_sorted(), "{heard:?}");
    assert_eq!(said.last(), Some(&4), "{heard:?}");
}

/// Nothing depends on these frames, so they are not worth a connection.
#[test]
fn states_and_reports_that_come_too_often_are_ignored_and_counted() {
    let mut rig = Rig::new();
    let client = rig.open().client;
    let report = r#"{"report":{"v":1,"rt":"node","lib":"0.1.0","start":"new","ended":[]}}"#;
    for _ in 0..8 {
        rig.say(client, r#"{"state":{"net":"wifi"}}"#);
        rig.say(client, report);
    }
    let counts = rig.counts();
    assert_eq!(counts.reports, [1, 0, 7, 0], "taken, and seven repeated");
    assert_eq!(counts.states_ignored, 3);
    rig.say(client, r#"{"probe":1}"#);
    assert!(rig.heard(client).iter().any(|text| text.contains("probe")));
}
