//! A client's life: messages both ways, pings, and its judgement of the server.

use crate::dialer::{Dialer, Told, dialer, opened, told_of};
use crate::nets::{S, check_invariants, one_class, timed};
use pulsegate::engine::{Engine, FlushOutcome};
use pulsegate::testing::{Net, PeerId, Received, frame_of_server, upgrade_response};
use pulsegate::wire::frame::Header;
use pulsegate::{Cause, Config, HealthState, Message, Micros};
use std::io::IoSlice;

fn net() -> (Net<Dialer>, PeerId) {
    let mut net = dialer(one_class(timed(15, 45)));
    let server = opened(&mut net);
    net.received(server);
    (net, server)
}

/// Returns the messages that the host has received.
fn messages(net: &mut Net<Dialer>, server: PeerId) -> Vec<Message> {
    let messages = told_of(net, server).into_iter();
    let messages = messages.filter_map(|told| match told {
        Told::Message(message) => Some(message),
        _ => None,
    });
    messages.collect()
}

/// The harness panics if a frame to a server is not masked.
#[test]
fn messages_go_both_ways() {
    let (mut net, server) = net();
    let id = net.id(server);
    for message in [
        Message::text(""),
        Message::text("hello"),
        Message::binary(vec![7; 126]),
        Message::binary(vec![8; 300_000]),
        Message::Ping(b"host"[..].into()),
    ] {
        net.with_io(|_, io| io.send(id, message.clone()));
        net.settle();
        let expected = match message.clone() {
            Message::Ping(payload) => Received::Ping(payload.to_vec()),
            message => Received::Message(message),
        };
        assert_eq!(net.received(server), [expected]);
        if !matches!(message, Message::Ping(_)) {
            net.send(server, message.clone());
            net.settle();
            assert_eq!(messages(&mut net, server).last(), Some(&message));
        }
    }
    check_invariants(&net);
    assert!(net.is_open(server));
}

#[test]
fn a_shared_message_is_masked_for_each_server() {
    let mut net = dialer(Config::default());
    let servers = [opened(&mut net), opened(&mut net)];
    let ids = servers.map(|s| net.id(s));
    let message = Message::binary(vec![9; 100_000]);
    let taken = net.with_io(|_, io| io.send_many(ids, &message));
    assert_eq!(taken, 2);
    net.settle();
    for server in servers {
        assert_eq!(net.received(server), [Received::Message(message.clone())]);
    }
    net.with_io(|_, io| io.broadcast(pulsegate::Class(0), &message));
    net.advance(10);
    for server in servers {
        assert_eq!(net.received(server), [Received::Message(message.clone())]);
    }
}

#[test]
fn fragments_are_joined_and_pings_between_them_answered() {
    let frames = [
        frame_of_server(0x01, "gr\u{fc}".as_bytes()),
        frame_of_server(0x89, b"between"),
        frame_of_server(0x00, &vec![b'x'; 20_000]),
        frame_of_server(0x80, b"!"),
    ];
    let bytes = frames.concat();
    for step in [1, 7, 4_096, bytes.len()] {
        let (mut net, server) = net();
        for piece in bytes.chunks(step) {
            net.write(server, piece);
            net.settle();
        }
        net.settle();
        let text = format!("gr\u{fc}{}!", "x".repeat(20_000));
        assert_eq!(messages(&mut net, server), [Message::text(text)]);
        assert_eq!(net.received(server), [Received::Pong(b"between".to_vec())]);
        check_invariants(&net);
    }
}

#[test]
fn the_server_is_pinged_and_its_answers_measured() {
    let (mut net, server) = net();
    net.set_latency(server, 30);
    net.advance(60 * S);
    let pings = net.received(server);
    assert_eq!(pings.len(), 4, "{pings:?}");
    assert!(pings.iter().all(|r| matches!(r, Received::Ping(_))));
    let id = net.id(server);
    let health = net.with_io(|_, io| io.health(id)).expect("open");
    assert_eq!(health.rtt.srtt_us(), Some(30_000));
    assert_eq!(health.state, HealthState::Healthy);
    let stats = net.engine().stats();
    assert_eq!((stats.pings(), stats.pongs()), (4, 4));
}

