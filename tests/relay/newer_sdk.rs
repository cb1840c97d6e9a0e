//! Apps of the newer SDK. Their requests carry the identity in headers, their first message may be
//! `reconnect`, and they reconnect after any close code. On virtual time; the SDK itself is tested
//! in `tests/foreign/clients/sdk`.

use crate::fleet::{Fleet, button, number, texts};
use pulsegate::gateway::{Admission, SESSION_UNKNOWN};
use pulsegate::testing::{PeerId, Received, upgrade_request};
use pulsegate::{Cause, Message};
use serde_json::{Value, json};

const KEY: &str = "key-of-p.x";

/// Connects with these header fields in the request.
fn request(fleet: &mut Fleet, fields: &[(&str, &str)]) -> PeerId {
    let request = upgrade_request("/app-ws");
    let head = request.strip_suffix("\r\n").expect("a head");
    let fields: String = fields
        .iter()
        .map(|(n, v)| format!("{n}: {v}\r\n"))
        .collect();
    let peer = fleet.net.open_socket();
    fleet
        .net
        .write(peer, format!("{head}{fields}\r\n").as_bytes());
    fleet.net.settle();
    assert!(fleet.is_open(peer), "{:?}", fleet.net.response(peer));
    peer
}

/// Returns the header fields of the SDK's requests.
fn fields<'a>(user: &'a str, session: &'a str, key: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("x-user-id", user),
        ("x-session-id", session),
        ("x-package-name", "p.x"),
        ("x-api-key", key),
    ]
}

/// Connects `p.x` for ada.
fn connect(fleet: &mut Fleet) -> PeerId {
    request(fleet, &fields("ada@x.y", "ada@x.y-p.x", KEY))
}

fn init() -> Value {
    json!({
        "type": "tpa_connection_init", "packageName": "p.x", "apiKey": KEY,
        "sdkVersion": "3.0.0-hono.8",
    })
}

fn reconnect() -> Value {
    json!({"type":"reconnect","sessionId":"ada@x.y-p.x","sdkVersion":"3.0.0-hono.8"})
}

/// Connects and sends the first message of an app that was not acknowledged yet.
fn begin(fleet: &mut Fleet) -> PeerId {
    let app = connect(fleet);
    fleet.say(app, init());
    app
}

/// Reconnects, as an app does that was acknowledged before.
fn come_back(fleet: &mut Fleet) -> PeerId {
    let app = connect(fleet);
    fleet.say(app, reconnect());
    app
}

/// Returns a fleet where ada has started `p.x`: with her glasses, and the app.
fn started() -> (Fleet, PeerId, PeerId) {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let app = begin(&mut fleet);
    let ack = fleet.next(app);
    assert_eq!(ack["type"], "tpa_connection_ack");
    assert_eq!(ack["sessionId"], "ada@x.y-p.x");
    let starts = fleet.starts();
    assert_eq!(fleet.cancelled(), starts);
    fleet.answer(starts[0]);
    (fleet, glasses, app)
}

/// Returns everything that it was sent: the types of its messages with their codes, and the end.
fn heard(fleet: &mut Fleet, peer: PeerId) -> Vec<String> {
    let received = fleet.net.received(peer).into_iter();
    let word = |received| match received {
        Received::Message(Message::Text(text)) => {
            let frame = crate::fleet::json(&text);
            let field = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
            Some(
                format!("{} {}", field("type"), field("code"))
                    .trim()
                    .to_owned(),
            )
        }
        Received::Close(code, reason) => Some(format!("{code} {reason}")),
        Received::Message(_) | Received::Fragment(..) | Received::Ping(_) | Received::Pong(_) => {
            None
        }
    };
    received.filter_map(word).collect()
}

