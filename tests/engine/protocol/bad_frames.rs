//! Faulty frames of every kind: each has its cause and its close code, however it is cut.

use crate::echo::{Host, end_of, peer_code, scripted, server, told_of};
use crate::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, binary, close, fragments, header, pattern,
    ping, text,
};
use crate::nets::S;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::{Net, PeerId, Received, client_frame};

/// A faulty input with the cause of the end and the code of the close frame.
struct BadFrame {
    name: &'static str,
    bytes: Vec<u8>,
    cause: Cause,
    code: u16,
}

fn bad(name: &'static str, bytes: Vec<u8>, cause: Cause, code: u16) -> BadFrame {
    BadFrame {
        name,
        bytes,
        cause,
        code,
    }
}

fn protocol_error(name: &'static str, bytes: Vec<u8>) -> BadFrame {
    bad(name, bytes, Cause::PROTOCOL, 1002)
}

fn invalid_data(name: &'static str, bytes: Vec<u8>) -> BadFrame {
    bad(name, bytes, Cause::INVALID_DATA, 1007)
}

fn too_big(name: &'static str, bytes: Vec<u8>) -> BadFrame {
    bad(name, bytes, Cause::TOO_BIG, 1009)
}

fn two(a: Vec<u8>, b: Vec<u8>) -> Vec<u8> {
    [a, b].concat()
}

fn bad_sequences() -> Vec<BadFrame> {
    let begun = || client_frame(TEXT, b"a");
    vec![
        protocol_error("unmasked text", vec![0x81, 2, b'h', b'i']),
        protocol_error("unmasked and empty", vec![0x81, 0]),
        protocol_error("unmasked ping", vec![0x89, 0]),
        protocol_error("ping in fragments", client_frame(PING, b"x")),
        protocol_error("pong in fragments", client_frame(PONG, b"x")),
        protocol_error("close in fragments", client_frame(CLOSE, &[3, 232])),
        protocol_error("ping of 126", ping(&pattern(126))),
        protocol_error("close of 126", close(1000, &[b'x'; 124])),
        protocol_error("lone continuation", client_frame(CONTINUATION, b"x")),
        protocol_error("lone final continuation", client_frame(FIN, b"x")),
        protocol_error("text inside text", two(begun(), text("b"))),
        protocol_error("binary inside text", two(begun(), binary(b"b"))),
        protocol_error("close of one byte", client_frame(FIN | CLOSE, &[3])),
    ]
}

fn bad_texts() -> Vec<BadFrame> {
    let cut_short = two(client_frame(TEXT, b"ok"), client_frame(FIN, b"\xe2\x82"));
    let over_fragments = two(client_frame(TEXT, b"\xe2\x82"), client_frame(FIN, b"\x28"));
    vec![
        invalid_data("not UTF-8", client_frame(FIN | TEXT, b"\xc3\x28")),
        invalid_data("a surrogate", client_frame(FIN | TEXT, b"\xed\xa0\x80")),
        invalid_data("not UTF-8 over fragments", over_fragments),
        invalid_data("UTF-8 cut short by the end", cut_short),
        invalid_data("a close reason not UTF-8", close(1000, b"\xff")),
    ]
}

/// Frames above the limit of 1 000 bytes.
fn large_frames() -> Vec<BadFrame> {
    let halves = fragments(BINARY, [&pattern(600)[..], &pattern(600)]);
    vec![
        too_big("too big, its header alone", header(FIN | BINARY, 1_001)),
        too_big("too big by fragments", halves.concat()),
        too_big("length with the top bit", header(FIN | BINARY, 1 << 63)),
        too_big("the longest length", header(FIN | TEXT, u64::MAX)),
    ]
}

fn reserved_opcodes() -> Vec<BadFrame> {
    let opcodes = (0x3..=0x7).chain(0xB..=0xF);
    let rows = opcodes.flat_map(|opcode| {
        [
            protocol_error("reserved opcode", client_frame(FIN | opcode, b"x")),
            protocol_error("reserved opcode, empty", client_frame(FIN | opcode, b"")),
        ]
    });
    rows.collect()
}

