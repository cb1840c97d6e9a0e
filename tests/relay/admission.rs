//! Which peers are admitted, with and without credentials.

use crate::fleet::{Fleet, texts};
use pulsegate::Cause;
use pulsegate::gateway::{Admission, SESSION_UNKNOWN};
use serde_json::json;

#[test]
fn malformed_frames_are_answered_and_only_repeated_ones_close() {
    for kind in ["glasses", "app"] {
        let mut fleet = Fleet::open();
        let peer = match kind {
            "glasses" => fleet.glasses("ada"),
            _ => fleet.app("ada", "p.x"),
        };
        fleet.drain(peer);
        for _ in 0..4 {
            fleet.say_text(peer, "{\"type\":");
            let answer = fleet.next(peer);
            assert_eq!(answer["code"], "MALFORMED_MESSAGE", "{answer}");
        }
        // A minute later the count is reset.
        fleet.advance(61_000);
        for _ in 0..4 {
            fleet.say_text(peer, "[]");
        }
        assert!(fleet.is_open(peer));
        fleet.say_text(peer, "nonsense");
        fleet.expect_closing(peer, Cause::FORBIDDEN, 1008);
    }
}

#[test]
fn only_a_peer_that_flaps_is_slowed() {
    let mut fleet = Fleet::open();
    let mut glasses = fleet.glasses("ada");
    for _ in 0..15 {
        fleet.advance(500);
        glasses = fleet.glasses("ada");
    }
    let (status, head) = fleet.refused("/glasses-ws?user=ada");
    assert_eq!(status, 429);
    assert!(head.to_lowercase().contains("retry-after: "), "{head}");
    assert!(fleet.is_open(glasses), "who is here stays");
    fleet.glasses("bob");
    fleet.advance(60_000);
    fleet.glasses("ada");
    assert_eq!(fleet.stats().flapping, [1, 0]);
}

#[test]
fn an_app_introduces_itself_in_time_or_is_closed() {
    let mut fleet = Fleet::open();
    let silent = fleet.net.connect("/app-ws");
    fleet.advance(9_900);
    assert!(fleet.is_open(silent));
    fleet.advance(200);
    fleet.expect_closing(silent, Cause::INIT_TIMEOUT, 3008);
    // With an identity in the query there is nothing to say.
    let quiet = fleet.app("ada", "p.x");
    fleet.advance(30_000);
    assert!(fleet.is_open(quiet));
    let rude = fleet.net.connect("/tpa-ws");
    fleet.subscribe(rude, &[]);
    assert_eq!(fleet.next(rude)["code"], "MALFORMED_MESSAGE");
    fleet.expect_closing(rude, Cause::FORBIDDEN, 1008);
}

#[test]
fn keys_are_checked_and_the_user_must_have_started_the_app() {
    let mut fleet = Fleet::closed(Admission::Started);
    for (user, package, key, code, cause, close) in [
        (
            "a-b@c.de",
            "p.x",
            "wrong-key",
            "INVALID_API_KEY",
            Cause::FORBIDDEN,
            1008,
        ),
        (
            "a-b@c.de",
            "p.unknown",
            "key-of-p.x",
            "INVALID_API_KEY",
            Cause::FORBIDDEN,
            1008,
        ),
        (
            "a-b@c.de",
            "p.x",
            "key-of-p.x",
            "SESSION_NOT_FOUND",
            SESSION_UNKNOWN,
            1013,
        ),
    ] {
        let app = fleet.init(user, package, key);
        assert_eq!(fleet.next(app)["code"], code, "{user} {package} {key}");
        fleet.expect_closing(app, cause, close);
    }
    let glasses = fleet.glasses("a-b@c.de");
    let app = fleet.init("a-b@c.de", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["code"], "APP_NOT_STARTED");
    fleet.expect_closing(app, Cause::FORBIDDEN, 1008);
    fleet.drain(glasses);
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let app = fleet.init("a-b@c.de", "p.x", "key-of-p.x");
    let ack = fleet.next(app);
    assert_eq!(
        (ack["type"].as_str(), ack["sessionId"].as_str()),
        (Some("tpa_connection_ack"), Some("a-b@c.de-p.x"))
    );
    let news = texts(&fleet.texts(glasses));
    assert!(news.contains(&"app_started".to_owned()), "{news:?}");
}

#[test]
fn any_valid_key_is_enough_where_that_is_wanted() {
    let mut fleet = Fleet::closed(Admission::Key);
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.y");
    assert_eq!(fleet.next(app)["code"], "INVALID_API_KEY");
}

#[test]
fn glasses_without_a_valid_token_get_the_401_of_the_contract() {
    let mut fleet = Fleet::closed(Admission::Started);
    for path in [
        "/glasses-ws",
        "/glasses-ws?user=ada",
        "/glasses-ws?token=nonsense",
    ] {
        let peer = fleet.net.connect(path);
        let response = fleet.net.response(peer).expect("an answer").to_owned();
        assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
        let (_, body) = response.split_once("\r\n\r\n").expect("a body");
        let body = crate::fleet::json(body);
        assert_eq!(body["type"], "connection_error", "{body}");
        assert!(body["code"].is_string() && body["message"].is_string());
    }
    // The identity in a query no longer counts.
    let app = fleet.net.connect("/app-ws?user=ada&package=p.x");
    fleet.advance(10_100);
    fleet.expect_closing(app, Cause::INIT_TIMEOUT, 3008);
}

#[test]
fn with_credentials_a_user_may_be_called_anonymous() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("anonymous-cat@x.y");
    let app = fleet.started(glasses, "anonymous-cat@x.y", "p.x");
    fleet.lose(glasses, "reset");
    fleet.advance(1_000);
    assert!(fleet.is_open(app), "there is a grace as for any");
    // In the open gateway a generated name is never used again.
    let mut fleet = Fleet::open();
    let glasses = fleet.net.connect("/glasses-ws");
    fleet.lose(glasses, "reset");
    assert_eq!(fleet.sessions(), 0);
}

#[test]
fn long_names_are_no_names() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada");
    fleet.drain(glasses);
    for kind in ["start_app", "stop_app"] {
        fleet.say(
            glasses,
            json!({"type":kind,"packageName":"x".repeat(100_000)}),
        );
        let told = fleet.next(glasses);
        assert_eq!(told["code"], "MALFORMED_MESSAGE");
        assert!(told.to_string().len() < 200, "{told}");
    }
    fleet.say(glasses, json!({"type":"x".repeat(100_000)}));
    assert_eq!(fleet.next(glasses)["code"], "MALFORMED_MESSAGE");
}
