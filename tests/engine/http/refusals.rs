//! Requests that are not upgraded: each is answered, with its cause, and closed.

use crate::echo::{check_all_ended, end_of, server};
use crate::http::response::check_response;
use crate::nets::S;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{Config, Reply, Verdict};
use pulsegate::testing::upgrade_request;

/// A request that is not upgraded, and its answer.
struct Plain {
    name: &'static str,
    request: String,
    status: u16,
    /// Lines that the head of the answer must contain, in lower case.
    fields: &'static [&'static str],
    cause: Cause,
}

impl Plain {
    fn with(self, fields: &'static [&'static str]) -> Self {
        Plain { fields, ..self }
    }
}

fn answered(name: &'static str, request: impl Into<String>) -> Plain {
    Plain {
        cause: Cause::ANSWERED,
        ..refused(name, 200, request)
    }
}

fn refused(name: &'static str, status: u16, request: impl Into<String>) -> Plain {
    Plain {
        name,
        request: request.into(),
        status,
        fields: &[],
        cause: Cause::BAD_REQUEST,
    }
}

fn get(path: &str, rest: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n{rest}\r\n")
}

/// Returns a correct request with one change.
fn upgrade(from: &str, to: &str) -> String {
    let (before, after) = (upgrade_request("/"), upgrade_request("/").replace(from, to));
    assert_ne!(before, after, "{from}");
    after
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const KEY_FIELD: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const VERSION_FIELD: &str = "Sec-WebSocket-Version: 13\r\n";

const VERSION: &[&str] = &["upgrade: websocket", "sec-websocket-version: 13"];

const READ_METHODS: &[&str] = &["allow: get, head"];

const ALL_METHODS: &[&str] = &["allow: get, head, options"];

fn health_checks() -> Vec<Plain> {
    let options = "OPTIONS /healthz?by=proxy HTTP/1.0\r\n\r\n";
    vec![
        answered("health", get("/healthz", "")),
        answered("health, 1.0", "GET /healthz HTTP/1.0\r\n\r\n"),
        answered("health, bare LF", "GET /healthz HTTP/1.0\n\n"),
        answered("health, HEAD", "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
        answered("OPTIONS of the health check", options).with(ALL_METHODS),
    ]
}

fn paths_and_methods() -> Vec<Plain> {
    let delete = "DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    vec![
        refused("elsewhere", 404, get("/nowhere", "")),
        refused("elsewhere, upgrade", 404, upgrade_request("/nowhere")),
        refused("elsewhere, HEAD", 404, "HEAD /nowhere HTTP/1.0\r\n\r\n"),
        refused("POST", 405, upgrade("GET", "POST")).with(READ_METHODS),
        refused("DELETE", 405, delete).with(ALL_METHODS),
        refused("OPTIONS of a WebSocket", 405, upgrade("GET", "OPTIONS")).with(READ_METHODS),
        refused("HEAD of a WebSocket", 405, upgrade("GET", "HEAD")).with(&["allow: get"]),
    ]
}

fn missing_upgrades() -> Vec<Plain> {
    vec![
        refused("no upgrade", 426, get("/", "")).with(VERSION),
        refused("another upgrade", 426, upgrade("websocket", "h2c")).with(VERSION),
        refused("version 8", 426, upgrade("Version: 13", "Version: 8")).with(VERSION),
        refused("no version", 426, upgrade(VERSION_FIELD, "")).with(VERSION),
        refused("HTTP/1.0", 426, upgrade("HTTP/1.1", "HTTP/1.0")).with(VERSION),
        refused("HTTP/2.0", 505, upgrade("HTTP/1.1", "HTTP/2.0")),
    ]
}

fn malformed_requests() -> Vec<Plain> {
    let two_hosts = upgrade("Host: test", "Host: a\r\nHost: b");
    let body = get("/", "Content-Length: 3\r\n") + "abc";
    let chunks = get("/", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n";
    let long = format!("a: {}\r\n", "b".repeat(17_000));
    let tls = "\x16\x03\x01\x02\0\x01\0\x01\u{7f}\x03\x03";
    vec![
        refused("no key", 400, upgrade(KEY_FIELD, "")),
        refused("a short key", 400, upgrade(KEY, "dGhl")),
        refused("no Host", 400, upgrade("Host: test\r\n", "")),
        refused("two Hosts", 400, two_hosts),
        refused("a body", 400, body),
        refused("a body in chunks", 400, chunks),
        refused("not a path", 400, upgrade("GET /", "GET x")),
        refused("not a header", 400, upgrade("Host: test", "Ho st: test")),
        refused("a long header", 431, get("/", &long)),
        refused("129 headers", 431, get("/", &"a: b\r\n".repeat(128))),
        refused("no end", 431, "G".repeat(17_000)),
        refused("TLS", 400, tls),
    ]
}

/// Sends a request in pieces of `step` bytes; checks its answer and its end, and returns the
/// answer.
fn play_request(case: &Plain, step: usize) -> String {
    let Plain {
        name,
        request,
        status,
        ..
    } = case;
    let what = format!("{name} in pieces of {step}");
    let mut net = server(Config::default());
    let peer = net.open_socket();
    for piece in request.as_bytes().chunks(step.min(request.len())) {
        net.write(peer, piece);
        net.settle();
    }
    let response = net
        .response(peer)
        .unwrap_or_else(|| panic!("{what}: no answer"))
        .to_owned();
    let head = check_response(&what, &response, *status, request.starts_with("HEAD"));
    for field in case.fields {
        assert!(head.lines().any(|l| l == *field), "{what}: {head}");
    }
    assert!(net.fin_received(peer), "{what}");
    assert_eq!(net.released(peer), None, "{what}: it has time to read");
    net.advance(2 * S + 10);
    assert_eq!(
        end_of(&net, peer).map(|e| (e.0, e.1)),
        Some((case.cause, EndCode::Http(*status))),
        "{what}"
    );
    assert_eq!(net.released(peer), Some(false), "{what}");
    check_all_ended(&mut net);
    response
}

/// Sends each request whole and in pieces: the answer must be the same.
fn play_requests(cases: Vec<Plain>) {
    for case in &cases {
        let whole = play_request(case, usize::MAX);
        for step in [1, 2, 3, 7] {
            let cut = play_request(case, step);
            assert_eq!(cut, whole, "{} in pieces of {step}", case.name);
        }
    }
}

#[test]
fn a_health_check_is_answered_and_closed() {
    play_requests(health_checks());
}

#[test]
fn another_path_or_method_is_refused_and_closed() {
    play_requests(paths_and_methods());
}

#[test]
fn a_request_without_a_valid_upgrade_is_refused_and_closed() {
    play_requests(missing_upgrades());
}

#[test]
fn a_malformed_request_is_refused_and_closed() {
    play_requests(malformed_requests());
}

#[test]
fn a_host_refuses_in_any_status_with_its_cause() {
    let rows = [
        (401, Cause::UNAUTHORIZED),
        (403, Cause::BLOCKED),
        (429, Cause::BUFFERS_FULL),
        (503, Cause::AT_CAPACITY),
        (404, Cause::BAD_REQUEST),
        (200, Cause::ANSWERED),
        // No status implies a cause.
        (200, Cause::KICKED),
    ];
    for (status, cause) in rows {
        let mut net = server(Config::default());
        let peer = net.open_socket();
        net.write(peer, upgrade_request("/defer").as_bytes());
        net.settle();
        let id = net.id(peer);
        net.with_io(|_, io| {
            io.answer(
                id,
                Verdict::Reply {
                    reply: Reply::error(status, "no").with_retry_after(7),
                    cause,
                },
            )
        });
        net.settle();
        let response = net.response(peer).expect("an answer").to_owned();
        let head = check_response("deferred", &response, status, false);
        assert!(head.lines().any(|l| l == "retry-after: 7"));
        net.advance(2 * S + 10);
        net.expect_closed(peer, cause);
        check_all_ended(&mut net);
    }
}

#[test]
fn a_request_head_may_have_16_kib_or_what_the_settings_say() {
    let padded = |len: usize| {
        let plain = upgrade_request("/").replace("\r\n\r\n", "\r\nCookie: \r\n\r\n");
        let cookie = "c".repeat(len - plain.len());
        plain.replace("Cookie: ", &format!("Cookie: {cookie}"))
    };
    for (most, len, status) in [
        (16 << 10, 16 << 10, 101),
        (16 << 10, (16 << 10) + 1, 431),
        (1 << 10, 1 << 10, 101),
        (1 << 10, (1 << 10) + 1, 431),
        (64 << 10, 64 << 10, 101),
    ] {
        for step in [usize::MAX, 1_000] {
            let config = Config {
                max_head_bytes: most,
                ..Config::default()
            };
            let mut net = server(config);
            let peer = net.open_socket();
            let request = padded(len);
            for piece in request.as_bytes().chunks(step.min(len)) {
                net.write(peer, piece);
                net.settle();
            }
            let response = net.response(peer).expect("an answer");
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status} ")),
                "{len} of {most} in pieces of {step}: {response}"
            );
            if status == 431 {
                assert!(response.contains(&format!("more than {most} bytes")));
            }
            net.shutdown();
            check_all_ended(&mut net);
        }
    }
    for wrong in [0, 1_023, (64 << 10) + 1] {
        let config = Config {
            max_head_bytes: wrong,
            ..Config::default()
        };
        let why = config.validate().expect_err("out of bounds").to_string();
        assert_eq!(why, format!("max_head_bytes is {wrong}; 1024 to 65536"));
    }
}

/// A client sends a long body first and reads the answer then. It has its time as long as it sends.
#[test]
fn a_client_that_still_sends_its_body_is_not_dropped() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n";
    let mut net = server(Config::default());
    let peer = net.open_socket();
    net.write(peer, POST.as_bytes());
    net.settle();
    let response = net.response(peer).expect("an answer").to_owned();
    check_response("an upload", &response, 405, false);
    // The close timeout is 2 s.
    for _ in 0..12 {
        net.advance(1_500);
        net.write(peer, &[b'x'; 100_000]);
        net.settle();
        assert_eq!(net.released(peer), None);
    }
    net.advance(1_900);
    assert_eq!(net.released(peer), None, "it may read now");
    net.advance(200);
    assert!(net.released(peer).is_some());
    net.expect_closed(peer, Cause::BAD_REQUEST);

    // Ten close timeouts are the most.
    let peer = net.open_socket();
    net.write(peer, POST.as_bytes());
    net.settle();
    let mut seconds = 0;
    while net.released(peer).is_none() {
        net.advance(1_000);
        seconds += 1;
        net.write(peer, &[b'x'; 100_000]);
        net.settle();
    }
    assert!((20..=21).contains(&seconds), "{seconds}");
}
