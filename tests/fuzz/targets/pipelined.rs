//! The requests of one connection, one behind the other: `RequestReader`.
//!
//! Properties:
//!
//! - Requests that arrive in pieces are read as in one piece.
//! - Each accepted head is one that httparse accepts, each line ended by CRLF, with one framing.
//! - Each body ends where a plain reader of the whole stream finds its end. The next head begins
//!   there.
//! - Accepted requests that are written anew are read as the same ones.

#![no_main]

use http::{HeadStep, Request, RequestReader};
use libfuzzer_sys::{Corpus, fuzz_target};
use pulsegate_fuzz::{Cuts, Input};

/// The parsers, which are not public, as their own files.
#[path = "../../../src/wire/http/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    unfulfilled_lint_expectations,
    reason = "a part of the engine"
)]
mod http;

/// The longest head that is accepted, by the settings' lowest bit.
const LIMITS: [usize; 2] = [512, 16 << 10];

/// One step of the reader.
#[derive(Debug, Clone, PartialEq)]
enum Seen {
    Request {
        line: String,
        fields: Vec<(String, Vec<u8>)>,
        /// Where its head begins and ends in the stream.
        head: (usize, usize),
        /// The body as it was sent, and whether it is complete.
        body: (Vec<u8>, bool),
    },
    Refused(u16, String),
    Broken(String),
}

fn begun(request: &Request, head: (usize, usize)) -> Seen {
    let query = request.query().map(|query| format!("?{query}"));
    let target = format!("{}{}", request.path(), query.unwrap_or_default());
    let fields = request.headers().iter();
    Seen::Request {
        line: format!("{} {target}", request.method()),
        fields: fields
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect(),
        head,
        body: (Vec::new(), false),
    }
}

/// Reads a stream that arrives in these pieces, as the thread for plain HTTP does.
fn run(pieces: &[&[u8]], limit: usize) -> Vec<Seen> {
    let mut reader = RequestReader::new(limit, ([127, 0, 0, 1], 1).into(), false);
    let (mut seen, mut waiting, mut at) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        waiting.extend_from_slice(piece);
        loop {
            if !reader.is_at_head() {
                let len = match reader.read_body(&waiting) {
                    Ok(len) => len,
                    Err(fault) => {
                        seen.push(Seen::Broken(fault.to_string()));
                        return seen;
                    }
                };
                if let Some(Seen::Request { body, .. }) = seen.last_mut() {
                    body.0.extend(waiting.drain(..len));
                    body.1 = reader.is_at_head();
                }
                at += len;
                if !reader.is_at_head() {
                    assert!(waiting.is_empty(), "a body takes all there is");
                    break;
                }
            }
            match reader.read_head(&waiting) {
                HeadStep::Partial => {
                    assert!(waiting.len() < limit, "{} are held", waiting.len());
                    break;
                }
                HeadStep::Complete(request, len) => {
                    waiting.drain(..len);
                    reader.begin(&request);
                    let mut next = begun(&request, (at, at + len));
                    if let Seen::Request { body, .. } = &mut next {
                        body.1 = reader.is_at_head();
                    }
                    seen.push(next);
                    at += len;
                }
                HeadStep::Refused(reply, _) => {
                    seen.push(Seen::Refused(reply.status, reply.reason.to_string()));
                    return seen;
                }
            }
        }
    }
    seen
}

/// Returns whether two outcomes of the same bytes, which arrived differently, agree. A body that is
/// broken has passed on more or less before.
fn agree(whole: &[Seen], parts: &[Seen]) -> bool {
    let is_long = |seen: &Seen| matches!(seen, Seen::Refused(431, _));
    let same = |(a, b): (&Seen, &Seen)| match (a, b) {
        // A head that is too long is refused before its end has arrived, so its other faults are
        // not seen.
        (Seen::Refused(..), b) if is_long(b) => true,
        (a, Seen::Refused(..)) if is_long(a) => true,
        (
            Seen::Request { line, head, .. },
            Seen::Request {
                line: l, head: h, ..
            },
        ) => (line, head) == (l, h),
        (Seen::Broken(_), Seen::Broken(_)) => true,
        _ => a == b,
    };
    let is_broken = matches!(whole.last(), Some(Seen::Broken(_)));
    match is_broken {
        true => whole.len() == parts.len() && whole.iter().zip(parts).all(same),
        false if whole.last().is_some_and(is_long) || parts.last().is_some_and(is_long) => {
            whole.len() == parts.len() && whole.iter().zip(parts).all(same)
        }
        false => whole == parts,
    }
}

