//! One reading of each request: the service receives exactly one request for each that the gateway
//! accepts, and nothing of those that it refuses.

use super::recorder::Recorder;
use super::rig::{assert_end, get, status};
use crate::bridge::legs::{QUIET, request};
use crate::sockets::{Client, Gateway};

struct Rig {
    gateway: Gateway,
    service: Recorder,
}

impl Rig {
    fn start() -> Rig {
        let service = Recorder::start();
        let upstream = [("UPSTREAM", service.url.as_str())];
        let gateway = Gateway::start(&[&QUIET[..], &upstream].concat());
        Rig { gateway, service }
    }

    /// Sends these bytes, and then a request that the gateway accepts on another connection.
    /// Returns the statuses of the answers to the first, and the requests that the service got
    /// before the second.
    #[track_caller]
    fn pass(&self, bytes: &str, answers: usize) -> (Vec<u16>, Vec<String>) {
        let mut client = Client::connect(self.gateway.addr);
        client.write(bytes.as_bytes());
        let mut statuses = Vec::new();
        for _ in 0..answers {
            let head = client.refusal();
            statuses.push(status(&head));
            let is_bodiless = bytes.starts_with("HEAD") || head.contains(" 101 ");
            if !is_bodiless && statuses.last() == Some(&200) {
                assert_eq!(super::rig::read(&mut client, 2), "ok");
            }
        }
        drop(client);
        let mut marker = Client::connect(self.gateway.addr);
        marker.write(get("/marker", "Connection: close\r\n").as_bytes());
        assert_eq!(status(&marker.refusal()), 200);
        assert_eq!(super::rig::read(&mut marker, 2), "ok");
        assert_end(&mut marker);
        let mut requests = self.service.take();
        let last = requests.pop().expect("the marker");
        assert!(last.starts_with("GET /marker HTTP/1.1\r\n"), "{last}");
        (statuses, requests)
    }
}

/// Returns a request as the service gets it: with its own lines, those about the client, and these
/// lines last.
fn seen(line: &str, lines: &str, last: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: test\r\n{lines}X-Forwarded-For: 127.0.0.1\r\n\
         X-Forwarded-Proto: http\r\nX-Forwarded-Host: test\r\n{last}\r\n{body}"
    )
}

