//! Group 6: texts of valid and invalid UTF-8.

use crate::frames::{FIN, TEXT, binary, fragments, text};
use crate::protocol::autobahn::case::{Case, echoed, fault, run_all, said};
use pulsegate::Cause;
use pulsegate::engine::Message;
use pulsegate::testing::client_frame;

const VALID: [&[u8]; 18] = [
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

const INVALID: [&[u8]; 24] = [
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

fn texts() -> Vec<Case> {
    let greeting = "Hello-µ@ßöäüàá-UTF-8!!";
    let kosme = "κόσμε";
    let by_byte = |t: &'static str| fragments(TEXT, t.as_bytes().chunks(1));
    let cut_short = [
        &b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"[..],
        b"\xf4\x90\x80\x80",
        b"edited",
    ];
    let cut_short = fragments(TEXT, cut_short);
    vec![
        echoed("6.1 empty", vec![text("")], vec![said("")]),
        echoed("6.2.1 whole", vec![text(greeting)], vec![said(greeting)]),
        echoed(
            "6.2.3 a byte a fragment",
            by_byte(greeting),
            vec![said(greeting)],
        ),
        echoed("6.2.4 a byte a fragment", by_byte(kosme), vec![said(kosme)]),
        // tungstenite validates a fragmented text at each fragment or at its end; both are allowed
        // (6.4: NON-STRICT).
        fault("6.4 cut short", cut_short, vec![], Cause::INVALID_DATA),
    ]
}

#[test]
fn group_6_texts() {
    run_all(texts());
}

fn valid_texts() -> Vec<Case> {
    let mut cases = Vec::new();
    for bytes in VALID {
        let name = format!("6.* valid {bytes:x?}");
        let t = std::str::from_utf8(bytes).expect("valid");
        cases.push(echoed(&name, vec![text(t)], vec![said(t)]));
        let cut = fragments(TEXT, bytes.chunks(1));
        cases.push(echoed(&format!("{name}, cut"), cut, vec![said(t)]));
    }
    cases
}

#[test]
fn group_6_valid_utf8_is_echoed_whole_and_cut() {
    run_all(valid_texts());
}

fn invalid_texts() -> Vec<Case> {
    let refused = |name: &str, frames| fault(name, frames, vec![], Cause::INVALID_DATA);
    let mut cases = Vec::new();
    for bytes in INVALID {
        let name = format!("6.* invalid {bytes:x?}");
        let whole = client_frame(FIN | TEXT, bytes);
        cases.push(refused(&name, vec![whole]));
        let around = [b"fine ", bytes, b""].concat();
        let cut = fragments(TEXT, around.chunks(1));
        cases.push(refused(&format!("{name}, cut"), cut));
        // Binary payloads are not validated.
        let echo = vec![Message::binary(bytes.to_vec())];
        let name = format!("6.* binary {bytes:x?}");
        cases.push(echoed(&name, vec![binary(bytes)], echo));
    }
    cases
}

#[test]
fn group_6_invalid_utf8_is_refused_as_text_and_echoed_as_binary() {
    run_all(invalid_texts());
}

/// Returns the cases of this file.
pub fn cases() -> Vec<Case> {
    [texts(), valid_texts(), invalid_texts()]
        .into_iter()
        .flatten()
        .collect()
}
