//! The stream of events: what happens to connections, told once, in order, and told again to a
//! reader that comes back.

use crate::sockets::{
    Client, Event, EventReader as Reader, Gateway, event_number, eventually, frame,
};
use pulsegate::wire::frame::CLOSE;
use serde_json::{Value, json};

/// Settings under which no heartbeat is sent during a test.
const QUIET: [(&str, &str); 3] = [
    ("DRAIN_MS", "0"),
    ("HEARTBEAT_INTERVAL_MS", "60000"),
    ("CONNECTION_TIMEOUT_MS", "180000"),
];

fn start(more: &[(&str, &str)]) -> Gateway {
    Gateway::start(&[&QUIET, more].concat())
}

/// Ends a reader, and waits until the gateway knows: until then it is one that misses events.
fn leave(gateway: &Gateway, reader: Reader) {
    drop(reader);
    eventually("the reader has left", || {
        let readers = gateway.metrics().get("pulsegate_event_readers");
        (readers == 0.0).then_some(())
    });
}

/// Opens glasses, closes them with 1000, and waits until the connection has ended.
fn visit(gateway: &Gateway, user: &str) {
    let mut client = Client::open(gateway.addr, &format!("/glasses-ws?user={user}"));
    client.write(&frame(CLOSE, &1_000_u16.to_be_bytes()));
    while !matches!(client.next(), Event::Eof | Event::Reset) {}
}

#[test]
fn a_connection_is_told_from_its_beginning_to_its_end() {
    let gateway = start(&[]);
    let mut reader = Reader::open(&gateway, "", None);
    let first = reader.expect("start");
    assert_eq!(first.number(), 0, "nothing has happened");
    visit(&gateway, "ada");
    let opened = reader.expect("opened");
    let closed = reader.expect("closed");
    assert_eq!((opened.number(), closed.number()), (1, 2));
    let boot = first.data["boot"].as_str().expect("an id");
    for told in [&opened, &closed] {
        assert!(told.id.starts_with(&format!("{boot}-")), "{told:?}");
        assert_eq!(told.data["user"], "ada");
        assert_eq!(told.data["class"], "glasses");
        assert_eq!(told.data["connection"], opened.data["connection"]);
        assert_eq!(told.data["peer"], opened.data["peer"]);
    }
    for (field, value) in [
        ("cause", json!("peer_closed")),
        ("by", json!("peer")),
        ("code", json!("1000")),
        ("clean", json!(true)),
        ("lost", json!(false)),
    ] {
        assert_eq!(closed.data[field], value, "{field}: {closed:?}");
    }
    // The record says the same.
    let record = gateway.api("/api/v1/closed")["closed"][0].clone();
    for field in ["class", "user", "peer", "cause", "by", "code", "reason"] {
        assert_eq!(closed.data[field], record[field], "{field}");
    }
    let id = record["id"].as_str().expect("an id");
    assert_eq!(closed.data["connection"], format!("{boot}.{id}"));
    gateway.end();
}

#[test]
fn an_app_is_identified_by_its_first_message_and_refused_requests_are_no_events() {
    let gateway = start(&[("APP_ADMISSION", "key")]);
    let mut reader = Reader::open(&gateway, "", None);
    reader.expect("start");
    assert_eq!(Client::refused(gateway.addr, "/nowhere").status, 404);
    let _glasses = Client::open(gateway.addr, "/glasses-ws?user=ada");
    reader.expect("opened");
    let mut app = Client::open(gateway.addr, "/app-ws");
    let opened = reader.expect("opened");
    assert_eq!(opened.data["user"], Value::Null);
    app.send_text(
        &json!({
            "type": "tpa_connection_init", "sessionId": "ada-org.x", "packageName": "org.x",
            "apiKey": "k",
        })
        .to_string(),
    );
    let identified = reader.expect("identified");
    assert_eq!(identified.data["connection"], opened.data["connection"]);
    assert_eq!(identified.data["user"], "ada");
    assert_eq!(identified.data["package"], "org.x");
    assert_eq!(identified.number(), 3);
    gateway.end();
}

#[test]
fn a_silent_connection_is_suspect_before_it_ends_as_stale() {
    let gateway = Gateway::start(&[("DRAIN_MS", "0"), ("HEARTBEAT_INTERVAL_MS", "300")]);
    let mut reader = Reader::open(&gateway, "", None);
    reader.expect("start");
    let mute = Client::open(gateway.addr, "/glasses-ws?user=ada");
    reader.expect("opened");
    let suspect = reader.expect("state");
    assert_eq!(suspect.data["state"], "suspect");
    assert!(
        suspect.data["unanswered"].as_u64() >= Some(1),
        "{suspect:?}"
    );
    let closed = reader.expect("closed");
    assert_eq!(closed.data["cause"], "stale");
    assert_eq!(closed.data["lost"], true);
    assert!(
        closed.data["silence_ms"].as_u64() >= Some(3_000),
        "{closed:?}"
    );
    drop(mute);
    gateway.end();
}

