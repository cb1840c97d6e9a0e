//! From the bytes of a request head to a [`Request`], and responses (RFC 9110, RFC 9112; RFC 6455 §4.2).

use crate::id::ConnId;
use httparse::Status;
use std::fmt::Write as _;
use std::net::SocketAddr;
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, RETRY_AFTER,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
    WWW_AUTHENTICATE,
};
use tungstenite::http::{self, HeaderMap, Method, Uri, Version};

/// The methods of a path that takes OPTIONS, too.
const WITH_OPTIONS: &str = "GET, HEAD, OPTIONS";

/// The most header lines in a request head.
const HEADERS_MAX: usize = 64;

/// The least that `Retry-After` says when we are full or going away, in seconds.
const RETRY_AFTER_LEAST_S: u32 = 5;
/// The values of `Retry-After` are spread over 2 to this power of seconds.
const RETRY_AFTER_BITS: u32 = 4;

/// What `Retry-After` tells a client when we are full or going away: 5 to 20 s.
///
/// Clients that are refused one after the other get different values, and all values are equally frequent, so that they do
/// not come back together: multiples of the golden ratio, modulo 1, are spread evenly (Weyl's sequence). What is multiplied is
/// the id's generation, which counts accepted connections.
pub(crate) fn retry_after_s(id: ConnId) -> u32 {
    /// 2^32 divided by the golden ratio.
    const GOLDEN: u32 = 0x9E37_79B9;
    let spread = id.generation().wrapping_mul(GOLDEN) >> (u32::BITS - RETRY_AFTER_BITS);
    RETRY_AFTER_LEAST_S + spread
}

/// The answer to a client for which there is no room.
pub(crate) fn no_room(id: ConnId) -> Reply {
    Reply::error(503, "no room for more connections").retry_after(retry_after_s(id))
}

/// A request head, as a handler sees it.
#[derive(Debug)]
pub struct Request {
    head: http::Request<()>,
    peer_addr: SocketAddr,
}

impl Request {
    /// The path, as sent: not decoded, without the query.
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// The query, as sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.head.uri().query()
    }

    /// All header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// The first field of this name, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    /// Who asks.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Returns whether this asks for a WebSocket at all (whether it does so correctly is checked with the verdict).
    pub fn is_upgrade(&self) -> bool {
        self.lists(&UPGRADE, b"websocket")
    }

    /// The subprotocols that the client offers, in its order of preference. An offer that is no token (RFC 6455 §4.1) is left
    /// out.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        self.elements(&SEC_WEBSOCKET_PROTOCOL)
            .filter(|offer| offer.iter().all(|b| is_token_byte(*b)))
            .filter_map(|offer| str::from_utf8(offer).ok())
    }

    /// The elements of a list field, over all its lines, without the white space around them; empty ones are left out
    /// (RFC 9110 §5.6.1).
    fn elements(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let lines = self.head.headers().get_all(name).iter();
        lines
            .flat_map(|line| line.as_bytes().split(|b| *b == b','))
            .map(trim_ows)
            .filter(|element| !element.is_empty())
    }

    /// Returns whether a list field has this element, in capitals or not.
    fn lists(&self, name: &HeaderName, element: &[u8]) -> bool {
        self.elements(name).any(|e| e.eq_ignore_ascii_case(element))
    }

    /// The request of a whole head, for tests of what handlers make of one.
    #[cfg(test)]
    pub(crate) fn of(head: &str) -> Self {
        let parsed = parse(
            head.as_bytes(),
            0,
            16 << 10,
            ([127, 0, 0, 1], 1).into(),
            |_| false,
        );
        match parsed {
            Head::Complete(request, _) => *request,
            other => panic!("{head:?}: {other:?}"),
        }
    }

    pub(crate) fn is_head(&self) -> bool {
        self.head.method() == Method::HEAD
    }

    /// The answer to this request; to OPTIONS with the methods that there are (RFC 9110 §9.3.7).
    pub(crate) fn with_methods(&self, reply: Reply) -> Reply {
        if self.head.method() == Method::OPTIONS {
            reply.with(ALLOW, HeaderValue::from_static(WITH_OPTIONS))
        } else {
            reply
        }
    }
}

