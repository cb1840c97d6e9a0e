//! The host closes: reasons, codes, and what an ending says.

use crate::echo::{end_of, server};
use crate::nets::S;
use pulsegate::cause::{Cause, EndCode, EndedBy};
use pulsegate::engine::{Config, ConnMap, Ending, Message, SendError, SendOutcome, Verdict};
use pulsegate::testing::Received;
use pulsegate::{Class, Micros};

#[test]
fn reasons_are_cut_to_123_bytes_between_characters_on_the_wire() {
    for (reason, expected) in [
        ("é".repeat(100), "é".repeat(61)),
        ("x".repeat(200), "x".repeat(123)),
        (format!("{}€", "x".repeat(121)), "x".repeat(121)),
        (
            format!("{}€", "x".repeat(120)),
            format!("{}€", "x".repeat(120)),
        ),
    ] {
        for cause in [Cause::KICKED, Cause::REPLACED, Cause::FORBIDDEN] {
            let mut net = server(Config::default());
            let peer = net.connect("/");
            let id = net.id(peer);
            net.with_io(|_, io| io.close_for(id, cause, 4_000, &reason));
            net.settle();
            assert_eq!(
                net.received(peer),
                [Received::Close(4_000, expected.clone())]
            );
            assert_eq!(
                end_of(&net, peer),
                Some((cause, EndCode::Close(4_000), expected.clone(), true))
            );
        }
    }
}

#[test]
fn a_code_that_may_not_be_sent_becomes_1011() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 2_000, 5_000] {
        let mut net = server(Config::default());
        let peer = net.connect("/");
        let id = net.id(peer);
        net.with_io(|_, io| io.close(id, code, ""));
        net.settle();
        assert_eq!(
            net.received(peer),
            [Received::Close(1011, String::new())],
            "{code}"
        );
    }
}

#[test]
fn an_id_of_the_past_finds_no_connection() {
    let mut net = server(Config::default());
    let first = net.connect("/sink");
    let old = net.id(first);
    net.reset(first);
    net.settle();
    let second = net.connect("/sink");
    let new = net.id(second);
    assert_eq!(old.slot(), new.slot());
    assert_ne!(old, new);
    net.with_io(|_, io| {
        assert_eq!(
            io.send(old, Message::text("x")),
            SendOutcome::Refused(SendError::Gone)
        );
        io.close(old, 4_000, "");
        io.answer(old, Verdict::refuse(Cause::BLOCKED, 403, ""));
        assert!(io.health(old).is_none() && io.class(old).is_none() && io.peer_addr(old).is_none());
    });
    net.settle();
    assert!(net.is_open(second));
    let mut map = ConnMap::new();
    assert_eq!(map.insert(old, "old"), None);
    assert_eq!(map.get(new), None);
    assert_eq!(map.remove(new), None);
    assert_eq!(map.insert(new, "new"), Some("old"), "what it replaces");
    assert_eq!(map.get(old), None);
    assert_eq!(map.get_mut(old), None);
    assert_eq!(map.remove(old), None);
    assert_eq!((map.len(), map.iter().next()), (1, Some((new, &"new"))));
    assert_eq!((map.remove(new), map.is_empty()), (Some("new"), true));
}

#[test]
fn endings_say_which_connection_and_how_long() {
    let mut net = server(Config::default());
    let peer = net.connect("/");
    net.set_latency(peer, 30);
    net.advance(60 * S);
    net.reset(peer);
    net.settle();
    let Ending {
        cause,
        by,
        class,
        age,
        rtt,
        ..
    } = net.ending(peer).expect("an end").clone();
    assert_eq!(
        (cause, by, class, age),
        (
            Cause::PEER_RESET,
            EndedBy::Network,
            Some(Class(0)),
            Micros::from_secs(60)
        )
    );
    assert!(
        rtt.srtt_us()
            .is_some_and(|us| (30_000..=40_000).contains(&us)),
        "{rtt:?}"
    );
}
