//! The case groups of the Autobahn test suite (1 to 7, 9 and 10) as a table, against an echoing
//! host without sockets. A case lists the frames that go in, those that must come out, and the code
//! with which it ends.
//!
//! Each case runs three times: one write per frame, all frames in one write, and byte by byte. The
//! suite itself runs only where a CPython 2.7 is found; this test always runs.

use crate::echo::{BINARY, CONTINUATION, FIN, PING, PONG, TEXT, peer_code};
use crate::echo::{Host, binary, close, pattern, ping, pong, scripted, server, sorted_out, text};
use pulsegate::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::{Net, PeerId, Received, client_frame};

/// A case: frames in, data frames out, pongs out, and the code of the close frame that ends it.
struct Case {
    name: String,
    frames: Vec<Vec<u8>>,
    data: Vec<Message>,
    pongs: Vec<Vec<u8>>,
    code: u16,
    /// The cause, and the peer's own code if it closed.
    cause: (Cause, Option<u16>),
}

/// A case that the client closes normally, after everything was answered.
fn fine(name: &str, frames: Vec<Vec<u8>>, data: Vec<Message>, pongs: &[&[u8]]) -> Case {
    let mut frames = frames;
    frames.push(close(1000, b""));
    let pongs = pongs.iter().map(|p| p.to_vec()).collect();
    Case {
        name: name.to_owned(),
        frames,
        data,
        pongs,
        code: 1000,
        cause: (Cause::PEER_CLOSED, Some(1000)),
    }
}

/// A case that the server ends because of the client's fault.
fn fault(name: &str, frames: Vec<Vec<u8>>, data: Vec<Message>, cause: Cause) -> Case {
    Case {
        name: name.to_owned(),
        frames,
        data,
        pongs: vec![],
        code: cause.close_code(),
        cause: (cause, None),
    }
}

/// A case that the client ends with a close frame with this payload.
fn closing(name: &str, payload: &[u8], code: u16, cause: (Cause, Option<u16>)) -> Case {
    let frames = vec![client_frame(FIN | crate::echo::CLOSE, payload)];
    Case {
        name: name.to_owned(),
        frames,
        data: vec![],
        pongs: vec![],
        code,
        cause,
    }
}

fn said(t: &str) -> Message {
    Message::text(t)
}

/// Returns a message in fragments with these payloads.
fn fragments<'a>(opcode: u8, parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let parts: Vec<&[u8]> = parts.into_iter().collect();
    let last = parts.len() - 1;
    let first_byte =
        |i| (if i == last { FIN } else { 0 }) | (if i == 0 { opcode } else { CONTINUATION });
    parts
        .iter()
        .enumerate()
        .map(|(i, part)| client_frame(first_byte(i), part))
        .collect()
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    FrameByFrame,
    AtOnce,
    ByteByByte,
}

fn run(case: &Case, cut: Cut) {
    let mut net = server(Config {
        max_message_bytes: 1 << 20,
        ..Config::default()
    });
    let peer = scripted(&mut net, "/");
    let all = case.frames.concat();
    let writes: Vec<&[u8]> = match cut {
        Cut::FrameByFrame => case.frames.iter().map(Vec::as_slice).collect(),
        Cut::AtOnce => vec![&all],
        Cut::ByteByByte => all.chunks(1).collect(),
    };
    for bytes in writes {
        net.write(peer, bytes);
        net.settle();
    }
    check(case, cut, &mut net, peer);
}

fn check(case: &Case, cut: Cut, net: &mut Net<Host>, peer: PeerId) {
    let what = format!("{} {cut:?}", case.name);
    let (data, control) = sorted_out(net.received(peer));
    let messages: Vec<_> = case.data.iter().cloned().map(Received::Message).collect();
    assert!(
        data == messages,
        "{what}: {} data frames, expected {}",
        data.len(),
        messages.len()
    );
    let (last, pongs) = control
        .split_last()
        .unwrap_or_else(|| panic!("{what}: no close frame"));
    let expected: Vec<_> = case.pongs.iter().cloned().map(Received::Pong).collect();
    assert_eq!(pongs, expected, "{what}");
    assert!(
        matches!(last, Received::Close(code, _) if *code == case.code),
        "{what}: {last:?}"
    );
    assert!(net.leftover(peer).is_empty(), "{what}");
    net.advance(3_000);
    assert_eq!(
        net.ending(peer).map(|e| (e.cause, peer_code(e))),
        Some(case.cause),
        "{what}"
    );
    assert_eq!(
        net.released(peer),
        Some(false),
        "{what}: the server closes first, and in order"
    );
    net.check().unwrap_or_else(|e| panic!("{what}: {e}"));
}

