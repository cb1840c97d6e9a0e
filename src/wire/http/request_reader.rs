//! Reading the requests of one connection, one after the other (RFC 9112).
//!
//! A request that two recipients read differently can hide a second one from the first of them
//! (request smuggling, RFC 9112 §11.2). So this reader is stricter than the RFC: what is not read
//! in the same way by everyone is refused.

use super::chunk_lines::ChunkLines;
use super::fields::{stated, trim_ows};
use super::reply::{Reply, ReplyForm};
use super::request::{ParsedHead, Request, parse};
use super::response_fault::ResponseFault;
use std::net::SocketAddr;
use tungstenite::http::HeaderMap;
use tungstenite::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// What the bytes at a place where a head begins are.
#[derive(Debug)]
pub(crate) enum HeadStep {
    /// The head is not complete.
    Partial,
    /// A head of this many bytes. [`begin`](RequestReader::begin) goes on to its body.
    Complete(Box<Request>, usize),
    /// A request that is refused.
    Refused(Reply, ReplyForm),
}

/// The largest Content-Length; hyper and many services count in 63 bits.
const LENGTH_MAX: u64 = i64::MAX as u64;

/// Finds the heads and the bodies in what a client sends, whose bytes arrive in any pieces.
#[derive(Debug)]
pub(crate) struct RequestReader {
    rest: Rest,
    /// How many bytes of the present head are known not to contain its end.
    known: usize,
    /// The longest head, in bytes.
    head_max: usize,
    client: SocketAddr,
    is_encrypted: bool,
}

/// What is still to come of a request.
#[derive(Debug)]
enum Rest {
    /// The head.
    Head,
    /// This many bytes of the body, at least one.
    Length(u64),
    /// Chunks and trailers, from where these lines are.
    Chunks(ChunkLines),
}

impl RequestReader {
    /// Creates the reader for a client, before its first head. `is_encrypted` is what a proxy's
    /// preamble has reported of the client's connection.
    pub(crate) fn new(head_max: usize, client: SocketAddr, is_encrypted: bool) -> Self {
        RequestReader {
            rest: Rest::Head,
            known: 0,
            head_max,
            client,
            is_encrypted,
        }
    }

    /// Returns whether a head is next.
    pub(crate) fn is_at_head(&self) -> bool {
        matches!(self.rest, Rest::Head)
    }

    /// Reads the head that is next. `bytes` are all bytes of it that have arrived, and those behind
    /// it.
    pub(crate) fn read_head(&mut self, bytes: &[u8]) -> HeadStep {
        match parse(
            bytes,
            self.known,
            self.head_max,
            self.client,
            self.is_encrypted,
        ) {
            ParsedHead::Partial => {
                self.known = bytes.len();
                HeadStep::Partial
            }
            ParsedHead::Refused(reply, form) => HeadStep::Refused(reply, form),
            ParsedHead::Complete(request, len) => {
                let form = request.reply_form();
                if ["CONNECT", "TRACE"].contains(&request.method()) {
                    // The first asks for a tunnel, whatever its target; the answer to the second
                    // shows what proxies have added (RFC 9110 §9.3.6, §9.3.8).
                    let why = format!("the method {} is not passed", request.method());
                    return HeadStep::Refused(Reply::error(405, &why), form);
                }
                match fault_of(&request, &bytes[..len]) {
                    None => HeadStep::Complete(request, len),
                    Some(why) => HeadStep::Refused(Reply::error(400, &why), form),
                }
            }
        }
    }

    /// Goes on to the body of a request whose head was complete.
    pub(crate) fn begin(&mut self, request: &Request) {
        self.known = 0;
        self.rest = match body_of(request) {
            Ok(Body::Length(0)) | Err(_) => Rest::Head,
            Ok(Body::Length(length)) => Rest::Length(length),
            Ok(Body::Chunked) => Rest::Chunks(ChunkLines::strict()),
        };
    }

    /// Returns whether these next bytes hold the whole rest of a body whose length is known.
    pub(crate) fn body_is_in(&self, bytes: &[u8]) -> bool {
        matches!(self.rest, Rest::Length(left) if left <= bytes.len() as u64)
    }