#[test]
fn a_filter_admits_what_it_names_and_nothing_else() {
    let gateway = start(&[]);
    let mut of_bob = Reader::open(&gateway, "?user=bob", None);
    let mut ends = Reader::open(&gateway, "?type=closed&class=glasses", None);
    let mut of_apps = Reader::open(&gateway, "?class=app", None);
    for reader in [&mut of_bob, &mut ends, &mut of_apps] {
        reader.expect("start");
    }
    for user in ["ada", "bob", "eve"] {
        visit(&gateway, user);
    }
    let app = Client::open(gateway.addr, "/app-ws");
    assert_eq!(of_apps.expect("opened").number(), 7);
    assert_eq!(of_bob.expect("opened").number(), 3);
    assert_eq!(of_bob.expect("closed").number(), 4);
    let numbers = [2, 4, 6].map(|wanted| (ends.expect("closed").number(), wanted));
    assert!(numbers.iter().all(|(n, wanted)| n == wanted), "{numbers:?}");
    drop(app);
    gateway.end();
}

#[test]
fn a_reader_that_comes_back_misses_nothing_that_is_kept() {
    let gateway = start(&[]);
    let mut reader = Reader::open(&gateway, "", None);
    let start = reader.expect("start");
    visit(&gateway, "ada");
    let last = reader.expect("opened").id;
    drop(reader);
    for n in 0..200 {
        visit(&gateway, &format!("u{n}"));
    }
    let mut again = Reader::open(&gateway, "", Some(&last));
    for wanted in 2..=402 {
        let told = again.next();
        assert_eq!(told.number(), wanted, "{told:?}");
    }
    // A reader that cannot send the header; and one that had only its start.
    let after = format!("?after={}&type=closed", start.id);
    let mut ends = Reader::open(&gateway, &after, None);
    for wanted in 1..=201 {
        assert_eq!(ends.expect("closed").number(), 2 * wanted);
    }
    let counted = |kind: &str| {
        let series = format!("pulsegate_events_total{{type=\"{kind}\"}}");
        gateway.metrics().get(&series)
    };
    assert_eq!((counted("opened"), counted("closed")), (201.0, 201.0));
    assert_eq!(gateway.metrics().sum("pulsegate_events_lost_total"), 0.0);
    gateway.end();
}

#[test]
fn a_reader_that_comes_back_too_late_is_told_what_it_missed() {
    let gateway = start(&[("EVENTS_KEPT", "100")]);
    let mut reader = Reader::open(&gateway, "", None);
    let last = reader.expect("start").id;
    leave(&gateway, reader);
    for n in 0..100 {
        visit(&gateway, &format!("u{n}"));
    }
    let mut again = Reader::open(&gateway, "", Some(&last));
    let missed = again.expect("missed");
    assert_eq!(missed.data["count"], 100);
    let ends = ["first", "last"].map(|end| missed.data[end].as_str().expect("an id").to_owned());
    assert_eq!([event_number(&ends[0]), event_number(&ends[1])], [1, 100]);
    assert_eq!(
        missed.id, ends[1],
        "a reader that comes back now is not told again"
    );
    for wanted in 101..=200 {
        assert_eq!(again.next().number(), wanted);
    }
    let metrics = gateway.metrics();
    let lost = |sink: &str| metrics.get(&format!("pulsegate_events_lost_total{{sink=\"{sink}\"}}"));
    assert_eq!(
        [lost("queue"), lost("url"), lost("stream")],
        [0.0, 0.0, 100.0]
    );
    assert_eq!(metrics.get("pulsegate_events_kept"), 100.0);
    gateway.end();
}

#[test]
fn after_a_restart_a_reader_is_told_so_and_gets_what_is_kept() {
    let gateway = start(&[]);
    let before = Reader::open(&gateway, "", None).expect("start");
    gateway.end();
    let gateway = start(&[]);
    visit(&gateway, "ada");
    let mut reader = Reader::open(&gateway, "", Some(&before.id));
    let reset = reader.expect("reset");
    assert_eq!(reset.data["before"], before.data["boot"]);
    assert_ne!(reset.data["boot"], before.data["boot"]);
    assert_eq!(reader.expect("opened").number(), 1);
    assert_eq!(reader.expect("closed").number(), 2);
    gateway.end();
}

#[test]
fn what_is_no_id_and_no_type_is_refused() {
    let gateway = start(&[]);
    let boot = Reader::open(&gateway, "", None).expect("start").data["boot"].clone();
    let boot = boot.as_str().expect("an id");
    let status = |query: &str, headers: &str| {
        let path = format!("/api/v1/events{query}");
        gateway.admin_request("GET", &path, headers, "").status
    };
    for last in ["", "x", "17", &format!("{boot}-99"), &format!("{boot}-")] {
        let header = format!("Last-Event-ID: {last}\r\n");
        assert_eq!(status("", &header), 400, "{last}");
        assert_eq!(status(&format!("?after={last}"), ""), 400, "{last}");
    }
    for query in ["?type=ended", "?class=phone", "?colour=red"] {
        assert_eq!(status(query, ""), 400, "{query}");
    }
    gateway.end();
}

#[test]
fn there_is_a_limit_of_readers_and_the_place_of_one_that_left_is_free() {
    let gateway = start(&[]);
    let mut readers: Vec<Reader> = (0..16).map(|_| Reader::open(&gateway, "", None)).collect();
    assert_eq!(gateway.metrics().get("pulsegate_event_readers"), 16.0);
    let answer = gateway.admin_request("GET", "/api/v1/events", "", "");
    assert_eq!(answer.status, 503, "{answer:?}");
    readers.pop();
    // The gateway notices it with the next event.
    crate::sockets::eventually("a free place", || {
        visit(&gateway, "ada");
        (gateway.metrics().get("pulsegate_event_readers") == 15.0).then_some(())
    });
    readers.push(Reader::open(&gateway, "", None));
    gateway.end();
}