fn run_all(cases: Vec<Case>) {
    for case in &cases {
        for cut in [Cut::FrameByFrame, Cut::AtOnce, Cut::ByteByByte] {
            run(case, cut);
        }
    }
}

#[test]
fn group_1_framing() {
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
    run_all(cases);
}

#[test]
fn group_2_pings_and_pongs() {
    let most = pattern(125);
    let ten: Vec<Vec<u8>> = (0..10).map(|i| format!("ping {i}").into_bytes()).collect();
    let pinged: Vec<&[u8]> = ten.iter().map(Vec::as_slice).collect();
    run_all(vec![
        fine("2.1 empty", vec![ping(b"")], vec![], &[b""]),
        fine(
            "2.2 text",
            vec![ping(b"Hello, world!")],
            vec![],
            &[b"Hello, world!"],
        ),
        fine(
            "2.3 binary",
            vec![ping(b"\x00\xff\xfe\xfd")],
            vec![],
            &[b"\x00\xff\xfe\xfd"],
        ),
        fine("2.4 the longest", vec![ping(&most)], vec![], &[&most]),
        fault(
            "2.5 too long",
            vec![ping(&pattern(126))],
            vec![],
            Cause::PROTOCOL,
        ),
        fine("2.7 unasked pong", vec![pong(b"")], vec![], &[]),
        fine("2.8 unasked pong", vec![pong(b"unasked")], vec![], &[]),
        fine(
            "2.9 pong, ping",
            vec![pong(b"unasked"), ping(b"asked")],
            vec![],
            &[b"asked"],
        ),
        fine(
            "2.10 ten pings",
            ten.iter().map(|p| ping(p)).collect(),
            vec![],
            &pinged,
        ),
    ]);
}

#[test]
fn group_3_reserved_bits() {
    let mut cases = Vec::new();
    for rsv in 1..=7u8 {
        for opcode in [TEXT, BINARY, PING, PONG, crate::echo::CLOSE] {
            let bad = client_frame(FIN | rsv << 4 | opcode, b"Hi");
            let name = format!("3.* rsv {rsv} opcode {opcode:#x}");
            cases.push(fault(&name, vec![bad.clone()], vec![], Cause::PROTOCOL));
            // Frames before it are answered, frames after it are not.
            let frames = vec![text("before"), bad, text("behind"), ping(b"")];
            cases.push(fault(&name, frames, vec![said("before")], Cause::PROTOCOL));
        }
    }
    run_all(cases);
}

#[test]
fn group_4_opcodes() {
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
    run_all(cases);
}

#[test]
fn group_5_fragmentation() {
    let halves = || fragments(TEXT, [&b"fragment1"[..], b"fragment2"]);
    let whole = || vec![said("fragment1fragment2")];
    let with = |mut frames: Vec<Vec<u8>>, at: usize, one: Vec<u8>| {
        frames.insert(at, one);
        frames
    };
    let lone = |first| client_frame(first, b"no message to continue");
    let many = |n: usize| (0..n).map(|_| &b"x"[..]);
    let five = fragments(TEXT, [&b"1"[..], b"2", b"3", b"4", b"5"]);
    let pinged_twice = with(with(five, 2, ping(b"one")), 5, ping(b"two"));
    run_all(vec![
        fault(
            "5.1 ping in fragments",
            fragments(PING, [&b"a"[..], b"b"]),
            vec![],
            Cause::PROTOCOL,
        ),
        fault(
            "5.2 pong in fragments",
            fragments(PONG, [&b"a"[..], b"b"]),
            vec![],
            Cause::PROTOCOL,
        ),
        fine("5.3 text in two", halves(), whole(), &[]),
        fine(
            "5.6 ping between",
            with(halves(), 1, ping(b"!")),
            whole(),
            &[b"!"],
        ),
        fine(
            "5.x pong between",
            with(halves(), 1, pong(b"!")),
            whole(),
            &[],
        ),
        fault(
            "5.9 continuation, FIN",
            vec![lone(FIN | CONTINUATION), text("x")],
            vec![],
            Cause::PROTOCOL,
        ),
        fault(
            "5.12 continuation",
            vec![lone(CONTINUATION), text("x")],
            vec![],
            Cause::PROTOCOL,
        ),
        fault(
            "5.15 after the end",
            with(halves(), 2, lone(CONTINUATION)),
            whole(),
            Cause::PROTOCOL,
        ),
        fault(
            "5.18 text inside text",
            with(halves(), 1, text("new")),
            vec![],
            Cause::PROTOCOL,
        ),
        fault(
            "5.18 binary inside text",
            with(halves(), 1, binary(b"new")),
            vec![],
            Cause::PROTOCOL,
        ),
        fine(
            "5.19 two pings",
            pinged_twice,
            vec![said("12345")],
            &[b"one", b"two"],
        ),
        fine(
            "5.x empty fragments",
            fragments(TEXT, [&b""[..], b"", b""]),
            vec![said("")],
            &[],
        ),
        fine(
            "5.x 1000 fragments",
            fragments(TEXT, many(1_000)),
            vec![said(&"x".repeat(1_000))],
            &[],
        ),
    ]);
}

