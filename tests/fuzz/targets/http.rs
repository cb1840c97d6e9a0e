//! Request heads, through the engine: the parser, the verdict and the answer.
//!
//! Properties:
//!
//! - A head that arrives in pieces has the same outcome as in one piece.
//! - An accepted head is one that httparse accepts, with the same target and fields, within the
//!   limits, with one Host field, and without a body.
//! - An accepted head that is written again, in its plainest form, is read as the same request.
//! - Each answer is one that httparse accepts, of the announced length. A 101 has the key's accept
//!   value and an offered subprotocol.

#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pulsegate::testing::Net;
use pulsegate::{
    Cause, Class, Config, ConnId, Handler, Io, Message, Reply, Request, Upgrade, Verdict,
};
use pulsegate_fuzz::Input;
use tungstenite::handshake::derive_accept_key;

/// The longest head that the server accepts, by the settings' lowest bit.
const LIMITS: [usize; 2] = [Config::HEAD_MIN, 16 << 10];

/// In the settings: the verdict is deferred until the end of the data.
const DEFERS: u8 = 2;

/// The most bytes behind a head whose verdict is deferred.
const EARLY_MAX: usize = 8 * 1024;

/// A request as its handler sees it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    path: String,
    query: Option<String>,
    fields: Vec<(String, Vec<u8>)>,
    is_upgrade: bool,
    protocols: Vec<String>,
}

struct Host {
    defers: bool,
    seen: Vec<Seen>,
    deferred: Vec<(ConnId, Verdict)>,
    messages: Vec<Message>,
}

impl Handler for Host {
    fn accepts_options(&self, path: &str) -> bool {
        path == "/healthz"
    }

    fn on_request(&mut self, _: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let fields = request.headers().iter();
        self.seen.push(Seen {
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
            fields: fields
                .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                .collect(),
            is_upgrade: request.is_upgrade(),
            protocols: request.protocols().map(str::to_owned).collect(),
        });
        let verdict = if request.is_upgrade() {
            Verdict::Upgrade(Upgrade {
                // The last one, so that all are read.
                protocol: request.protocols().last().map(str::to_owned),
                ..Upgrade::to(Class(0))
            })
        } else {
            Verdict::Reply {
                reply: Reply::new(200, "{}"),
                cause: Cause::ANSWERED,
            }
        };
        if self.defers {
            self.deferred.push((id, verdict));
            return Verdict::Defer;
        }
        verdict
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, message: Message) {
        self.messages.push(message);
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    seen: Option<Seen>,
    /// The HTTP response: the head of a 101, otherwise with its body.
    response: Option<String>,
    messages: Vec<Message>,
    cause: Cause,
    reason: Box<str>,
}

impl Outcome {
    fn status(&self) -> Option<u16> {
        self.response.as_ref()?.get(9..12)?.parse().ok()
    }
}

fn run(pieces: &[&[u8]], limit: usize, defers: bool) -> Outcome {
    let config = Config {
        max_head_bytes: limit,
        ..Config::default()
    };
    let mut net = Net::new(
        config,
        Host {
            defers,
            seen: Vec::new(),
            deferred: Vec::new(),
            messages: Vec::new(),
        },
    );
    let peer = net.open_socket();
    net.mute(peer);
    for piece in pieces {
        net.write(peer, piece);
        net.settle();
        net.check().expect("the invariants hold");
        let held = net.engine().stats().held_bytes as usize;
        assert!(held <= 2 * limit.max(EARLY_MAX), "{held} bytes are held");
    }
    for (id, verdict) in std::mem::take(&mut net.host().deferred) {
        net.with_io(|_, io| io.answer(id, verdict));
    }
    net.settle();
    net.half_close(peer);
    net.settle();
    net.check().expect("the invariants hold");
    let end = net.ending(peer).expect("the stream has ended").clone();
    let response = net.response(peer).map(str::to_owned);
    let host = net.host();
    assert!(host.seen.len() <= 1, "one request a connection");
    Outcome {
        seen: host.seen.pop(),
        response,
        messages: std::mem::take(&mut host.messages),
        cause: end.cause,
        reason: end.reason,
    }
}

/// Returns whether two outcomes of the same bytes, which arrived differently, agree.
fn agree(whole: &Outcome, parts: &Outcome, data: &[u8]) -> bool {
    if whole == parts {
        return true;
    }
    if whole.cause != Cause::BAD_REQUEST || parts.cause != Cause::BAD_REQUEST {
        return false;
    }
    // A head that is too long is refused before its end has arrived, so its other faults are not
    // seen. A first byte alone may be a TLS hello.
    let is_long = [whole, parts].iter().any(|o| o.status() == Some(431));
    let is_tls = data.iter().find(|b| !matches!(b, b'\r' | b'\n')) == Some(&0x16);
    is_long || is_tls && whole.status() == parts.status()
}

/// Checks an accepted request against the bytes that were read.
fn check_request(seen: &Seen, data: &[u8], limit: usize) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Request::new(&mut fields);
    let len = match parsed.parse(data) {
        Ok(httparse::Status::Complete(len)) => len,
        other => panic!("{other:?}: {seen:?}"),
    };
    assert!(len <= limit, "a head of {len} bytes");
    let target = parsed.path.expect("a target");
    assert!(seen.path.starts_with('/'), "{seen:?}");
    if target.starts_with('/') {
        let target = target.split('#').next().unwrap_or_default();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        assert_eq!((&*seen.path, seen.query.as_deref()), (path, query));
    }
    let method = parsed.method.expect("a method");
    assert!(
        ["GET", "HEAD"].contains(&method) || method == "OPTIONS" && seen.path == "/healthz",
        "{method}"
    );
    let mut sent: Vec<(String, Vec<u8>)> = parsed
        .headers
        .iter()
        .map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec()))
        .collect();
    let mut read = seen.fields.clone();
    // Only the order within a name is kept.
    sent.sort_by(|a, b| a.0.cmp(&b.0));
    read.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(read, sent);
    let values = |name: &'static str| {
        let named = read.iter().filter(move |field| field.0 == name);
        named.map(|field| &*field.1)
    };
    let hosts = values("host").count();
    assert!(hosts == 1 || hosts == 0 && parsed.version == Some(0));
    assert_eq!(values("transfer-encoding").count(), 0);
    assert!(values("content-length").all(|length| length == b"0"));
    for (name, value) in &read {
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':'));
        assert!(
            value
                .iter()
                .all(|b| *b == b'\t' || *b >= b' ' && *b != 0x7F)
        );
    }
    for protocol in &seen.protocols {
        assert!(!protocol.is_empty() && !protocol.contains([',', ' ', '\t', '"']));
    }
}