#[test]
fn what_headers_say_is_given_up_when_the_upgrade_fails() {
    let mut fleet = Fleet::closed(Admission::Started);
    for (field, status) in [
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 400),
        ("Connection: Upgrade\r\n", 426),
    ] {
        let request = upgrade_request("/app-ws");
        assert!(request.contains(field), "{request}");
        let head = request.replace(field, "");
        let head = head.strip_suffix("\r\n").expect("a head");
        let fields: String = fields("ada@x.y", "ada@x.y-p.x", KEY)
            .iter()
            .map(|(n, v)| format!("{n}: {v}\r\n"))
            .collect();
        for _ in 0..3 {
            let peer = fleet.net.open_socket();
            let request = format!("{head}{fields}\r\n");
            fleet.net.write(peer, request.as_bytes());
            fleet.net.settle();
            let response = fleet.net.response(peer);
            let begin = format!("HTTP/1.1 {status} ");
            assert!(
                response.is_some_and(|r| r.starts_with(&begin)),
                "{response:?}"
            );
            fleet.net.advance(5_000);
        }
        assert_eq!(fleet.charged(), 0, "after {status}");
    }
}

#[test]
fn what_its_introduction_lacks_stands_in_the_headers() {
    let (mut fleet, _, app) = started();
    assert!(fleet.is_open(app));
    fleet.charged();
    for (fields, code) in [
        (
            &fields("ada@x.y", "ada@x.y-p.x", "wrong")[..],
            "INVALID_API_KEY",
        ),
        (&fields("bob@x.y", "bob@x.y-p.x", KEY), "SESSION_NOT_FOUND"),
        (&fields("", "ada@x.y-p.x", KEY), "MALFORMED_MESSAGE"),
        (
            &fields(&"x".repeat(257), "ada@x.y-p.y", KEY),
            "MALFORMED_MESSAGE",
        ),
        (
            &fields("ada@x.y", "ada@x.y-p.x", &"k".repeat(513)),
            "MALFORMED_MESSAGE",
        ),
        (&[], "MALFORMED_MESSAGE"),
    ] {
        let other = request(&mut fleet, fields);
        fleet.charged();
        fleet.say(
            other,
            json!({"type":"tpa_connection_init","packageName":"p.x"}),
        );
        assert_eq!(fleet.next(other)["code"], code, "{fields:?}");
        fleet.lose(other, "close");
    }
    // The user may be only in the session's name, and the message has precedence.
    let fields = fields("eve@x.y", "eve@x.y-p.x", "wrong");
    for (fields, init) in [
        (
            &[
                ("x-session-id", "ada@x.y-p.x"),
                fields[2],
                ("x-api-key", KEY),
            ][..],
            init(),
        ),
        (
            &fields,
            json!({
                "type": "tpa_connection_init", "packageName": "p.x", "sessionId": "ada@x.y-p.x",
                "apiKey": KEY,
            }),
        ),
    ] {
        let app = request(&mut fleet, fields);
        fleet.say(app, init);
        assert_eq!(fleet.next(app)["sessionId"], "ada@x.y-p.x");
    }
    // The memory for the wait for a first message is released with the connection, too.
    let before = fleet.charged();
    let silent = connect(&mut fleet);
    assert!(fleet.charged() > before);
    fleet.lose(silent, "reset");
    assert_eq!(fleet.charged(), before);
}

#[test]
fn a_reconnect_within_the_grace_is_acknowledged_and_nothing_is_lost() {
    let (mut fleet, glasses, app) = started();
    fleet.subscribe(app, &["button_press"]);
    fleet.lose(app, "reset");
    for n in 1..=3 {
        fleet.say(glasses, button(n));
    }
    let app = come_back(&mut fleet);
    let got = fleet.texts(app);
    assert_eq!(texts(&got)[0], "reconnect_ack");
    assert_eq!(crate::fleet::json(&got[0])["sessionId"], "ada@x.y-p.x");
    let numbers: Vec<_> = got.iter().filter_map(|text| number(text)).collect();
    assert_eq!(numbers, [1, 2, 3]);
    fleet.advance(60_000);
    assert_eq!(fleet.starts().len(), 0, "it is not asked back");
    assert_eq!(fleet.stats().resumes[1], 1);
}

