//! Parsing a request head into a [`Request`] (RFC 9110, RFC 9112).

use super::fields::{elements, header_map, is_token_byte, lists};
use super::head_end::holds_blank_line;
use super::reply::{Reply, ReplyForm};
use httparse::Status;
use std::net::SocketAddr;
use tungstenite::http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use tungstenite::http::{self, HeaderMap, Method, Uri, Version};

/// The methods of a path that also accepts OPTIONS.
const WITH_OPTIONS: &str = "GET, HEAD, OPTIONS";

/// The most header lines in a request head.
const HEADERS_MAX: usize = 128;

/// A request head, as a handler sees it.
#[derive(Debug)]
pub struct Request {
    pub(super) head: http::Request<()>,
    peer_addr: SocketAddr,
    encrypted: bool,
}

impl Request {
    /// Returns the method as sent. A request that reaches a handler has GET, HEAD, or OPTIONS where
    /// the handler accepts it, except in
    /// [`Handler::hands_over`](crate::engine::Handler::hands_over).
    pub fn method(&self) -> &str {
        self.head.method().as_str()
    }

    /// Returns the path as sent: not decoded, without the query.
    pub fn path(&self) -> &str {
        self.head.uri().path()
    }

    /// Returns the query as sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.head.uri().query()
    }

    /// Returns all header fields.
    pub fn headers(&self) -> &HeaderMap {
        self.head.headers()
    }

    /// Returns the first field of this name, if it is visible ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers().get(name)?.to_str().ok()
    }

    /// Returns the host that the client addressed: that of a target in absolute form, else the
    /// value of Host (RFC 9112 §3.2.2).
    pub fn host(&self) -> Option<HeaderValue> {
        let Some(authority) = self.head.uri().authority() else {
            return self.head.headers().get(HOST).cloned();
        };
        let (_, host) = authority
            .as_str()
            .rsplit_once('@')
            .unwrap_or(("", authority.as_str()));
        HeaderValue::from_str(host).ok()
    }

    /// Returns the client's address.
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer_addr
    }

    /// Returns whether a proxy in front reported in its preamble that the client's connection to
    /// it is encrypted (TLS). Header fields play no part.
    pub fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Returns whether this asks for a WebSocket at all. Its correctness is checked with the
    /// verdict.
    pub fn is_upgrade(&self) -> bool {
        self.lists(&UPGRADE, b"websocket")
    }

    /// Returns the subprotocols that the client offers, in its order of preference. An offer that
    /// is not a token (RFC 6455 §4.1) is skipped.
    pub fn protocols(&self) -> impl Iterator<Item = &str> {
        elements(self.headers(), &SEC_WEBSOCKET_PROTOCOL)
            .filter(|offer| offer.iter().all(|b| is_token_byte(*b)))
            .filter_map(|offer| str::from_utf8(offer).ok())
    }

    /// Returns whether a list field has this element, without regard to case.
    pub(super) fn lists(&self, name: &HeaderName, element: &[u8]) -> bool {
        lists(self.headers(), name, element)
    }

    /// Returns the reply to a request that the loop itself cannot serve, because of its method or
    /// its body; `None` if it can. `accepts_options` says whether its path accepts OPTIONS.
    pub(crate) fn refusal(&self, accepts_options: bool) -> Option<Reply> {
        let (allowed, methods) = match accepts_options {
            true => (WITH_OPTIONS, "GET, HEAD and OPTIONS"),
            false => ("GET, HEAD", "GET and HEAD"),
        };
        let method = self.head.method();
        let is_allowed = [Method::GET, Method::HEAD].contains(method)
            || (accepts_options && *method == Method::OPTIONS);
        if !is_allowed {
            let reply = Reply::error(405, &format!("only the methods {methods} are allowed"));
            return Some(reply.with_header(ALLOW, HeaderValue::from_static(allowed)));
        }
        let mut lengths = self.headers().get_all(CONTENT_LENGTH).iter();
        let has_body = !lengths.all(|value| value.as_bytes() == b"0")
            || self.headers().contains_key(TRANSFER_ENCODING);
        has_body.then(|| Reply::error(400, "a request body is not accepted"))
    }

    /// Parses a complete head, for tests of handlers.
    #[cfg(test)]
    pub(crate) fn of(head: &str) -> Self {
        Self::from_peer(head.as_bytes(), ([127, 0, 0, 1], 1).into(), false)
    }

    /// Parses a complete head that came from this peer, for tests of handlers.
    #[cfg(test)]
    pub(crate) fn from_peer(head: &[u8], peer_addr: SocketAddr, encrypted: bool) -> Self {
        match parse(head, 0, 16 << 10, peer_addr, encrypted) {
            ParsedHead::Complete(request, _) => *request,
            other => panic!("{}: {other:?}", head.escape_ascii()),
        }
    }

    /// Drops the header fields that an answer does not depend on, while the answer is awaited.
    pub(crate) fn keep_for_answer(&mut self) {
        let of_an_answer = [
            CONNECTION,
            SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_PROTOCOL,
            SEC_WEBSOCKET_VERSION,
            UPGRADE,
        ];
        let headers = std::mem::take(self.head.headers_mut());
        let mut kept = HeaderMap::with_capacity(of_an_answer.len());
        for name in of_an_answer {
            for value in headers.get_all(&name) {
                kept.append(name.clone(), value.clone());
            }
        }
        *self.head.headers_mut() = kept;
    }

    /// Returns about how many bytes of memory are allocated for the request.
    pub(crate) fn allocated(&self) -> usize {
        /// An entry of the map, its index, and the allocation of the value.
        const FIELD: usize = 160;
        let target = self.path().len() + self.query().map_or(0, str::len);
        let fields = self.headers().iter();
        let fields = fields.map(|(name, value)| FIELD + name.as_str().len() + value.len());
        size_of::<Request>() + target + fields.sum::<usize>()
    }

    /// Returns whether the version is HTTP/1.0.
    #[cfg(feature = "gateway")]
    pub(crate) fn is_http_10(&self) -> bool {
        self.head.version() == Version::HTTP_10
    }

    /// Returns how much of a reply answers this request.
    pub(crate) fn reply_form(&self) -> ReplyForm {
        match *self.head.method() == Method::HEAD {
            true => ReplyForm::HeadOnly,
            false => ReplyForm::Whole,
        }
    }

    /// Returns the answer to this request; to OPTIONS with the allowed methods (RFC 9110 §9.3.7).
    pub(crate) fn with_allow(&self, reply: Reply) -> Reply {
        if self.head.method() == Method::OPTIONS {
            reply.with_header(ALLOW, HeaderValue::from_static(WITH_OPTIONS))
        } else {
            reply
        }
    }
}

