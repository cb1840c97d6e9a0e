//! The engine on virtual time under all kinds of faults by peers, the network and time.
//!
//! Covered are recorded scripts cut at every byte, outputs accepted a few bytes at a time, and FIN
//! and RST at every position. Further: bad input of every kind with its cause and code, every
//! timeout, drain, stalls, mass death, and the host's calls. Nothing here sleeps.
//!
//! The script with large frames is cut at every byte near frame boundaries and at every 61st inside
//! large payloads; `FAULTS_ALL=1` cuts it at every byte.

use crate::echo::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};
use crate::echo::{
    Host, Told, binary, close, pattern, peer_code, ping, pong, scripted, server, sorted_out, text,
};
use pulsegate::cause::{Cause, EndCode, EndedBy};
use pulsegate::engine::{
    ClassConfig, Config, ConnMap, Ending, Engine, FlushOutcome, Handler, Io, Message, Reply,
    Request, SendError, SendOutcome, Upgrade, Verdict,
};
use pulsegate::health::{HealthChange, HealthState, Policy};
use pulsegate::testing::{Net, PeerId, Received, client_frame, upgrade_request};
use pulsegate::{Class, ConnId, Micros};
use std::io::IoSlice;

const TICK: Micros = Micros::from_millis(5);
const S: u64 = 1_000;

fn config(policy: Policy) -> Config {
    let classes = vec![ClassConfig {
        name: "default".to_owned(),
        policy,
    }];
    Config {
        classes,
        ..Config::default()
    }
}

/// Returns how a connection ended, without what depends on time.
fn end_of(net: &Net<Host>, peer: PeerId) -> Option<(Cause, EndCode, String, bool)> {
    net.ending(peer)
        .map(|e| (e.cause, e.code, e.reason.to_string(), e.clean))
}

/// Returns the host's calls for one connection.
fn told_of(net: &mut Net<Host>, peer: PeerId) -> Vec<Told> {
    let id = net.id(peer);
    let about = |(whom, told): &(Option<ConnId>, Told)| (*whom == Some(id)).then(|| told.clone());
    net.host().diary.iter().filter_map(about).collect()
}

/// Checks that all connections have ended and were reported once: `on_close` for each Upgrade or
/// Defer, `on_reject` for the others.
fn check_the_books(net: &mut Net<Host>) {
    net.check().unwrap_or_else(|e| panic!("{e}"));
    let host = net.host();
    let told = |what: Told| {
        let ids = host.diary.iter().filter(|(_, told)| *told == what);
        let mut ids: Vec<ConnId> = ids.filter_map(|(id, _)| *id).collect();
        ids.sort();
        ids
    };
    let (closed, rejected) = (told(Told::Closed), told(Told::Rejected));
    let mut owed = host.owed.clone();
    owed.sort();
    assert_eq!(closed, owed, "one on_close for each Upgrade and Defer");
    assert!(rejected.windows(2).all(|w| w[0] != w[1]), "told twice");
    assert_eq!(closed.len() + rejected.len(), net.endings().len());
    assert!(net.engine().is_empty());
}

// ---- recorded scripts ----

/// Returns the frames of a client, without the closing handshake.
fn frames(sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut frames = vec![
        text("pipelined"),
        binary(b""),
        ping(b"are you there?"),
        pong(b"unasked"),
        client_frame(TEXT, "frag µ".as_bytes()),
        ping(b"in between"),
        client_frame(CONTINUATION, b""),
        pong(&pattern(125)),
        client_frame(FIN | CONTINUATION, "ment".as_bytes()),
    ];
    frames.extend(sizes.iter().map(|len| binary(&pattern(*len))));
    frames.extend([text("nothing more"), ping(&pattern(125))]);
    frames
}

fn script(path: &str, sizes: &[usize]) -> Vec<u8> {
    let parts = [
        vec![upgrade_request(path).into_bytes()],
        frames(sizes),
        vec![close(1000, b"bye")],
    ];
    parts.concat().concat()
}

const SMALL: [usize; 3] = [1, 125, 126];
const LARGE: [usize; 4] = [125, 126, 65_535, 65_536];

/// The results that must not depend on how the bytes were cut.
#[derive(Debug, PartialEq)]
struct Outcome {
    head: Option<String>,
    data: Vec<Received>,
    control: Vec<Received>,
    told: Vec<Told>,
    end: Option<(Cause, EndCode, String, bool)>,
    released: Option<bool>,
}

fn play<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut net = server(Config::default());
    let peer = net.open_socket();
    net.mute(peer);
    for piece in pieces {
        net.write(peer, piece);
        net.settle();
    }
    net.advance(3 * S);
    let (data, control) = sorted_out(net.received(peer));
    assert!(net.leftover(peer).is_empty());
    check_the_books(&mut net);
    Outcome {
        head: net.response(peer).map(str::to_owned),
        data,
        control,
        told: told_of(&mut net, peer),
        end: end_of(&net, peer),
        released: net.released(peer),
    }
}

fn assert_same(found: &Outcome, expected: &Outcome, how: &str) {
    // A difference of 200 KB would be useless output.
    assert!(found.head == expected.head, "{how}: {:?}", found.head);
    assert!(
        found.told.len() == expected.told.len(),
        "{how}: {} calls, not {}",
        found.told.len(),
        expected.told.len()
    );
    assert!(found.end == expected.end, "{how}: {:?}", found.end);
    assert!(
        found.control == expected.control,
        "{how}: other control frames"
    );
    assert!(found == expected, "{how}: other data");
}

#[test]
fn the_script_uncut_is_answered_whole() {
    let outcome = play([&script("/", &LARGE)[..]]);
    assert!(
        outcome
            .head
            .expect("a response")
            .starts_with("HTTP/1.1 101")
    );
    assert_eq!(outcome.data.len(), 2 + 1 + LARGE.len() + 1);
    let pongs = [&b"are you there?"[..], b"in between", &pattern(125)];
    let mut control: Vec<_> = pongs.iter().map(|p| Received::Pong(p.to_vec())).collect();
    control.push(Received::Close(1000, "bye".to_owned()));
    assert_eq!(outcome.control, control);
    let end = (
        Cause::PEER_CLOSED,
        EndCode::Close(1000),
        "bye".to_owned(),
        true,
    );
    assert_eq!(outcome.end, Some(end));
    assert_eq!(
        (outcome.told.first(), outcome.told.last()),
        (Some(&Told::Opened), Some(&Told::Closed))
    );
}

#[test]
fn input_cut_at_every_byte_changes_nothing() {
    let script = script("/", &SMALL);
    let uncut = play([&script[..]]);
    for cut in 1..script.len() {
        let (a, b) = script.split_at(cut);
        assert_same(&play([a, b]), &uncut, &format!("cut at {cut}"));
    }
    for step in [1, 2, 3, 7, 64] {
        assert_same(
            &play(script.chunks(step)),
            &uncut,
            &format!("pieces of {step}"),
        );
    }
}

#[test]
fn large_frames_cut_anywhere_change_nothing() {
    let script = script("/", &LARGE);
    let uncut = play([&script[..]]);
    let mut boundaries = vec![0, upgrade_request("/").len()];
    for frame in frames(&LARGE) {
        boundaries.push(boundaries[boundaries.len() - 1] + frame.len());
    }
    let all = std::env::var_os("FAULTS_ALL").is_some();
    let near = |cut: usize| boundaries.iter().any(|b| cut.abs_diff(*b) <= 16);
    for cut in (1..script.len()).filter(|cut| all || near(*cut) || cut % 61 == 0) {
        let (a, b) = script.split_at(cut);
        assert_same(&play([a, b]), &uncut, &format!("cut at {cut}"));
    }
    for step in [1, 2, 3, 7, 1_023, 1_024, 1_025, 4_096, 65_536] {
        assert_same(
            &play(script.chunks(step)),
            &uncut,
            &format!("pieces of {step}"),
        );
    }
}

#[test]
fn output_accepted_a_few_bytes_at_a_time_is_the_same() {
    let all = [vec![upgrade_request("/").into_bytes()], frames(&LARGE)]
        .concat()
        .concat();
    let run = |step: Option<usize>, seed: u64| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut net = server(Config::default());
        let peer = net.open_socket();
        net.mute(peer);
        if step.is_some() {
            net.set_window(peer, Some(0));
        }
        net.write(peer, &all);
        net.settle();
        while let Some(step) = step.filter(|_| net.engine().stats().pending_bytes > 0) {
            net.set_window(
                peer,
                Some(if step == 0 { rng.usize(0..5_000) } else { step }),
            );
            net.run_turn();
        }
        net.set_window(peer, None);
        net.write(peer, &close(1000, b"bye"));
        net.advance(3 * S);
        assert!(net.leftover(peer).is_empty());
        check_the_books(&mut net);
        let head = net.response(peer).map(str::to_owned);
        (head, sorted_out(net.received(peer)), end_of(&net, peer))
    };
    let free = run(None, 0);
    for step in [1, 2, 3, 7, 125, 1_000, 65_536] {
        assert!(run(Some(step), 0) == free, "{step} bytes at a time");
    }
    for seed in 0..50 {
        assert!(run(Some(0), seed) == free, "seed {seed}");
    }
}

#[test]
fn a_control_frame_goes_before_data_but_never_inside_a_frame() {
    for taken in 0..12 {
        let mut net = server(Config::default());
        let peer = scripted(&mut net, "/");
        net.set_window(peer, Some(taken));
        net.write(peer, &[text("12345678"), text("second")].concat());
        net.settle();
        net.write(peer, &ping(b"!"));
        net.settle();
        net.set_window(peer, None);
        net.settle();
        let order: Vec<bool> = net
            .received(peer)
            .iter()
            .map(|r| matches!(r, Received::Pong(_)))
            .collect();
        let expected = match taken {
            0 => [true, false, false],
            1..=10 => [false, true, false],
            _ => [false, false, true],
        };
        assert_eq!(order, expected, "after {taken} bytes");
    }
}