/// Returns the request in its plainest form.
fn written(seen: &Seen) -> Vec<u8> {
    let query = seen.query.as_ref().map(|q| format!("?{q}"));
    let target = [&*seen.path, query.as_deref().unwrap_or_default()].concat();
    // A request without Host is one of HTTP/1.0.
    let version = u8::from(seen.fields.iter().any(|(name, _)| name == "host"));
    let mut bytes = format!("GET {target} HTTP/1.{version}\r\n").into_bytes();
    for (name, value) in &seen.fields {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    bytes
}

/// Checks an answer by itself, and a 101 against its request.
fn check_response(response: &str, seen: Option<&Seen>) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut parsed = httparse::Response::new(&mut fields);
    let len = match parsed.parse(response.as_bytes()) {
        Ok(httparse::Status::Complete(len)) => len,
        other => panic!("{other:?}: {response}"),
    };
    let value = |name: &str| {
        let mut lines = parsed.headers.iter().filter(|f| f.name == name);
        let line = lines.next().map(|f| f.value);
        assert!(lines.next().is_none(), "{name} twice: {response}");
        line.map(|value| std::str::from_utf8(value).expect("ASCII"))
    };
    let body = response.len() - len;
    if parsed.code != Some(101) {
        let length: usize = value("Content-Length").unwrap().parse().unwrap();
        // The answer to HEAD has no body.
        assert!(body == length || body == 0, "{response}");
        return;
    }
    let seen = seen.expect("a request");
    let mut keys = seen.fields.iter().filter(|f| f.0 == "sec-websocket-key");
    let (key, None) = (keys.next().expect("a key"), keys.next()) else {
        panic!("two keys: {seen:?}");
    };
    assert_eq!((key.1.len(), body), (24, 0));
    let accept = derive_accept_key(&key.1);
    assert_eq!(value("Sec-WebSocket-Accept"), Some(&*accept));
    let last = seen.protocols.last().map(String::as_str);
    assert_eq!(value("Sec-WebSocket-Protocol"), last);
}

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Some(input) = Input::new(bytes) else {
        return Corpus::Reject;
    };
    let limit = LIMITS[usize::from(input.settings & 1)];
    let defers = input.settings & DEFERS != 0;
    let whole = run(&[input.data], limit, defers);
    let parts = run(&input.cuts.pieces(input.data), limit, defers);
    assert!(agree(&whole, &parts, input.data), "{whole:?} {parts:?}");
    if let Some(response) = &whole.response {
        check_response(response, whole.seen.as_ref());
    }
    if let Some(seen) = &whole.seen {
        check_request(seen, input.data, limit);
        let again = run(&[&written(seen)], 64 << 10, false);
        assert_eq!(again.seen.as_ref(), Some(seen));
    }
    Corpus::Keep
});
