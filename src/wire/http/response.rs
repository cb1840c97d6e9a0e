//! Parsing a response head into a [`Response`] (RFC 9110, RFC 9112).

use super::fields::header_map;
use super::head_end::holds_blank_line;
use super::response_fault::ResponseFault;
use httparse::Status;
use tungstenite::Bytes;
use tungstenite::http::HeaderMap;

/// The most header lines in a response head.
const HEADERS_MAX: usize = 128;

/// The most informational responses before the final one. All of them are read again with each
/// one that arrives, so their number bounds the work.
const INFORMATIONAL_MAX: usize = 16;

/// What every response begins with.
const MAGIC: &[u8] = b"HTTP/";

/// The first byte of a TLS alert (RFC 8446 §5.1), which answers a request without TLS.
const TLS_ALERT: u8 = 0x15;

/// A response to a [`DialRequest`](super::DialRequest).
#[derive(Debug)]
pub struct Response {
    status: u16,
    pub(super) is_http_10: bool,
    headers: HeaderMap,
    body: Bytes,
    is_body_cut: bool,
}

impl Response {
    /// Returns the status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns all header fields.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the first field of this name, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the body of a refusal, without its transfer coding. A 101 has none.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns whether the body was longer than what is kept of it.
    pub fn is_body_cut(&self) -> bool {
        self.is_body_cut
    }

    /// Parses a complete head, for tests.
    #[cfg(test)]
    pub(crate) fn of(head: &str) -> Self {
        match parse(head.as_bytes(), 0, 16 << 10) {
            ParsedResponse::Complete(response, len) if len == head.len() => *response,
            other => panic!("{head:?}: {other:?}"),
        }
    }

    /// Sets the body that has been read, and whether it was longer.
    pub(crate) fn set_body(&mut self, body: Bytes, is_cut: bool) {
        self.body = body;
        self.is_body_cut = is_cut;
    }
}

/// The result of parsing a response head.
#[derive(Debug)]
pub(crate) enum ParsedResponse {
    /// The end of the final head has not arrived yet.
    Partial,
    /// A final response without its body, and the length of its head in bytes, the informational
    /// responses before it included.
    Complete(Box<Response>, usize),
    /// Bytes that are not an acceptable response head.
    Invalid(ResponseFault),
}

/// Parses a complete response head of at most `most` bytes at the start of `data`. The first
/// `known` bytes are known not to contain the end of the final head.
///
/// Informational responses before it are skipped, except 101 (RFC 9110 §15.2). They count towards
/// `most`.
pub(crate) fn parse(data: &[u8], known: usize, most: usize) -> ParsedResponse {
    match parse_final(data, known) {
        Ok(Some((_, len))) if len > most => {
            ParsedResponse::Invalid(ResponseFault::HeadLength(most))
        }
        Ok(Some((response, len))) => ParsedResponse::Complete(Box::new(response), len),
        Ok(None) if data.len() >= most => ParsedResponse::Invalid(ResponseFault::HeadLength(most)),
        Ok(None) => ParsedResponse::Partial,
        Err(fault) => ParsedResponse::Invalid(fault),
    }
}

/// Returns the final response and the end of its head; `None` if that has not arrived yet.
fn parse_final(data: &[u8], known: usize) -> Result<Option<(Response, usize)>, ResponseFault> {
    // Another protocol is found at once: its peer may wait for us, and never send a blank line.
    if data.first() == Some(&TLS_ALERT) {
        return Err(ResponseFault::Tls);
    }
    let begun = data.len().min(MAGIC.len());
    if data[..begun] != MAGIC[..begun] {
        return Err(ResponseFault::NotHttp);
    }
    if !holds_blank_line(data, known) {
        return Ok(None);
    }
    let mut start = 0;
    for _ in 0..=INFORMATIONAL_MAX {
        let rest = &data[start..];
        if !holds_blank_line(rest, 0) {
            return Ok(None);
        }
        let Some((response, len)) = parse_one(rest)? else {
            return Ok(None);
        };
        start += len;
        if response.status >= 200 || response.status == 101 {
            return Ok(Some((response, start)));
        }
    }
    Err(ResponseFault::Informational(INFORMATIONAL_MAX))
}