#[test]
fn a_peer_that_closes_without_reading_gets_the_frame_in_progress_and_the_answer() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.set_window(peer, Some(4));
    net.write(peer, &[text("in progress"), text("not begun")].concat());
    net.settle();
    net.write(peer, &close(1000, b""));
    net.settle();
    net.set_window(peer, None);
    net.settle();
    let expected = [
        Received::Message(Message::text("in progress")),
        Received::Close(1000, String::new()),
    ];
    assert_eq!(net.received(peer), expected);
    net.expect_closed(peer, Cause::PEER_CLOSED);
    assert_eq!(net.ending(peer).and_then(peer_code), Some(1000));
}

#[test]
fn what_was_sent_before_the_peers_close_is_not_dropped() {
    // A send that returned Flowing "goes out at the end of this turn", even if the peer's close
    // frame arrived in the same read.
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.write(peer, &[text("a question"), close(1000, b"")].concat());
    net.settle();
    let expected = [
        Received::Message(Message::text("a question")),
        Received::Close(1000, String::new()),
    ];
    assert_eq!(net.received(peer), expected);
}

// ---- FIN and RST ----

#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    /// A FIN after everything was answered.
    Fin,
    /// A FIN in one event with the last bytes.
    FinAtOnce,
    Rst,
}

#[test]
fn fin_and_rst_at_every_byte_end_in_their_cause() {
    let head = upgrade_request("/").len();
    for path in ["/", "/defer", "/nowhere"] {
        let script = script(path, &SMALL);
        let head = head + path.len() - 1;
        for (at, how) in (0..=script.len())
            .flat_map(|at| [Leaves::Fin, Leaves::FinAtOnce, Leaves::Rst].map(|how| (at, how)))
        {
            let mut net = server(Config::default());
            let peer = net.open_socket();
            net.mute(peer);
            if at > 0 {
                net.write(peer, &script[..at]);
            }
            if how != Leaves::FinAtOnce {
                net.settle();
            }
            match how {
                Leaves::Fin | Leaves::FinAtOnce => net.half_close(peer),
                Leaves::Rst => net.reset(peer),
            }
            net.settle();
            let cause = match (path, at) {
                (_, 0) => Cause::PROBE,
                (_, at) if at < head => Cause::ABORTED,
                ("/defer", _) => Cause::ABORTED,
                ("/nowhere", _) => Cause::BAD_REQUEST,
                (_, at) if at == script.len() => Cause::PEER_CLOSED,
                _ if how == Leaves::Rst => Cause::PEER_RESET,
                _ => Cause::PEER_EOF,
            };
            assert_eq!(
                net.ending(peer).map(|e| e.cause),
                Some(cause),
                "{path} {how:?} at {at}"
            );
            check_the_books(&mut net);
        }
    }
}

// ---- bad frames ----

/// Name, bytes, cause and the code of our close frame.
type Bad = (&'static str, Vec<u8>, Cause, u16);

fn header(first: u8, len: u64) -> Vec<u8> {
    [&[first, 0x80 | 127][..], &len.to_be_bytes(), &[1, 2, 3, 4]].concat()
}

fn bad_frames() -> Vec<Bad> {
    let two = |a: Vec<u8>, b: Vec<u8>| [a, b].concat();
    let big = [
        client_frame(BINARY, &pattern(600)),
        client_frame(FIN | CONTINUATION, &pattern(600)),
    ];
    let mut rows = vec![
        (
            "unmasked text",
            vec![0x81, 2, b'h', b'i'],
            Cause::PROTOCOL,
            1002,
        ),
        ("unmasked and empty", vec![0x81, 0], Cause::PROTOCOL, 1002),
        ("unmasked ping", vec![0x89, 0], Cause::PROTOCOL, 1002),
        (
            "ping in fragments",
            client_frame(PING, b"x"),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "pong in fragments",
            client_frame(PONG, b"x"),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "close in fragments",
            client_frame(CLOSE, &[3, 232]),
            Cause::PROTOCOL,
            1002,
        ),
        ("ping of 126", ping(&pattern(126)), Cause::PROTOCOL, 1002),
        (
            "close of 126",
            close(1000, &[b'x'; 124]),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "continuation of nothing",
            client_frame(CONTINUATION, b"x"),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "final continuation of nothing",
            client_frame(FIN, b"x"),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "text inside text",
            two(client_frame(TEXT, b"a"), text("b")),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "binary inside text",
            two(client_frame(TEXT, b"a"), binary(b"b")),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "close of one byte",
            client_frame(FIN | CLOSE, &[3]),
            Cause::PROTOCOL,
            1002,
        ),
        (
            "not UTF-8",
            client_frame(FIN | TEXT, b"\xc3\x28"),
            Cause::INVALID_DATA,
            1007,
        ),
        (
            "a surrogate",
            client_frame(FIN | TEXT, b"\xed\xa0\x80"),
            Cause::INVALID_DATA,
            1007,
        ),
        (
            "not UTF-8 over fragments",
            two(client_frame(TEXT, b"\xe2\x82"), client_frame(FIN, b"\x28")),
            Cause::INVALID_DATA,
            1007,
        ),
        (
            "UTF-8 cut short by the end",
            two(client_frame(TEXT, b"ok"), client_frame(FIN, b"\xe2\x82")),
            Cause::INVALID_DATA,
            1007,
        ),
        (
            "a close reason not UTF-8",
            close(1000, b"\xff"),
            Cause::INVALID_DATA,
            1007,
        ),
        (
            "too big, its header alone",
            header(FIN | BINARY, 1_001),
            Cause::TOO_BIG,
            1009,
        ),
        ("too big by fragments", big.concat(), Cause::TOO_BIG, 1009),
        (
            "length with the top bit",
            header(FIN | BINARY, 1 << 63),
            Cause::TOO_BIG,
            1009,
        ),
        (
            "the longest length",
            header(FIN | TEXT, u64::MAX),
            Cause::TOO_BIG,
            1009,
        ),
    ];
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        rows.push((
            "reserved opcode",
            client_frame(FIN | opcode, b"x"),
            Cause::PROTOCOL,
            1002,
        ));
        rows.push((
            "reserved opcode, empty",
            client_frame(FIN | opcode, b""),
            Cause::PROTOCOL,
            1002,
        ));
    }
    for rsv in 1..=7u8 {
        rows.push((
            "rsv, text",
            client_frame(FIN | rsv << 4 | TEXT, b"x"),
            Cause::PROTOCOL,
            1002,
        ));
        rows.push((
            "rsv, ping",
            client_frame(FIN | rsv << 4 | PING, b"x"),
            Cause::PROTOCOL,
            1002,
        ));
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        rows.push((
            "a code that may not be sent",
            close(code, b"x"),
            Cause::PEER_CLOSED,
            1002,
        ));
    }
    rows
}

