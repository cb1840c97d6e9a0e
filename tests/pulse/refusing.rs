//! Refusals that a page in a browser can read: a frame, then a close with 4000 and the status.

use crate::rig::{CLIENTS, Rig, S, control};
use crate::tokens::sign;
use pulsegate::Micros;
use pulsegate::gateway::{Admission, Credentials, RouteAuth, WebOrigin};
use pulsegate::testing::{OnDial, PeerId};
use std::io::ErrorKind;

/// Asserts that a client was refused with this status, and with this time to come back.
#[track_caller]
fn assert_refused(rig: &mut Rig, client: PeerId, status: u16, retry_s: std::ops::Range<u64>) {
    rig.net.settle();
    let answer = rig.net.response(client).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    let heard = rig.heard(client);
    let json = heard[0].trim_start_matches('\u{1}');
    let frame: serde_json::Value = serde_json::from_str(json).expect(json);
    assert_eq!(frame["refused"]["status"], status, "{heard:?}");
    let retry = frame["refused"]["retry_ms"].as_u64().expect("a number");
    assert!(retry_s.contains(&(retry / 1_000)), "{heard:?}");
    let close = format!("close {}", 4_000 + status);
    assert!(heard[1].starts_with(&close), "{heard:?}");
    assert_eq!(heard.len(), 2, "{heard:?}");
}

#[test]
fn the_refusal_of_a_service_is_told_in_a_frame() {
    for (answer, status, retry_s) in [
        ("401 Unauthorized", 401, 0..1),
        ("403 Forbidden", 403, 0..1),
        ("503 Service Unavailable\r\nRetry-After: 7", 503, 7..8),
        ("302 Found\r\nLocation: /", 302, 0..1),
    ] {
        for target in ["/?pulse=1", "/?pulse=1&resume=0"] {
            let mut rig = Rig::new();
            let client = rig.ask(target, "Sec-WebSocket-Protocol: a, b\r\n");
            if target.contains("resume") {
                rig.say(client, r#"{"resume":"gone","rx":0}"#);
            }
            let service = rig.dialed();
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            rig.net.write(service, answer.as_bytes());
            rig.net.settle();
            let head = rig
                .net
                .response(client)
                .expect("an answer")
                .to_ascii_lowercase();
            assert!(head.contains("sec-websocket-protocol: a\r\n"), "{head}");
            assert_refused(&mut rig, client, status, retry_s.clone());
            rig.assert_empty();
        }
    }
}

#[test]
fn a_service_that_cannot_be_reached_is_told_in_a_frame() {
    let mut rig = Rig::new();
    rig.net
        .set_on_dial(OnDial::Fail(ErrorKind::ConnectionRefused));
    let client = rig.ask("/?pulse=1", "");
    assert_refused(&mut rig, client, 502, 0..1);
    rig.net.set_on_dial(OnDial::Accept);
    let client = rig.ask("/?pulse=1", "");
    rig.pass(11 * S);
    assert_refused(&mut rig, client, 504, 0..1);
    rig.assert_empty();
}

#[test]
fn a_page_of_another_origin_is_told_in_a_frame() {
    let own = WebOrigin::parse("https://own.example").expect("an origin");
    let mut rig = Rig::tuned(|route, _, _| route.allowed_origins = Some(vec![own]));
    for target in ["/?pulse=1", "/?pulse=1&resume=0"] {
        let client = rig.ask(target, "Origin: https://other.example\r\n");
        assert_refused(&mut rig, client, 403, 0..1);
    }
    assert_eq!(rig.net.take_dialed(), []);
    // One that asks for no session gets an answer.
    let client = rig.ask("/", "Origin: https://other.example\r\n");
    let answer = rig.net.response(client).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    rig.assert_empty();
}

#[test]
fn a_client_that_connects_too_often_is_told_in_a_frame() {
    let mut rig = Rig::tuned(|route, _, _| route.flapping_limit = 2);
    for _ in 0..2 {
        let pair = rig.open_as("/?user=ada&pulse=1", "");
        rig.close(pair.client, 1000, "");
    }
    let mut client = rig.ask("/?user=ada&pulse=1", "");
    if let Some(service) = rig.net.take_dialed().pop() {
        rig.net.reset(service);
        client = rig.ask("/?user=ada&pulse=1", "");
    }
    assert_refused(&mut rig, client, 429, 1..61);
}

#[test]
fn a_client_without_a_token_is_told_in_a_frame() {
    let secret = "the-secret-of-this-test-and-no-other";
    let credentials = Credentials::new(Some(secret), None, Admission::Started, Vec::new());
    let mut rig = Rig::guarded(credentials, |route, _, _| route.auth = RouteAuth::Jwt);
    let client = rig.ask("/?pulse=1", "");
    assert_refused(&mut rig, client, 401, 0..1);
    let expired = sign(secret, &serde_json::json!({"exp": 1}));
    let client = rig.ask(&format!("/?pulse=1&token={expired}"), "");
    assert_refused(&mut rig, client, 401, 0..1);
    rig.assert_empty();
}

#[test]
fn a_class_that_is_drained_is_told_in_a_frame() {
    let mut rig = Rig::new();
    let refuse = Micros::from_secs(30);
    rig.net
        .with_io(|gateway, io| gateway.drain_class(io, CLIENTS, Micros::ZERO, refuse));
    let client = rig.ask("/?pulse=1", "");
    assert_refused(&mut rig, client, 503, 1..31);
    rig.assert_empty();
}

#[test]
fn a_refused_client_that_leaves_is_forgotten() {
    let mut rig = Rig::new();
    rig.net
        .set_on_dial(OnDial::Fail(ErrorKind::ConnectionRefused));
    let client = rig.net.open_socket();
    let request = pulsegate::testing::upgrade_request("/?pulse=1");
    rig.net.write(client, request.as_bytes());
    rig.net.reset_after(client, 0);
    rig.net.settle();
    let heard = rig.heard(client);
    assert_ne!(heard.first(), Some(&control("")));
    rig.assert_empty();
}