#[test]
fn a_reconnect_to_no_session_is_rejected_and_the_app_may_introduce_itself() {
    let mut fleet = Fleet::closed(Admission::Started);
    let app = come_back(&mut fleet);
    assert_eq!(
        heard(&mut fleet, app),
        ["reconnect_rejected SESSION_NOT_FOUND"]
    );
    assert!(fleet.is_open(app));
    fleet.say(app, init());
    fleet.expect_closing(app, SESSION_UNKNOWN, 1013);
    assert_eq!(
        heard(&mut fleet, app)[0],
        "tpa_connection_error SESSION_NOT_FOUND"
    );
    // Once, and soon.
    let app = come_back(&mut fleet);
    fleet.say(app, reconnect());
    fleet.expect_closing(app, Cause::FORBIDDEN, 1008);
    let app = come_back(&mut fleet);
    fleet.advance(9_000);
    assert!(fleet.is_open(app));
    fleet.advance(2_000);
    fleet.expect_closing(app, Cause::INIT_TIMEOUT, 3008);
    // If any valid key is enough, the key admits it. A key is required first.
    let mut fleet = Fleet::closed(Admission::Key);
    let app = come_back(&mut fleet);
    fleet.say(app, init());
    let heard_ = heard(&mut fleet, app);
    assert_eq!(
        heard_,
        ["reconnect_rejected SESSION_NOT_FOUND", "tpa_connection_ack"]
    );
    fleet.advance(60_000);
    assert!(fleet.is_open(app), "nothing is waited for any more");
    let app = request(&mut fleet, &fields("ada@x.y", "ada@x.y-p.x", "wrong"));
    fleet.say(app, reconnect());
    assert_eq!(fleet.next(app)["code"], "INVALID_API_KEY");
}

#[test]
fn an_app_that_its_user_has_stopped_is_told_to_stay_away() {
    let (mut fleet, glasses, app) = started();
    fleet.lose(app, "reset");
    fleet.say(glasses, json!({"type":"stop_app","packageName":"p.x"}));
    let app = come_back(&mut fleet);
    fleet.advance(100);
    let heard_ = heard(&mut fleet, app);
    assert_eq!(
        heard_,
        [
            "reconnect_rejected NOT_RUNNING",
            "app_stopped",
            "1000 App stopped"
        ]
    );
    let app = begin(&mut fleet);
    fleet.advance(100);
    assert_eq!(heard(&mut fleet, app), ["app_stopped", "1000 App stopped"]);
    // The older SDK stays away because of the code.
    let older = fleet.init("ada@x.y", "p.x", KEY);
    fleet.expect_closing(older, Cause::FORBIDDEN, 1008);
    assert_eq!(
        heard(&mut fleet, older)[0],
        "tpa_connection_error APP_NOT_STARTED"
    );
}

#[test]
fn a_reconnect_while_the_glasses_are_away_is_deferred_until_they_are_back() {
    let (mut fleet, glasses, app) = started();
    fleet.lose(glasses, "reset");
    fleet.lose(app, "reset");
    fleet.advance(10_000);
    let app = come_back(&mut fleet);
    let deferred = fleet.next(app);
    assert_eq!(deferred["type"], "reconnect_deferred");
    let left = deferred["timeoutMs"].as_u64().expect("a time");
    assert!(
        (49_000..=50_000).contains(&left),
        "what is left of 60 s: {left}"
    );
    // What it displays meanwhile waits for the glasses.
    fleet.say(app, json!({"type":"display_event","n":1}));
    assert_eq!(heard(&mut fleet, app), [""; 0]);
    let glasses = fleet.glasses("ada@x.y");
    assert_eq!(heard(&mut fleet, app), ["reconnect_ack"]);
    assert!(texts(&fleet.texts(glasses)).contains(&"display_event".to_owned()));
    fleet.lose(glasses, "reset");
    fleet.glasses("ada@x.y");
    assert_eq!(heard(&mut fleet, app), [""; 0], "once");
    assert_eq!(fleet.starts().len(), 0);
    // The glasses do not come back.
    let (mut fleet, glasses, app) = started();
    fleet.lose(glasses, "reset");
    fleet.lose(app, "reset");
    let app = come_back(&mut fleet);
    fleet.advance(61_000);
    let heard_ = heard(&mut fleet, app);
    assert_eq!(
        heard_,
        [
            "reconnect_deferred",
            "app_stopped",
            "1000 User session ended"
        ]
    );
}

