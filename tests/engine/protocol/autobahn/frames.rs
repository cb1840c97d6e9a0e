//! Groups 1 to 5: frames, pings and pongs, reserved bits and opcodes, fragments.

use crate::frames::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, binary, fragments, pattern, ping, pong,
    text,
};
use crate::protocol::autobahn::case::{
    Case, echoed, fault, fine, pinged, protocol_error, run_all, said,
};
use pulsegate::Cause;
use pulsegate::engine::Message;
use pulsegate::testing::client_frame;

fn framing() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [0, 125, 126, 127, 128, 65_535, 65_536] {
        let letters = "*".repeat(len);
        cases.push(fine(
            &format!("1.1 text {len}"),
            vec![text(&letters)],
            vec![said(&letters)],
            &[],
        ));
        let bytes = pattern(len);
        let echo = vec![Message::binary(bytes.clone())];
        cases.push(fine(
            &format!("1.2 binary {len}"),
            vec![binary(&bytes)],
            echo,
            &[],
        ));
    }
    cases
}

#[test]
fn group_1_framing() {
    run_all(framing());
}

fn pings_and_pongs() -> Vec<Case> {
    let (most, too_long) = (pattern(125), pattern(126));
    let ten: Vec<Vec<u8>> = (0..10).map(|i| format!("ping {i}").into_bytes()).collect();
    let answers: Vec<&[u8]> = ten.iter().map(Vec::as_slice).collect();
    let (hello, bytes) = (&b"Hello, world!"[..], &b"\x00\xff\xfe\xfd"[..]);
    let unasked_and_asked = vec![pong(b"unasked"), ping(b"asked")];
    let ten_pings = ten.iter().map(|p| ping(p)).collect();
    vec![
        pinged("2.1 empty", vec![ping(b"")], &[b""]),
        pinged("2.2 text", vec![ping(hello)], &[hello]),
        pinged("2.3 binary", vec![ping(bytes)], &[bytes]),
        pinged("2.4 the longest", vec![ping(&most)], &[&most]),
        protocol_error("2.5 too long", vec![ping(&too_long)]),
        pinged("2.7 unasked pong", vec![pong(b"")], &[]),
        pinged("2.8 unasked pong", vec![pong(b"unasked")], &[]),
        pinged("2.9 pong, ping", unasked_and_asked, &[b"asked"]),
        pinged("2.10 ten pings", ten_pings, &answers),
    ]
}

#[test]
fn group_2_pings_and_pongs() {
    run_all(pings_and_pongs());
}

fn reserved_bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for rsv in 1..=7u8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let bad = client_frame(FIN | rsv << 4 | opcode, b"Hi");
            let name = format!("3.* rsv {rsv} opcode {opcode:#x}");
            cases.push(fault(&name, vec![bad.clone()], vec![], Cause::PROTOCOL));
            // Frames before it are answered, frames after it are not.
            let frames = vec![text("before"), bad, text("behind"), ping(b"")];
            cases.push(fault(&name, frames, vec![said("before")], Cause::PROTOCOL));
        }
    }
    cases
}

#[test]
fn group_3_reserved_bits() {
    run_all(reserved_bits());
}

fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        for payload in [&b""[..], b"reserved"] {
            let bad = client_frame(FIN | opcode, payload);
            let name = format!("4.* opcode {opcode:#x} with {} bytes", payload.len());
            cases.push(fault(&name, vec![bad.clone()], vec![], Cause::PROTOCOL));
            let frames = vec![text("before"), bad, ping(b"behind")];
            cases.push(fault(&name, frames, vec![said("before")], Cause::PROTOCOL));
        }
    }
    cases
}

#[test]
fn group_4_opcodes() {
    run_all(opcodes());
}

/// Returns a text in two fragments.
fn halves() -> Vec<Vec<u8>> {
    fragments(TEXT, [&b"fragment1"[..], b"fragment2"])
}

/// Returns the echo of [`halves`].
fn whole() -> Vec<Message> {
    vec![said("fragment1fragment2")]
}

/// Returns [`halves`] with another frame between.
fn between(one: Vec<u8>) -> Vec<Vec<u8>> {
    inserted(halves(), 1, one)
}

fn inserted(mut frames: Vec<Vec<u8>>, at: usize, one: Vec<u8>) -> Vec<Vec<u8>> {
    frames.insert(at, one);
    frames
}

fn fragmentation() -> Vec<Case> {
    let many = (0..1_000).map(|_| &b"x"[..]);
    let five = fragments(TEXT, [&b"1"[..], b"2", b"3", b"4", b"5"]);
    let two_pings = inserted(inserted(five, 2, ping(b"one")), 5, ping(b"two"));
    let empty = fragments(TEXT, [&b""[..], b"", b""]);
    vec![
        echoed("5.3 text in two", halves(), whole()),
        fine("5.6 ping between", between(ping(b"!")), whole(), &[b"!"]),
        echoed("5.x pong between", between(pong(b"!")), whole()),
        fine(
            "5.19 two pings",
            two_pings,
            vec![said("12345")],
            &[b"one", b"two"],
        ),
        echoed("5.x empty fragments", empty, vec![said("")]),
        echoed(
            "5.x 1000 fragments",
            fragments(TEXT, many),
            vec![said(&"x".repeat(1_000))],
        ),
    ]
}

#[test]
fn group_5_fragmentation() {
    run_all(fragmentation());
}

fn faulty_fragmentation() -> Vec<Case> {
    let lone = |first| client_frame(first, b"no message to continue");
    let after_the_end = inserted(halves(), 2, lone(CONTINUATION));
    let in_two = |opcode| fragments(opcode, [&b"a"[..], b"b"]);
    let before_text = |first| vec![lone(first), text("x")];
    vec![
        protocol_error("5.1 ping in fragments", in_two(PING)),
        protocol_error("5.2 pong in fragments", in_two(PONG)),
        protocol_error("5.9 continuation, FIN", before_text(FIN | CONTINUATION)),
        protocol_error("5.12 continuation", before_text(CONTINUATION)),
        fault(
            "5.15 after the end",
            after_the_end,
            whole(),
            Cause::PROTOCOL,
        ),
        protocol_error("5.18 text inside text", between(text("new"))),
        protocol_error("5.18 binary inside text", between(binary(b"new"))),
    ]
}

#[test]
fn group_5_faulty_fragmentation() {
    run_all(faulty_fragmentation());
}

/// Returns the cases of this file.
pub fn cases() -> Vec<Case> {
    [
        framing(),
        pings_and_pongs(),
        reserved_bits(),
        opcodes(),
        fragmentation(),
        faulty_fragmentation(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