#[test]
fn group_6_utf8() {
    let greeting = "Hello-µ@ßöäüàá-UTF-8!!";
    let kosme = "κόσμε";
    let by_byte = |t: &'static str| fragments(TEXT, t.as_bytes().chunks(1));
    let mut cases = vec![
        fine("6.1 empty", vec![text("")], vec![said("")], &[]),
        fine(
            "6.2.1 whole",
            vec![text(greeting)],
            vec![said(greeting)],
            &[],
        ),
        fine(
            "6.2.3 a byte a fragment",
            by_byte(greeting),
            vec![said(greeting)],
            &[],
        ),
        fine(
            "6.2.4 a byte a fragment",
            by_byte(kosme),
            vec![said(kosme)],
            &[],
        ),
        // tungstenite validates a fragmented text at each fragment or at its end; both are allowed
        // (6.4: NON-STRICT).
        fault(
            "6.4 cut short",
            fragments(
                TEXT,
                [
                    &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"[..],
                    b"\xf4\x90\x80\x80",
                    b"edited",
                ],
            ),
            vec![],
            Cause::INVALID_DATA,
        ),
    ];
    let valid: [&[u8]; 18] = [
        b"\x00",
        b"\xc2\x80",
        b"\xe0\xa0\x80",
        b"\xf0\x90\x80\x80",
        b"\x7f",
        b"\xdf\xbf",
        b"\xef\xbf\xbf",
        b"\xf4\x8f\xbf\xbf",
        b"\xed\x9f\xbf",
        b"\xee\x80\x80",
        b"\xef\xbf\xbd",
        b"\xef\xbf\xbe",
        b"\xf0\x9f\xbf\xbf",
        b"\xf3\xbf\xbf\xbe",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83",
        b"\xef\xb7\x90",
        b"\xf2\xaf\xbf\xbf",
        b"\xe2\x82\xac",
    ];
    for bytes in valid {
        let t = std::str::from_utf8(bytes).expect("valid");
        cases.push(fine(
            &format!("6.* valid {bytes:x?}"),
            vec![text(t)],
            vec![said(t)],
            &[],
        ));
        let cut = fragments(TEXT, bytes.chunks(1));
        cases.push(fine(
            &format!("6.* valid {bytes:x?}, cut"),
            cut,
            vec![said(t)],
            &[],
        ));
    }
    let invalid: [&[u8]; 24] = [
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
        b"\xf8\x88\x80\x80\x80",
        b"\xfc\x84\x80\x80\x80\x80",
        b"\xf7\xbf\xbf\xbf",
        b"\xfb\xbf\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf\xbf",
        b"\xf4\x90\x80\x80",
        b"\x80",
        b"\xbf",
        b"\x80\xbf\x80",
        b"\xc0 \xc1 ",
        b"\xe0 \xef ",
        b"\xf0 \xf7 ",
        b"\xfe",
        b"\xff",
        b"\xc0\xaf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xed\xa0\x80\xed\xb0\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x98",
    ];
    for bytes in invalid {
        let whole = client_frame(FIN | TEXT, bytes);
        cases.push(fault(
            &format!("6.* invalid {bytes:x?}"),
            vec![whole],
            vec![],
            Cause::INVALID_DATA,
        ));
        let around = [b"fine ", bytes, b""].concat();
        let cut = fragments(TEXT, around.chunks(1));
        cases.push(fault(
            &format!("6.* invalid {bytes:x?}, cut"),
            cut,
            vec![],
            Cause::INVALID_DATA,
        ));
        // Binary payloads are not validated.
        let echo = vec![Message::binary(bytes.to_vec())];
        cases.push(fine(
            &format!("6.* binary {bytes:x?}"),
            vec![binary(bytes)],
            echo,
            &[],
        ));
    }
    run_all(cases);
}

