//! How sessions with pulse end: by a farewell, a stopped app, a drain, a refusal.

use crate::fleet::{Fleet, button, texts};
use crate::pulse_client::PulseClient;
use crate::pulse_sessions::{APP, GLASSES, display, fleet, pulse, resets};
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::pulse::FAREWELL_FRAME;
use pulsegate::testing::client_frame;
use pulsegate::{Cause, EndCode, Message, Micros};
use serde_json::json;

/// Starts an app with pulse in a fleet with credentials.
fn started(fleet: &mut Fleet, glasses: pulsegate::testing::PeerId) -> PulseClient {
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let mut app = PulseClient::open(fleet, "/app-ws");
    let init = json!({
        "type": "tpa_connection_init", "sessionId": "ada-p.x", "packageName": "p.x",
        "apiKey": "key-of-p.x",
    });
    app.say(fleet, &init);
    assert_eq!(texts(&app.texts(fleet)), ["tpa_connection_ack"]);
    let starts = fleet.starts();
    fleet.cancelled();
    fleet.answer(starts[0]);
    app
}

fn stop(fleet: &mut Fleet, glasses: pulsegate::testing::PeerId) {
    fleet.say(glasses, json!({"type":"stop_app","packageName":"p.x"}));
}

#[test]
fn a_stopped_app_acknowledges_the_end_before_it_is_closed() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Started));
    let glasses = fleet.glasses("ada");
    let mut app = started(&mut fleet, glasses);
    stop(&mut fleet, glasses);
    let got = app.texts(&mut fleet);
    assert_eq!(texts(&got), ["app_stopped"]);
    let end = app.end.clone().expect("an end");
    assert_eq!((end.code, &*end.reason), (1000, "App stopped"));
    assert!(fleet.is_open(app.peer));
    // What it says now goes nowhere.
    fleet.drain(glasses);
    app.say(&mut fleet, &display(1));
    assert!(fleet.silent(glasses));
    app.ack(&mut fleet);
    fleet.advance(3_000);
    let end = fleet.ending(app.peer);
    assert_eq!(end.code, EndCode::Close(1000));
    assert_eq!(&*end.reason, "App stopped");
    assert!(!app.resume(&mut fleet), "there is no session any more");
    fleet.charged();
}

#[test]
fn an_app_that_never_acknowledges_the_end_is_closed() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Started));
    let glasses = fleet.glasses("ada");
    let app = started(&mut fleet, glasses);
    stop(&mut fleet, glasses);
    // Its connection timeout, and the grace of apps: it may be slow. Its pongs would acknowledge.
    for half in 1..=190 {
        fleet.advance(500);
        fleet.net.received(app.peer);
        fleet
            .net
            .send(app.peer, Message::text("\u{1}{\"probe\":1}"));
        assert!(half > 120 || fleet.is_open(app.peer));
    }
    assert_eq!(fleet.ending(app.peer).code, EndCode::Close(1000));
}

/// A pong says that everything before its ping has arrived.
#[test]
fn a_peer_whose_pongs_withhold_what_it_has_received_is_closed() {
    for path in [GLASSES, APP] {
        let mut fleet = fleet();
        let mut peer = PulseClient::open(&mut fleet, path);
        for _ in 0..40 {
            peer.live(&mut fleet, 500);
            peer.rx = 0;
        }
        let end = fleet.ending(peer.peer);
        assert_eq!(
            (end.cause, end.code),
            (Cause::PROTOCOL, EndCode::Close(1002)),
            "{path}"
        );
        // Nothing is kept for it any more.
        assert!(!peer.resume(&mut fleet), "{path}");
        fleet.charged();
    }
}

/// Whether the connection is lost before or after the stop.
#[test]
fn an_app_that_was_away_gets_the_rest_and_then_the_close() {
    for lost_first in [true, false] {
        let mut fleet = Fleet::with(pulse(), Some(Admission::Started));
        let glasses = fleet.glasses("ada");
        let mut app = started(&mut fleet, glasses);
        app.say(
            &mut fleet,
            &json!({"type":"subscription_update","subscriptions":["*"]}),
        );
        app.ack(&mut fleet);
        if lost_first {
            fleet.lose(app.peer, "reset");
            fleet.say(glasses, button(1));
            stop(&mut fleet, glasses);
        } else {
            fleet.net.mute(app.peer);
            fleet.say(glasses, button(1));
            stop(&mut fleet, glasses);
            fleet.net.received(app.peer);
            fleet.lose(app.peer, "reset");
        }
        fleet.advance(6_000);
        assert!(app.resume(&mut fleet), "{lost_first}");
        assert_eq!(
            texts(&app.texts(&mut fleet)),
            ["data_stream", "app_stopped"]
        );
        assert_eq!(app.end.as_ref().map(|end| end.code), Some(1000));
        app.ack(&mut fleet);
        fleet.advance(3_000);
        assert_eq!(fleet.ending(app.peer).code, EndCode::Close(1000));
        fleet.charged();
    }
}

#[test]
fn an_app_is_told_of_the_end_of_its_users_session() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Started));
    let glasses = fleet.glasses("ada");
    let mut app = started(&mut fleet, glasses);
    app.ack(&mut fleet);
    fleet.lose(glasses, "reset");
    app.live(&mut fleet, 61_000);
    assert_eq!(texts(&app.texts(&mut fleet)), ["app_stopped"]);
    let end = app.end.clone().expect("an end");
    assert_eq!((end.code, &*end.reason), (1000, "User session ended"));
    app.ack(&mut fleet);
    fleet.advance(3_000);
    assert_eq!(fleet.ending(app.peer).code, EndCode::Close(1000));
    assert_eq!(fleet.charged(), 0);
}