/// Checks an accepted head against httparse. Returns the framing: a length, or `None` for chunks.
fn check_head(bytes: &[u8], line: &str, fields: &[(String, Vec<u8>)]) -> Option<u64> {
    let mut parsed_fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut parsed_fields);
    let len = parsed.parse(bytes).expect("a head");
    assert_eq!(len, httparse::Status::Complete(bytes.len()));
    let method = parsed.method.expect("a method");
    assert!(line.starts_with(&format!("{method} ")), "{line}");
    assert!(!["CONNECT", "TRACE"].contains(&method));
    for (at, byte) in bytes.iter().enumerate() {
        assert!(
            *byte != b'\n' || at > 0 && bytes[at - 1] == b'\r',
            "a bare LF"
        );
    }
    let values = |name: &str| -> Vec<Vec<u8>> {
        let sent = parsed.headers.iter();
        let sent = sent.filter(|field| field.name.eq_ignore_ascii_case(name));
        sent.map(|field| field.value.trim_ascii().to_vec())
            .collect()
    };
    assert_eq!(parsed.headers.len(), fields.len());
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Some(0),
        ([length], []) => {
            assert!(!length.is_empty() && length.iter().all(u8::is_ascii_digit));
            Some(
                std::str::from_utf8(length)
                    .expect("digits")
                    .parse()
                    .expect("a length"),
            )
        }
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked"), "{coding:?}");
            None
        }
        _ => panic!("two framings: {lengths:?} {codings:?}"),
    }
}

/// Takes a line that ends with CRLF.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    Some(line)
}

/// Returns the length of a chunked body at the front of these bytes, if it is complete.
fn chunked_len(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    loop {
        let size = line(&mut rest)?;
        let digits = size.split(|b| b";\t ".contains(b)).next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            while !line(&mut rest)?.is_empty() {}
            return Some(bytes.len() - rest.len());
        }
        rest = rest.get(size..)?;
        if !line(&mut rest)?.is_empty() {
            return None;
        }
    }
}

/// Checks where each request begins and ends.
fn check_places(seen: &[Seen], data: &[u8]) {
    let mut next = 0;
    for (nth, one) in seen.iter().enumerate() {
        let Seen::Request {
            line,
            fields,
            head,
            body,
        } = one
        else {
            continue;
        };
        assert_eq!(head.0, next, "{seen:?}");
        let behind = &data[head.1..];
        let expected = match check_head(&data[head.0..head.1], line, fields) {
            Some(length) => usize::try_from(length)
                .ok()
                .filter(|len| *len <= behind.len()),
            None => chunked_len(behind),
        };
        let is_broken = matches!(seen.get(nth + 1), Some(Seen::Broken(_)));
        match body.1 {
            true => assert_eq!(Some(body.0.len()), expected, "{one:?}"),
            false => assert!(is_broken || expected.is_none(), "{one:?}"),
        }
        assert!(behind.starts_with(&body.0));
        next = head.1 + body.0.len();
    }
}

/// Writes the complete requests anew: one line each, and the body as it was sent.
fn rewritten(seen: &[Seen]) -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let (mut bytes, mut requests) = (Vec::new(), Vec::new());
    for one in seen {
        if let Seen::Request {
            line, fields, body, ..
        } = one
            && body.1
        {
            // The rest of an absolute target is not kept, and neither is the version.
            let has_host = fields.iter().any(|(name, _)| name == "host");
            let version = if has_host { "1.1" } else { "1.0" };
            bytes.extend(format!("{line} HTTP/{version}\r\n").bytes());
            for (name, value) in fields {
                bytes.extend(name.bytes().chain(*b": "));
                bytes.extend(value);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"\r\n");
            bytes.extend(&body.0);
            requests.push((line.clone(), body.0.clone()));
        }
    }
    (bytes, requests)
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let limit = LIMITS[usize::from(input.settings & 1)];
    let whole = run(&[input.data], limit);
    let parts = run(&input.cuts.pieces(input.data), limit);
    assert!(agree(&whole, &parts), "{whole:?} {parts:?}");
    check_places(&whole, input.data);
    let (again, requests) = rewritten(&whole);
    let again = run(&Cuts::new(input.settings.into()).pieces(&again), 64 << 10);
    let again: Vec<_> = again
        .into_iter()
        .map(|seen| match seen {
            Seen::Request { line, body, .. } if body.1 => (line, body.0),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(again, requests);
    Corpus::Keep
});