    /// Returns how many of the next bytes belong to the body, and goes on behind them.
    ///
    /// # Errors
    /// The fault of a chunk. Nothing can be read from this client any more.
    pub(crate) fn read_body(&mut self, bytes: &[u8]) -> Result<usize, ResponseFault> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.is_at_head() {
            let left = match &mut self.rest {
                Rest::Head => break,
                Rest::Length(left) => left,
                Rest::Chunks(lines) => match lines.data_left() {
                    Some(left) => left,
                    None => {
                        lines.read(&mut rest)?;
                        if lines.is_complete() {
                            self.rest = Rest::Head;
                        }
                        continue;
                    }
                },
            };
            let len = usize::try_from(*left).map_or(rest.len(), |left| rest.len().min(left));
            *left -= len as u64;
            rest = &rest[len..];
            if matches!(self.rest, Rest::Length(0)) {
                self.rest = Rest::Head;
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

/// How the end of a request's body is found (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Length(u64),
    Chunked,
}

/// Returns how the end of a request's body is found, or why that is not certain.
fn body_of(request: &Request) -> Result<Body, String> {
    let headers = request.headers();
    let is_coded = headers.contains_key(TRANSFER_ENCODING);
    match (is_coded, headers.contains_key(CONTENT_LENGTH)) {
        (false, false) => Ok(Body::Length(0)),
        (true, true) => Err("a request has both Content-Length and Transfer-Encoding".to_owned()),
        (true, false) if request.is_http_10() => {
            Err("a request has Transfer-Encoding, but is HTTP/1.0".to_owned())
        }
        (true, false) => match is_chunked(headers) {
            true => Ok(Body::Chunked),
            false => Err(format!(
                "Transfer-Encoding {}, it must be chunked",
                stated(headers, &TRANSFER_ENCODING)
            )),
        },
        (false, true) => content_length(headers).map(Body::Length).ok_or_else(|| {
            format!(
                "Content-Length {}, it must be one number",
                stated(headers, &CONTENT_LENGTH)
            )
        }),
    }
}

/// Returns whether `chunked` is the only transfer coding, in one line and without anything else. A
/// list with an empty element is read differently by different recipients.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    let (line, second) = (lines.next(), lines.next());
    let is_plain = |line: &[u8]| trim_ows(line).eq_ignore_ascii_case(b"chunked");
    second.is_none() && line.is_some_and(|line| is_plain(line.as_bytes()))
}

/// Returns the value of Content-Length; `None` unless it is one line with one number.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut lines = headers.get_all(CONTENT_LENGTH).iter();
    let (line, second) = (lines.next()?, lines.next());
    let digits = trim_ows(line.as_bytes());
    // `parse` accepts a sign.
    let is_number = second.is_none() && digits.iter().all(u8::is_ascii_digit);
    let length = is_number.then(|| str::from_utf8(digits).ok()?.parse().ok())??;
    (length <= LENGTH_MAX).then_some(length)
}

