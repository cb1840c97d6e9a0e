//! Sessions that end by plan.

use crate::rig::{CLIENTS, Rig, S, SERVICES, UPSTREAM, control};
use crate::tokens::sign;
use pulsegate::Micros;
use pulsegate::gateway::{Admission, Credentials, HoldEnd, NotHeld, RouteAuth};
use pulsegate::time::UnixMillis;

const BYE: &str = r#"{"bye":{"why":"restart","retry_ms":0,"spread_ms":0}}"#;

#[test]
fn a_drain_of_all_clients_says_bye_and_closes() {
    let mut rig = Rig::new();
    let (pair, away) = (rig.proved(), rig.proved());
    rig.cut(away.client);
    rig.net
        .with_io(|gateway, io| gateway.drain_class(io, CLIENTS, Micros::ZERO, Micros::ZERO));
    rig.pass(S);
    assert_eq!(
        rig.heard(pair.client),
        [control(BYE), "close 1012 service restart".to_owned()]
    );
    assert_eq!(rig.heard(pair.service), ["close 1001 service restart"]);
    // A client that is away is no connection of this class.
    assert_eq!(rig.counts().held, 1);
    assert!(rig.net.is_open(away.service));
}

#[test]
fn a_drain_of_connections_to_services_ends_holds_and_no_session_with_a_client() {
    let mut rig = Rig::new();
    let (pair, away) = (rig.proved(), rig.proved());
    rig.cut(away.client);
    rig.net
        .with_io(|gateway, io| gateway.drain_class(io, SERVICES, Micros::ZERO, Micros::ZERO));
    rig.pass(S);
    assert!(rig.net.is_open(pair.client) && rig.net.is_open(pair.service));
    let heard = rig.heard(away.service);
    assert!(
        heard[0].starts_with("close 1001 client lost: draining"),
        "{heard:?}"
    );
    assert_eq!(rig.counts().holds_ended[HoldEnd::Draining as usize], 1);
}

#[test]
fn a_drain_of_the_gateway_says_bye_promises_no_hold_and_begins_none() {
    let mut rig = Rig::new();
    let (pair, cut, away) = (rig.proved(), rig.proved(), rig.proved());
    rig.cut(away.client);
    let (delay, spread) = (Micros::from_secs(10), Micros::from_secs(5));
    rig.net.with_io(|_, io| io.drain(delay, spread));
    rig.cut(cut.client);
    rig.pass(S);
    assert_eq!(rig.heard(cut.service), ["close 1001 client lost: reset"]);
    assert_eq!(rig.counts().not_held[NotHeld::Draining as usize], 1);
    // A session that waits already may be resumed for a while.
    let client = rig.resume(&away.hello, 0);
    let hello = rig.hello(client);
    assert!(hello.resumed);
    assert_eq!(hello.hold_ms, 0);
    rig.pass(16 * S);
    for client in [pair.client, client] {
        let heard = rig.heard(client);
        let end = &heard[heard.len() - 2..];
        assert!(end[0].contains(r#"{"bye":{"why":"restart""#), "{heard:?}");
        assert_eq!(end[1], "close 1012 service restart");
    }
    assert_eq!(
        rig.heard(pair.service).pop().expect("a close"),
        "close 1001 service restart"
    );
    rig.assert_empty();
}

#[test]
fn a_drain_of_the_gateway_closes_what_waits() {
    let mut rig = Rig::new();
    let away = rig.proved();
    rig.cut(away.client);
    rig.net
        .with_io(|_, io| io.drain(Micros::ZERO, Micros::ZERO));
    rig.pass(5 * S);
    let heard = rig.heard(away.service);
    assert!(
        heard[0].starts_with("close 1001 client lost: draining"),
        "{heard:?}"
    );
    rig.assert_empty();
}

#[test]
fn sessions_of_a_drained_upstream_end() {
    let mut rig = Rig::new();
    let (pair, away) = (rig.proved(), rig.proved());
    rig.cut(away.client);
    rig.pass(6 * S);
    let drained = rig.net.with_io(|gateway, io| {
        let bridge = gateway.bridge().expect("a bridge");
        bridge.drain_upstream(io, "r", UPSTREAM, Micros::ZERO)
    });
    assert_eq!(drained, Some(2));
    rig.pass(S);
    let heard = rig.heard(pair.client);
    assert!(heard[0].contains("bye"), "{heard:?}");
    assert!(heard[1].starts_with("close 1012"), "{heard:?}");
    for service in [pair.service, away.service] {
        let heard = rig.heard(service);
        assert!(heard[0].starts_with("close 1001"), "{heard:?}");
    }
    rig.assert_empty();
}

#[test]
fn a_session_ends_at_its_planned_age() {
    let mut rig = Rig::tuned(|route, _, _| route.max_age = Some(Micros::from_secs(40)));
    let pair = rig.proved();
    rig.pass(35 * S);
    assert!(rig.net.is_open(pair.client));
    rig.pass(10 * S);
    let heard = rig.heard(pair.client);
    assert_eq!(
        heard.last().expect("a close"),
        "close 1012 planned age reached"
    );
    assert!(heard.contains(&control(BYE)), "{heard:?}");
    let heard = rig.heard(pair.service);
    assert_eq!(
        heard.last().expect("a close"),
        "close 1001 planned age reached"
    );
    rig.assert_empty();
}

#[test]
fn a_client_whose_token_expires_comes_back_with_another() {
    let secret = "the-secret-of-this-test-and-no-other";
    let credentials = Credentials::new(Some(secret), None, Admission::Started, Vec::new());
    let mut rig = Rig::guarded(credentials, |route, _, _| route.auth = RouteAuth::Jwt);
    let token = |left_s: u64| {
        let exp = UnixMillis::now().0 / 1_000 + left_s;
        sign(secret, &serde_json::json!({"exp": exp}))
    };
    let pair = rig.open_as(&format!("/?pulse=1&token={}", token(20)), "");
    rig.say(pair.client, r#"{"rx":0}"#);
    rig.text(pair.client, "up");
    rig.pass(30 * S);
    let heard = rig.heard(pair.client);
    assert_eq!(
        heard.last().expect("a close"),
        "close 1008 the token has expired"
    );
    assert!(rig.net.is_open(pair.service));
    let target = format!("/?pulse=1&resume=0&token={}", token(3_600));
    let client = rig.resume_as(&target, "", &pair.hello, 0);
    let hello = rig.hello(client);
    assert_eq!((hello.resumed, hello.rx), (true, 1));
    rig.pass(14 * S);
    assert!(rig.net.is_open(client));
}
