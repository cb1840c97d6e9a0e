//! Tests of events: how they are written, kept, and handed out.

use super::event_body::{EVENT_TYPES, event_id, parse_event_id, to_json};
use super::event_filter::EventFilter;
use super::event_hub::EventHub;
use super::event_ring::{EventRing, SliceLimits};
use super::kept_event::KeptEvent;
use crate::base::cause::{Cause, EndCode};
use crate::base::id::ConnId;
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::engine::{Class, Ending};
use crate::gateway::{
    BootId, Classes, ClosedEvent, Event, EventKind, EventSubject, PairTarget, RELAY_CLASSES,
};
use crate::health::Rtt;
use crate::host::EventSender;
use serde_json::Value;
use std::collections::BTreeMap;

const ALL: SliceLimits = SliceLimits {
    count: usize::MAX,
    bytes: usize::MAX,
};

fn subject() -> EventSubject {
    EventSubject {
        id: ConnId::new(3, 7),
        class: Class(1),
        user: Some("ada".into()),
        package: Some("org.x".into()),
        target: Some(PairTarget {
            route: "chat".into(),
            upstream: "http://10.0.0.1:3000".into(),
        }),
        partner: Some(ConnId::new(4, 8)),
    }
}

fn closed() -> EventKind {
    let mut rtt = Rtt::default();
    rtt.sample(20_000);
    let end = Ending {
        code: EndCode::Close(3_008),
        reason: "stale".into(),
        class: Some(Class(1)),
        peer_addr: "192.0.2.1:5000".parse().expect("an address"),
        age: Micros::from_secs(60),
        silence: Micros::from_secs(45),
        unanswered: 3,
        rtt,
        ..Ending::sample(Cause::STALE)
    };
    EventKind::Closed(Box::new(ClosedEvent {
        end,
        verdict: Some("network_lost"),
    }))
}

/// Returns one event of each type, in which every field has a value.
fn samples() -> Vec<Event> {
    let addr = "192.0.2.1:5000".parse().expect("an address");
    let held = Micros::from_millis(1_500);
    let kinds = [
        EventKind::Opened {
            peer_addr: addr,
            user_agent: Some("sdk/2".into()),
        },
        EventKind::Identified,
        EventKind::State {
            state: "suspect",
            silence: held,
            unanswered: 1,
        },
        closed(),
        EventKind::SessionHeld { session: 5 },
        EventKind::SessionResumed {
            session: 5,
            held,
            sent_again: 2,
        },
        EventKind::SessionEnded {
            session: 5,
            why: "expired",
            held: Some(held),
            resumes: 1,
        },
    ];
    let events = kinds.into_iter().zip(1..);
    let event = |(kind, number)| Event {
        number,
        at: Timestamp {
            raw: Micros::ZERO,
            wall: UnixMillis(1_767_225_600_000),
        },
        subject: subject(),
        kind,
    };
    events.map(event).collect()
}

fn written() -> Vec<BTreeMap<String, Value>> {
    let (boot, classes) = (BootId::default(), Classes::new(RELAY_CLASSES));
    let written = samples();
    let written = written.iter().map(|event| to_json(event, boot, &classes));
    written
        .map(|json| serde_json::from_str(&json).expect("an object"))
        .collect()
}

const PAGE: &str = include_str!("../../../docs/events.md");

/// The page has a table of fields: each names the types that have it.
#[test]
fn the_page_lists_the_fields_of_each_type() {
    let events = written();
    let types: Vec<&str> = events.iter().filter_map(|e| e["type"].as_str()).collect();
    assert_eq!(types, EVENT_TYPES);
    let mut fields: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in &events {
        let kind = event["type"].as_str().expect("a type");
        for field in event.keys() {
            fields.entry(field).or_default().push(kind);
        }
    }
    let in_words = |types: Vec<&str>| match types.len() {
        n if n == EVENT_TYPES.len() => "all".to_owned(),
        _ => format!("`{}`", types.join("`, `")),
    };
    let wanted: BTreeMap<String, String> = fields
        .into_iter()
        .map(|(field, types)| (format!("`{field}`"), in_words(types)))
        .collect();
    let (_, rows) = PAGE.split_once("<!-- fields:begin -->").expect("a begin");
    let (rows, _) = rows.split_once("<!-- fields:end -->").expect("an end");
    let rows = rows.lines().filter(|line| line.starts_with("| `"));
    let listed: BTreeMap<String, String> = rows
        .map(|row| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().to_owned());
            let mut cell = || cells.next().expect("a cell");
            (cell(), cell())
        })
        .collect();
    assert_eq!(listed, wanted);
    for kind in EVENT_TYPES {
        assert!(PAGE.contains(&format!("\n| `{kind}` | ")), "{kind}");
    }
}

#[test]
fn a_closed_event_tells_how_the_connection_ended() {
    let closed = &written()[3];
    for (field, value) in [
        ("id", Value::from("00000000-4")),
        ("connection", "00000000.3.7".into()),
        ("partner", "00000000.4.8".into()),
        ("at", "2026-01-01T00:00:00.000Z".into()),
        ("class", "app".into()),
        ("user", "ada".into()),
        ("package", "org.x".into()),
        ("route", "chat".into()),
        ("cause", "stale".into()),
        ("by", "us".into()),
        ("code", "3008".into()),
        ("lost", true.into()),
        ("verdict", "network_lost".into()),
        ("age_ms", 60_000.into()),
        ("silence_ms", 45_000.into()),
        ("rtt_us", 20_000.into()),
    ] {
        assert_eq!(closed[field], value, "{field}");
    }
}