/// The result of parsing a request head.
#[derive(Debug)]
pub(crate) enum ParsedHead {
    /// The blank line has not arrived yet.
    Partial,
    /// A complete head, and its length in bytes.
    Complete(Box<Request>, usize),
    /// A request that is refused.
    Refused(Reply, ReplyForm),
}

/// Parses a complete request head of at most `most` bytes at the start of `data`. The first `known`
/// bytes are known not to contain its end. `encrypted` is what a preamble said of the client's
/// connection.
pub(crate) fn parse(
    data: &[u8],
    known: usize,
    most: usize,
    peer_addr: SocketAddr,
    encrypted: bool,
) -> ParsedHead {
    let refuse =
        |status, why: &str| ParsedHead::Refused(Reply::error(status, why), ReplyForm::Whole);
    let too_long = || refuse(431, &format!("the request head has more than {most} bytes"));
    // A TLS hello, or noise, is refused at once: a method begins with a letter (blank lines may
    // precede it).
    match data.iter().find(|b| !matches!(b, b'\r' | b'\n')) {
        // RFC 8446 §5.1: a handshake record of a version that begins with 3.
        Some(0x16) if data.get(1).is_none_or(|version| *version == 3) => {
            return refuse(
                400,
                "the client speaks TLS, but this port has none: use ws:// or http://",
            );
        }
        Some(b) if !b.is_ascii_alphabetic() => return refuse(400, "this is not an HTTP request"),
        _ => {}
    }
    if !holds_blank_line(data, known) {
        if data.len() >= most {
            return too_long();
        }
        return ParsedHead::Partial;
    }
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let len = match parsed.parse(data) {
        Ok(Status::Complete(len)) if len > most => return too_long(),
        Ok(Status::Complete(len)) => len,
        // Blank lines before the request line: more must follow.
        Ok(Status::Partial) if data.len() < most => return ParsedHead::Partial,
        Ok(Status::Partial) => return too_long(),
        Err(httparse::Error::TooManyHeaders) => {
            let why = format!("the request has more than {HEADERS_MAX} header fields");
            return refuse(431, &why);
        }
        Err(httparse::Error::Version) => {
            return refuse(505, "only HTTP/1.0 and HTTP/1.1 are supported");
        }
        Err(_) => return refuse(400, "malformed request head"),
    };
    match request(&parsed) {
        Ok(head) => {
            let request = Request {
                head,
                peer_addr,
                encrypted,
            };
            ParsedHead::Complete(Box::new(request), len)
        }
        Err(reply) if parsed.method == Some("HEAD") => {
            ParsedHead::Refused(reply, ReplyForm::HeadOnly)
        }
        Err(reply) => ParsedHead::Refused(reply, ReplyForm::Whole),
    }
}

