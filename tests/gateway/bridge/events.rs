//! What the stream of events tells of pairs, and of sessions that outlive their connections.

use super::legs::Bridge;
use super::pulse_settings::{open, resume};
use crate::sockets::{EventReader, Told, frame};
use pulsegate::wire::frame::CLOSE;
use serde_json::Value;

/// Reads events up to the first of this type.
#[track_caller]
fn read_to(reader: &mut EventReader, kind: &str) -> Vec<Told> {
    let mut told = Vec::new();
    while told.last().is_none_or(|last: &Told| last.kind != kind) {
        told.push(reader.next());
    }
    told
}

/// Returns the only one of these events with this type and class.
#[track_caller]
fn one(told: &[Told], kind: &str, class: &str) -> Value {
    let is = |told: &&Told| told.kind == kind && told.data["class"] == class;
    let found: Vec<&Told> = told.iter().filter(is).collect();
    assert_eq!(found.len(), 1, "{kind} {class}: {told:?}");
    found[0].data.clone()
}

#[test]
fn both_legs_of_a_pair_are_told_with_its_route() {
    let bridge = Bridge::start(&[]);
    let mut reader = EventReader::open(&bridge.gateway, "?route=default", None);
    reader.expect("start");
    let (mut client, mut service) = bridge.pair();
    Bridge::assert_linked(&mut client, &mut service);
    client.write(&frame(CLOSE, &4_001_u16.to_be_bytes()));
    assert_eq!(service.expect_close().0, 4_001);
    drop(client);
    let told: Vec<Told> = (0..4).map(|_| reader.next()).collect();
    let legs = ["client", "upstream"];
    let opened = legs.map(|class| one(&told, "opened", class));
    let closed = legs.map(|class| one(&told, "closed", class));
    let (_, address) = bridge.service.url.rsplit_once("//").expect("a scheme");
    let partners = [&opened[1]["connection"], &opened[0]["connection"]];
    for (nth, (opened, closed)) in opened.iter().zip(&closed).enumerate() {
        assert_eq!(opened["connection"], closed["connection"]);
        for event in [opened, closed] {
            assert_eq!(event["route"], "default", "{event}");
            assert_eq!(event["upstream"], address, "{event}");
            assert_eq!(&event["partner"], partners[nth], "{event}");
        }
    }
    assert_eq!(closed[0]["cause"], "peer_closed");
    assert_eq!(
        (&closed[0]["by"], &closed[1]["by"]),
        (&"client".into(), &"client".into())
    );
    assert_eq!(closed[0]["code"], "4001");
}

/// A dial that fails opened nothing; a client that is refused did not open either.
#[test]
fn what_never_opened_has_no_events() {
    let bridge = Bridge::start(&[]);
    let mut reader = EventReader::open(&bridge.gateway, "", None);
    reader.expect("start");
    let mut refused = bridge.ask("/", "");
    let mut service = bridge.service.accept();
    service.read_head();
    service.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
    assert!(refused.refusal().contains(" 403 "));
    drop((refused, service));
    let _pair = bridge.pair();
    let opened = [reader.next(), reader.next()];
    assert_eq!(opened.map(|told| told.number()), [1, 2], "the first events");
}

#[test]
fn a_session_is_told_as_held_resumed_and_ended() {
    let bridge = Bridge::start(&[("PULSE", "1"), ("HOLD_MS", "60000")]);
    let mut reader = EventReader::open(&bridge.gateway, "", None);
    reader.expect("start");
    let (mut client, service, hello) = open(&bridge, "/?pulse=1");
    // It proves that it has the hello, and so the token.
    client.send_text("\u{1}{\"probe\":1}");
    client.next();
    drop(client);
    let told = read_to(&mut reader, "session_held");
    let first = one(&told, "opened", "client")["connection"].clone();
    let held = one(&told, "session_held", "client");
    assert_eq!((&held["session"], &held["connection"]), (&1.into(), &first));
    assert_eq!(held["route"], "default");
    let mut second = resume(&bridge, &hello);
    second.next();
    let told = read_to(&mut reader, "session_resumed");
    let resumed = one(&told, "session_resumed", "client");
    assert_eq!(
        resumed["connection"],
        one(&told, "opened", "client")["connection"]
    );
    let closed = one(&told, "closed", "client");
    assert_eq!(
        (&closed["connection"], &closed["lost"]),
        (&first, &true.into())
    );
    assert!(
        resumed["held_ms"].is_u64() && resumed["sent_again"] == 0,
        "{resumed}"
    );
    second.write(&frame(CLOSE, &1_000_u16.to_be_bytes()));
    service.expect_close();
    let told = read_to(&mut reader, "session_ended");
    let ended = one(&told, "session_ended", "client");
    assert_eq!(ended["session"], 1);
    assert_eq!(
        (&ended["why"], &ended["resumes"]),
        (&"peer_closed".into(), &1.into())
    );
    assert_eq!(ended["held_ms"], Value::Null, "its client was here");
}

#[test]
fn a_session_that_waits_in_vain_is_told_as_expired() {
    let bridge = Bridge::start(&[("PULSE", "1"), ("HOLD_MS", "300")]);
    let mut reader = EventReader::open(&bridge.gateway, "?type=session_ended", None);
    reader.expect("start");
    let (mut client, service, _) = open(&bridge, "/?pulse=1");
    client.send_text("\u{1}{\"probe\":1}");
    client.next();
    drop(client);
    service.expect_close();
    let ended = reader.expect("session_ended").data;
    assert_eq!(ended["why"], "expired");
    assert!(ended["held_ms"].as_u64() >= Some(300), "{ended}");
}