#[test]
fn an_id_is_read_back_and_nothing_else_is_one() {
    let boot = BootId::parse(b"0a1b2c3d").expect("an id");
    let id = event_id(boot, 17);
    assert_eq!(id, "0a1b2c3d-17");
    assert_eq!(parse_event_id(&id), Some((boot, 17)));
    for id in [
        "",
        "17",
        "0a1b2c3d",
        "0a1b2c3d-",
        "0a1b2c3d-+7",
        "0a1b2c3-17",
    ] {
        assert_eq!(parse_event_id(id), None, "{id}");
    }
    let too_large = format!("0a1b2c3d-{}0", u64::MAX);
    assert_eq!(parse_event_id(&too_large), None);
}

fn kept(number: u64, user: &str, bytes: usize) -> KeptEvent {
    KeptEvent {
        number,
        kind: EVENT_TYPES[0],
        json: "x".repeat(bytes).into(),
        class: Class(0),
        route: None,
        user: Some(user.into()),
        package: None,
    }
}

/// Returns what a reader gets from this number on, slice by slice: the missed and the read numbers.
fn read(ring: &EventRing, from: u64, filter: &EventFilter, limits: SliceLimits) -> Vec<String> {
    let (mut next, mut told) = (from, Vec::new());
    loop {
        let slice = ring.slice(next, filter, limits);
        if let Some(missed) = &slice.missed {
            told.push(format!("missed {}-{}", missed.start(), missed.end()));
        }
        told.extend(slice.events.iter().map(|event| event.number.to_string()));
        assert!(slice.next >= next, "a reader does not go back");
        next = slice.next;
        if !slice.has_more {
            assert_eq!(next, ring.next().max(from), "it has seen all");
            return told;
        }
    }
}

#[test]
fn a_reader_is_told_what_it_missed_in_the_place_where_it_is_missing() {
    let mut ring = EventRing::new(4);
    for number in [1, 2, 5, 6, 9] {
        ring.push(kept(number, "ada", 10));
    }
    let all = EventFilter::default();
    let told = ["missed 1-1", "2", "missed 3-4", "5", "6", "missed 7-8", "9"];
    assert_eq!(read(&ring, 1, &all, ALL), told);
    assert_eq!(read(&ring, 6, &all, ALL), ["6", "missed 7-8", "9"]);
    assert_eq!(read(&ring, 8, &all, ALL), ["missed 8-8", "9"]);
    assert_eq!(read(&ring, 10, &all, ALL), [""; 0]);
    assert_eq!((ring.oldest(), ring.next(), ring.len()), (2, 10, 4));
}

#[test]
fn a_slice_has_its_limits_and_none_is_skipped() {
    let mut ring = EventRing::new(10_000);
    (1..=9_000).for_each(|n| ring.push(kept(n, if n % 3 == 0 { "bob" } else { "ada" }, 10)));
    let all = EventFilter::default();
    let of_bob = EventFilter {
        user: Some("bob".to_owned()),
        ..EventFilter::default()
    };
    let none = EventFilter {
        kind: Some("closed".to_owned()),
        ..EventFilter::default()
    };
    for limits in [
        ALL,
        SliceLimits { count: 7, ..ALL },
        SliceLimits { bytes: 35, ..ALL },
        SliceLimits { bytes: 1, ..ALL },
    ] {
        let slice = ring.slice(1, &all, limits);
        let bytes: usize = slice.events.iter().map(|event| event.json.len()).sum();
        assert!(slice.events.len() <= limits.count);
        assert!(bytes <= limits.bytes.max(10), "{bytes}");
        let wanted: Vec<String> = (1..=9_000).map(|n: u64| n.to_string()).collect();
        assert_eq!(read(&ring, 1, &all, limits), wanted);
        assert_eq!(read(&ring, 1, &of_bob, limits).len(), 3_000);
        assert_eq!(read(&ring, 1, &none, limits), [""; 0]);
    }
}

#[test]
fn large_events_leave_room_for_fewer() {
    let mut ring = EventRing::new(100);
    (1..=100).for_each(|number| ring.push(kept(number, "ada", 10)));
    assert_eq!(ring.len(), 100);
    (101..=200).for_each(|number| ring.push(kept(number, "ada", 10_000)));
    assert!((5..=10).contains(&ring.len()), "{}", ring.len());
    ring.push(kept(201, "ada", 1 << 20));
    assert_eq!((ring.len(), ring.oldest()), (1, 201), "the newest stays");
}

/// While the thread does not take events, the queue drops the oldest; the ring knows it.
#[test]
fn what_the_queue_has_lost_is_missing_in_the_ring() {
    let sender = EventSender::default();
    let hub = EventHub::new(
        sender.receiver(),
        100_000,
        BootId::default(),
        Classes::new(RELAY_CLASSES),
    );
    let tell = |many: u64| {
        (0..many).for_each(|_| sender.send(|| Some((subject(), EventKind::Identified))));
    };
    tell(3);
    hub.collect();
    tell(20_000);
    hub.collect();
    let lost = hub.lost();
    assert!(lost > 3_000, "{lost}");
    assert_eq!(hub.bounds(), (1, 20_004));
    let all = EventFilter::default();
    let first = hub.slice(1, &all, ALL);
    assert_eq!((first.events.len(), first.has_more), (3, true));
    let second = hub.slice(first.next, &all, ALL);
    assert_eq!(second.missed, Some(4..=3 + lost));
    assert_eq!(hub.counts()[1], 20_003 - lost);
    assert_eq!(*hub.news().borrow(), 20_004);
}
