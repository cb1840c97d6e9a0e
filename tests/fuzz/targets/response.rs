//! Response heads, the check of a 101, and the bodies of refusals.
//!
//! Properties:
//!
//! - A response that arrives in pieces has the same outcome as in one piece.
//! - An accepted head is one that httparse accepts, behind informational ones, with the same status
//!   and fields, within the limits.
//! - A 101 is accepted only with the key's accept value.
//! - A body is what a plain reader of the whole stream finds. No more memory is allocated than the
//!   limits allow.
//! - Data that is written as chunks is read as the same data.

#![no_main]

use http::{BodyReader, BodyStep, ParsedResponse, Response, ResponseFault};
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

/// The key of RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const ACCEPT: &[u8] = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The most that is kept of a body, in bytes.
const BODY_MAX: usize = 64 << 10;

/// The most memory of a reader: its body, and a line that doubles it.
const ALLOCATED_MAX: usize = BODY_MAX + (16 << 10);

/// What a response was read as.
#[derive(Debug, PartialEq)]
struct Seen {
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    head_len: usize,
    upgrade: Result<(), ResponseFault>,
    /// What is kept of the body, and whether it was longer.
    body: Result<(Vec<u8>, bool), ResponseFault>,
}

impl Seen {
    /// Returns the values of the fields with this name.
    fn values(&self, name: &str) -> Vec<&[u8]> {
        let named = self.fields.iter().filter(|field| field.0 == name);
        named.map(|field| &*field.1).collect()
    }
}

/// Reads a response that arrives in these pieces, as the engine does. The stream ends behind them.
/// The fault is `None` if it ends before the head.
fn run(pieces: &[&[u8]], limit: usize) -> Result<Seen, Option<ResponseFault>> {
    let mut head = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let known = head.len();
        head.extend_from_slice(piece);
        match http::parse_response(&head, known, limit) {
            ParsedResponse::Partial => assert!(head.len() < limit, "{} are held", head.len()),
            ParsedResponse::Invalid(fault) => return Err(Some(fault)),
            ParsedResponse::Complete(response, len) => {
                let fields = response.headers().iter();
                let behind = [&head[len..]].into_iter();
                return Ok(Seen {
                    status: response.status(),
                    fields: fields
                        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                        .collect(),
                    head_len: len,
                    upgrade: response.check_upgrade(KEY),
                    body: read_body(&response, behind.chain(pieces[at + 1..].iter().copied())),
                });
            }
        }
    }
    Err(None)
}

fn read_body<'a>(
    response: &Response,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> Result<(Vec<u8>, bool), ResponseFault> {
    let mut reader = BodyReader::new(response)?;
    let mut is_complete = false;
    for piece in pieces {
        let step = reader.push(piece)?;
        assert!(!is_complete || step == BodyStep::Complete);
        is_complete = step == BodyStep::Complete;
        assert!(reader.allocated() <= ALLOCATED_MAX);
    }
    reader.finish_at_eof()?;
    let (body, is_cut) = reader.into_body();
    Ok((body.to_vec(), is_cut))
}

/// Returns whether two outcomes of the same bytes, which arrived differently, agree.
fn agree(
    whole: &Result<Seen, Option<ResponseFault>>,
    parts: &Result<Seen, Option<ResponseFault>>,
) -> bool {
    // A head that is too long is refused before its end has arrived, so its other faults are not
    // seen.
    let is_long = |fault: &_| matches!(fault, Some(ResponseFault::HeadLength(_)));
    match (whole, parts) {
        (Err(Some(_)), Err(fault)) | (Err(fault), Err(Some(_))) if is_long(fault) => true,
        _ => whole == parts,
    }
}

/// Checks an accepted head against httparse.
fn check_head(seen: &Seen, data: &[u8], limit: usize) {
    assert!(seen.head_len <= limit, "a head of {} bytes", seen.head_len);
    let mut start = 0;
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Response::new(&mut fields);
        match parsed.parse(&data[start..]) {
            Ok(httparse::Status::Complete(len)) => start += len,
            other => panic!("{other:?}: {seen:?}"),
        }
        let code = parsed.code.expect("a status");
        if code == 101 || code >= 200 {
            assert_eq!((code, start), (seen.status, seen.head_len));
            let sent = parsed.headers.iter();
            let mut sent: Vec<_> = sent
                .map(|f| (f.name.to_ascii_lowercase(), f.value.to_vec()))
                .collect();
            let mut read = seen.fields.clone();
            // Only the order within a name is kept.
            sent.sort_by(|a, b| a.0.cmp(&b.0));
            read.sort_by(|a, b| a.0.cmp(&b.0));
            assert_eq!(read, sent);
            return;
        }
    }
}

