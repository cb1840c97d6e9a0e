//! The page's files and the live stream, as they are sent: access to them, their content, and the
//! limit of listeners. tests/foreign/deploy/page.py tests them in a browser.

use crate::sockets::{Client, Gateway, eventually};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

const TOKEN: &str = "a-token-of-32-characters-0123456";

fn quiet(more: &[(&str, &str)]) -> Gateway {
    let mut settings = vec![
        ("DRAIN_MS", "0"),
        ("HEARTBEAT_INTERVAL_MS", "20000"),
        ("CONNECTION_TIMEOUT_MS", "60000"),
    ];
    settings.extend(more);
    Gateway::start(&settings)
}

/// Returns what a page references in these attributes.
fn named(text: &str) -> Vec<String> {
    let attributes = ["href=\"page/", "src=\"page/", "from './"];
    let ends = ['"', '\''];
    let mut found = Vec::new();
    for attribute in attributes {
        for rest in text.split(attribute).skip(1) {
            let name = rest.split(ends).next().expect("a name");
            found.push(format!("/page/{name}"));
        }
    }
    found
}

#[test]
fn the_page_needs_no_token_and_its_data_does() {
    let gateway = quiet(&[("ADMIN_TOKEN", TOKEN)]);
    // All files that the page references, and those that they reference.
    let mut paths = vec!["/".to_owned()];
    let mut next = 0;
    while let Some(path) = paths.get(next).cloned() {
        // Also through a link from elsewhere: it holds no data.
        let from = "Origin: http://wiki.example\r\nSec-Fetch-Site: cross-site\r\n";
        let response = gateway.admin_request("GET", &path, from, "");
        assert_eq!(response.status, 200, "{path}: {response:?}");
        let header = |name| response.header(name).unwrap_or_default();
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.split("; ").any(|p| p == part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(header("cache-control"), "no-store", "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert!(
            !response.body.contains("://")
                || response.body.matches("://").count()
                    == response.body.matches("http://www.w3.org/").count(),
            "{path} names another place"
        );
        let found = named(&response.body);
        paths.extend(
            found
                .into_iter()
                .filter(|p| !paths.contains(p))
                .collect::<Vec<_>>(),
        );
        paths.dedup();
        let head = gateway.admin_request("HEAD", &path, "", "");
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        // Read-only.
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            assert_eq!(
                gateway.admin_request(method, &path, "", "").status,
                401,
                "{method} {path}"
            );
        }
        next += 1;
    }
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), 16, "{paths:?}");
    for path in [
        "/page",
        "/page/",
        "/page/nothing",
        "//",
        "/page/../metrics",
        "/index.html",
    ] {
        assert_eq!(
            gateway.admin_request("GET", path, "", "").status,
            401,
            "{path}"
        );
    }
    gateway.end();
}

#[test]
fn without_a_token_a_name_that_leads_here_gets_no_page() {
    let gateway = quiet(&[]);
    let request = "GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert_eq!(gateway.admin_raw(request.as_bytes()).status, 403);
    assert_eq!(gateway.admin_request("GET", "/", "", "").status, 200);
    assert_eq!(gateway.admin_request("POST", "/", "", "").status, 405);
    gateway.end();
}

/// A client that reads the live stream.
struct Listener(BufReader<TcpStream>);