/// Returns the response at the start of `data`, and the length of its head.
fn parse_one(data: &[u8]) -> Result<Option<(Response, usize)>, ResponseFault> {
    // httparse skips blank lines before the status line, which no response begins with.
    if !data.starts_with(MAGIC) {
        return Err(ResponseFault::NotHttp);
    }
    let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(data) {
        Ok(Status::Complete(len)) => len,
        Ok(Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(ResponseFault::FieldCount(HEADERS_MAX));
        }
        Err(httparse::Error::Version) => return Err(ResponseFault::Version),
        Err(httparse::Error::Status) => return Err(ResponseFault::StatusLine),
        Err(_) => return Err(ResponseFault::Field),
    };
    let status = parsed.code.filter(|code| (100..1000).contains(code));
    let headers = header_map(parsed.headers).ok_or(ResponseFault::Field)?;
    let response = Response {
        status: status.ok_or(ResponseFault::StatusLine)?,
        is_http_10: parsed.version == Some(0),
        headers,
        body: Bytes::new(),
        is_body_cut: false,
    };
    Ok(Some((response, len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_MAX: usize = 16 << 10;

    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                             Connection: Upgrade\r\n\
                             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
                             Sec-WebSocket-Protocol: b\r\n\r\n";

    const EARLY_HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";

    /// Returns what two results must have in common: the status, the fields and the length, or the
    /// fault.
    fn outcome(parsed: ParsedResponse) -> Result<(u16, HeaderMap, usize), Option<ResponseFault>> {
        match parsed {
            ParsedResponse::Partial => Err(None),
            ParsedResponse::Complete(r, len) => Ok((r.status, r.headers, len)),
            ParsedResponse::Invalid(fault) => Err(Some(fault)),
        }
    }

    fn parse_all(text: &str) -> Result<(u16, HeaderMap, usize), Option<ResponseFault>> {
        outcome(parse(text.as_bytes(), 0, HEAD_MAX))
    }

    fn fault(text: &str) -> ResponseFault {
        match parse_all(text) {
            Err(Some(fault)) => fault,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    /// Parses a text that arrives in two pieces, for every cut, and byte by byte. Its outcome must
    /// be the one of the text in one piece. Nothing may be decided before the byte at `end`.
    #[track_caller]
    fn at_every_cut(text: &str, end: usize) {
        let whole = parse_all(text);
        let bytes = text.as_bytes();
        let mut is_decided = false;
        for cut in 0..bytes.len() {
            let first = outcome(parse(&bytes[..cut], 0, HEAD_MAX));
            assert_eq!(first == Err(None), cut < end, "{text:?}, {cut}: {first:?}");
            if cut < end {
                assert_eq!(outcome(parse(bytes, cut, HEAD_MAX)), whole, "{cut}");
                let next = outcome(parse(&bytes[..=cut], cut, HEAD_MAX));
                is_decided |= next == whole && cut + 1 == end;
                assert_eq!(next == Err(None), cut + 1 < end, "{text:?}, {cut}");
            } else {
                assert_eq!(first, whole, "{text:?}, {cut}");
            }
        }
        assert!(is_decided, "{text:?}: {whole:?}");
    }

    #[test]
    fn a_head_may_come_in_any_pieces_and_with_a_tail() {
        for text in [
            SWITCHING.to_owned(),
            SWITCHING.replace("\r\n", "\n"),
            [EARLY_HINTS, SWITCHING].concat(),
            "HTTP/1.1 100\n\nHTTP/1.1 102 \r\n\r\nHTTP/1.0 503 Busy\r\n\r\n".to_owned(),
            "HTTP/1.1 404\r\n\r\n".to_owned(),
            "HTTP/1.0 299 \u{e9}t\u{e9}\r\nEmpty:\r\nX: \u{e9}\t1 \r\n\n".to_owned(),
        ] {
            at_every_cut(&text, text.len());
            let tail = format!("{text}\r\n\r\nHTTP/1.1 200 OK\r\n\r\n");
            at_every_cut(&tail, text.len());
            let (_, _, len) = parse_all(&tail).expect("a head");
            assert_eq!(len, text.len(), "{text:?}");
        }
    }

    #[test]
    fn a_response_has_its_status_and_fields() {
        let response = Response::of(
            "HTTP/1.1 503 Busy\r\nRetry-After:7\r\nset-cookie: a=b\r\nX-A: \u{e9}\r\n\
             Set-Cookie: \t c=d\t \r\n\r\n",
        );
        assert_eq!(response.status(), 503);
        assert_eq!(response.header("retry-after"), Some("7"));
        assert_eq!(response.header("x-a"), None, "not ASCII");
        assert_eq!(response.headers()["x-a"], "\u{e9}");
        let cookies = response.headers().get_all("set-cookie").iter();
        assert_eq!(cookies.collect::<Vec<_>>(), ["a=b", "c=d"]);
        assert!(response.body().is_empty() && !response.is_body_cut());
        let mut response = response;
        response.set_body(Bytes::from_static(b"{}"), true);
        assert_eq!(
            (&**response.body(), response.is_body_cut()),
            (&b"{}"[..], true)
        );
    }

    #[test]
    fn informational_responses_are_skipped_within_the_limits() {
        for status in [100, 102, 103, 199] {
            let text = format!("HTTP/1.1 {status} x\r\nUpgrade: x\r\n\r\n{SWITCHING}");
            assert_eq!(Response::of(&text).status(), 101, "{status}");
        }
        let many = |n| format!("{}{SWITCHING}", "HTTP/1.1 100\r\n\r\n".repeat(n));
        assert_eq!(Response::of(&many(16)).status(), 101);
        assert_eq!(fault(&many(17)), ResponseFault::Informational(16));
        let long = EARLY_HINTS.replace("/a", &"a".repeat(HEAD_MAX / 3));
        assert_eq!(Response::of(&(long.repeat(2) + SWITCHING)).status(), 101);
        let text = long.repeat(3) + SWITCHING;
        assert_eq!(fault(&text), ResponseFault::HeadLength(HEAD_MAX));
        let early = parse(&text.as_bytes()[..HEAD_MAX], 0, HEAD_MAX);
        assert_eq!(
            outcome(early),
            Err(Some(ResponseFault::HeadLength(HEAD_MAX)))
        );
    }

    #[test]
    fn a_head_has_bounds() {
        let with = |fields: &str| format!("HTTP/1.1 400 x\r\n{fields}\r\n");
        let fields = |n| with(&"a: b\r\n".repeat(n));
        assert_eq!(
            Response::of(&fields(128))
                .headers()
                .get_all("a")
                .iter()
                .count(),
            128
        );
        assert_eq!(fault(&fields(129)), ResponseFault::FieldCount(128));
        let line = |len| with(&format!("a: {}\r\n", "b".repeat(len)));
        let most = HEAD_MAX - line(0).len();
        assert_eq!(Response::of(&line(most)).status(), 400);
        at_every_cut(&line(300), line(300).len());
        assert_eq!(fault(&line(most + 1)), ResponseFault::HeadLength(HEAD_MAX));
        let endless = "HTTP/1.1 400 ".to_owned() + &"x".repeat(HEAD_MAX);
        assert_eq!(parse_all(&endless[..HEAD_MAX - 1]), Err(None));
        assert_eq!(
            fault(&endless[..HEAD_MAX]),
            ResponseFault::HeadLength(HEAD_MAX)
        );
        // What follows the head does not count.
        let tail = SWITCHING.to_owned() + &"x".repeat(HEAD_MAX);
        assert_eq!(parse_all(&tail).expect("a head").2, SWITCHING.len());
    }

    #[test]
    fn another_protocol_is_found_at_its_first_byte() {
        for (text, end, expected) in [
            ("\x15\x03\x03\x00\x02\x02\x46", 1, ResponseFault::Tls),
            ("SSH-2.0-OpenSSH_9.6\r\n", 1, ResponseFault::NotHttp),
            ("HTML", 3, ResponseFault::NotHttp),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", 1, ResponseFault::NotHttp),
            ("http/1.1 200 OK\r\n\r\n", 1, ResponseFault::NotHttp),
        ] {
            assert_eq!(fault(text), expected, "{text:?}");
            at_every_cut(text, end);
        }
    }

    #[test]
    fn every_malformed_head_has_its_fault() {
        use ResponseFault::{Field, NotHttp, StatusLine, Version};
        for (text, expected) in [
            ("HTTP/2.0 200 OK\r\n\r\n", Version),
            ("HTTP/1.2 200 OK\r\n\r\n", Version),
            ("HTTP/0.9\r\n\r\n", Version),
            ("HTTP/1.1  200 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 20 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 2000 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 099 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 +20 OK\r\n\r\n", StatusLine),
            ("HTTP/1.1 200 O\rK\r\n\r\n", StatusLine),
            ("HTTP/1.1 200 O\0K\r\n\r\n", StatusLine),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA\t: b\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\n A: b\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\tc\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA: b\rB: c\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA: \u{7f}\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\n\u{e9}: b\r\n\r\n", Field),
            ("HTTP/1.1 200 OK\r\nA\r\n\r\n", Field),
            ("HTTP/1.1 100 x\r\nA : b\r\n\r\n", Field),
            ("HTTP/1.1 100\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", NotHttp),
            ("HTTP/1.1 100\r\n\r\nGARBAGE\r\n\r\n", NotHttp),
        ] {
            assert_eq!(fault(text), expected, "{text:?}");
            at_every_cut(text, text.len());
        }
    }
}