#[test]
fn every_bad_frame_has_its_cause_and_code() {
    for (name, bytes, cause, code) in bad_frames() {
        for step in [1, 2, 3, usize::MAX] {
            let what = format!(
                "{name} {:x?} in pieces of {step}",
                &bytes[..bytes.len().min(16)]
            );
            let mut net = server(Config {
                max_message_bytes: 1_000,
                ..Config::default()
            });
            let (peer, other) = (scripted(&mut net, "/"), net.connect("/"));
            net.write(peer, &text("before"));
            // Bytes after it are not read any more.
            let all = [bytes.clone(), text("behind"), ping(b"behind")].concat();
            for piece in all.chunks(step.min(all.len())) {
                net.write(peer, piece);
                net.settle();
            }
            let received = net.received(peer);
            assert_eq!(
                received[0],
                Received::Message(Message::text("before")),
                "{what}"
            );
            let [Received::Close(found, reason)] = &received[1..] else {
                panic!("{what}: {received:?}");
            };
            assert_eq!(*found, code, "{what}");
            assert!(reason.len() <= 123, "{what}");
            let peers_own = cause == Cause::PEER_CLOSED;
            assert!(net.fin_received(peer), "{what}: our FIN stands behind it");
            assert_eq!(
                net.released(peer).is_some(),
                peers_own,
                "{what}: an error is lingered over"
            );
            net.advance(2 * S + 10);
            let (found, _, _, clean) =
                end_of(&net, peer).unwrap_or_else(|| panic!("{what}: no end"));
            assert_eq!((found, clean), (cause, peers_own), "{what}");
            // A frame of less than 126 bytes: two bytes, the mask, the code.
            let sent = |at: usize| bytes[6 + at] ^ bytes[2 + at];
            let own = peers_own.then(|| u16::from_be_bytes([sent(0), sent(1)]));
            assert_eq!(net.ending(peer).and_then(peer_code), own, "{what}");
            assert_eq!(net.released(peer), Some(false), "{what}");
            assert_eq!(
                told_of(&mut net, peer).len(),
                3,
                "{what}: opened, before, closed"
            );
            assert!(net.is_open(other), "{what}: no other connection suffers");
            net.check().unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
}

#[test]
fn an_error_lingers_until_the_peer_leaves() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.write(peer, &[0x81, 0]);
    net.settle();
    net.write(peer, &pattern(300_000));
    net.settle();
    assert_eq!(
        net.released(peer),
        None,
        "what it still sends is read and thrown away"
    );
    net.half_close(peer);
    net.settle();
    assert_eq!(net.released(peer), Some(false));
    net.expect_closed(peer, Cause::PROTOCOL);
}

// ---- bad requests ----

/// Name, request, status, words that the head must contain, cause.
type Plain = (&'static str, String, u16, &'static [&'static str], Cause);

fn requests() -> Vec<Plain> {
    let get = |path: &str, rest: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n{rest}\r\n");
    let upgrade = |from: &str, to: &str| {
        let (before, after) = (upgrade_request("/"), upgrade_request("/").replace(from, to));
        assert_ne!(before, after, "{from}");
        after
    };
    let version: &[&str] = &["upgrade: websocket", "sec-websocket-version: 13"];
    let long = format!("a: {}\r\n", "b".repeat(17_000));
    vec![
        ("health", get("/healthz", ""), 200, &[], Cause::ANSWERED),
        (
            "health, 1.0",
            "GET /healthz HTTP/1.0\r\n\r\n".into(),
            200,
            &[],
            Cause::ANSWERED,
        ),
        (
            "health, bare LF",
            "GET /healthz HTTP/1.0\n\n".into(),
            200,
            &[],
            Cause::ANSWERED,
        ),
        (
            "health, HEAD",
            "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            200,
            &[],
            Cause::ANSWERED,
        ),
        (
            "elsewhere",
            get("/nowhere", ""),
            404,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "elsewhere, upgrade",
            upgrade_request("/nowhere"),
            404,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "elsewhere, HEAD",
            "HEAD /nowhere HTTP/1.0\r\n\r\n".into(),
            404,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "POST",
            upgrade("GET", "POST"),
            405,
            &["allow: get, head"],
            Cause::BAD_REQUEST,
        ),
        (
            "DELETE",
            "DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n".into(),
            405,
            &["allow: get, head, options"],
            Cause::BAD_REQUEST,
        ),
        (
            "OPTIONS of the health check",
            "OPTIONS /healthz?by=proxy HTTP/1.0\r\n\r\n".into(),
            200,
            &["allow: get, head, options"],
            Cause::ANSWERED,
        ),
        (
            "OPTIONS of a WebSocket",
            upgrade("GET", "OPTIONS"),
            405,
            &["allow: get, head"],
            Cause::BAD_REQUEST,
        ),
        (
            "HEAD of a WebSocket",
            upgrade("GET", "HEAD"),
            405,
            &["allow: get"],
            Cause::BAD_REQUEST,
        ),
        ("no upgrade", get("/", ""), 426, version, Cause::BAD_REQUEST),
        (
            "upgrade to something else",
            upgrade("websocket", "h2c"),
            426,
            version,
            Cause::BAD_REQUEST,
        ),
        (
            "version 8",
            upgrade("Version: 13", "Version: 8"),
            426,
            version,
            Cause::BAD_REQUEST,
        ),
        (
            "no version",
            upgrade("Sec-WebSocket-Version: 13\r\n", ""),
            426,
            version,
            Cause::BAD_REQUEST,
        ),
        (
            "HTTP/1.0",
            upgrade("HTTP/1.1", "HTTP/1.0"),
            426,
            version,
            Cause::BAD_REQUEST,
        ),
        (
            "HTTP/2.0",
            upgrade("HTTP/1.1", "HTTP/2.0"),
            505,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "no key",
            upgrade("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "a short key",
            upgrade("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "no Host",
            upgrade("Host: test\r\n", ""),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "two Hosts",
            upgrade("Host: test", "Host: a\r\nHost: b"),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "a body",
            get("/", "Content-Length: 3\r\n") + "abc",
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "a body in chunks",
            get("/", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "not a path",
            upgrade("GET /", "GET x"),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "not a header",
            upgrade("Host: test", "Ho st: test"),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "a long header",
            get("/", &long),
            431,
            &[],
            Cause::BAD_REQUEST,
        ),
        (
            "65 headers",
            get("/", &"a: b\r\n".repeat(65)),
            431,
            &[],
            Cause::BAD_REQUEST,
        ),
        ("no end", "G".repeat(17_000), 431, &[], Cause::BAD_REQUEST),
        (
            "TLS",
            "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03".into(),
            400,
            &[],
            Cause::BAD_REQUEST,
        ),
    ]
}

/// Checks the rules for every answer that is not 101. Returns its head in lower case.
fn check_response(what: &str, response: &str, status: u16, is_head: bool) -> String {
    let (head, body) = response
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{what}: {response}"));
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status} ")),
        "{what}: {head}"
    );
    // Embedded clients compare names case-sensitively.
    for name in head.lines().skip(1).filter_map(|l| l.split(':').next()) {
        let is_usual = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
        assert!(name.split('-').all(is_usual), "{what}: {name}");
    }
    let head = head.to_ascii_lowercase();
    let field = |name: &str| {
        head.lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    };
    let length: usize = field("content-length")
        .and_then(|l| l.parse().ok())
        .expect("a length");
    if is_head {
        assert!(body.is_empty() && length > 0, "{what}: {body}");
    } else {
        assert_eq!(length, body.len(), "{what}");
        assert!(
            body.starts_with('{') && body.ends_with('}'),
            "{what}: {body}"
        );
    }
    let connection = field("connection").unwrap_or_default();
    assert!(
        connection.split(", ").any(|t| t == "close"),
        "{what}: {head}"
    );
    head
}

#[test]
fn every_request_that_is_not_upgraded_is_answered_and_closed() {
    for (name, request, status, fields, cause) in requests() {
        let mut whole = None;
        for step in [usize::MAX, 1, 2, 3, 7] {
            let what = format!("{name} in pieces of {step}");
            let mut net = server(Config::default());
            let peer = net.open_socket();
            for piece in request.as_bytes().chunks(step.min(request.len())) {
                net.write(peer, piece);
                net.settle();
            }
            let response = net
                .response(peer)
                .unwrap_or_else(|| panic!("{what}: no answer"))
                .to_owned();
            let head = check_response(&what, &response, status, request.starts_with("HEAD"));
            for field in fields {
                assert!(head.lines().any(|l| l == *field), "{what}: {head}");
            }
            assert_eq!(*whole.get_or_insert(response.clone()), response, "{what}");
            assert!(net.fin_received(peer), "{what}");
            assert_eq!(net.released(peer), None, "{what}: it has time to read");
            net.advance(2 * S + 10);
            assert_eq!(
                end_of(&net, peer).map(|e| (e.0, e.1)),
                Some((cause, EndCode::Http(status))),
                "{what}"
            );
            assert_eq!(net.released(peer), Some(false), "{what}");
            check_the_books(&mut net);
        }
    }
}

#[test]
fn a_host_refuses_in_any_status_with_its_cause() {
    let rows = [
        (401, Cause::UNAUTHORIZED),
        (403, Cause::BLOCKED),
        (429, Cause::BUFFERS_FULL),
        (503, Cause::AT_CAPACITY),
        (404, Cause::BAD_REQUEST),
        (200, Cause::ANSWERED),
        // No status implies a cause.
        (200, Cause::KICKED),
    ];
    for (status, cause) in rows {
        let mut net = server(Config::default());
        let peer = net.open_socket();
        net.write(peer, upgrade_request("/defer").as_bytes());
        net.settle();
        let id = net.id(peer);
        net.with_io(|_, io| {
            io.answer(
                id,
                Verdict::Reply {
                    reply: Reply::error(status, "no").with_retry_after(7),
                    cause,
                },
            )
        });
        net.settle();
        let response = net.response(peer).expect("an answer").to_owned();
        let head = check_response("deferred", &response, status, false);
        assert!(head.lines().any(|l| l == "retry-after: 7"));
        net.advance(2 * S + 10);
        net.expect_closed(peer, cause);
        check_the_books(&mut net);
    }
}

#[test]
fn a_deferred_verdict_opens_with_what_came_meanwhile() {
    let mut net = server(Config::default());
    let peer = net.open_socket();
    net.write(
        peer,
        &[upgrade_request("/defer").as_bytes(), &text("early")].concat(),
    );
    net.settle();
    net.write(peer, &text("and late")[..5]);
    net.settle();
    assert!(net.response(peer).is_none() && !net.is_open(peer));
    let id = net.id(peer);
    assert_eq!(
        net.with_io(|_, io| io.send(id, Message::text("x"))),
        SendOutcome::Refused(SendError::Gone)
    );
    net.with_io(|_, io| io.answer(id, Verdict::Defer)); // changes nothing
    net.advance(9 * S);
    net.with_io(|_, io| io.answer(id, Verdict::upgrade(Class(0))));
    net.write(peer, &text("and late")[5..]);
    net.settle();
    let expected = ["early", "and late"].map(|t| Received::Message(Message::text(t)));
    assert_eq!(net.received(peer), expected);
    // A second verdict is ignored.
    net.with_io(|_, io| io.answer(id, Verdict::refuse(Cause::BLOCKED, 403, "changed my mind")));
    assert!(net.is_open(peer));
}

/// At most 8 KiB are kept behind a request whose verdict is deferred, whether they arrive with it
/// or later.
#[test]
fn what_comes_before_a_deferred_verdict_is_bounded_however_it_is_cut() {
    let request = upgrade_request("/defer");
    for (early, is_kept) in [(8 * 1024, true), (8 * 1024 + 1, false)] {
        let stream = [request.as_bytes(), &vec![0; early][..]].concat();
        for cut in [stream.len(), request.len(), 1_000] {
            let mut net = server(Config::default());
            let peer = net.open_socket();
            for piece in stream.chunks(cut) {
                net.write(peer, piece);
                net.settle();
            }
            assert_eq!(net.response(peer).is_none(), is_kept, "cuts of {cut}");
            if !is_kept {
                check_response("early", net.response(peer).expect("an answer"), 400, false);
            }
            let id = net.id(peer);
            net.with_io(|_, io| io.answer(id, Verdict::refuse(Cause::BLOCKED, 403, "no")));
            net.settle();
            net.advance(2 * S + 10);
            let cause = if is_kept {
                Cause::BLOCKED
            } else {
                Cause::BAD_REQUEST
            };
            net.expect_closed(peer, cause);
            check_the_books(&mut net);
        }
    }
}

#[test]
fn a_verdict_that_cannot_be_carried_out_is_ours_to_answer_for() {
    let bad_policy = Policy {
        suspect_after: 0,
        ..Policy::default()
    };
    let of = |class, policy| Upgrade {
        class: Class(class),
        protocol: None,
        headers: vec![],
        policy,
        identified: false,
    };
    for upgrade in [of(7, None), of(0, Some(bad_policy))] {
        let mut net = server(Config::default());
        let peer = net.open_socket();
        net.write(peer, upgrade_request("/defer").as_bytes());
        net.settle();
        let id = net.id(peer);
        net.with_io(|_, io| io.answer(id, Verdict::Upgrade(upgrade.clone())));
        net.settle();
        check_response(
            "internal",
            net.response(peer).expect("an answer"),
            500,
            false,
        );
        net.advance(2 * S + 10);
        net.expect_closed(peer, Cause::INTERNAL);
        check_the_books(&mut net);
    }
}

// ---- a connection driven by hand ----

/// An engine whose turns the test runs, for what [`Net`] does not offer: refusal at accepting, and
/// time to the µs.
struct Bare {
    engine: Engine<Host>,
    now: Micros,
    endings: Vec<(ConnId, Micros)>,
    written: Vec<u8>,
}

impl Bare {
    fn new(config: Config) -> Self {
        let engine =
            Engine::new(config, Host::default(), Box::new(|| {})).expect("a valid configuration");
        Bare {
            engine,
            now: Micros::ZERO,
            endings: Vec::new(),
            written: Vec::new(),
        }
    }

    fn accept(&mut self, refuse: bool) -> ConnId {
        self.engine
            .accept(([127, 0, 0, 1], 1).into(), refuse, self.now)
    }

    fn turn(&mut self) {
        let (now, told) = (self.now, self.engine.handler().diary.len());
        self.engine.advance(now);
        while let Some(id) = self.engine.next_final_check() {
            self.engine.final_check(id, None, now);
        }
        let (mut dirty, written) = (Vec::new(), &mut self.written);
        self.engine.take_dirty(&mut dirty);
        for id in dirty {
            let mut socket = |slices: &[IoSlice<'_>]| {
                slices.iter().for_each(|s| written.extend_from_slice(s));
                Ok(slices.iter().map(|s| s.len()).sum())
            };
            assert_ne!(
                self.engine.flush(id, now, &mut socket),
                FlushOutcome::Blocked
            );
        }
        self.engine.reap(now, &mut |_, _| {});
        let news = &self.engine.handler().diary[told..];
        let closed = news
            .iter()
            .filter(|(_, t)| *t == Told::Closed)
            .filter_map(|(id, _)| *id);
        self.endings.extend(closed.map(|id| (id, now)));
    }

    /// Runs turns like the loop, until `at`.
    fn sleep_until(&mut self, at: Micros) {
        self.turn();
        while let Some(sleep) = self
            .engine
            .sleep_time(self.now)
            .filter(|s| self.now + *s <= at)
        {
            self.now += sleep;
            self.turn();
        }
        self.now = at;
    }
}

#[test]
fn at_capacity_a_request_is_answered_503_and_health_is_not() {
    for (path, status, cause) in [
        ("/", 503, Cause::AT_CAPACITY),
        ("/healthz", 200, Cause::ANSWERED),
    ] {
        let mut bare = Bare::new(Config::default());
        let id = bare.accept(true);
        bare.engine
            .on_bytes(id, upgrade_request(path).as_bytes(), bare.now);
        bare.turn();
        let response = String::from_utf8(bare.written.clone()).expect("ASCII");
        let head = check_response(path, &response, status, false);
        assert_eq!(head.contains("retry-after: "), status == 503);
        bare.sleep_until(Micros::from_secs(3));
        assert_eq!(bare.engine.stats().rejected[cause.index()], 1);
        assert!(bare.engine.is_empty());
    }
}

#[test]
fn peers_that_come_together_are_pinged_apart_and_each_once_an_interval() {
    const CLIENTS: usize = 16_000;
    const INTERVAL: u64 = 15;
    let mut bare = Bare::new(Config::default());
    for _ in 0..CLIENTS {
        let id = bare.accept(false);
        let now = bare.now;
        bare.engine
            .on_bytes(id, upgrade_request("/").as_bytes(), now);
    }
    bare.turn();
    let (mut seconds, mut most) = ([0; INTERVAL as usize], 0);
    let mut before = bare.engine.stats().pings;
    while bare.now < Micros::from_secs(INTERVAL) {
        bare.now += TICK;
        bare.turn();
        let pings = bare.engine.stats().pings - before;
        before += pings;
        most = most.max(pings);
        seconds[((bare.now.0 - 1) / 1_000_000) as usize] += pings;
    }
    assert_eq!(seconds.iter().sum::<u64>(), CLIENTS as u64);
    let share = CLIENTS as u64 / INTERVAL;
    for pings in seconds {
        assert!((share / 2..share * 3 / 2).contains(&pings), "{seconds:?}");
    }
    // Ten in a tick if they were spread evenly; sixteen neighbours share one, and some of those
    // groups meet.
    assert!(most <= 8 * 16, "{most} in one tick");
}

#[test]
fn ten_thousand_phases_are_closed_on_time_and_never_early() {
    let mut rng = fastrand::Rng::with_seed(2);
    let policy = Policy::default();
    let mut bare = Bare::new(Config {
        stale_closes_per_second: 0,
        ..config(policy)
    });
    let mut heard: Vec<(Micros, ConnId)> = Vec::new();
    // Each opens at its own microsecond; half of them send a last frame at another one.
    let mut plan: Vec<u64> = (0..10_000).map(|_| rng.u64(1..40_000_000)).collect();
    plan.sort_unstable();
    for at in plan.into_iter().map(Micros) {
        bare.sleep_until(at);
        let id = bare.accept(false);
        bare.engine
            .on_bytes(id, upgrade_request("/sink").as_bytes(), at);
        if rng.bool()
            && let Some(index) = (!heard.is_empty()).then(|| rng.usize(0..heard.len()))
        {
            let (last, early) = &mut heard[index];
            bare.engine.on_bytes(*early, &text("still here"), at);
            *last = at;
        }
        heard.push((at, id));
    }
    bare.sleep_until(Micros::from_secs(200));
    assert_eq!(bare.endings.len(), 10_000);
    let when: std::collections::HashMap<ConnId, Micros> = bare.endings.iter().copied().collect();
    let mut worst = Micros::ZERO;
    for (heard, id) in heard {
        let (due, closed) = (heard + policy.connection_timeout, when[&id]);
        assert!(closed >= due, "{id} {} µs early", due.0 - closed.0);
        assert!(closed - due <= TICK, "{id} {} µs late", (closed - due).0);
        worst = worst.max(closed - due);
    }
    assert!(
        worst.0 > 4_500,
        "phases of all kinds were there, up to {} µs late",
        worst.0
    );
    assert_eq!(bare.engine.stats().closed(Cause::STALE.index()), 10_000);
}

// ---- connection slots ----

/// Connects peers that have sent the beginning of a request.
fn half_open(net: &mut Net<Host>, many: usize) -> Vec<PeerId> {
    let open = |_| {
        let peer = net.open_socket();
        net.write(peer, b"GET / HTTP/1.1\r\nHost: a\r\n");
        net.settle();
        peer
    };
    (0..many).map(open).collect()
}

fn retry_after(response: &str) -> u32 {
    let value = response
        .lines()
        .find_map(|l| l.strip_prefix("Retry-After: "));
    let value = value.unwrap_or_else(|| panic!("no Retry-After: {response}"));
    value.parse().expect("seconds")
}

#[test]
fn half_open_connections_get_a_quarter_of_the_room_and_the_oldest_yields() {
    let mut net = server(Config::default());
    net.set_max_connections(400);
    let early = net.connect("/");
    let peers = half_open(&mut net, 400);
    net.check().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        net.engine().len(),
        101,
        "no close waits for a FIN of those that yield"
    );
    let (gone, here) = peers.split_at(300);
    for peer in gone {
        let response = net.response(*peer).expect("an answer").to_owned();
        check_response("yields", &response, 408, false);
        assert!(response.contains("newer connections"), "{response}");
        assert!((5..=20).contains(&retry_after(&response)));
        assert_eq!(net.released(*peer), Some(false));
        net.expect_closed(*peer, Cause::HANDSHAKE_TIMEOUT);
    }
    assert!(here.iter().all(|p| net.released(*p).is_none()));
    // There is room for other addresses.
    let late = net.connect("/");
    assert!(net.is_open(early) && net.is_open(late));
    // The new connection has taken a slot and freed it again: one more had to yield, not two.
    net.connect("/");
    let left = here.iter().filter(|p| net.released(**p).is_none());
    assert_eq!(left.count(), 99);
    net.advance(13 * S);
    assert_eq!(net.engine().len(), 3);
    net.shutdown();
    check_the_books(&mut net);
}

#[test]
fn sixty_four_half_open_connections_are_allowed_however_small_the_room() {
    let mut net = server(Config::default());
    net.set_max_connections(8);
    half_open(&mut net, 64);
    assert_eq!(net.endings().len(), 0);
    half_open(&mut net, 1);
    assert_eq!(net.endings().len(), 1);
}

#[test]
fn a_deferred_verdict_holds_no_place_of_a_half_open_connection() {
    let mut net = server(Config::default());
    net.set_max_connections(0);
    let deferred: Vec<PeerId> = (0..200).map(|_| net.connect("/defer")).collect();
    half_open(&mut net, 64);
    assert_eq!(net.endings().len(), 0);
    // A connection that was refused and is not closed yet holds a slot: it is the oldest, and has
    // its answer.
    let first = net.id(deferred[0]);
    net.with_io(|_, io| io.answer(first, Verdict::refuse(Cause::BLOCKED, 403, "no")));
    net.settle();
    net.check().unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(net.released(deferred[0]), None);
    half_open(&mut net, 1);
    assert_eq!(net.released(deferred[0]), Some(false));
    net.expect_closed(deferred[0], Cause::BLOCKED);
    // An accepted connection holds none.
    let second = net.id(deferred[1]);
    net.with_io(|_, io| io.answer(second, Verdict::upgrade(Class(0))));
    net.settle();
    assert!(net.is_open(deferred[1]));
    half_open(&mut net, 64);
    assert!(net.is_open(deferred[1]));
    assert!(deferred[2..].iter().all(|p| net.released(*p).is_none()));
    net.check().unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn connections_that_were_answered_and_do_not_leave_are_dropped_for_newer_ones() {
    let mut net = server(Config::default());
    net.set_max_connections(256);
    for _ in 0..256 {
        net.connect("/nowhere");
    }
    assert_eq!(net.engine().len(), 64);
    let counted = net.engine().stats().rejected[Cause::BAD_REQUEST.index()];
    assert_eq!(counted, 192);
    net.check().unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_request_that_lies_in_the_socket_is_found_before_a_connection_yields() {
    let mut net = server(Config::default());
    net.set_max_connections(256);
    let overlooked = net.open_socket();
    net.set_unread(overlooked, true);
    net.write(overlooked, upgrade_request("/").as_bytes());
    let deferred = net.open_socket();
    net.set_unread(deferred, true);
    net.write(deferred, upgrade_request("/defer").as_bytes());
    half_open(&mut net, 70);
    assert!(net.is_open(overlooked));
    assert_eq!(net.released(deferred), None);
    assert!(net.response(deferred).is_none());
    net.check().unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_connection_that_is_answered_by_its_last_look_does_not_linger() {
    for (beyond, path, places, cause) in [
        (true, "/", 16, Cause::AT_CAPACITY),
        (true, "/healthz", 16, Cause::ANSWERED),
        (false, "/nowhere", 64, Cause::BAD_REQUEST),
    ] {
        let mut net = server(Config::default());
        net.set_max_connections(256);
        let mut peers = Vec::new();
        for _ in 0..200 {
            let peer = match beyond {
                true => net.open_refused_socket(),
                false => net.open_socket(),
            };
            net.set_unread(peer, true);
            net.write(peer, upgrade_request(path).as_bytes());
            net.settle();
            net.check().unwrap_or_else(|e| panic!("{e}"));
            peers.push(peer);
        }
        assert_eq!(net.engine().len(), places, "{path}");
        for peer in &peers[..200 - places] {
            assert!(net.response(*peer).is_some(), "{path}");
            assert_eq!(net.released(*peer), Some(false), "{path}");
            net.expect_closed(*peer, cause);
        }
    }
}

#[test]
fn beyond_the_cap_the_oldest_silent_connection_makes_room_for_the_next() {
    let mut net = server(Config::default());
    let mut refused: Vec<PeerId> = Vec::new();
    for n in 0..100 {
        let peer = net.open_refused_socket();
        if n % 2 == 0 {
            net.write(peer, b"GET / HT");
        }
        net.settle();
        refused.push(peer);
    }
    assert_eq!(net.engine().len(), 16);
    let mut values = Vec::new();
    for peer in &refused[..84] {
        let response = net.response(*peer).expect("an answer").to_owned();
        check_response("refused", &response, 503, false);
        values.push(retry_after(&response));
        net.expect_closed(*peer, Cause::AT_CAPACITY);
    }
    assert!(values.windows(2).all(|w| w[0] != w[1]), "{values:?}");
    assert!(values.iter().all(|v| (5..=20).contains(v)), "{values:?}");
    let probe = net.open_refused_socket();
    net.write(probe, upgrade_request("/healthz").as_bytes());
    net.settle();
    let response = net.response(probe).expect("an answer").to_owned();
    check_response("/healthz", &response, 200, false);
}

#[test]
fn beyond_the_cap_an_answered_connection_that_lingers_holds_no_place() {
    let mut net = server(Config::default());
    let silent: Vec<PeerId> = (0..15).map(|_| net.open_refused_socket()).collect();
    for _ in 0..100 {
        let peer = net.open_refused_socket();
        net.write(peer, upgrade_request("/").as_bytes());
        net.settle();
        check_response("full", net.response(peer).expect("an answer"), 503, false);
        assert!(net.released(peer).is_none(), "it has not left yet");
    }
    assert_eq!(net.engine().len(), 16);
    assert!(silent.iter().all(|p| net.released(*p).is_none()));
    net.check().unwrap_or_else(|e| panic!("{e}"));
    // They do not count as half-open: those have slots of their own.
    half_open(&mut net, 64);
    assert_eq!(net.engine().len(), 80);
}

#[test]
fn clients_that_ask_during_a_drain_are_told_different_times_to_come_back() {
    let mut net = server(Config::default());
    net.connect("/");
    net.with_io(|_, io| io.remote().drain(Micros::ZERO, Micros::from_secs(5)));
    net.advance(20);
    let mut values = Vec::new();
    for _ in 0..16 {
        let peer = net.connect("/");
        values.push(retry_after(net.response(peer).expect("an answer")));
    }
    // Their requests are still incomplete when it ends.
    let slow: Vec<PeerId> = (0..16).map(|_| net.open_socket()).collect();
    net.advance(5 * S + 20);
    for peer in slow {
        let response = net.response(peer).expect("an answer");
        assert!(response.contains("service restart"), "{response}");
        values.push(retry_after(response));
    }
    assert!(values.windows(2).all(|w| w[0] != w[1]), "{values:?}");
    values.sort_unstable();
    values.dedup();
    assert!(values.len() >= 14, "{values:?}");
}

// ---- timeouts ----

/// Advances time until the connection has ended; returns when that was.
fn end_time(net: &mut Net<Host>, peer: PeerId, at_most: u64) -> Micros {
    for _ in 0..at_most / 10 {
        if net.ending(peer).is_some() {
            return net.now();
        }
        net.advance(10);
    }
    panic!("still here after {at_most} ms");
}

/// Browsers open connections in advance, and would take an answer on one as that to their next
/// request.
#[test]
fn a_connection_that_never_sent_a_byte_is_closed_silently_as_a_probe() {
    let mut net = server(Config::default());
    net.advance(123);
    let peer = net.open_socket();
    let rest = 10_123 - net.now().as_millis();
    net.advance(rest - 1);
    assert_eq!(net.released(peer), None);
    net.advance(11);
    assert_eq!(
        net.response(peer),
        None,
        "nothing is written to it, least of all a 408"
    );
    assert_eq!(net.released(peer), Some(false), "a FIN, no RST");
    net.expect_closed(peer, Cause::PROBE);
    check_the_books(&mut net);

    // The same if a new connection needs its slot before that.
    let mut net = server(Config::default());
    net.set_max_connections(8);
    let oldest = net.open_socket();
    half_open(&mut net, 64);
    assert_eq!(net.response(oldest), None);
    assert_eq!(net.released(oldest), Some(false));
    net.expect_closed(oldest, Cause::PROBE);
    net.shutdown();
    check_the_books(&mut net);
}

#[test]
fn a_request_head_may_have_16_kib_or_what_the_settings_say() {
    let padded = |len: usize| {
        let plain = upgrade_request("/").replace("\r\n\r\n", "\r\nCookie: \r\n\r\n");
        let cookie = "c".repeat(len - plain.len());
        plain.replace("Cookie: ", &format!("Cookie: {cookie}"))
    };
    for (most, len, status) in [
        (16 << 10, 16 << 10, 101),
        (16 << 10, (16 << 10) + 1, 431),
        (1 << 10, 1 << 10, 101),
        (1 << 10, (1 << 10) + 1, 431),
        (64 << 10, 64 << 10, 101),
    ] {
        for step in [usize::MAX, 1_000] {
            let config = Config {
                max_head_bytes: most,
                ..Config::default()
            };
            let mut net = server(config);
            let peer = net.open_socket();
            let request = padded(len);
            for piece in request.as_bytes().chunks(step.min(len)) {
                net.write(peer, piece);
                net.settle();
            }
            let response = net.response(peer).expect("an answer");
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status} ")),
                "{len} of {most} in pieces of {step}: {response}"
            );
            if status == 431 {
                assert!(response.contains(&format!("above {most} bytes")));
            }
            net.shutdown();
            check_the_books(&mut net);
        }
    }
    for wrong in [0, 1_023, (64 << 10) + 1] {
        let config = Config {
            max_head_bytes: wrong,
            ..Config::default()
        };
        let why = config.validate().expect_err("out of bounds").to_string();
        assert_eq!(why, format!("max_head_bytes is {wrong}; 1024 to 65536"));
    }
}

#[test]
fn no_head_no_verdict_in_time_is_408() {
    type Deed = fn(&mut Net<Host>, PeerId);
    let slowly: Deed = |net, peer| {
        for byte in upgrade_request("/").as_bytes().chunks(1).take(9) {
            net.write(peer, byte);
            net.advance(S);
        }
    };
    let deferred: Deed = |net, peer| net.write(peer, upgrade_request("/defer").as_bytes());
    for (deed, what) in [(slowly, "request head"), (deferred, "verdict")] {
        let mut net = server(Config::default());
        net.advance(123);
        let peer = net.open_socket();
        deed(&mut net, peer);
        let rest = 10_123 - net.now().as_millis();
        net.advance(rest - 1);
        assert!(net.response(peer).is_none());
        net.advance(11);
        let response = net.response(peer).expect("an answer").to_owned();
        check_response(what, &response, 408, false);
        assert!(response.contains(what), "{response}");
        net.advance(2 * S + 10);
        net.expect_closed(peer, Cause::HANDSHAKE_TIMEOUT);
        check_the_books(&mut net);
    }
}

#[test]
fn no_first_message_is_init_timeout_and_pings_do_not_count() {
    let policy = Policy {
        first_message_timeout: Some(Micros::from_secs(20)),
        ..Policy::default()
    };
    let mut net = server(config(policy));
    let (silent, talker) = (net.connect("/"), net.connect("/"));
    net.send(talker, Message::text("hello"));
    net.send(silent, Message::Ping(b"x".to_vec().into()));
    let at = end_time(&mut net, silent, 30 * S);
    assert!((20 * S..=20 * S + 20).contains(&at.as_millis()), "{at}");
    let Some(Received::Close(3008, reason)) = net.received(silent).pop() else {
        panic!("no close frame");
    };
    assert_eq!(reason, "no first message within 20000 ms");
    assert_eq!(
        end_of(&net, silent),
        Some((Cause::INIT_TIMEOUT, EndCode::Close(3008), reason, true))
    );
    net.advance(100 * S);
    assert!(net.is_open(talker));
}

#[test]
fn a_frame_of_ten_minutes_is_too_slow_whatever_its_progress() {
    let mut net = server(Config::default());
    let peer = net.connect("/");
    net.set_in_frame(peer, true);
    let frame = binary(&pattern(1 << 20));
    let began = net.now();
    for piece in frame.chunks(4_096 + 14).take(70) {
        net.write(peer, piece);
        net.advance(10 * S);
    }
    net.expect_closed(peer, Cause::FRAME_TIMEOUT);
    let end = net.ending(peer).expect("an end");
    let closing = net.now() - began;
    assert!(end.age >= Micros::from_secs(600) && closing >= end.age);
    assert!(
        end.age <= Micros::from_secs(602) + TICK + TICK,
        "{}",
        end.age
    );
    assert_eq!(end.code, EndCode::Close(3008));
    check_the_books(&mut net);
}

/// 1 MiB in pieces of equal size, over three times the timeout.
const STEADY: usize = (1 << 20) / 270 + 1;

#[test]
fn a_steady_upload_over_three_timeouts_stays_and_without_progress_it_ends() {
    let mut net = server(Config::default());
    let (steady, stuck) = (net.connect("/"), net.connect("/"));
    let frame = binary(&pattern(1 << 20));
    for peer in [steady, stuck] {
        net.set_in_frame(peer, true);
    }
    let mut stopped = Micros::ZERO;
    for (i, piece) in frame.chunks(STEADY).enumerate() {
        net.write(steady, piece);
        if i < 100 {
            net.write(stuck, piece);
            stopped = net.now();
        }
        net.advance(500);
        assert!(net.is_open(steady), "piece {i}");
    }
    assert!(net.now().as_millis() >= 134 * S);
    net.set_in_frame(steady, false);
    net.settle();
    let (data, _) = sorted_out(net.received(steady));
    assert_eq!(data.len(), 1, "the echo");
    net.expect_closed(stuck, Cause::STALE);
    let end = net.ending(stuck).expect("an end");
    let silent = (stopped.as_millis() + 45 * S).saturating_sub(end.age.as_millis());
    assert!(
        silent <= 600,
        "counted from its last 4 KiB, {silent} ms before its last byte"
    );
    net.advance(100 * S);
    assert!(net.is_open(steady));
}

#[test]
fn a_steady_download_over_three_timeouts_stays_and_without_progress_it_ends() {
    let mut net = server(Config::default());
    let (steady, stuck) = (net.connect("/sink"), net.connect("/sink"));
    let message = Message::binary(pattern(1 << 20));
    let ids = [steady, stuck].map(|p| net.id(p));
    for peer in [steady, stuck] {
        net.set_window(peer, Some(0));
    }
    net.with_io(|_, io| assert_eq!(io.send_many(ids, &message), 2));
    let mut stopped = Micros::ZERO;
    for i in 0..271 {
        net.set_window(steady, Some(STEADY));
        if i < 100 {
            net.set_window(stuck, Some(STEADY));
            stopped = net.now();
        }
        net.advance(500);
        assert!(net.is_open(steady), "step {i}");
    }
    net.set_window(steady, None);
    net.settle();
    let (data, _) = sorted_out(net.received(steady));
    assert!(data == [Received::Message(message)]);
    net.expect_closed(stuck, Cause::STALE);
    let end = net.ending(stuck).expect("an end");
    let late = end.age - (stopped + Micros::from_secs(45));
    assert!(
        end.age >= stopped + Micros::from_secs(45) && late <= TICK,
        "{}",
        end.age
    );
    let healthy = |told: &Told| matches!(told, Told::Health(HealthState::Suspect));
    assert!(
        !told_of(&mut net, steady).iter().any(healthy),
        "slow is not suspect"
    );
    assert!(told_of(&mut net, steady).contains(&Told::Writable));
    net.advance(100 * S);
    assert!(net.is_open(steady));
}

#[test]
fn more_than_the_limit_pending_is_a_slow_consumer() {
    let limits = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 5_000,
        ..Config::default()
    };
    let mut net = server(limits);
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    let send = |net: &mut Net<Host>| {
        net.with_io(|_, io| io.send(id, Message::binary(pattern(996)))) // a frame of 1 000
    };
    assert_eq!(send(&mut net), SendOutcome::Flowing);
    net.settle();
    for _ in 0..4 {
        assert_eq!(send(&mut net), SendOutcome::Pending);
    }
    assert_eq!(net.with_io(|_, io| io.pending(id)), 4_990);
    assert_eq!(
        send(&mut net),
        SendOutcome::Pending,
        "it may be over for a while"
    );
    net.advance(999);
    assert!(net.is_open(peer));
    net.advance(6);
    net.set_window(peer, None);
    net.settle();
    let received = net.received(peer);
    let [Received::Message(_), Received::Close(1013, reason)] = &received[..] else {
        panic!("the frame in progress, then the close: {received:?}");
    };
    assert!(reason.starts_with("5990 bytes unsent for 100"), "{reason}");
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
    assert_eq!(send(&mut net), SendOutcome::Refused(SendError::Gone));
    check_the_books(&mut net);
}

#[test]
fn twice_the_limit_pending_is_refused_at_once() {
    let limits = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 5_000,
        ..Config::default()
    };
    let mut net = server(limits);
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    let send = |net: &mut Net<Host>| {
        net.with_io(|_, io| io.send(id, Message::binary(pattern(996)))) // a frame of 1 000
    };
    assert_eq!(send(&mut net), SendOutcome::Flowing);
    net.settle();
    for _ in 0..9 {
        assert_eq!(send(&mut net), SendOutcome::Pending);
    }
    assert_eq!(send(&mut net), SendOutcome::Refused(SendError::OverLimit));
    assert_eq!(send(&mut net), SendOutcome::Refused(SendError::Closing));
    net.set_window(peer, None);
    net.settle();
    let received = net.received(peer);
    let [Received::Message(_), Received::Close(1013, reason)] = &received[..] else {
        panic!("the frame in progress, then the close: {received:?}");
    };
    assert_eq!(reason, "9990 bytes unsent for 0 ms");
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
    check_the_books(&mut net);
}

#[test]
fn a_reader_over_the_limit_that_moves_on_is_not_slow() {
    let limits = Config {
        max_message_bytes: 1_000,
        max_pending_bytes: 5_000,
        ..Config::default()
    };
    let mut net = server(limits);
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(10));
    for _ in 0..9 {
        net.with_io(|_, io| io.send(id, Message::binary(pattern(996))));
    }
    net.settle();
    // A byte every 900 ms is progress.
    for _ in 0..20 {
        net.advance(900);
        net.set_window(peer, Some(1));
        net.settle();
        assert!(net.is_open(peer));
    }
    net.set_window(peer, None);
    net.settle();
    assert_eq!(net.received(peer).len(), 9 + 1, "all messages, and a ping");
    net.half_close(peer);
    net.settle();
    check_the_books(&mut net);
}

#[test]
fn one_byte_pending_for_ten_minutes_is_a_slow_consumer() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(0));
    net.with_io(|_, io| io.send(id, Message::text("wait")));
    for _ in 0..59 {
        net.send(peer, Message::text("I talk, and I do not listen"));
        net.advance(10 * S);
        assert!(net.is_open(peer));
    }
    net.send(peer, Message::text("again"));
    let at = end_time(&mut net, peer, 20 * S);
    net.expect_closed(peer, Cause::SLOW_CONSUMER);
    // Dropped after close_timeout, because the close frame cannot be sent.
    assert!((602 * S..=602 * S + 30).contains(&at.as_millis()), "{at}");
    let end = net.ending(peer).expect("an end");
    assert_eq!(
        (&*end.reason, end.clean),
        ("16 bytes unsent for 600000 ms", false),
        "the message, and a ping that could not leave either"
    );
    check_the_books(&mut net);
}

