//! Glasses and apps with pulse: they opt in, resume their session, and get everything once.

use crate::fleet::{Fleet, button, number, texts};
use crate::pulse_client::PulseClient;
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::pulse::{ClientFrame, ShortControl, resume_frame};
use pulsegate::{Cause, EndCode};
use serde_json::json;

pub const GLASSES: &str = "/glasses-ws?user=ada";
pub const APP: &str = "/app-ws?user=ada&package=p.x";

pub fn pulse() -> RelaySettings {
    RelaySettings {
        pulse: true,
        ..RelaySettings::default()
    }
}

pub fn fleet() -> Fleet {
    Fleet::with(pulse(), None)
}

pub fn display(n: u64) -> serde_json::Value {
    json!({"type":"display_event","n":n})
}

/// Returns the numbers of [`display`] events.
pub fn shown(texts: &[String]) -> Vec<u64> {
    let shown = texts.iter().map(|text| crate::fleet::json(text));
    shown.filter_map(|frame| frame["n"].as_u64()).collect()
}

pub fn pressed(texts: &[String]) -> Vec<u64> {
    texts.iter().filter_map(|text| number(text)).collect()
}

pub fn resets(fleet: &mut Fleet) -> Vec<u64> {
    let snapshot = fleet.net.with_io(|gateway, io| gateway.snapshot(io));
    snapshot.pulse.resets.to_vec()
}

#[test]
fn a_client_that_asks_gets_a_hello_with_the_promises_of_its_slot() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let hello = glasses.hello.clone().expect("a hello");
    let times = (hello.ping_ms, hello.grace_ms, hello.timeout_ms);
    assert_eq!(times, (15_000, 10_000, 45_000));
    assert_eq!((hello.hold_ms, hello.rx), (60_000, 0));
    assert_eq!(texts(&glasses.texts(&mut fleet)), ["connection_ack"]);
    let mut app = PulseClient::open(&mut fleet, APP);
    assert_eq!(app.hello.as_ref().map(|hello| hello.hold_ms), Some(15_000));
    assert_eq!(texts(&app.texts(&mut fleet)), ["tpa_connection_ack"]);
    // What is said goes through in both directions.
    app.say(
        &mut fleet,
        &json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    glasses.say(&mut fleet, &button(1));
    assert_eq!(pressed(&app.texts(&mut fleet)), [1]);
    app.say(&mut fleet, &display(2));
    assert_eq!(shown(&glasses.texts(&mut fleet))[..], [2]);
    fleet.charged();
}

#[test]
fn a_client_that_does_not_ask_sees_no_difference() {
    let mut on = fleet();
    let mut off = Fleet::open();
    let path = "/glasses-ws?user=ada&pulse=1";
    let [plain, asked] = ["/glasses-ws?user=ada", path].map(|path| {
        let peer = off.net.connect(path);
        off.texts(peer).len()
    });
    // Without the setting the parameter means nothing.
    assert_eq!((plain, asked), (1, 1));
    let peer = on.glasses("ada");
    assert_eq!(texts(&on.texts(peer)), ["connection_ack"]);
    on.say_text(peer, "\u{1}{\"probe\":1}");
    // Not a control frame: a malformed message.
    assert_eq!(texts(&on.texts(peer)), ["connection_error"]);
}