/// Checks a 101 that was accepted.
fn check_upgrade(seen: &Seen) {
    assert_eq!(seen.status, 101);
    assert_eq!(seen.values("sec-websocket-accept"), [ACCEPT]);
    let upgrade = seen.values("upgrade").concat().to_ascii_lowercase();
    assert!(upgrade.windows(9).any(|w| w == b"websocket"), "{seen:?}");
    let connection = seen.values("connection").concat().to_ascii_lowercase();
    assert!(connection.windows(7).any(|w| w == b"upgrade"), "{seen:?}");
}

/// Takes a line without its end.
fn line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = rest.iter().position(|b| *b == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Returns the data of chunks, and whether the last chunk and the trailers follow.
fn unchunk(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut data = Vec::new();
    while let Some(size) = line(&mut rest) {
        let digits = size
            .split(|b| b";\t ".contains(b))
            .next()
            .unwrap_or_default();
        let digits = std::str::from_utf8(digits).unwrap_or_default();
        let Ok(size) = usize::from_str_radix(digits, 16) else {
            break;
        };
        if size == 0 {
            while let Some(trailer) = line(&mut rest) {
                if trailer.is_empty() {
                    return (data, true);
                }
            }
            break;
        }
        if size >= rest.len() {
            data.extend_from_slice(rest);
            break;
        }
        data.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        if line(&mut rest) != Some(b"") {
            break;
        }
    }
    (data, false)
}

/// Checks a body against a plain reader of the bytes behind the head.
fn check_body(seen: &Seen, rest: &[u8]) {
    let lengths = seen.values("content-length");
    let is_chunked = !seen.values("transfer-encoding").is_empty();
    let (expected, is_whole) = if seen.status == 101 || [204, 304].contains(&seen.status) {
        (Vec::new(), true)
    } else if is_chunked {
        unchunk(rest)
    } else if let [first, ..] = &lengths[..] {
        let first = first
            .split(|b| *b == b',')
            .find(|e| !e.trim_ascii().is_empty());
        let first = std::str::from_utf8(first.unwrap_or_default()).unwrap_or_default();
        match first.trim().parse::<usize>() {
            Ok(length) => (
                rest[..length.min(rest.len())].to_vec(),
                length <= rest.len(),
            ),
            // Empty lines precede the number, or the length is at fault.
            Err(_) => return assert!(seen.body.is_err() || lengths.len() > 1),
        }
    } else {
        (rest.to_vec(), true)
    };
    match &seen.body {
        Ok((body, true)) => assert!(body.len() == BODY_MAX && expected.starts_with(body)),
        Ok((body, false)) => assert_eq!((body, true), (&expected, is_whole)),
        Err(ResponseFault::BodyEnd) => assert!(!is_whole, "{seen:?}"),
        Err(_) => assert!(is_chunked || !lengths.is_empty(), "{seen:?}"),
    }
}

/// Writes data as chunks of pseudorandom lengths.
fn chunked(data: &[u8], cuts: Cuts) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in cuts.pieces(data) {
        bytes.extend(format!("{:x};a=b\r\n", piece.len()).bytes());
        bytes.extend(piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\nA: b\r\n\r\n");
    bytes
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let limit = LIMITS[usize::from(input.settings & 1)];
    let whole = run(&[input.data], limit);
    let parts = run(&input.cuts.pieces(input.data), limit);
    assert!(agree(&whole, &parts), "{whole:?} {parts:?}");
    if let Ok(seen) = &whole {
        check_head(seen, input.data, limit);
        check_body(seen, &input.data[seen.head_len..]);
        if seen.upgrade.is_ok() {
            check_upgrade(seen);
        }
    }
    let mut again = b"HTTP/1.1 400 x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    again.extend(chunked(input.data, input.cuts));
    let again = run(&Cuts::new(input.settings.into()).pieces(&again), 16 << 10);
    let body = again.expect("a head").body.expect("a body");
    assert_eq!(body, (input.data.to_vec(), false));
    Corpus::Keep
});