#[test]
fn group_7_1_around_the_close_frame() {
    let after = |frame: Vec<u8>| vec![close(1000, b""), frame];
    let case = |name, frames, data| Case {
        name: String::from(name),
        frames,
        data,
        pongs: vec![],
        code: 1000,
        cause: (Cause::PEER_CLOSED, Some(1000)),
    };
    run_all(vec![
        fine(
            "7.1.1 text, close",
            vec![text("Hello World!")],
            vec![said("Hello World!")],
            &[],
        ),
        case("7.1.2 close, close", after(close(1000, b"")), vec![]),
        case("7.1.3 close, ping", after(ping(b"")), vec![]),
        case("7.1.4 close, text", after(text("Hello World!")), vec![]),
        case(
            "7.1.5 close inside a message",
            vec![
                client_frame(TEXT, b"fragment1"),
                close(1000, b""),
                client_frame(FIN, b"fragment2"),
            ],
            vec![],
        ),
        fine(
            "7.1.6 256 KiB, close",
            vec![text(&"*".repeat(256 * 1024)), ping(b"")],
            vec![said(&"*".repeat(256 * 1024))],
            &[b""],
        ),
    ]);
}

#[test]
fn group_7_codes_and_reasons() {
    let coded = |code: u16, reason: &[u8]| [&code.to_be_bytes()[..], reason].concat();
    let too_long = coded(1000, &[b'*'; 124]);
    let bad_reason = coded(
        1000,
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    );
    let mut cases = vec![
        closing("7.3.1 empty", b"", 1005, (Cause::PEER_CLOSED, Some(1005))),
        closing("7.3.2 one byte", b"a", 1002, (Cause::PROTOCOL, None)),
        closing(
            "7.3.3 a code",
            &coded(1000, b""),
            1000,
            (Cause::PEER_CLOSED, Some(1000)),
        ),
        closing(
            "7.3.4 with a reason",
            &coded(1000, b"Hello World!"),
            1000,
            (Cause::PEER_CLOSED, Some(1000)),
        ),
        closing(
            "7.3.5 the longest",
            &coded(1000, &[b'*'; 123]),
            1000,
            (Cause::PEER_CLOSED, Some(1000)),
        ),
        closing("7.3.6 too long", &too_long, 1002, (Cause::PROTOCOL, None)),
        closing(
            "7.5.1 not UTF-8",
            &bad_reason,
            1007,
            (Cause::INVALID_DATA, None),
        ),
    ];
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ];
    for code in valid {
        cases.push(closing(
            &format!("7.7 {code}"),
            &coded(code, b""),
            code,
            (Cause::PEER_CLOSED, Some(code)),
        ));
    }
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ] {
        cases.push(closing(
            &format!("7.9 {code}"),
            &coded(code, b""),
            1002,
            (Cause::PEER_CLOSED, Some(code)),
        ));
    }
    run_all(cases);
}

#[test]
fn group_9_limits() {
    let large = pattern(1 << 20);
    let echo = || vec![Message::binary(large.clone())];
    let mut cases = vec![fine("9.2 binary 1 MiB", vec![binary(&large)], echo(), &[])];
    for size in [64, 1_024, 65_536] {
        let name = format!("9.4 1 MiB in fragments of {size}");
        cases.push(fine(
            &name,
            fragments(BINARY, large.chunks(size)),
            echo(),
            &[],
        ));
    }
    for case in &cases {
        for cut in [Cut::FrameByFrame, Cut::AtOnce] {
            run(case, cut);
        }
    }
    // 9.5: a message in pieces of many sizes.
    for chop in [64, 997, 4_096, 65_536] {
        let mut net = server(Config::default());
        let peer = scripted(&mut net, "/");
        for piece in cases[0].frames.concat().chunks(chop) {
            net.write(peer, piece);
            net.settle();
        }
        check(&cases[0], Cut::ByteByByte, &mut net, peer);
    }
    // 9.7: many messages.
    let (message, count) = ("*".repeat(200), 2_000);
    let frames = (0..count).map(|_| text(&message)).collect();
    let many = fine(
        "9.7 many messages",
        frames,
        vec![said(&message); count],
        &[],
    );
    run(&many, Cut::FrameByFrame);
    run(&many, Cut::AtOnce);
    // Above the limit it is refused at the header, or with the fragment that exceeds the limit.
    let above = vec![binary(&pattern((1 << 20) + 1))];
    run(
        &fault("9.x above the limit", above, vec![], Cause::TOO_BIG),
        Cut::AtOnce,
    );
    let above = pattern((1 << 20) + 1);
    let above = fragments(BINARY, above.chunks(1 << 18));
    run(
        &fault(
            "9.x above the limit in fragments",
            above,
            vec![],
            Cause::TOO_BIG,
        ),
        Cut::FrameByFrame,
    );
}

#[test]
fn group_10_auto_fragmentation() {
    let payload = "*".repeat(65_536);
    let frames = fragments(TEXT, payload.as_bytes().chunks(1_300));
    run_all(vec![fine("10.1.1", frames, vec![said(&payload)], &[])]);
}