#[test]
fn an_app_introduces_itself_once_for_all_its_connections() {
    let mut fleet = Fleet::with(pulse(), Some(Admission::Key));
    let mut app = PulseClient::open(&mut fleet, "/app-ws");
    let init = json!({
        "type": "tpa_connection_init", "sessionId": "ada-p.x", "packageName": "p.x",
        "apiKey": "key-of-p.x",
    });
    app.say(&mut fleet, &init);
    assert_eq!(texts(&app.texts(&mut fleet)), ["tpa_connection_ack"]);
    app.say(
        &mut fleet,
        &json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    let glasses = fleet.glasses("ada");
    for n in 1..=5 {
        fleet.lose(app.peer, "reset");
        fleet.say(glasses, button(n));
        assert!(app.resume(&mut fleet), "{n}");
        let got = app.texts(&mut fleet);
        assert_eq!((pressed(&got), got.len()), (vec![n], 1), "{got:?}");
        app.say(&mut fleet, &display(n));
        assert_eq!(shown(&fleet.texts(glasses)).last(), Some(&n));
        fleet.advance(5_000);
    }
    assert_eq!(fleet.stats().resumes[1], 5);
    assert_eq!(resets(&mut fleet).iter().sum::<u64>(), 0);
    fleet.charged();
}

/// Frames in doubt, frames that waited, acknowledgements and types that are otherwise not kept.
#[test]
fn everything_arrives_once_and_in_order_whatever_was_in_flight() {
    for cut in ["reset", "freeze"] {
        let mut fleet = fleet();
        let mut glasses = PulseClient::open(&mut fleet, GLASSES);
        glasses.texts(&mut fleet);
        let mut app = PulseClient::open(&mut fleet, APP);
        app.texts(&mut fleet);
        app.say(
            &mut fleet,
            &json!({"type":"subscription_update","subscriptions":["*"]}),
        );
        glasses.texts(&mut fleet);
        glasses.ack(&mut fleet);
        let mut all = Vec::new();
        for round in 0..8 {
            for n in 0..3 {
                app.say(&mut fleet, &display(round * 10 + n));
            }
            // Some were received, and none is acknowledged.
            all.extend(shown(&glasses.texts(&mut fleet)));
            for n in 3..6 {
                app.say(&mut fleet, &display(round * 10 + n));
            }
            glasses.say(&mut fleet, &json!({"type":"ping"}));
            // The client hears nothing of what is underway.
            fleet.net.received(glasses.peer);
            if cut == "freeze" {
                fleet.net.mute(glasses.peer);
                while fleet.is_open(glasses.peer) {
                    app.live(&mut fleet, 500);
                }
            } else {
                fleet.lose(glasses.peer, cut);
            }
            for n in 6..9 {
                app.say(&mut fleet, &display(round * 10 + n));
            }
            assert!(glasses.resume(&mut fleet), "{cut}");
            let got = glasses.texts(&mut fleet);
            let pongs = got.iter().filter(|text| text.contains("pong")).count();
            assert_eq!(pongs, 1, "{cut} {got:?}");
            all.extend(shown(&got));
            app.live(&mut fleet, 5_000);
        }
        let expected: Vec<u64> = (0..8)
            .flat_map(|r| (0..9).map(move |n| r * 10 + n))
            .collect();
        assert_eq!(all, expected, "{cut}");
        assert_eq!(fleet.stats().dropped.iter().sum::<u64>(), 0);
        assert_eq!(fleet.stats().doubtful, 0);
        fleet.charged();
    }
}

#[test]
fn what_the_relay_has_not_counted_is_sent_again_and_handled_once() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let app = fleet.app("ada", "p.x");
    fleet.subscribe(app, &["*"]);
    let mut heard = Vec::new();
    for n in 0..10 {
        // It is in a buffer when the connection is lost, or is handled and not acknowledged.
        if n % 2 == 0 {
            fleet.net.mute(glasses.peer);
        }
        glasses.say(&mut fleet, &button(n));
        fleet.lose(glasses.peer, "reset");
        assert!(glasses.resume(&mut fleet));
        heard.extend(pressed(&fleet.texts(app)));
        fleet.advance(5_000);
    }
    heard.extend(pressed(&fleet.texts(app)));
    assert_eq!(heard, (0..10).collect::<Vec<_>>());
    assert_eq!(glasses.read(&mut fleet).unacknowledged(), 0);
}

/// A long text is read in steps. Until it is read it does not count.
#[test]
fn a_message_that_was_not_read_completely_is_not_counted() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let app = fleet.app("ada", "p.x");
    fleet.subscribe(app, &["*"]);
    let long = json!({"type":"long","n":7,"list":vec![[0]; 60_000]});
    fleet.drain(app);
    glasses.prepare(&mut fleet);
    glasses.begin_to_say(&mut fleet, &long);
    fleet.net.run_turn();
    assert!(fleet.silent(app), "it is still being read");
    // The session is resumed while the older connection looks open.
    assert!(glasses.resume(&mut fleet));
    assert_eq!(glasses.hello.as_ref().map(|hello| hello.rx), Some(0));
    fleet.rest();
    assert_eq!(pressed(&fleet.texts(app)), [7]);
    assert_eq!(fleet.stats().dropped.iter().sum::<u64>(), 0);
}

