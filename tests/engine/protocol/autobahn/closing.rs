//! Group 7: what stands around a close frame, its payload, and its code.

use crate::frames::{FIN, TEXT, close, ping, text};
use crate::protocol::autobahn::case::{Case, closing, fine, run_all, said};
use pulsegate::Cause;
use pulsegate::testing::client_frame;

fn around_the_close_frame() -> Vec<Case> {
    let after = |frame: Vec<u8>| vec![close(1000, b""), frame];
    let case = |name, frames, data| Case {
        name: String::from(name),
        frames,
        data,
        pongs: vec![],
        code: 1000,
        cause: (Cause::PEER_CLOSED, Some(1000)),
    };
    vec![
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
    ]
}

#[test]
fn group_7_1_around_the_close_frame() {
    run_all(around_the_close_frame());
}

/// A case that the client ends with a close frame, which is answered with its own code.
fn agreed(name: &str, payload: &[u8], code: u16) -> Case {
    closing(name, payload, code, (Cause::PEER_CLOSED, Some(code)))
}

/// A case whose close frame is at fault.
fn bad_close(name: &str, payload: &[u8], cause: Cause) -> Case {
    closing(name, payload, cause.close_code(), (cause, None))
}

/// Returns the payload of a close frame.
fn coded(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes()[..], reason].concat()
}

fn payloads_of_a_close_frame() -> Vec<Case> {
    let (longest, too_long) = (coded(1000, &[b'*'; 123]), coded(1000, &[b'*'; 124]));
    let bad_reason = coded(
        1000,
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    );
    vec![
        agreed("7.3.1 empty", b"", 1005),
        bad_close("7.3.2 one byte", b"a", Cause::PROTOCOL),
        agreed("7.3.3 a code", &coded(1000, b""), 1000),
        agreed("7.3.4 with a reason", &coded(1000, b"Hello World!"), 1000),
        agreed("7.3.5 the longest", &longest, 1000),
        bad_close("7.3.6 too long", &too_long, Cause::PROTOCOL),
        bad_close("7.5.1 not UTF-8", &bad_reason, Cause::INVALID_DATA),
    ]
}

#[test]
fn group_7_payloads_of_a_close_frame() {
    run_all(payloads_of_a_close_frame());
}

fn codes() -> Vec<Case> {
    let mut cases = Vec::new();
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999,
    ];
    for code in valid {
        cases.push(agreed(&format!("7.7 {code}"), &coded(code, b""), code));
    }
    let forbidden = [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    for code in forbidden {
        let name = format!("7.9 {code}");
        let cause = (Cause::PEER_CLOSED, Some(code));
        cases.push(closing(&name, &coded(code, b""), 1002, cause));
    }
    cases
}

#[test]
fn group_7_codes() {
    run_all(codes());
}

/// Returns the cases of this file.
pub fn cases() -> Vec<Case> {
    [
        around_the_close_frame(),
        payloads_of_a_close_frame(),
        codes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