impl Listener {
    fn begin(gateway: &Gateway, headers: &str) -> Listener {
        let mut stream = gateway.admin_stream();
        let head = format!("GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).expect("room");
        Listener(BufReader::new(stream))
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line");
        line
    }

    /// Returns the status, and reads the head to its end.
    fn status(&mut self) -> u16 {
        self.head().0
    }

    /// Returns the status and the header lines.
    fn head(&mut self) -> (u16, Vec<String>) {
        let line = self.line();
        let status = line.split(' ').nth(1).and_then(|s| s.parse().ok());
        let lines = std::iter::from_fn(|| Some(self.line()).filter(|line| line != "\r\n"));
        let lines = lines.map(|line| line.trim_end().to_owned()).collect();
        (status.expect("a status"), lines)
    }

    fn next(&mut self) -> Value {
        loop {
            let line = self.line();
            assert!(!line.is_empty(), "the stream has ended");
            if let Some(json) = line.strip_prefix("data: ") {
                return serde_json::from_str(json).expect("JSON");
            }
        }
    }
}

/// A wall clock that a test can set, for one process: `clock_gettime` adds the seconds in the file
/// `WALL_STEP`.
const STEPPED_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, id, now);
    const char *path = getenv("WALL_STEP");
    if (result == 0 && id == CLOCK_REALTIME && path != NULL) {
        char text[32] = {0};
        int file = open(path, O_RDONLY);
        if (file >= 0) {
            if (read(file, text, sizeof text - 1) > 0) now->tv_sec += atol(text);
            close(file);
        }
    }
    return result;
}
"#;

#[test]
fn a_step_of_the_wall_clock_changes_neither_uptime_nor_rates() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stepped-clock");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = |name: &str| folder.join(name);
    let (source, library, step) = (file("clock.c"), file("clock.so"), file("step"));
    std::fs::write(&source, STEPPED_CLOCK).expect("a source");
    // The allocator needs a C compiler, too.
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    assert!(built.expect("cc").success());
    let set = |by_s: i64| {
        let whole = file("next-step");
        std::fs::write(&whole, by_s.to_string()).expect("a step");
        std::fs::rename(&whole, &step).expect("a step");
    };
    set(0);
    let mut command = Gateway::command(&[("DRAIN_MS", "0")]);
    command.env("LD_PRELOAD", &library).env("WALL_STEP", &step);
    let gateway = Gateway::start_unread(command).read();
    let mut glasses = Client::open(gateway.addr, "/glasses-ws?user=ada");
    let mut listener = Listener::begin(&gateway, "");
    assert_eq!(listener.status(), 200);
    let mut told = listener.next();
    let uptime = |told: &Value| told["uptime_s"].as_u64().expect("a number");
    while uptime(&told) < 2 {
        told = listener.next();
    }
    let before = told["at"].as_str().expect("a time").to_owned();
    for by_s in [-600, 3_600] {
        set(by_s);
        (0..20).for_each(|_| glasses.send_text("{\"type\":\"ping\"}"));
        for _ in 0..3 {
            let next = listener.next();
            assert!(uptime(&next) >= uptime(&told), "{next}");
            assert!(uptime(&next) < 300, "{next}");
            let rate = next["rates"]["messages_in_per_s"].as_f64();
            assert!(rate.is_some_and(|rate| rate < 200.0), "{by_s}: {next}");
            told = next;
        }
        let shown = told["at"].as_str().expect("a time");
        assert_eq!(shown > &*before, by_s > 0, "{shown}: the clock was stepped");
        let overview = gateway.api("/api/v1/overview");
        let up = overview["uptime_ms"].as_u64();
        assert!(
            up.is_some_and(|ms| (2_000..300_000).contains(&ms)),
            "{up:?}"
        );
        let span = overview["last_minute"]["span_ms"].as_u64();
        assert!(span.is_some_and(|ms| ms < 300_000), "{span:?}");
        let causes = gateway.api("/api/v1/causes?minutes=1");
        let steps = causes["steps"].as_array().expect("a list");
        for pair in steps.windows(2) {
            assert_eq!(pair[0]["to"], pair[1]["from"], "{causes}");
        }
        assert!(steps.iter().all(|s| s["from"].as_str() <= s["to"].as_str()));
    }
    gateway.end();
}

