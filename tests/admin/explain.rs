//! What the API says of one connection: its outlook, its history, its round-trip time.

use crate::peers::glasses;
use crate::sockets::{Controls, Event, Gateway, eventually, frame};
use pulsegate::wire::frame::PONG;
use serde_json::Value;

#[test]
fn what_is_explained_happens_and_not_before() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("LOG_LEVEL", "debug")]);
    let mut frozen = glasses(&gateway, "frozen");
    let id = gateway.connection("user=frozen")["id"].clone();
    let id = id.as_str().expect("an id").to_owned();
    // It answers once, so that there is something to report; then never again.
    frozen.send_text(r#"{"type":"ping"}"#);
    assert!(matches!(frozen.next(), Event::Text(_) | Event::Ping(_)));
    let path = format!("/api/v1/connections/{id}");
    let told = gateway.api(&path);
    assert_eq!(told["connection"]["state"], "healthy", "{told}");
    let explain = &told["explain"];
    assert_eq!(explain["end"]["cause"], "stale", "{told}");
    assert_eq!(explain["end"]["code"], "3008", "{told}");
    let moment = |value: &Value| value["at"].as_str().expect("a time").to_owned();
    let (suspect_at, ends_at) = (moment(&explain["suspect"]), moment(&explain["end"]));
    assert!(suspect_at < ends_at, "{told}");

    eventually("it becomes suspect", || {
        let list = gateway.api("/api/v1/connections?state=suspect");
        (list["matched"] == 1).then_some(())
    });
    let suspect = gateway.api(&path);
    let why = suspect["explain"]["why"].as_str().expect("words");
    assert!(why.starts_with("suspect: nothing received for "), "{why}");
    assert_eq!(
        moment(&suspect["explain"]["end"])[..19],
        ends_at[..19],
        "nothing was heard: nothing moved"
    );
    let change = &suspect["history"]["changes"][0];
    assert_eq!(change["state"], "suspect", "{suspect}");
    assert!(
        change["at"].as_str() >= Some(&*suspect_at),
        "{suspect_at}: {suspect}"
    );
    let metrics = gateway.metrics();
    let suspects = "pulsegate_connections{class=\"glasses\",state=\"suspect\"}";
    assert_eq!(metrics.get(suspects), 1.0);

    let (_, event) = frozen.next_mute();
    assert!(matches!(event, Event::Close(3008, _)), "{event:?}");
    // The frame is on the wire a moment before the turn has ended.
    let record = eventually("its record", || {
        let (status, record) = gateway.act("GET", &format!("/api/v1/closed/{id}"), "");
        (status == 200).then_some(record)
    });
    assert_eq!(record["cause"], "stale");
    assert!(
        record["at"].as_str() >= Some(&*ends_at),
        "{ends_at}: {record}"
    );
    assert_eq!(record["history"]["changes"][0], *change);
    // The 404 for its old path names the cause.
    let gone = gateway.admin_request("GET", &path, "", "");
    assert_eq!(gone.status, 404);
    assert!(gone.body.contains("cause stale"), "{gone:?}");
    gateway.end();
}

#[test]
fn a_connection_that_is_asked_for_has_a_history_from_then_on() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("HEARTBEAT_INTERVAL_MS", "100")]);
    let controls = Controls::start_at_gateway(gateway.addr);
    let id = gateway.connection("user=control-7")["id"].clone();
    let path = format!("/api/v1/connections/{}", id.as_str().expect("an id"));
    let detail = eventually("some round-trip times", || {
        let detail = gateway.api(&path);
        let rtts = detail["history"]["rtts"].as_array().map(Vec::len);
        rtts.is_some_and(|n| n >= 3).then_some(detail)
    });
    assert_eq!(detail["history"]["reason"], "asked", "{detail}");
    let connection = &detail["connection"];
    assert!(connection["rtt_us"].as_u64() > Some(0), "{detail}");
    assert!(connection["bytes_in"].as_u64() > Some(100), "{detail}");
    let text = detail["explain"]["text"].as_array().expect("sentences");
    assert!(text.len() >= 3, "{detail}");
    controls.finish();
    gateway.end();
}

/// A round-trip time is old while a heartbeat waits for its answer: `rtt_age_ms` says how old, and
/// is null again after an answer.
#[test]
fn a_round_trip_time_that_is_not_current_says_how_old_it_is() {
    let gateway = Gateway::start(&[
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "300"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
    ]);
    let mut client = glasses(&gateway, "ada");
    let look = |what: &str, fits: &mut dyn FnMut(&Value) -> bool| {
        eventually(what, || {
            let connection = gateway.connection("user=ada");
            let is_old = connection["unanswered"] != 0 && !connection["rtt_us"].is_null();
            let age = &connection["rtt_age_ms"];
            assert_eq!(!age.is_null(), is_old, "{connection}");
            assert!(
                age.is_null() || *age == connection["silence_ms"],
                "{connection}"
            );
            fits(&connection).then_some(connection)
        })
    };
    let mut is_silent = |connection: &Value| connection["unanswered"].as_u64() >= Some(2);
    let never = look("no answer yet", &mut is_silent);
    assert_eq!(never["rtt_age_ms"], Value::Null, "there is none: {never}");
    for _ in 0..2 {
        // Until the newest ping is answered; only that one yields a round-trip time.
        look("a time that is current", &mut |connection| {
            let Event::Ping(payload) = client.next() else {
                panic!("only pings come")
            };
            client.write(&frame(PONG, &payload));
            connection["unanswered"] == 0 && !connection["rtt_us"].is_null()
        });
        let old = look("a time that is old", &mut is_silent);
        assert!(old["rtt_age_ms"].as_u64() >= Some(300), "{old}");
    }
    gateway.end();
}