/// Checks the rules that apply to every request, whatever serves it.
fn request(parsed: &httparse::Request<'_, '_>) -> Result<http::Request<()>, Reply> {
    let malformed = || Reply::error(400, "malformed request head");
    let method = parsed.method.unwrap_or_default().as_bytes();
    let method = Method::from_bytes(method).map_err(|_| malformed())?;
    let headers = header_map(parsed.headers).ok_or_else(malformed)?;
    let version = if parsed.version == Some(0) {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let hosts = headers.get_all(HOST).iter().count();
    if hosts > 1 || (hosts == 0 && version == Version::HTTP_11) {
        return Err(Reply::error(400, "exactly one Host header is required"));
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

#[cfg(test)]
mod tests {
    use super::super::upgrade::switching_protocols;
    use super::*;

    const HEAD_MAX: usize = 16 << 10;

    const UPGRADE_HEAD: &str = "GET /ws?user=a HTTP/1.1\r\nHost: x\r\n\
                                Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                                Sec-WebSocket-Version: 13\r\n\
                                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                                Sec-WebSocket-Protocol: a, b\r\n\r\n";

    #[test]
    fn a_request_that_waits_keeps_only_what_its_answer_needs() {
        let many: String = (0..110).map(|i| format!("X-{i}: {i}\r\n")).collect();
        let head = UPGRADE_HEAD.replace("Host: x\r\n", &format!("Host: x\r\n{many}"));
        let mut request = Request::of(&head);
        let answer = switching_protocols(&request, Some("b"), &[]).expect("an upgrade");
        let before = request.allocated();
        request.keep_for_answer();
        let after = request.allocated();
        assert!(before > 110 * 160 && after < 1_500, "{before} {after}");
        let kept = switching_protocols(&request, Some("b"), &[]).expect("an upgrade");
        assert_eq!(kept, answer);
    }

    fn parse_all(text: &str) -> ParsedHead {
        let addr = ([127, 0, 0, 1], 1).into();
        parse(text.as_bytes(), 0, HEAD_MAX, addr, false)
    }

    fn complete(text: &str) -> (Box<Request>, usize) {
        match parse_all(text) {
            ParsedHead::Complete(request, len) => (request, len),
            other => panic!("{text:?}: {other:?}"),
        }
    }

    fn status(text: &str) -> u16 {
        match parse_all(text) {
            ParsedHead::Refused(reply, _) => reply.status,
            ParsedHead::Complete(request, _) => match request.refusal(false) {
                Some(reply) => reply.status,
                None => switching_protocols(&request, None, &[]).map_or_else(|r| r.status, |_| 101),
            },
            ParsedHead::Partial => 0,
        }
    }

    #[test]
    fn a_head_may_come_in_any_pieces_and_with_a_tail() {
        for cut in 1..UPGRADE_HEAD.len() {
            assert!(
                matches!(parse_all(&UPGRADE_HEAD[..cut]), ParsedHead::Partial),
                "{cut}"
            );
            let whole = parse(
                UPGRADE_HEAD.as_bytes(),
                cut,
                HEAD_MAX,
                "127.0.0.1:1".parse().expect("an address"),
                false,
            );
            assert!(
                matches!(whole, ParsedHead::Complete(_, len) if len == UPGRADE_HEAD.len()),
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

    /// A fault after blank lines is found at the same byte, whether the lines arrived before or
    /// with it.
    #[test]
    fn blank_lines_before_a_request_are_not_its_end() {
        let addr = ([127, 0, 0, 1], 1).into();
        for blank in ["\n", "\r\n", "\r\n\r\n", "\n\n\n"] {
            let (request, len) = complete(&format!("{blank}{UPGRADE_HEAD}"));
            assert_eq!(request.path(), "/ws");
            assert_eq!(len, blank.len() + UPGRADE_HEAD.len());
            let text = format!("{blank}G\0ET");
            for known in 0..text.len() {
                let head = parse(text.as_bytes(), known, HEAD_MAX, addr, false);
                assert!(matches!(head, ParsedHead::Partial), "{blank:?}, {known}");
            }
            assert_eq!(status(&format!("{text} /ws\r\n\r\n")), 400, "{blank:?}");
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
    fn an_offer_that_is_no_token_takes_no_other_along() {
        let request = Request::of(
            "GET /ws HTTP/1.1\r\nHost: a\r\n\
             Sec-WebSocket-Protocol: v1, caf\u{e9}, two words, v2\r\n\
             Sec-WebSocket-Protocol: \u{e9},v3,,\t v4 \r\n\r\n",
        );
        let offers: Vec<&str> = request.protocols().collect();
        assert_eq!(offers, ["v1", "v2", "v3", "v4"]);
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
        let twice = "Version: 13\r\nSec-WebSocket-Version: 13";
        assert_eq!(with("Version: 13", twice), 426);
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
        for (more, expected) in [(122, 101), (123, 431)] {
            let fields = format!("Host: x\r\n{}", "a: b\r\n".repeat(more));
            assert_eq!(with("Host: x", fields.trim_end()), expected, "6 and {more}");
        }
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
}