#[test]
fn a_resume_cuts_the_connection_that_looks_open() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    glasses.ack(&mut fleet);
    let old = glasses.peer;
    fleet.net.mute(old);
    glasses.say(&mut fleet, &button(1));
    assert!(glasses.resume(&mut fleet));
    let mut stale = PulseClient::connect(&mut fleet, "/unknown");
    stale.peer = old;
    fleet.net.unmute(old);
    stale.read(&mut fleet);
    assert_eq!(stale.bye.map(|bye| bye.why), Some("replaced".into()));
    fleet.advance(3_000);
    let end = fleet.ending(old);
    assert_eq!(
        (end.cause, end.code),
        (Cause::REPLACED, EndCode::Close(4003))
    );
    let snapshot = fleet.net.with_io(|gateway, io| gateway.snapshot(io));
    assert_eq!(
        (snapshot.pulse.taken_over, snapshot.relay.takeovers[0]),
        (1, 1)
    );
}

/// A new session begins then, and the usual attachment follows.
#[test]
fn a_token_is_bound_to_the_identity_the_path_and_the_page() {
    let mut fleet = fleet();
    let glasses = PulseClient::open(&mut fleet, GLASSES);
    let token = glasses.hello.as_ref().expect("a hello").resume.clone();
    let first = resume_frame(&token, 0);
    let app = PulseClient::open(&mut fleet, "/app-ws?user=ada&package=p.x");
    let app_token = app.hello.as_ref().expect("a hello").resume.clone();
    for path in ["/glasses-ws?user=bob", "/app-ws?user=ada&package=p.y"] {
        let mut other = PulseClient::open(&mut fleet, path);
        fleet.lose(other.peer, "reset");
        other.ask_with(&mut fleet, &first);
        let resumed = other.hello.as_ref().map(|hello| hello.resumed);
        assert_eq!(resumed, Some(false), "{path}");
        let acked = texts(&other.texts(&mut fleet));
        let is_ack = |kind: &String| kind.ends_with("connection_ack");
        assert!(acked.iter().any(is_ack), "{path}");
    }
    // The same app, on its other path.
    let other = "/tpa-ws?user=ada&package=p.x&pulse=1&resume=x";
    let other = fleet.net.connect(other);
    fleet.say_text(other, &resume_frame(&app_token, 0));
    assert!(fleet.texts(other)[0].contains("\"resumed\":false"));
    assert_eq!(resets(&mut fleet)[..5], [0, 3, 0, 0, 0]);
}

#[test]
fn an_unknown_token_begins_a_session_and_attaches_as_usual() {
    let mut fleet = fleet();
    let app = fleet.app("ada", "p.x");
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    glasses.ack(&mut fleet);
    fleet.lose(glasses.peer, "reset");
    fleet.say(app, display(1));
    for first in [
        format!("\u{1}{{\"resume\":\"{}\",\"rx\":0}}", "0".repeat(32)),
        "\u{1}{\"resume\":\"what?\",\"rx\":0}".to_owned(),
    ] {
        glasses.ask_with(&mut fleet, &first);
        assert_eq!(
            glasses.hello.as_ref().map(|hello| hello.resumed),
            Some(false)
        );
        let got = glasses.texts(&mut fleet);
        assert_eq!(texts(&got)[0], "connection_ack");
        glasses.ack(&mut fleet);
    }
    assert_eq!(resets(&mut fleet)[..5], [1, 0, 0, 0, 1]);
    let stats = fleet.stats();
    assert_eq!((stats.resumes[0], stats.takeovers[0]), (1, 1));
    assert_eq!(
        (stats.replayed, stats.doubtful),
        (1, 0),
        "it had never been sent"
    );
    fleet.charged();
}