#[test]
fn a_close_that_is_not_answered_is_over_after_close_timeout() {
    for answers in [false, true] {
        let mut net = server(Config::default());
        let peer = net.connect("/");
        let id = net.id(peer);
        if !answers {
            net.mute(peer);
        }
        net.with_io(|_, io| io.close(id, 4_321, "go"));
        net.settle();
        assert_eq!(
            net.received(peer),
            [Received::Close(4_321, "go".to_owned())]
        );
        assert_eq!(net.ending(peer).is_some(), answers);
        net.send(peer, Message::text("too late to be delivered"));
        net.advance(2 * S - 1);
        assert_eq!(net.ending(peer).is_some(), answers);
        net.advance(11);
        let end = (
            Cause::KICKED,
            EndCode::Close(4_321),
            "go".to_owned(),
            answers,
        );
        assert_eq!(end_of(&net, peer), Some(end));
        assert_eq!(net.released(peer), Some(false));
        assert_eq!(told_of(&mut net, peer), [Told::Opened, Told::Closed]);
        check_the_books(&mut net);
    }
}

#[test]
fn a_ghost_is_told_at_once_and_dropped_with_a_reset_later() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.advance(45 * S - 1);
    assert!(
        net.is_open(peer) && told_of(&mut net, peer).contains(&Told::Health(HealthState::Suspect))
    );
    net.advance(11);
    let end = net.ending(peer).expect("told at once").clone();
    assert_eq!(
        (end.cause, end.by, end.code, end.clean),
        (Cause::STALE, EndedBy::Server, EndCode::Close(3008), false)
    );
    assert!(end.silence >= Micros::from_secs(45) && end.silence <= Micros::from_secs(45) + TICK);
    let Some(Received::Close(3008, reason)) = net.received(peer).pop() else {
        panic!("no close frame");
    };
    let unanswered = end.unanswered;
    assert!((2..=3).contains(&unanswered));
    assert_eq!(
        reason,
        format!(
            "nothing heard for {}, {unanswered} pings unanswered",
            end.silence
        )
    );
    assert!(
        net.fin_received(peer),
        "a FIN stands behind the close frame"
    );
    assert_eq!(net.released(peer), None);
    // A message after that is too late.
    net.send(peer, Message::text("I am back"));
    net.advance(2 * S - 30);
    assert_eq!(net.released(peer), None);
    net.advance(40);
    assert_eq!(
        net.released(peer),
        Some(true),
        "nothing of a ghost stays in the kernel"
    );
    check_the_books(&mut net);
}