#[test]
fn a_silent_server_is_suspect_then_stale() {
    let (mut net, server) = net();
    net.advance(20 * S);
    net.mute(server);
    net.advance(46 * S);
    let told: Vec<Told> = told_of(&mut net, server);
    let end = [
        Told::Health(HealthState::Suspect),
        Told::Closed(Cause::STALE),
    ];
    assert!(told.ends_with(&end), "{told:?}");
    let end = net.ending(server).expect("an end");
    assert!(end.silence >= Micros::from_secs(45) && end.unanswered >= 2);
    assert_eq!(net.released(server), Some(true), "dropped with an RST");
}

#[test]
fn faults_of_a_server_have_their_codes() {
    let faults: &[(&str, Vec<u8>, u16)] = &[
        ("a mask", pulsegate::testing::client_frame(0x81, b"x"), 1002),
        ("RSV1", frame_of_server(0xC1, b"x"), 1002),
        ("opcode 3", frame_of_server(0x83, b"x"), 1002),
        ("no UTF-8", frame_of_server(0x81, b"\xff"), 1007),
        (
            "too long",
            frame_of_server(0x82, &vec![0; 1_001])[..4].to_vec(),
            1009,
        ),
        ("a code", frame_of_server(0x88, &[3, 0xED]), 1002),
    ];
    for (what, bytes, code) in faults {
        let config = Config {
            max_message_bytes: 1_000,
            ..Config::default()
        };
        let mut net = dialer(config);
        let server = opened(&mut net);
        net.write(server, bytes);
        net.settle();
        let got = net.received(server);
        assert!(
            matches!(&got[..], [Received::Close(c, _)] if c == code),
            "{what}: {got:?}"
        );
        check_invariants(&net);
        net.advance(30 * S);
        assert!(net.engine().is_empty(), "{what}");
    }
}

/// RFC 6455 §10.3: a mask for each frame, from a strong source.
#[test]
fn every_frame_has_a_mask_of_its_own_from_the_given_source() {
    let host = Dialer::default();
    let mut engine = Engine::new(Config::default(), host, Box::new(|| {})).expect("valid");
    let mut next = 0_u8;
    engine.set_random(move |bytes| {
        for byte in bytes {
            next = next.wrapping_add(7);
            *byte = next;
        }
    });
    let now = Micros::ZERO;
    let id = engine.with_io(now, |host, io| host.dial(io, crate::dialer::dial()));
    let id = id.expect("a dial");
    let mut dials = Vec::new();
    engine.take_dials(&mut dials);
    engine.on_connected(id, now);
    let request = flushed(&mut engine, now);
    let request = String::from_utf8(request).expect("text");
    engine.on_bytes(id, upgrade_response(&request, "").as_bytes(), now);
    let mut masks = Vec::new();
    for _ in 0..20 {
        engine.with_io(now, |_, io| io.send(id, Message::text("the same")));
        let frame = flushed(&mut engine, now);
        masks.push(Header::parse(&frame).expect("a frame").mask());
        engine.reap(now, &mut |_, _| {});
    }
    // The first 16 bytes went into the key.
    let expected = (0..20).map(|i| [1, 2, 3, 4].map(|at| (7 * (16 + 4 * i + at)) as u8));
    assert_eq!(masks, expected.collect::<Vec<_>>());
}

/// Flushes every connection, and returns what was written.
fn flushed(engine: &mut Engine<Dialer>, now: Micros) -> Vec<u8> {
    let (mut dirty, mut written) = (Vec::new(), Vec::new());
    engine.take_dirty(&mut dirty);
    for id in dirty {
        let mut socket = |slices: &[IoSlice<'_>]| {
            let bytes = slices.iter().flat_map(|s| s.iter());
            written.extend(bytes);
            Ok(slices.iter().map(|s| s.len()).sum())
        };
        assert_eq!(engine.flush(id, now, &mut socket), FlushOutcome::Done);
    }
    written
}