#[test]
fn a_first_message_that_names_no_session_is_a_protocol_error() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    glasses.ask_with(&mut fleet, "{\"type\":\"ping\"}");
    fleet.advance(3_000);
    let end = fleet.ending(glasses.peer);
    assert_eq!(
        (end.cause, end.code),
        (Cause::PROTOCOL, EndCode::Close(1002))
    );
    let silent = fleet.net.connect("/glasses-ws?user=bob&pulse=1&resume=x");
    fleet.advance(13_000);
    assert_eq!(fleet.ending(silent).cause, Cause::INIT_TIMEOUT);
}

#[test]
fn heartbeats_are_texts_and_their_answers_keep_the_connection() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    glasses.live(&mut fleet, 100_000);
    assert!(fleet.is_open(glasses.peer) && glasses.pings.len() >= 6);
    let id = fleet.net.id(glasses.peer);
    let health = fleet.net.with_io(|_, io| io.health(id)).expect("open");
    assert!(health.rtt.srtt_us().is_some(), "{health:?}");
    glasses.control(&mut fleet, ShortControl::probe(9).as_str());
    assert_eq!(glasses.probes, [(9, 0)]);
    // A pong that a proxy sends on its own is no sign of life.
    fleet.net.mute(glasses.peer);
    for _ in 0..12 {
        fleet
            .net
            .send(glasses.peer, pulsegate::Message::Pong(vec![1].into()));
        fleet.advance(5_000);
    }
    assert_eq!(fleet.ending(glasses.peer).cause, Cause::STALE);
}

#[test]
fn states_and_reports_are_taken() {
    let mut fleet = fleet();
    let mut app = PulseClient::open(&mut fleet, APP);
    let report = "\u{1}{\"report\":{\"v\":1,\"rt\":\"node\",\"lib\":\"0.1.0\",\"start\":\"new\",\
                  \"ended\":[]}}";
    assert!(matches!(
        ClientFrame::parse(&report[1..]),
        Ok(ClientFrame::Report(Some(_)))
    ));
    app.control(&mut fleet, report);
    app.control(&mut fleet, "\u{1}{\"state\":{\"want_ms\":2000}}");
    app.control(&mut fleet, "\u{1}{\"unheard\":1}");
    let before = app.acks.len();
    app.live(&mut fleet, 10_000);
    assert!(
        app.acks.len() >= before + 4,
        "it wants to hear something every 2 s"
    );
    let snapshot = fleet.net.with_io(|gateway, io| gateway.snapshot(io));
    assert_eq!(snapshot.pulse.reports, [1, 0, 0, 0]);
    // The second report, and the states of a client that says nothing else.
    app.control(&mut fleet, report);
    for _ in 0..20 {
        app.control(&mut fleet, "\u{1}{\"state\":{\"want_ms\":1000}}");
    }
    assert!(fleet.is_open(app.peer));
    let snapshot = fleet.net.with_io(|gateway, io| gateway.snapshot(io));
    let pulse = snapshot.pulse;
    assert_eq!(pulse.reports, [1, 0, 1, 0], "taken, and one repeated");
    assert_eq!(pulse.states_ignored, 15);
    // Another connection may say as much.
    fleet.lose(app.peer, "reset");
    assert!(app.resume(&mut fleet));
    app.control(&mut fleet, report);
    let snapshot = fleet.net.with_io(|gateway, io| gateway.snapshot(io));
    assert_eq!(snapshot.pulse.reports, [2, 0, 1, 0]);
}

/// A heartbeat overtakes what waits for a slow client. The client checks that nothing goes back.
#[test]
fn what_a_slow_client_is_told_never_goes_back() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let app = fleet.app("ada", "p.x");
    glasses.ack(&mut fleet);
    fleet.net.set_window(glasses.peer, Some(0));
    fleet.say(app, display(1));
    for n in 0..4 {
        glasses.say(&mut fleet, &button(n));
        fleet.advance(4_500);
    }
    fleet.net.set_window(glasses.peer, None);
    glasses.live(&mut fleet, 3_000);
    assert_eq!(glasses.unacknowledged(), 0);
    assert_eq!(glasses.pings.len(), 1);
}