#[test]
fn a_new_policy_gives_each_connection_one_of_its_timeouts() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    let id = net.id(peer);
    net.advance(5 * S);
    let ms = Micros::from_millis;
    let strict = Policy {
        heartbeat_interval: ms(500),
        connection_timeout: ms(1_000),
        ..Policy::default()
    };
    net.with_io(|_, io| {
        assert!(io.set_policy(Class(9), strict).is_err());
        assert!(
            io.set_policy(
                Class(0),
                Policy {
                    suspect_after: 0,
                    ..strict
                }
            )
            .is_err()
        );
        io.set_policy(Class(0), strict).expect("a valid policy");
    });
    net.settle();
    net.advance(990);
    assert!(
        net.is_open(peer),
        "it was silent before, and had a right to"
    );
    let unanswered = net.with_io(|_, io| io.health(id)).expect("open").unanswered;
    assert!((1..=2).contains(&unanswered), "{unanswered} pings since");
    net.advance(20);
    net.expect_closed(peer, Cause::STALE);
    let newcomer = scripted(&mut net, "/");
    net.advance(1_010);
    net.expect_closed(newcomer, Cause::STALE);
}

// ---- many at once ----

#[test]
fn a_drain_is_spread_evenly_and_health_says_so_at_once() {
    let mut net = server(Config::default());
    let peers: Vec<PeerId> = (0..200).map(|_| net.connect("/")).collect();
    let (delay, spread) = (Micros::from_secs(1), Micros::from_secs(5));
    net.with_io(|_, io| io.remote().drain(delay, spread));
    net.settle();
    let ask = |net: &mut Net<Host>, path: &str| {
        let peer = net.open_socket();
        net.write(peer, upgrade_request(path).as_bytes());
        net.settle();
        let status = net.response(peer).map(|r| r[9..12].to_owned());
        net.half_close(peer);
        net.settle();
        status.expect("an answer")
    };
    assert_eq!(ask(&mut net, "/healthz"), "503");
    let peer = net.open_socket();
    net.write(peer, b"OPTIONS /healthz HTTP/1.0\r\n\r\n");
    net.settle();
    let answer = net.response(peer).unwrap_or_default().to_owned();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(
        ask(&mut net, "/"),
        "101",
        "until the delay is over it goes on accepting"
    );
    net.advance(990);
    let draining = |net: &Net<Host>| {
        net.endings()
            .iter()
            .filter(|(_, e)| e.cause == Cause::DRAINING)
            .count()
    };
    assert_eq!(draining(&net), 0);
    net.advance(10);
    let mut before = 0;
    for step in 1..=50 {
        net.advance(100);
        let closed = draining(&net);
        let due = 200 * step / 50;
        assert!(
            closed.abs_diff(due) <= 2,
            "{closed} closed after {step} tenths, due {due}"
        );
        assert!(step == 50 || closed - before <= 5, "in leaps");
        before = closed;
        if step == 25 {
            let late = net.open_socket();
            net.write(late, upgrade_request("/").as_bytes());
            net.settle();
            check_response("late", net.response(late).expect("an answer"), 503, false);
        }
    }
    net.advance(3 * S);
    for peer in peers {
        let end = (
            Cause::DRAINING,
            EndCode::Close(1012),
            "service restart".to_owned(),
            true,
        );
        assert_eq!(end_of(&net, peer), Some(end));
    }
    assert!(net.engine().is_over());
    check_the_books(&mut net);
}