#[test]
fn after_a_restart_an_app_waits_for_its_glasses_and_is_not_asked() {
    let users = vec![("ada@x.y".into(), vec!["p.x".into(), "p.y".into()])];
    let mut fleet = Fleet::restored(users);
    let app = come_back(&mut fleet);
    assert_eq!(heard(&mut fleet, app), ["reconnect_deferred"]);
    fleet.glasses("ada@x.y");
    assert_eq!(heard(&mut fleet, app), ["reconnect_ack"]);
    assert_eq!(fleet.starts().len(), 1, "the other one is");
    // An app that has waited, and is lost when the glasses connect: no other connection is
    // acknowledged in its place.
    let mut fleet = Fleet::restored(vec![("ada@x.y".into(), vec!["p.x".into()])]);
    let app = come_back(&mut fleet);
    fleet.lose(app, "reset");
    fleet.glasses("ada@x.y");
    let app = begin(&mut fleet);
    assert_eq!(heard(&mut fleet, app), ["tpa_connection_ack"]);
}

/// Its SDK waits on that connection, and on no other, so the gateway need not wait for it.
#[test]
fn an_app_that_waited_for_its_glasses_and_was_lost_is_asked_when_they_are_back() {
    let (mut fleet, glasses, app) = started();
    fleet.lose(glasses, "reset");
    fleet.lose(app, "reset");
    let app = come_back(&mut fleet);
    fleet.lose(app, "reset");
    fleet.advance(1_000);
    assert_eq!(fleet.starts().len(), 0);
    fleet.glasses("ada@x.y");
    let [start] = fleet.starts()[..] else {
        panic!("one start");
    };
    let app = begin(&mut fleet);
    assert_eq!(heard(&mut fleet, app), ["tpa_connection_ack"]);
    fleet.answer(start);
    fleet.charged();
}

/// Otherwise it would reconnect, and two processes would take each other's place without end.
#[test]
fn an_app_that_is_replaced_is_told_that_it_has_stopped_first() {
    let (mut fleet, glasses, first) = started();
    let second = begin(&mut fleet);
    fleet.advance(100);
    assert_eq!(
        heard(&mut fleet, first),
        ["app_stopped", "1000 replaced by a newer connection"]
    );
    assert_eq!(heard(&mut fleet, second), ["tpa_connection_ack"]);
    // The older SDK need not be told.
    let older = fleet.init("ada@x.y", "p.x", KEY);
    fleet.advance(100);
    assert_eq!(
        heard(&mut fleet, second),
        ["app_stopped", "1000 replaced by a newer connection"]
    );
    begin(&mut fleet);
    fleet.advance(100);
    assert_eq!(
        heard(&mut fleet, older),
        ["tpa_connection_ack", "1000 replaced by a newer connection"]
    );
    // It may state its version only.
    let versioned = fleet.net.connect("/app-ws");
    let mut named = init();
    named["sessionId"] = "ada@x.y-p.x".into();
    fleet.say(versioned, named);
    begin(&mut fleet);
    fleet.advance(100);
    assert_eq!(
        heard(&mut fleet, versioned)[1..],
        ["app_stopped", "1000 replaced by a newer connection"]
    );
    fleet.drain(glasses);
    fleet.glasses("ada@x.y");
    fleet.advance(100);
    let end = heard(&mut fleet, glasses).pop().expect("an end");
    assert!(
        end.starts_with("4003 ") && end.contains("superseded by newer session"),
        "{end}"
    );
}

/// Its server has failed and is asked again. The failed session has no handlers, but reconnects by
/// itself.
#[test]
fn what_is_left_of_a_session_that_failed_is_told_to_stay_away() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let [start] = fleet.starts()[..] else {
        panic!("one start");
    };
    fleet.again(start, 3_500);
    let orphan = begin(&mut fleet);
    fleet.advance(100);
    assert_eq!(
        heard(&mut fleet, orphan),
        ["app_stopped", "1000 App stopped"]
    );
    // It tries until after the next session has connected.
    fleet.advance(3_500);
    let app = begin(&mut fleet);
    assert_eq!(heard(&mut fleet, app), ["tpa_connection_ack"]);
    fleet.advance(1_500);
    let orphan = begin(&mut fleet);
    fleet.advance(100);
    assert_eq!(
        heard(&mut fleet, orphan),
        ["app_stopped", "1000 App stopped"]
    );
    assert!(fleet.is_open(app));
    // A session that had been acknowledged has its handlers.
    let app = come_back(&mut fleet);
    assert_eq!(heard(&mut fleet, app), ["reconnect_ack"]);
}