#[test]
fn after_a_farewell_there_is_no_grace() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let mut app = PulseClient::open(&mut fleet, APP);
    app.control(&mut fleet, FAREWELL_FRAME);
    let close = client_frame(0x88, &1000_u16.to_be_bytes());
    fleet.net.write(app.peer, &close);
    fleet.net.settle();
    fleet.advance(20);
    let kinds = texts(&glasses.texts(&mut fleet));
    assert!(kinds.contains(&"app_stopped".to_owned()), "{kinds:?}");
    assert_eq!(fleet.stats().absent, [0, 0]);
    glasses.control(&mut fleet, FAREWELL_FRAME);
    fleet.lose(glasses.peer, "reset");
    assert_eq!(fleet.sessions(), 0);
    assert_eq!(fleet.charged(), 0);
    assert_eq!(resets(&mut fleet).iter().sum::<u64>(), 0);
}

#[test]
fn a_drain_says_when_to_come_back() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let mut app = PulseClient::open(&mut fleet, APP);
    fleet
        .net
        .with_io(|_, io| io.drain(Micros::ZERO, Micros::from_secs(1)));
    fleet.advance(2_000);
    for client in [&mut glasses, &mut app] {
        client.read(&mut fleet);
        assert_eq!(client.bye.as_ref().map(|bye| &*bye.why), Some("restart"));
        assert_eq!(fleet.ending(client.peer).code, EndCode::Close(1012));
    }
}

#[test]
fn a_refused_client_reads_why() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Started));
    let mut glasses = PulseClient::connect(&mut fleet, "/glasses-ws?token=wrong");
    let refused = glasses.refused.take().expect("refused");
    assert_eq!(refused.status, 401);
    fleet.advance(3_000);
    let end = fleet.ending(glasses.peer);
    assert_eq!(
        (end.cause, end.code),
        (Cause::UNAUTHORIZED, EndCode::Close(4401))
    );
    assert!(
        fleet
            .refused("/glasses-ws?token=wrong")
            .1
            .contains("connection_error")
    );
    assert_eq!(fleet.charged(), 0);
}

#[test]
fn a_client_that_resumes_too_often_is_refused_for_a_while() {
    let settings = RelaySettings {
        flapping_limit: 3,
        ..pulse()
    };
    let mut fleet = Fleet::with(settings, None);
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    glasses.ack(&mut fleet);
    for _ in 0..3 {
        fleet.lose(glasses.peer, "reset");
        assert!(glasses.resume(&mut fleet));
        glasses.live(&mut fleet, 8_000);
    }
    fleet.lose(glasses.peer, "reset");
    let hello = glasses.hello.clone();
    let refused = PulseClient::connect(&mut fleet, "/glasses-ws?user=ada&resume=x");
    let refused = refused.refused.expect("refused");
    assert_eq!(refused.status, 429);
    // Its slot waits on, and so does its session.
    glasses.hello = hello;
    fleet.advance(refused.retry_ms);
    assert!(glasses.resume(&mut fleet));
}

#[test]
fn an_app_whose_key_has_changed_must_introduce_itself() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Key));
    let glasses = fleet.glasses("ada");
    let mut app = started(&mut fleet, glasses);
    app.ack(&mut fleet);
    fleet.lose(app.peer, "reset");
    fleet.reload(&["p.x"], |newer| {
        newer.relay = pulse();
        newer.credentials = pulsegate::gateway::Credentials::new(
            Some(crate::fleet::SECRET),
            Some(
                pulsegate::gateway::AppRegistry::parse(
                    b"[{\"package\":\"p.x\",\"api_key\":\"another\"}]",
                )
                .expect("apps"),
            ),
            Admission::Key,
            Vec::new(),
        );
    });
    assert!(!app.resume(&mut fleet));
    let init = json!({
        "type": "tpa_connection_init", "sessionId": "ada-p.x", "packageName": "p.x",
        "apiKey": "key-of-p.x",
    });
    app.say(&mut fleet, &init);
    assert_eq!(texts(&app.texts(&mut fleet)), ["tpa_connection_error"]);
    fleet.advance(3_000);
    assert_eq!(fleet.ending(app.peer).code, EndCode::Close(1008));
}

/// An app that sends only control frames has as long for its introduction as any other.
#[test]
fn control_frames_are_no_introduction() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Key));
    let mut app = PulseClient::open(&mut fleet, "/app-ws");
    app.control(&mut fleet, "\u{1}{\"state\":{}}");
    app.live(&mut fleet, 9_000);
    assert!(fleet.is_open(app.peer));
    app.live(&mut fleet, 1_500);
    assert_eq!(fleet.ending(app.peer).cause, Cause::INIT_TIMEOUT);
    // A session that is not there is no introduction either.
    app.ask_with(&mut fleet, "\u{1}{\"resume\":\"\",\"rx\":0}");
    assert!(app.hello.is_some());
    app.live(&mut fleet, 10_500);
    assert_eq!(fleet.ending(app.peer).cause, Cause::INIT_TIMEOUT);
    assert_eq!(fleet.charged(), 0);
}