#[test]
fn a_drain_at_once_closes_all_connections() {
    let mut net = server(Config::default());
    let (open, mute, slow) = (net.connect("/"), scripted(&mut net, "/"), net.open_socket());
    net.write(slow, b"GET / HT");
    net.settle();
    net.with_io(|_, io| io.remote().drain(Micros::ZERO, Micros::ZERO));
    net.advance(20);
    net.expect_closed(open, Cause::DRAINING);
    check_response(
        "half a head",
        net.response(slow).expect("an answer"),
        503,
        false,
    );
    net.advance(2 * S + 20);
    net.expect_closed(mute, Cause::DRAINING);
    net.expect_closed(slow, Cause::DRAINING);
    assert!(net.engine().is_over());
    check_the_books(&mut net);
}

#[test]
fn a_stop_says_nothing_to_any_peer() {
    let mut net = server(Config::default());
    let (open, probe) = (net.connect("/"), net.open_socket());
    net.with_io(|_, io| io.remote().stop());
    net.settle();
    assert!(net.received(open).is_empty() && net.response(probe).is_none());
    for peer in [open, probe] {
        assert_eq!(
            end_of(&net, peer),
            Some((Cause::SHUTDOWN, EndCode::None, String::new(), false))
        );
        assert_eq!(net.released(peer), Some(false));
    }
    assert!(net.engine().is_over());
    check_the_books(&mut net);
}