/// An HTTP answer that is not 101. It ends the connection.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Header fields besides Content-Length and Connection, which are always sent. Without a Content-Type among them the body is
    /// sent as JSON.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; JSON, unless the header fields say otherwise.
    pub body: String,
    /// Why, for the log and [`Ending::reason`](crate::engine::Ending::reason); it is not sent.
    pub reason: Box<str>,
}

impl Reply {
    /// A reply with this body, and without a reason.
    pub fn new(status: u16, body: impl Into<String>) -> Self {
        Reply {
            status,
            headers: Vec::new(),
            body: body.into(),
            reason: "".into(),
        }
    }

    /// A reply whose JSON body is the status and this text, which is its reason, too.
    pub fn error(status: u16, message: &str) -> Self {
        let mut body = format!("{{\"status\":{status},\"error\":\"");
        for c in message.chars() {
            match c {
                '"' | '\\' => body.extend(['\\', c]),
                c if c.is_control() => {
                    let _ = write!(body, "\\u{:04x}", c as u32);
                }
                c => body.push(c),
            }
        }
        body.push_str("\"}");
        Reply::new(status, body).because(message)
    }

    /// With this reason, for the log and [`Ending::reason`](crate::engine::Ending::reason). It is not sent.
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = reason.into();
        self
    }

    /// With one more header field.
    pub fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// With `Retry-After`, in seconds.
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// With `WWW-Authenticate`, which names the scheme that a 401 asks for.
    pub fn challenge(self, scheme: &'static str) -> Self {
        self.with(WWW_AUTHENTICATE, HeaderValue::from_static(scheme))
    }

    /// The bytes; without the body for an answer to HEAD.
    pub(crate) fn render(&self, is_head: bool) -> Vec<u8> {
        let mut text = String::with_capacity(256 + self.body.len());
        // fmt::Write to a String does not fail.
        let _ = write!(text, "HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let length = self.body.len();
        let _ = write!(
            text,
            "{}Content-Length: {length}\r\nConnection: {}\r\n",
            // The host's own says what its body is.
            if self
                .headers
                .iter()
                .any(|(n, _)| n == http::header::CONTENT_TYPE)
            {
                ""
            } else {
                "Content-Type: application/json\r\n"
            },
            // RFC 9110 §7.8: who sends Upgrade lists it in Connection, too.
            if self.headers.iter().any(|(n, _)| n == UPGRADE) {
                "Upgrade, close"
            } else {
                "close"
            }
        );
        let mut bytes = text.into_bytes();
        write_fields(&mut bytes, self.headers.iter().map(|(n, v)| (n, v)));
        if !is_head {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

/// What has come of a request head so far.
#[derive(Debug)]
pub(crate) enum Head {
    /// The blank line is not there yet.
    Partial,
    /// The head took this many bytes.
    Complete(Box<Request>, usize),
    /// Not one that we serve. The flag says that it was a HEAD request.
    Refused(Reply, bool),
}

/// Looks for a whole request head of at most `most` bytes at the start of `data`; the first `known` bytes hold no end of one.
/// `takes_options` says of which paths OPTIONS is a method, too.
pub(crate) fn parse(
    data: &[u8],
    known: usize,
    most: usize,
    peer_addr: SocketAddr,
    takes_options: impl Fn(&str) -> bool,
) -> Head {
    let refuse = |status, why: &str| Head::Refused(Reply::error(status, why), false);
    let too_long = || refuse(431, &format!("request head above {most} bytes"));
    // A TLS hello, or noise, need not be waited for: a method begins with a letter (blank lines may precede it).
    match data.iter().find(|b| !matches!(b, b'\r' | b'\n')) {
        // RFC 8446 §5.1: a record of the handshake, of a version that begins with 3.
        Some(0x16) if data.get(1).is_none_or(|version| *version == 3) => {
            return refuse(400, "TLS on a port without TLS: use ws:// or http://");
        }
        Some(b) if !b.is_ascii_alphabetic() => return refuse(400, "not an HTTP request"),
        _ => {}
    }
    if !holds_blank_line(data, known) {
        if data.len() >= most {
            return too_long();
        }
        return Head::Partial;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let len = match parsed.parse(data) {
        Ok(Status::Complete(len)) if len > most => return too_long(),
        Ok(Status::Complete(len)) => len,
        // Blank lines before the request line: there is more to come.
        Ok(Status::Partial) if data.len() < most => return Head::Partial,
        Ok(Status::Partial) => return too_long(),
        Err(httparse::Error::TooManyHeaders) => {
            return refuse(431, "more than 64 header fields");
        }
        Err(httparse::Error::Version) => return refuse(505, "HTTP/1.0 and HTTP/1.1 only"),
        Err(_) => return refuse(400, "malformed request head"),
    };
    match request(&parsed, takes_options) {
        Ok(head) => Head::Complete(Box::new(Request { head, peer_addr }), len),
        Err(reply) => Head::Refused(reply, parsed.method == Some("HEAD")),
    }
}

/// The rules that hold for every request, whoever handles it.
fn request(
    parsed: &httparse::Request<'_, '_>,
    takes_options: impl Fn(&str) -> bool,
) -> Result<http::Request<()>, Reply> {
    let malformed = || Reply::error(400, "malformed request head");
    let method = match parsed.method {
        Some("GET") => Method::GET,
        Some("HEAD") => Method::HEAD,
        other if takes_options(path_of(parsed.path)) => {
            if other != Some("OPTIONS") {
                return Err(Reply::error(405, "GET, HEAD and OPTIONS only")
                    .with(ALLOW, HeaderValue::from_static(WITH_OPTIONS)));
            }
            Method::OPTIONS
        }
        _ => {
            return Err(Reply::error(405, "GET and HEAD only")
                .with(ALLOW, HeaderValue::from_static("GET, HEAD")));
        }
    };
    let mut headers = HeaderMap::with_capacity(parsed.headers.len());
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| malformed())?;
        let value = HeaderValue::from_bytes(field.value).map_err(|_| malformed())?;
        headers.append(name, value);
    }
    let version = if parsed.version == Some(0) {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Err(Reply::error(400, "exactly one Host header is required"));
    }
    let no_body = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .all(|v| v.as_bytes() == b"0");
    if !no_body || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Reply::error(400, "a request body is not accepted"));
    }
    let uri: Uri = parsed
        .path
        .unwrap_or_default()
        .parse()
        .map_err(|_| malformed())?;
    if !uri.path().starts_with('/') {
        return Err(malformed());
    }
    let mut head = http::Request::new(());
    *head.method_mut() = method;
    *head.uri_mut() = uri;
    *head.version_mut() = version;
    *head.headers_mut() = headers;
    Ok(head)
}