#[test]
fn each_listener_is_told_the_same_each_second() {
    let gateway = quiet(&[("ADMIN_TOKEN", TOKEN)]);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    for headers in ["", "Authorization: Bearer nothing\r\n"] {
        assert_eq!(Listener::begin(&gateway, headers).status(), 401);
    }
    let mut first = Listener::begin(&gateway, &bearer);
    assert_eq!(first.status(), 200);
    let told = first.next();
    assert_eq!(told["connections"]["glasses"]["healthy"], 0, "{told}");
    assert!(told["rates"].is_null(), "{told}");

    let client = Client::open(gateway.addr, "/glasses-ws?user=ada");
    let mut second = Listener::begin(&gateway, &bearer);
    assert_eq!(second.status(), 200);
    // The first document of the second listener is also sent to the first.
    let joined = second.next();
    let mut seen = vec![told["at"].clone()];
    while *seen.last().expect("one") != joined["at"] {
        seen.push(first.next()["at"].clone());
        assert!(seen.len() < 6, "{seen:?} without {}", joined["at"]);
    }
    for _ in 0..3 {
        let (one, other) = (first.next(), second.next());
        assert_eq!(one, other);
        assert_eq!(one["connections"]["glasses"]["healthy"], 1, "{one}");
        assert_eq!(one["sessions"], 1, "{one}");
        assert_eq!(one["slowest"].as_array().map(Vec::len), Some(1), "{one}");
        assert_eq!(one["most_silent"][0]["user"], "ada", "{one}");
        assert!(one["rates"]["opened_per_s"].is_number(), "{one}");
        for list in ["alerts", "troubled"] {
            assert!(one[list].is_array(), "{one}");
        }
    }
    drop(client);
    gateway.end();
}

/// By default nginx keeps an answer until its buffer is full, which takes minutes of documents.
#[test]
fn no_proxy_keeps_documents_back() {
    let gateway = quiet(&[]);
    let (status, lines) = Listener::begin(&gateway, "").head();
    assert_eq!(status, 200);
    let has = |wanted: &str| lines.iter().any(|line| line.eq_ignore_ascii_case(wanted));
    assert!(has("X-Accel-Buffering: no"), "{lines:?}");
    assert!(has("Cache-Control: no-store"), "{lines:?}");
    gateway.end();
}

#[test]
fn the_number_of_listeners_is_limited_and_one_that_leaves_makes_room() {
    let gateway = quiet(&[]);
    let mut listeners: Vec<_> = (0..32)
        .map(|_| {
            let mut listener = Listener::begin(&gateway, "");
            assert_eq!(listener.status(), 200);
            listener
        })
        .collect();
    assert_eq!(Listener::begin(&gateway, "").status(), 503);
    // Other requests are answered meanwhile, by the loop, too, and a slow reader delays none of
    // them.
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(gateway.api("/api/v1/connections?limit=1")["matched"], 0);
        listeners[0].next();
    }
    listeners.truncate(31);
    eventually("there is room again", || {
        (Listener::begin(&gateway, "").status() == 200).then_some(())
    });
    gateway.end();
}

#[test]
fn a_listener_is_not_taken_to_be_idle() {
    let gateway = quiet(&[]);
    let mut listener = Listener::begin(&gateway, "");
    assert_eq!(listener.status(), 200);
    // More connections than the limit, each of which makes room for the next.
    let mut idle = Vec::new();
    for _ in 0..80 {
        let mut stream = gateway.admin_stream();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .expect("room");
        let mut first = [0; 15];
        stream.read_exact(&mut first).expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        idle.push(stream);
    }
    for _ in 0..3 {
        listener.next();
    }
    gateway.end();
}

#[test]
fn listening_goes_on_for_longer_than_a_request_may_stand_still() {
    let gateway = quiet(&[]);
    let mut listener = Listener::begin(&gateway, "");
    assert_eq!(listener.status(), 200);
    let begin = Instant::now();
    let mut told = 0;
    while begin.elapsed() < Duration::from_secs(34) {
        listener.next();
        told += 1;
    }
    assert!((30..=37).contains(&told), "{told}");
    gateway.end();
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let gateway = quiet(&[]);
    let mut stream = gateway.admin_stream();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a timeout");
    let head = "POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\n\
                Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{";
    stream.write_all(head.as_bytes()).expect("room");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    gateway.end();
}