#[test]
fn a_stall_of_ours_is_nobodys_silence() {
    let mut net = server(Config::default());
    let (alive, ghost) = (net.connect("/"), scripted(&mut net, "/"));
    net.advance(40 * S);
    let before = net.now();
    net.stall(3_600 * S);
    assert_eq!((net.engine().stats().stalls, net.now()), (1, before));
    net.advance(4 * S);
    assert!(net.is_open(ghost), "it has 5 s left, as before");
    net.advance(S + 10);
    net.expect_closed(ghost, Cause::STALE);
    let end = net.ending(ghost).expect("an end");
    assert!(
        end.silence <= Micros::from_secs(45) + TICK,
        "{}",
        end.silence
    );
    net.advance(100 * S);
    assert!(net.is_open(alive));
    let rtt = net.engine().stats().rtt.percentile(1.0);
    assert!(
        rtt.is_none_or(|worst| worst < 1_000),
        "a stall is no round trip: {rtt:?}"
    );
}

#[test]
fn mass_death_is_closed_oldest_first_within_the_rate_and_a_peer_that_speaks_is_saved() {
    let (count, rate) = (5_000, 1_000);
    let mut net = server(Config {
        stale_closes_per_second: rate,
        ..Config::default()
    });
    let peers: Vec<PeerId> = (0..count).map(|_| scripted(&mut net, "/sink")).collect();
    // The last frame of each, over 100 ms.
    for hundred in peers.chunks(50) {
        hundred
            .iter()
            .for_each(|p| net.write(*p, &text("farewell")));
        net.advance(1);
    }
    net.advance(44 * S);
    let mut closed = Vec::new();
    let began = net.now();
    let saved = [peers[4_900], peers[4_950], peers[4_999]];
    for step in 0..700 {
        net.advance(10);
        let total = net.endings().len();
        closed.push(total);
        if step == 250 {
            for peer in saved {
                net.write(peer, &text("I am here"));
            }
        }
    }
    assert!(
        closed[closed.len() - 1] == count - saved.len(),
        "{} closed",
        closed[closed.len() - 1]
    );
    for (step, total) in closed.iter().enumerate() {
        let before = if step < 100 { 0 } else { closed[step - 100] };
        assert!(
            total - before <= 2_000 + 10,
            "a burst and a second's worth, at most: {}",
            total - before
        );
    }
    let second = closed[closed.len() - 1] - closed[200];
    assert!(
        second > 1_000,
        "it took its time: {second} were left after 2 s from {began}"
    );
    let id_of = |p: &PeerId| net.id(*p);
    let order: std::collections::HashMap<ConnId, usize> = peers
        .iter()
        .map(id_of)
        .enumerate()
        .map(|(i, id)| (id, i / 50))
        .collect();
    let ranks: Vec<usize> = net.endings().iter().map(|(id, _)| order[id]).collect();
    // Deadlines are rounded to ticks, and ten of these groups share one.
    let oldest_first = ranks.windows(2).all(|w| w[1] + 11 >= w[0]);
    assert!(oldest_first, "oldest first");
    for peer in saved {
        assert!(net.is_open(peer));
        assert!(told_of(&mut net, peer).contains(&Told::Health(HealthState::Healthy)));
    }
    assert!(
        net.engine().stats().stale_delay.count() > 3_000,
        "their lateness is counted apart"
    );
    net.check().unwrap_or_else(|e| panic!("{e}"));
}

// ---- the host's calls ----

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
fn one_message_goes_to_many_and_the_missing_are_counted() {
    let mut net = server(Config::default());
    let peers: Vec<PeerId> = (0..5).map(|_| net.connect("/sink")).collect();
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    net.reset(peers[0]);
    net.settle();
    net.mute(peers[1]);
    net.with_io(|_, io| io.close(ids[1], 4_000, ""));
    net.set_window(peers[2], Some(0));
    let took = net.with_io(|_, io| io.send_many(ids.iter().copied(), &Message::text("to all")));
    assert_eq!(took, 3, "one is gone, one is closing");
    net.settle();
    for (at, messages) in [0, 0, 0, 1, 1].into_iter().enumerate() {
        assert_eq!(
            sorted_out(net.received(peers[at])).0.len(),
            messages,
            "peer {at}"
        );
    }
    net.set_window(peers[2], None);
    net.settle();
    assert_eq!(
        net.received(peers[2]),
        [Received::Message(Message::text("to all"))]
    );
    assert_eq!(told_of(&mut net, peers[2]), [Told::Opened, Told::Writable]);
    assert_eq!(
        told_of(&mut net, peers[3]),
        [Told::Opened],
        "nothing had to wait"
    );
    let closed = net.with_io(|_, io| io.send_many(ids.iter().copied(), &Message::Close(None)));
    assert_eq!(closed, 3, "the missing are gone for a close, too");
}