fn reserved_bits() -> Vec<BadFrame> {
    let rows = (1..=7u8).flat_map(|rsv| {
        let first = FIN | rsv << 4;
        [
            protocol_error("rsv, text", client_frame(first | TEXT, b"x")),
            protocol_error("rsv, ping", client_frame(first | PING, b"x")),
        ]
    });
    rows.collect()
}

/// Close frames whose code may not be sent: the answer has 1002, the connection ends with the
/// peer's own code.
fn forbidden_codes() -> Vec<BadFrame> {
    let codes = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000];
    let row = |code| {
        bad(
            "forbidden code",
            close(code, b"x"),
            Cause::PEER_CLOSED,
            1002,
        )
    };
    codes.map(row).into()
}

/// Plays a bad frame between good ones, in pieces of `step` bytes.
fn play_bad_frame(case: &BadFrame, step: usize) {
    let BadFrame { bytes, .. } = case;
    let what = format!(
        "{} {:x?} in pieces of {step}",
        case.name,
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
    assert_told(case, &mut net, peer, &what);
    net.advance(2 * S + 10);
    assert_ended(case, &mut net, peer, &what);
    assert!(net.is_open(other), "{what}: no other connection suffers");
    net.check().unwrap_or_else(|e| panic!("{what}: {e}"));
}

/// Asserts that the peer got its echo, and a close frame with the expected code.
fn assert_told(case: &BadFrame, net: &mut Net<Host>, peer: PeerId, what: &str) {
    let received = net.received(peer);
    assert_eq!(
        received[0],
        Received::Message(Message::text("before")),
        "{what}"
    );
    let [Received::Close(found, reason)] = &received[1..] else {
        panic!("{what}: {received:?}");
    };
    assert_eq!(*found, case.code, "{what}");
    assert!(reason.len() <= 123, "{what}");
    assert!(net.fin_received(peer), "{what}: our FIN stands behind it");
    assert_eq!(
        net.released(peer).is_some(),
        case.cause == Cause::PEER_CLOSED,
        "{what}: an error is lingered over"
    );
}

/// Asserts that the connection has ended with the expected cause, and was reported.
fn assert_ended(case: &BadFrame, net: &mut Net<Host>, peer: PeerId, what: &str) {
    let BadFrame { bytes, cause, .. } = case;
    let peers_own = *cause == Cause::PEER_CLOSED;
    let (found, _, _, clean) = end_of(net, peer).unwrap_or_else(|| panic!("{what}: no end"));
    assert_eq!((found, clean), (*cause, peers_own), "{what}");
    // A frame of less than 126 bytes: two bytes, the mask, the code.
    let sent = |at: usize| bytes[6 + at] ^ bytes[2 + at];
    let own = peers_own.then(|| u16::from_be_bytes([sent(0), sent(1)]));
    assert_eq!(net.ending(peer).and_then(peer_code), own, "{what}");
    assert_eq!(net.released(peer), Some(false), "{what}");
    assert_eq!(
        told_of(net, peer).len(),
        3,
        "{what}: opened, before, closed"
    );
}

fn play_bad_frames(cases: Vec<BadFrame>) {
    for case in &cases {
        for step in [1, 2, 3, usize::MAX] {
            play_bad_frame(case, step);
        }
    }
}

#[test]
fn a_bad_sequence_of_frames_is_a_protocol_error() {
    play_bad_frames(bad_sequences());
}

#[test]
fn text_that_is_not_utf8_is_invalid_data() {
    play_bad_frames(bad_texts());
}

#[test]
fn a_message_above_the_limit_is_too_big() {
    play_bad_frames(large_frames());
}

#[test]
fn a_reserved_opcode_is_a_protocol_error() {
    play_bad_frames(reserved_opcodes());
}

#[test]
fn a_reserved_bit_is_a_protocol_error() {
    play_bad_frames(reserved_bits());
}

#[test]
fn a_close_code_that_may_not_be_sent_is_answered_1002() {
    play_bad_frames(forbidden_codes());
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