/// Returns why a request with this complete head is refused.
fn fault_of(request: &Request, head: &[u8]) -> Option<String> {
    let has_bare_lf = head
        .iter()
        .enumerate()
        .any(|(at, byte)| *byte == b'\n' && (at == 0 || head[at - 1] != b'\r'));
    match has_bare_lf {
        true => Some("a line of the request head does not end with CRLF".to_owned()),
        false => body_of(request).err(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_MAX: usize = 16 << 10;

    /// What was read: a line for each request, or the status of the refusal.
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Seen {
        Request(String, Vec<u8>),
        Refused(u16, String),
        Broken(String),
    }

    /// Reads what a client sends in these pieces, as the driver of the reader does.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Seen> {
        let mut reader = RequestReader::new(HEAD_MAX, ([127, 0, 0, 1], 1).into(), false);
        let (mut seen, mut waiting) = (Vec::new(), Vec::new());
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
                    if let Some(Seen::Request(_, body)) = seen.last_mut() {
                        body.extend(waiting.drain(..len));
                    }
                    if !reader.is_at_head() {
                        break;
                    }
                }
                match reader.read_head(&waiting) {
                    HeadStep::Partial => break,
                    HeadStep::Complete(request, len) => {
                        waiting.drain(..len);
                        reader.begin(&request);
                        let line = format!("{} {}", request.method(), request.path());
                        seen.push(Seen::Request(line, Vec::new()));
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

    /// Reads what a client sends in one piece, in two pieces with every cut, and byte by byte.
    #[track_caller]
    fn read_cut(text: &str) -> Vec<Seen> {
        let bytes = text.as_bytes();
        let whole = read([bytes]);
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            assert_eq!(read([first, second]), whole, "{cut}: {text:?}");
        }
        assert_eq!(read(bytes.chunks(1)), whole, "{text:?}");
        whole
    }

    fn of(line: &str, body: &str) -> Seen {
        Seen::Request(line.to_owned(), body.as_bytes().to_vec())
    }

    #[test]
    fn requests_are_found_one_after_the_other() {
        let chunks = "5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n";
        let text = format!(
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\n\
             POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc\
             \r\nPUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n{chunks}\
             POST /d HTTP/1.0\r\nContent-Length:  0 \r\n\r\n\
             OPTIONS /e HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nGHEAD /f HTTP/1.1\r\n\
             Host: h\r\n\r\nGET /g HTTP/1.1\r\n"
        );
        let expected = [
            of("GET /a", ""),
            of("POST /b", "abc"),
            of("PUT /c", chunks),
            of("POST /d", ""),
            of("OPTIONS /e", "G"),
            of("HEAD /f", ""),
        ];
        assert_eq!(read_cut(&text), expected);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let coding = |is: &str| format!("Transfer-Encoding {is}, it must be chunked");
        let length = |is: &str| format!("Content-Length {is}, it must be one number");
        let bare = "a line of the request head does not end with CRLF";
        let both = "a request has both Content-Length and Transfer-Encoding";
        let malformed = "malformed request head";
        for (fields, why) in [
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                both.to_owned(),
            ),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                both.to_owned(),
            ),
            (
                "Content-Length: 5\r\nContent-Length: 5",
                length(r#"is "5" and "5""#),
            ),
            (
                "Content-Length: 5\r\nContent-Length: 6",
                length(r#"is "5" and "6""#),
            ),
            ("Content-Length: 5, 5", length(r#"is "5, 5""#)),
            ("Content-Length: +5", length(r#"is "+5""#)),
            ("Content-Length: 0x5", length(r#"is "0x5""#)),
            ("Content-Length: 5 5", length(r#"is "5 5""#)),
            ("Content-Length:", length(r#"is """#)),
            ("Content-Length: 18446744073709551616", {
                length(r#"is "18446744073709551616""#)
            }),
            (
                "Transfer-Encoding: gzip, chunked",
                coding(r#"is "gzip, chunked""#),
            ),
            (
                "Transfer-Encoding: chunked, chunked",
                coding(r#"is "chunked, chunked""#),
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                { coding(r#"is "chunked" and "chunked""#) },
            ),
            ("Transfer-Encoding: , chunked", coding(r#"is ", chunked""#)),
            ("Transfer-Encoding: xchunked", coding(r#"is "xchunked""#)),
            (
                "Transfer-Encoding: chunked;q=1",
                coding(r#"is "chunked;q=1""#),
            ),
            ("Transfer-Encoding: identity", coding(r#"is "identity""#)),
            ("Transfer-Encoding:", coding(r#"is """#)),
            ("Transfer-Encoding:\u{b}chunked", malformed.to_owned()),
            ("Transfer-Encoding : chunked", malformed.to_owned()),
            ("Content-Length : 5", malformed.to_owned()),
            ("A: b\r\n c", malformed.to_owned()),
            ("A: b\r\n\tTransfer-Encoding: chunked", malformed.to_owned()),
            (" A: b", malformed.to_owned()),
            ("A: b\nTransfer-Encoding: chunked", bare.to_owned()),
            ("A: b\rTransfer-Encoding: chunked", malformed.to_owned()),
            ("A: \0", malformed.to_owned()),
            ("Host: h2", "exactly one Host header is required".to_owned()),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
            assert_eq!(read_cut(&text), [Seen::Refused(400, why)], "{fields:?}");
        }
        for (text, status) in [
            ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: h\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
            ("GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("GET /  HTTP/1.1\r\nHost: h\r\n\r\n", 505),
            ("GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 505),
            ("GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("CONNECT a:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400),
            ("CONNECT /a HTTP/1.1\r\nHost: h\r\n\r\n", 405),
            ("TRACE /a HTTP/1.1\r\nHost: h\r\n\r\n", 405),
            ("GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ] {
            let seen = read_cut(text);
            assert!(
                matches!(&seen[..], [Seen::Refused(got, _)] if *got == status),
                "{text:?}: {seen:?}"
            );
        }
    }

    #[test]
    fn a_chunk_that_can_be_read_in_two_ways_ends_the_connection() {
        for (body, why) in [
            ("5\nhello\r\n0\r\n\r\n", "the size of a chunk is \"5\""),
            ("5\r\nhello\n0\r\n\r\n", "a chunk is longer than its size"),
            (
                "5;\n\r\nhello\r\n0\r\n\r\n",
                "the size of a chunk is \"5;\"",
            ),
            (
                "0x5\r\nhello\r\n0\r\n\r\n",
                "the size of a chunk is \"0x5\"",
            ),
            ("-1\r\nhello\r\n0\r\n\r\n", "the size of a chunk is \"-1\""),
            (
                "0\r\nA: b\n\r\n",
                "a line of the trailers does not end with CRLF",
            ),
            ("0\r\n\n", "a line of the trailers does not end with CRLF"),
        ] {
            let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
            let seen = read([head.as_bytes(), body.as_bytes()]);
            let [Seen::Request(..), Seen::Broken(got)] = &seen[..] else {
                panic!("{body:?}: {seen:?}");
            };
            assert!(got.starts_with(why), "{body:?}: {got}");
        }
    }

    #[test]
    fn heads_have_bounds() {
        let head = |len: usize| {
            let frame = "GET / HTTP/1.1\r\nHost: h\r\nA: \r\n\r\n";
            frame.replace("A: ", &format!("A: {}", "b".repeat(len - frame.len())))
        };
        let at = |len| read(head(len).as_bytes().chunks(1_000));
        assert_eq!(at(HEAD_MAX), [of("GET /", "")]);
        assert!(matches!(&at(HEAD_MAX + 1)[..], [Seen::Refused(431, _)]));
        for (fields, is_read) in [(127, true), (128, false)] {
            let text = format!(
                "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
                "A: b\r\n".repeat(fields)
            );
            let seen = read([text.as_bytes()]);
            assert_eq!(matches!(seen[0], Seen::Request(..)), is_read, "{fields}");
        }
    }
}