#[test]
fn a_reader_a_megabyte_behind_costs_the_others_nothing() {
    const MESSAGES: usize = 20;
    let mut net = server(Config::default());
    let peers: Vec<PeerId> = (0..5).map(|_| net.connect("/sink")).collect();
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    net.set_window(peers[0], Some(0));
    let message = |i: usize| Message::binary(vec![i as u8; 64 * 1024]);
    for i in 0..MESSAGES {
        let took = net.with_io(|_, io| io.send_many(ids.iter().copied(), &message(i)));
        assert_eq!(took, 5);
        let sent_at = net.now();
        net.run_turn();
        for peer in &peers[1..] {
            assert!(net.received(*peer) == [Received::Message(message(i))]);
            assert!(
                net.progress_at(*peer)
                    .last()
                    .is_none_or(|at| *at == sent_at)
            );
        }
    }
    for (at, id) in ids.iter().enumerate() {
        let waits = net.with_io(|_, io| io.pending(*id));
        assert_eq!(waits > 1 << 20, at == 0, "{waits} bytes wait for peer {at}");
    }
    // Each of its bytes is stored once for all readers; it gets them in order when it reads again.
    let bytes = (MESSAGES * (64 * 1024 + 10)) as u64;
    let charged = net.engine().stats().pending_bytes;
    let most = bytes + MESSAGES as u64 * 96 + 400;
    assert!((bytes..=most).contains(&charged), "{charged}");
    net.set_window(peers[0], None);
    net.settle();
    let received = net.received(peers[0]);
    assert_eq!(received.len(), MESSAGES);
    let as_sent = |(i, got): (usize, &Received)| *got == Received::Message(message(i));
    assert!(received.iter().enumerate().all(as_sent));
}

#[test]
fn writable_is_told_once_when_nothing_waits_any_more() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.set_window(peer, Some(3));
    let sent: Vec<SendOutcome> = (0..2)
        .map(|_| {
            let sent = net.with_io(|_, io| io.send(id, Message::text("four")));
            net.settle();
            sent
        })
        .collect();
    assert_eq!(sent, [SendOutcome::Flowing, SendOutcome::Pending]);
    for _ in 0..4 {
        net.set_window(peer, Some(2));
        net.settle();
        assert_eq!(told_of(&mut net, peer), [Told::Opened]);
    }
    net.set_window(peer, None);
    net.settle();
    assert_eq!(told_of(&mut net, peer), [Told::Opened, Told::Writable]);
    assert_eq!(
        net.with_io(|_, io| io.send(id, Message::text("four"))),
        SendOutcome::Flowing
    );
}

#[test]
fn timers_run_out_once_in_order_and_on_time() {
    let mut net = server(Config::default());
    net.advance(7);
    let delays = [0, 1, 10, 995, 41_000, 3 * 3_600_000];
    let timers = delays.map(|ms| net.with_io(|_, io| io.start_timer(Micros::from_millis(ms))));
    let cancelled = net.with_io(|_, io| {
        let timer = io.start_timer(Micros::from_millis(500));
        io.cancel_timer(timer);
        io.start_timer(Micros::from_millis(500)) // may reuse the slot of the other timer
    });
    let began = net.now();
    let fired = |net: &mut Net<Host>, timer| net.host().diary.contains(&(None, Told::Timer(timer)));
    for (timer, ms) in timers.iter().zip(delays) {
        let due = began + Micros::from_millis(ms);
        if due > net.now() + Micros(1_000) {
            let ms = (due - net.now()).as_millis() - 1;
            net.advance(ms);
            assert!(!fired(&mut net, *timer), "early: {ms}");
        }
        let late = (due + TICK - net.now()).as_millis();
        net.advance(late);
        assert!(fired(&mut net, *timer), "late: {ms}");
    }
    let count = net.host().diary.len();
    assert!(fired(&mut net, cancelled));
    assert_eq!(count, delays.len() + 1, "the cancelled one did not");
    net.with_io(|_, io| io.cancel_timer(cancelled)); // changes nothing
    net.advance(100 * S);
    assert_eq!(net.host().diary.len(), count);
}

#[test]
fn a_remote_is_bounded_and_its_commands_are_carried_out_in_order() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    let remote = net.with_io(|_, io| io.remote());
    for i in 0..16_384u32 {
        assert!(
            remote
                .try_send(id, Message::binary(i.to_be_bytes().to_vec()))
                .is_ok(),
            "{i}"
        );
    }
    assert!(remote.try_send(id, Message::text("x")).is_err());
    assert!(
        remote.try_close(id, 4_000, "").is_err() && remote.try_answer(id, Verdict::Defer).is_err()
    );
    net.settle();
    let order =
        net.received(peer).into_iter().enumerate().all(|(i, r)| {
            r == Received::Message(Message::binary((i as u32).to_be_bytes().to_vec()))
        });
    assert!(order && net.engine().stats().messages_out == 16_384);
    (0..100).for_each(|_| remote.wake());
    remote.try_close(id, 4_000, "from afar").expect("room");
    remote.wake();
    net.settle();
    assert_eq!(
        net.host()
            .diary
            .iter()
            .filter(|(_, t)| *t == Told::Woken)
            .count(),
        1,
        "once for all that were asked for before the turn"
    );
    assert_eq!(
        net.received(peer),
        [Received::Close(4_000, "from afar".to_owned())]
    );
    // The connection is gone: nothing happens.
    remote.try_send(id, Message::text("x")).expect("room");
    remote.try_close(id, 4_000, "").expect("room");
    net.settle();
    check_the_books(&mut net);
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

// ---- the memory of all connections together ----

/// Creates a loop that may hold 2 MiB; each message has 1 MiB.
fn small_house() -> Net<Host> {
    let config = Config {
        max_pending_bytes: 2 << 20,
        max_buffered_bytes: 2 << 20,
        ..Config::default()
    };
    server(config)
}

/// Returns the header of a frame of one MiB and `extra` bytes.
fn announcement(first: u8, extra: u64) -> Vec<u8> {
    let length = ((1u64 << 20) + extra).to_be_bytes();
    [&[first, 0xFF][..], &length, &[0; 4]].concat()
}

#[test]
fn announcing_much_takes_no_room_from_others() {
    let mut net = small_house();
    let innocent = net.connect("/");
    let liars: Vec<PeerId> = (0..100).map(|_| net.connect("/sink")).collect();
    for liar in &liars {
        net.write(*liar, &announcement(0x82, 0));
    }
    net.settle();
    net.send(innocent, Message::text("hello"));
    net.settle();
    assert_eq!(
        net.received(innocent),
        [Received::Message(Message::text("hello"))]
    );
    assert!(liars.iter().all(|l| net.is_open(*l)));
    net.check().unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn what_has_come_of_fragments_and_frames_is_counted_and_bounded() {
    let mut net = small_house();
    let peers: Vec<PeerId> = (0..3).map(|_| net.connect("/sink")).collect();
    let fragment = client_frame(0x02, &vec![7; (1 << 20) - 1]);
    for peer in &peers {
        net.send(*peer, Message::text("it is introduced"));
        net.write(*peer, &fragment);
        net.settle();
        let held = net.engine().stats().held_bytes;
        assert!(held <= 2 << 20, "{held}");
        net.advance(1_000);
    }
    let held = net.engine().stats().held_bytes;
    assert!((1 << 20..2 << 20).contains(&held), "{held}");
    assert!(net.is_open(peers[2]), "the newest has progressed last");
    net.advance(3_000);
    net.expect_closed(peers[0], Cause::BUFFERS_FULL);
    net.expect_closed(peers[1], Cause::BUFFERS_FULL);
    net.shutdown();
    assert_eq!(net.engine().stats().held_bytes, 0);
}

#[test]
fn a_message_in_two_reads_passes_a_full_loop() {
    let mut net = small_house();
    let hogs: Vec<PeerId> = (0..2).map(|_| net.connect("/sink")).collect();
    for hog in &hogs {
        net.write(*hog, &client_frame(0x02, &vec![7; (1 << 20) - 1]));
    }
    net.settle();
    let innocent = net.connect("/");
    let frame = client_frame(0x81, &[b'x'; 300]);
    net.write(innocent, &frame[..100]);
    net.settle();
    net.write(innocent, &frame[100..]);
    net.settle();
    assert_eq!(net.received(innocent).len(), 1, "it is answered");
    assert!(net.is_open(innocent));
}

#[test]
fn bytes_that_went_out_before_an_error_leave_the_account() {
    let mut net = server(Config::default());
    let peer = net.connect("/sink");
    let id = net.id(peer);
    net.reset_after(peer, 150_000);
    net.with_io(|_, io| io.send(id, Message::binary(vec![0; 500_000])));
    net.settle();
    net.expect_closed(peer, Cause::PEER_RESET);
    assert_eq!(net.engine().stats().pending_bytes, 0);
}

/// A reset or TCP timeout has the same cause, whether the read or the write reports it first. Other
/// errors have the cause of the call that failed.
#[test]
fn a_failed_read_is_no_write_error() {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, HostUnreachable, TimedOut};
    for (kind, read, written) in [
        (HostUnreachable, Cause::READ_ERROR, Cause::WRITE_ERROR),
        (BrokenPipe, Cause::READ_ERROR, Cause::WRITE_ERROR),
        (ConnectionReset, Cause::PEER_RESET, Cause::PEER_RESET),
        (TimedOut, Cause::TCP_TIMEOUT, Cause::TCP_TIMEOUT),
    ] {
        let mut net = server(Config::default());
        let peer = net.connect("/sink");
        net.fail_reading(peer, kind);
        net.settle();
        net.expect_closed(peer, read);
        let peer = net.connect("/sink");
        let id = net.id(peer);
        net.fail_writing(peer, 0, kind);
        net.with_io(|_, io| io.send(id, Message::binary(vec![0; 100])));
        net.settle();
        net.expect_closed(peer, written);
    }
}

#[test]
fn a_close_when_health_returns_stands_although_half_a_frame_came_with_it() {
    struct Unforgiving(Vec<Message>);
    impl Handler for Unforgiving {
        fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
            Verdict::upgrade(Class(0))
        }
        fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, message: Message) {
            self.0.push(message);
        }
        fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
            if change.state == HealthState::Healthy {
                io.close(id, 4000, "too late");
            }
        }
    }
    let mut net = Net::new(Config::default(), Unforgiving(Vec::new()));
    let peer = net.connect("/");
    net.mute(peer);
    net.advance(35_000);
    let message = client_frame(0x81, b"do not hear me");
    net.write(
        peer,
        &[&client_frame(0x8A, b"pong")[..], &message[..8]].concat(),
    );
    net.settle();
    net.write(peer, &message[8..]);
    net.settle();
    assert!(net.host().0.is_empty());
    net.advance(2_500);
    net.expect_closed(peer, Cause::KICKED);
}