/// Header lines and bodies that can be read in two ways.
const AMBIGUOUS: &[(&str, &str, &str)] = &[
    (
        "CL.TE",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "TE.CL",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "0\r\n\r\n",
    ),
    ("two CL", "Content-Length: 0\r\nContent-Length: 5\r\n", ""),
    (
        "two same CL",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "",
    ),
    ("a list of CL", "Content-Length: 0, 0\r\n", ""),
    ("a signed CL", "Content-Length: +0\r\n", ""),
    ("an odd TE", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
    (
        "a list of TE",
        "Transfer-Encoding: gzip, chunked\r\n",
        "0\r\n\r\n",
    ),
    (
        "two TE",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
        "",
    ),
    (
        "TE with a parameter",
        "Transfer-Encoding: chunked;a\r\n",
        "",
    ),
    ("TE behind a tab", "Transfer-Encoding:\x0bchunked\r\n", ""),
    ("an obsolete fold", "X: 1\r\n Content-Length: 5\r\n", ""),
    ("a fold of the first line", " X: 1\r\n", ""),
    ("a bare LF", "X: 1\nContent-Length: 5\r\n", ""),
    ("a bare CR", "X: 1\rContent-Length: 5\r\n", ""),
    ("a space before the colon", "Content-Length : 5\r\n", ""),
    ("a tab before the colon", "Content-Length\t: 5\r\n", ""),
    ("no colon", "Content-Length\r\n", ""),
    ("two Hosts", "Host: other\r\n", ""),
    ("NUL in a value", "X: \0\r\n", ""),
    ("a name that is no token", "X(y): 1\r\n", ""),
];

/// Whole requests that are refused, with the status.
const REFUSED: &[(&str, &str, u16)] = &[
    ("no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("a bad Host", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    (
        "TE in HTTP/1.0",
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "HTTP/2 without TLS",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        505,
    ),
    (
        "authority form",
        "CONNECT test:80 HTTP/1.1\r\nHost: test\r\n\r\n",
        400,
    ),
    (
        "asterisk form",
        "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
        400,
    ),
    ("two spaces", "GET  / HTTP/1.1\r\nHost: test\r\n\r\n", 400),
    (
        "a space in the target",
        "GET /a b HTTP/1.1\r\nHost: test\r\n\r\n",
        505,
    ),
];

#[test]
fn what_can_be_read_in_two_ways_is_refused_and_nothing_of_it_passes() {
    let rig = Rig::start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    for (name, lines, body) in AMBIGUOUS {
        let bytes = format!("POST / HTTP/1.1\r\nHost: test\r\n{lines}\r\n{body}{hidden}");
        assert_eq!(rig.pass(&bytes, 1), (vec![400], vec![]), "{name}");
        // The same behind a request that is in order, on the same connection.
        let bytes = get("/first", "") + &bytes;
        let (statuses, requests) = rig.pass(&bytes, 2);
        assert_eq!(statuses, [200, 400], "{name}");
        assert_eq!(requests, [seen("GET /first", "", "", "")], "{name}");
    }
    for (name, bytes, refused) in REFUSED {
        let bytes = format!("{bytes}{hidden}");
        assert_eq!(rig.pass(&bytes, 1), (vec![*refused], vec![]), "{name}");
    }
    rig.gateway.end();
}

/// A name, what a client sends, and what the service gets.
type Passed = (&'static str, String, String);

fn without_a_body() -> Vec<Passed> {
    let request = |line: &str| format!("{line} HTTP/1.1\r\nHost: test\r\n\r\n");
    let of_one_hop = "Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n";
    let h2c = "Upgrade: h2c\r\nHTTP2-Settings: A\r\nConnection: Upgrade, HTTP2-Settings\r\n";
    let plain = || seen("GET /", "", "", "");
    let named = "x-LOWer: a\r\nx-lower: b\r\n";
    vec![
        (
            "absolute form",
            request("GET http://test/a?b").replace("Host: test", "Host: other"),
            seen("GET /a?b", "", "", ""),
        ),
        ("h2c", get("/", h2c), plain()),
        (
            "another upgrade",
            get("/", "Upgrade: irc\r\nConnection: upgrade\r\n"),
            plain(),
        ),
        (
            "fields of one hop",
            get("/", &format!("{of_one_hop}X-End: 1\r\n")),
            seen("GET /", "X-End: 1\r\n", "", ""),
        ),
        (
            "names as sent",
            get("/", named),
            seen("GET /", named, "", ""),
        ),
        ("HEAD", request("HEAD /h"), seen("HEAD /h", "", "", "")),
        (
            "any method",
            request("PURGE /m"),
            seen("PURGE /m", "", "", ""),
        ),
        (
            "blank lines before",
            format!("\r\n\r\n{}", get("/", "")),
            plain(),
        ),
    ]
}

fn with_a_body() -> Vec<Passed> {
    let request = |line: &str, lines: &str, body: &str| {
        format!("{line} HTTP/1.1\r\nHost: test\r\n{lines}\r\n{body}")
    };
    let length = |n: usize| format!("Content-Length: {n}\r\n");
    let last = |n: usize| format!("{}Connection: close\r\n", length(n));
    let chunked = "Transfer-Encoding: chunked\r\n";
    let trailers = "Content-Length: 5\r\nHost: evil\r\n";
    vec![
        (
            "a length",
            request("POST /p", &length(5), "GET /"),
            seen("POST /p", "", &last(5), "GET /"),
        ),
        (
            "an empty body",
            request("POST /p", &length(0), ""),
            seen("POST /p", "", &length(0), ""),
        ),
        (
            "GET with a body",
            request("GET /g", &length(3), "abc"),
            seen("GET /g", "", &last(3), "abc"),
        ),
        (
            "chunks, an extension, trailers",
            request(
                "PUT /c",
                &format!("Trailer: Host\r\n{chunked}"),
                &format!("3;a=b\r\nabc\r\n0\r\n{trailers}\r\n"),
            ),
            seen(
                "PUT /c",
                "",
                &format!("Connection: close\r\n{chunked}"),
                "3\r\nabc\r\n0\r\n\r\n",
            ),
        ),
    ]
}

#[test]
fn what_is_accepted_arrives_as_one_plain_request() {
    let rig = Rig::start();
    let [plain, framed] = [without_a_body(), with_a_body()];
    for (name, bytes, expected) in plain.into_iter().chain(framed) {
        let (statuses, requests) = rig.pass(&bytes, 1);
        assert_eq!(statuses, [200], "{name}");
        assert_eq!(requests, [expected], "{name}");
    }
    rig.gateway.end();
}

#[test]
fn requests_in_a_row_are_answered_in_their_order() {
    let rig = Rig::start();
    let bytes = [
        get("/1", ""),
        "POST /2 HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
        get("/3", ""),
        "POST /4 HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
            .to_owned(),
        get("/5", ""),
    ];
    let (statuses, requests) = rig.pass(&bytes.concat(), 5);
    assert_eq!(statuses, [200; 5]);
    let lines: Vec<_> = requests
        .iter()
        .map(|r| &r[..r.find(" HTTP").unwrap_or(0)])
        .collect();
    assert_eq!(lines, ["GET /1", "POST /2", "GET /3", "POST /4", "GET /5"]);
    rig.gateway.end();
}

#[test]
fn a_chunk_that_can_be_read_in_two_ways_ends_the_request() {
    let rig = Rig::start();
    for (name, body) in [
        ("a bare LF behind the size", "3\nabc\r\n0\r\n\r\n"),
        ("a bare LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
        ("a bare LF behind the data", "3\r\nabc\n0\r\n\r\n"),
        ("a bare LF in the trailers", "3\r\nabc\r\n0\r\nA: b\n\r\n"),
        ("a size with a prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
        ("a size below zero", "-3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let bytes = format!(
            "POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{}",
            get("/hidden", "")
        );
        let (statuses, requests) = rig.pass(&bytes, 1);
        assert_eq!(statuses, [400], "{name}");
        // The service may have seen the beginning, and never an end.
        let whole = requests
            .iter()
            .filter(|r| !r.starts_with("unfinished: POST /c"));
        assert_eq!(whole.count(), 0, "{name}: {requests:?}");
    }
    rig.gateway.end();
}

#[test]
fn http_1_0_is_served_and_closed() {
    let rig = Rig::start();
    let mut client = Client::connect(rig.gateway.addr);
    client.write(b"GET /old HTTP/1.0\r\nHost: test\r\n\r\n");
    let head = client.refusal();
    assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
    assert_eq!(super::rig::read(&mut client, 2), "ok");
    assert_end(&mut client);
    assert_eq!(rig.service.take(), [seen("GET /old", "", "", "")]);

    // Without a Host the service gets the upstream's.
    let mut client = Client::connect(rig.gateway.addr);
    client.write(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let head = client.refusal();
    assert!(
        head.to_ascii_lowercase()
            .contains("connection: keep-alive\r\n"),
        "{head}"
    );
    assert_eq!(super::rig::read(&mut client, 2), "ok");
    let own = rig.service.url.strip_prefix("http://").expect("a URL");
    let requests = rig.service.take();
    assert!(
        requests[0].contains(&format!("\r\nHost: {own}\r\n")),
        "{requests:?}"
    );
    client.write(b"GET / HTTP/1.0\r\n\r\n");
    client.refusal();
    assert_eq!(super::rig::read(&mut client, 2), "ok");
    assert_end(&mut client);
    rig.gateway.end();
}

/// A WebSocket request that is not in order gets the loop's answer, wherever it stands.
#[test]
fn a_bad_upgrade_is_refused_on_a_kept_connection_as_on_a_new_one() {
    let rig = Rig::start();
    let bad = request("/", "").replace("Version: 13", "Version: 8");
    assert_eq!(rig.pass(&bad, 1), (vec![426], vec![]));
    let (statuses, requests) = rig.pass(&(get("/first", "") + &bad), 2);
    assert_eq!(statuses, [200, 426]);
    assert_eq!(requests.len(), 1);
    rig.gateway.end();
}