/// The path of a request's target, without its query.
fn path_of(target: Option<&str>) -> &str {
    target.and_then(|t| t.split('?').next()).unwrap_or_default()
}

/// The 101 response to `request` (RFC 6455 §4.2.2), or why there is none.
pub(crate) fn switching_protocols(
    request: &Request,
    protocol: Option<&str>,
    extra: &[(HeaderName, HeaderValue)],
) -> Result<Vec<u8>, Reply> {
    let mut keys = request.headers().get_all(SEC_WEBSOCKET_KEY).iter();
    let (key, second_key) = (keys.next(), keys.next());
    if second_key.is_some() {
        return Err(Reply::error(400, "more than one Sec-WebSocket-Key"));
    }
    if request.head.method() != Method::GET {
        return Err(Reply::error(405, "a WebSocket is opened with GET")
            .with(ALLOW, HeaderValue::from_static("GET")));
    }
    let faults = faults_of_upgrade(request);
    if !faults.is_empty() {
        let faults = faults.join("; ");
        let why = format!("{faults}: this path speaks WebSocket, version 13, over HTTP/1.1");
        return Err(Reply::error(426, &why)
            .with(UPGRADE, HeaderValue::from_static("websocket"))
            .with(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let Some(key) = key.filter(|key| is_key(key.as_bytes())) else {
        let why = "Sec-WebSocket-Key must be 22 base64 characters and ==";
        return Err(Reply::error(400, why));
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut bytes = Vec::with_capacity(192);
    bytes.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    bytes.extend_from_slice(accept.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let protocol = protocol
        .filter(|wanted| request.protocols().any(|offered| offered == *wanted))
        .and_then(|p| HeaderValue::from_str(p).ok());
    let chosen = protocol.iter().map(|p| (&SEC_WEBSOCKET_PROTOCOL, p));
    write_fields(
        &mut bytes,
        chosen.chain(extra.iter().map(|(name, value)| (name, value))),
    );
    Ok(bytes)
}

/// What keeps a request from being an upgrade to a WebSocket (RFC 6455 §4.2.1), each with the header and its value.
fn faults_of_upgrade(request: &Request) -> Vec<String> {
    let mut faults = Vec::new();
    if request.head.version() < Version::HTTP_11 {
        faults.push("the request is HTTP/1.0".to_owned());
    }
    let mut must = |name: &HeaderName, is_right: bool, must: &str| {
        if !is_right {
            let name = spelled(name);
            let lines = request.headers().get_all(&*name).iter();
            let lines: Vec<_> = lines.take(3).map(|line| shown(line.as_bytes())).collect();
            let is = if lines.is_empty() {
                "is missing".to_owned()
            } else {
                format!("is {}", lines.join(" and "))
            };
            faults.push(format!("{name} {is}, it must {must}"));
        }
    };
    must(
        &UPGRADE,
        request.lists(&UPGRADE, b"websocket"),
        "name websocket",
    );
    must(
        &CONNECTION,
        request.lists(&CONNECTION, b"upgrade"),
        "list Upgrade",
    );
    let version = request.headers().get(SEC_WEBSOCKET_VERSION);
    let is_13 = version.is_some_and(|v| trim_ows(v.as_bytes()) == b"13");
    must(&SEC_WEBSOCKET_VERSION, is_13, "be 13");
    faults
}

/// Returns whether `key` is 16 bytes in base64. The spare bits of the last character may be set, as in the example of RFC 6455
/// §4.1: embedded clients choose the characters at random, and the answer is computed from the characters.
fn is_key(key: &[u8]) -> bool {
    const CHARACTERS: usize = 22;
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == CHARACTERS + 2
        && key[..CHARACTERS].iter().all(is_base64)
        && &key[CHARACTERS..] == b"=="
}

/// A value of a peer for an error text: in quotes, in ASCII, on one line, of at most 64 characters.
fn shown(value: &[u8]) -> String {
    const MOST: usize = 64;
    let mut text = String::from("\"");
    text.extend(value.iter().take(MOST).copied().map(|b| match b {
        b'"' | b'\\' => '?',
        b if b.is_ascii_graphic() || b == b' ' => char::from(b),
        b'\t' => ' ',
        _ => '?',
    }));
    if value.len() > MOST {
        text.push('…');
    }
    text.push('"');
    text
}

/// Without the spaces and tabs around it (OWS, RFC 9110 §5.6.3).
fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Returns whether a token may have this byte (RFC 9110 §5.6.2).
fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Header fields and the blank line.
fn write_fields<'a>(
    bytes: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in fields {
        bytes.extend_from_slice(spelled(name).as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
}

/// The name of a header field in its usual spelling, such as `Retry-After`: embedded clients compare names as they are, although
/// RFC 9110 §5.1 has them without regard to capitals.
fn spelled(name: &HeaderName) -> String {
    /// The words that are not just written with a capital.
    const WORDS: [(&str, &str); 6] = [
        ("etag", "ETag"),
        ("id", "ID"),
        ("te", "TE"),
        ("websocket", "WebSocket"),
        ("www", "WWW"),
        ("xss", "XSS"),
    ];
    let words = name.as_str().split('-').map(|word| {
        if let Some((_, usual)) = WORDS.iter().find(|(plain, _)| *plain == word) {
            return (*usual).to_owned();
        }
        let mut word = word.to_owned();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    });
    words.collect::<Vec<_>>().join("-")
}

/// Returns whether a line end is followed by another; bare LF counts, as httparse takes it (RFC 9112 §2.2).
fn holds_blank_line(data: &[u8], known: usize) -> bool {
    let from = known.saturating_sub(2);
    data[from..]
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .any(|(i, _)| {
            let rest = &data[from + i + 1..];
            rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
        })
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD_MAX: usize = 16 << 10;

    const UPGRADE_HEAD: &str = "GET /ws?user=a HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: a, b\r\n\r\n";

    fn parse_all(text: &str) -> Head {
        parse(
            text.as_bytes(),
            0,
            HEAD_MAX,
            "127.0.0.1:1".parse().expect("an address"),
            |path| path == "/healthz",
        )
    }

    fn complete(text: &str) -> (Box<Request>, usize) {
        match parse_all(text) {
            Head::Complete(request, len) => (request, len),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match parse_all(text) {
            Head::Refused(reply, _) => reply.status,
            Head::Complete(request, _) => {
                switching_protocols(&request, None, &[]).map_or_else(|r| r.status, |_| 101)
            }
            Head::Partial => 0,
        }
    }

    #[test]
    fn a_head_may_come_in_any_pieces_and_with_a_tail() {
        for cut in 1..UPGRADE_HEAD.len() {
            assert!(
                matches!(parse_all(&UPGRADE_HEAD[..cut]), Head::Partial),
                "{cut}"
            );
            let whole = parse(
                UPGRADE_HEAD.as_bytes(),
                cut,
                HEAD_MAX,
                "127.0.0.1:1".parse().expect("an address"),
                |_| false,
            );
            assert!(
                matches!(whole, Head::Complete(_, len) if len == UPGRADE_HEAD.len()),
                "{cut}"
            );
        }
        let (request, len) = complete(&format!("{UPGRADE_HEAD}tail"));
        assert_eq!(
            (request.path(), request.query(), len),
            ("/ws", Some("user=a"), UPGRADE_HEAD.len())
        );
        assert_eq!(request.protocols().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let (request, _) = complete(UPGRADE_HEAD);
        let answer = switching_protocols(&request, Some("b"), &[]).expect("a valid request");
        let answer = String::from_utf8(answer).expect("ASCII");
        // RFC 6455 §1.3. Embedded clients look for these very letters.
        assert_eq!(
            answer,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: b\r\n\r\n"
        );
        let unoffered = switching_protocols(&request, Some("c"), &[]).expect("a valid request");
        assert!(
            !String::from_utf8(unoffered)
                .expect("ASCII")
                .contains("Protocol:")
        );
    }

    #[test]
    fn a_key_of_any_22_letters_is_taken() {
        let with = |key: &str| status(&UPGRADE_HEAD.replace("dGhlIHNhbXBsZSBub25jZQ==", key));
        for key in [
            // RFC 6455 §4.1, with spare bits that are set.
            "AQIDBAUGBwgJCgsMDQ4PEC==",
            "zzzzzzzzzzzzzzzzzzzzzz==",
            "+/+/+/+/+/+/+/+/+/+/+/==",
        ] {
            assert_eq!(with(key), 101, "{key}");
        }
        for key in [
            "AQIDBAUGBwgJCgsMDQ4PE===",
            "AQIDBAUGBwgJCgsMDQ4PECA=",
            "AQIDBAUGBwgJCgsMDQ4PEC=",
            "AQIDBAUGBwgJCgsMDQ4PEC",
            "AQIDBAUGBwgJCgsMDQ4PEC====",
            "AQIDBAUGBwgJCgsMDQ4_EC==",
            "AQIDBAUGBwgJ CgsMDQ4EC==",
        ] {
            assert_eq!(with(key), 400, "{key}");
        }
    }

    #[test]
    fn white_space_and_other_elements_are_no_matter_in_lists() {
        let with = |from: &str, to: &str| UPGRADE_HEAD.replace(from, to);
        for list in [
            "keep-alive,\tUpgrade",
            "keep-alive\t,\t upgrade\t, x",
            ",,\tUPGRADE ,",
            "keep-alive\r\nConnection:\tUpgrade",
        ] {
            assert_eq!(status(&with("keep-alive, Upgrade", list)), 101, "{list:?}");
        }
        for list in ["h2c,\twebsocket", "websocket\t,h2c"] {
            let head = with("Upgrade: WebSocket", &format!("Upgrade: {list}"));
            assert!(complete(&head).0.is_upgrade(), "{list:?}");
            assert_eq!(status(&head), 101, "{list:?}");
        }
        for (list, offers) in [
            ("a,\tb\t,\t c", vec!["a", "b", "c"]),
            (
                "a\r\nSec-WebSocket-Protocol:\tb,,\u{e9},c d,c",
                vec!["a", "b", "c"],
            ),
        ] {
            let (request, _) = complete(&with("a, b", list));
            assert_eq!(request.protocols().collect::<Vec<_>>(), offers, "{list:?}");
        }
    }

    #[test]
    fn a_426_names_each_header_that_is_wrong() {
        let why = |from: &str, to: &str| {
            let (request, _) = complete(&UPGRADE_HEAD.replace(from, to));
            let reply = switching_protocols(&request, None, &[]).expect_err("no upgrade");
            assert_eq!(reply.status, 426);
            let text = reply.reason.to_string();
            let end = ": this path speaks WebSocket, version 13, over HTTP/1.1";
            text.strip_suffix(end).expect("what is spoken").to_owned()
        };
        for (from, to, wrong) in [
            (
                "keep-alive, Upgrade",
                "close",
                r#"Connection is "close", it must list Upgrade"#,
            ),
            (
                "keep-alive, Upgrade",
                "keep\r\nConnection: Up\"grade",
                r#"Connection is "keep" and "Up?grade", it must list Upgrade"#,
            ),
            (
                "Connection: keep-alive, Upgrade\r\n",
                "",
                "Connection is missing, it must list Upgrade",
            ),
            (
                "Upgrade: WebSocket\r\n",
                "",
                "Upgrade is missing, it must name websocket",
            ),
            (
                "Version: 13",
                "Version: 8",
                r#"Sec-WebSocket-Version is "8", it must be 13"#,
            ),
            ("HTTP/1.1", "HTTP/1.0", "the request is HTTP/1.0"),
        ] {
            assert_eq!(why(from, to), wrong, "{to:?}");
        }
        let both = "Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n";
        assert_eq!(
            why(both, ""),
            "Upgrade is missing, it must name websocket; Sec-WebSocket-Version is missing, it must be 13"
        );
        let long = why("keep-alive, Upgrade", &"x".repeat(1_000));
        assert!(long.len() < 120 && long.contains("xx…"), "{long}");
    }

    #[test]
    fn an_offer_that_is_no_token_takes_no_other_along() {
        let request = Request::of(
            "GET /ws HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: v1, caf\u{e9}, two words, v2\r\n\
             Sec-WebSocket-Protocol: \u{e9},v3,,\t v4 \r\n\r\n",
        );
        let offers: Vec<&str> = request.protocols().collect();
        assert_eq!(offers, ["v1", "v2", "v3", "v4"]);
    }

    #[test]
    fn header_names_are_written_in_their_usual_spelling() {
        for usual in [
            "Allow",
            "Connection",
            "Content-Type",
            "ETag",
            "Retry-After",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Version",
            "Upgrade",
            "WWW-Authenticate",
            "X-Forwarded-For",
            "X-Request-ID",
        ] {
            let name: HeaderName = usual.parse().expect("a name");
            assert_eq!(spelled(&name), usual);
        }
    }

    #[test]
    fn every_fault_has_its_status() {
        let with = |from: &str, to: &str| status(&UPGRADE_HEAD.replace(from, to));
        assert_eq!(status(UPGRADE_HEAD), 101);
        assert_eq!(with("Host: x\r\n", ""), 400);
        assert_eq!(with("Host: x\r\n", "Host: x\r\nHost: y\r\n"), 400);
        assert_eq!(with("Host: x", "Host: x\r\nContent-Length: 1"), 400);
        assert_eq!(with("Host: x", "Host: x\r\nContent-Length: 0"), 101);
        assert_eq!(
            with("Host: x", "Host: x\r\nTransfer-Encoding: chunked"),
            400
        );
        assert_eq!(with("GET", "POST"), 405);
        assert_eq!(with("GET", "HEAD"), 405);
        assert_eq!(with("Version: 13", "Version: 8"), 426);
        assert_eq!(with("Upgrade: WebSocket\r\n", ""), 426);
        assert_eq!(with("HTTP/1.1", "HTTP/1.0"), 426);
        assert_eq!(with("HTTP/1.1", "HTTP/2.0"), 505);
        assert_eq!(with("dGhlIHNhbXBsZSBub25jZQ==", "dGhl"), 400);
        assert_eq!(
            with("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            400
        );
        assert_eq!(
            with("keep-alive, Upgrade", "keep-alive\r\nConnection: Upgrade"),
            101
        );
        assert_eq!(with("GET /ws", "GET ws"), 400);
        assert_eq!(with("Host: x", "Ho st: x"), 400);
        assert_eq!(
            with(
                "Host: x",
                format!("Host: x\r\n{}", "a: b\r\n".repeat(64)).trim_end()
            ),
            431
        );
        assert_eq!(
            with(
                "Host: x",
                &format!("Host: x\r\na: {}", "b".repeat(HEAD_MAX))
            ),
            431
        );
        assert_eq!(status(&"G".repeat(HEAD_MAX)), 431);
        assert_eq!(status("\x16\x03\x01"), 400, "a TLS hello is not waited for");
        assert_eq!(
            status("GET /healthz HTTP/1.0\n\n"),
            426,
            "bare line feeds are read"
        );
    }

    #[test]
    fn retry_after_is_spread_evenly_and_neighbours_differ() {
        let values: Vec<u32> = (1..=1_600)
            .map(|n| retry_after_s(ConnId::new(3, n)))
            .collect();
        for value in 5..=20 {
            let many = values.iter().filter(|v| **v == value).count();
            assert!((95..=105).contains(&many), "{value} s: {many} of 1600");
        }
        let apart = |pair: &[u32]| pair[0].abs_diff(pair[1]) >= 5;
        assert!(values.windows(2).all(apart), "{values:?}");
    }

    #[test]
    fn replies_state_their_length_and_close() {
        let reply = Reply::error(404, "no \"such\"\npath").retry_after(3);
        let text = String::from_utf8(reply.render(false)).expect("ASCII");
        assert!(
            text.starts_with("HTTP/1.1 404 Not Found\r\n")
                && text.contains("Connection: close\r\n")
        );
        assert!(
            text.contains("Retry-After: 3\r\n")
                && text.ends_with("{\"status\":404,\"error\":\"no \\\"such\\\"\\u000apath\"}")
        );
        let head = String::from_utf8(reply.render(true)).expect("ASCII");
        assert!(
            head.ends_with("\r\n\r\n")
                && head.contains(&format!("Content-Length: {}", reply.body.len()))
        );
    }
}
