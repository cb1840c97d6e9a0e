//! Answers that come while the client still sends a body. A client that sends first and reads then
//! gets the whole answer: closing a socket with unread input would destroy it.

use super::rig::{assert_answer, get, serve};
use crate::bridge::legs::{Bridge, QUIET};
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, Response, Server};

/// More than the buffers of all sockets on the way hold.
const SIZE: usize = 20 << 20;

/// Settings under which a body that stands still is given up soon.
const IMPATIENT: [(&str, &str); 2] = [("HTTP_BODY_IDLE_MS", "300"), ("HTTP_MAX_REQUESTS", "1")];

/// Sends this head and a body of this length, and only then reads the answer.
#[track_caller]
fn upload(client: &mut Client, head: &str, size: usize) -> Response {
    client.write(head.as_bytes());
    let chunk = vec![b'x'; 1 << 20];
    for _ in 0..size >> 20 {
        client.write(&chunk);
    }
    client.response()
}

/// Returns the head of an upload, with these lines, each ended by CRLF.
fn post(lines: &str) -> String {
    format!("POST /up HTTP/1.1\r\nHost: test\r\n{lines}Content-Length: {SIZE}\r\n\r\n")
}

/// Sends an upload, of which the service reads the head alone. Returns the answer, and the
/// connection of the service, which is still open if `answer` returns it.
#[track_caller]
fn upload_unread(
    bridge: &Bridge,
    answer: impl FnOnce(Server) -> Option<Server>,
) -> (Response, Option<Server>) {
    let addr = bridge.gateway.addr;
    let uploading = std::thread::spawn(move || upload(&mut Client::connect(addr), &post(""), SIZE));
    let mut leg = bridge.service.accept();
    leg.read_head();
    let leg = answer(leg);
    (uploading.join().expect("an answer"), leg)
}

/// Asserts that the gateway has forgotten the last request: `HTTP_MAX_REQUESTS` is 1.
#[track_caller]
fn assert_room(bridge: &Bridge) {
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/next", "").as_bytes());
    serve(&mut bridge.service.accept(), "next");
    assert_answer(&mut client, "next");
}

#[test]
fn a_service_that_does_not_read_is_answered_for_with_504() {
    let bridge = Bridge::start(&IMPATIENT);
    let (response, leg) = upload_unread(&bridge, Some);
    assert_eq!(response.status, 504, "{response:?}");
    assert!(response.body.contains("has read no byte of the body"));
    assert_eq!(response.header("connection"), Some("close"));
    let line = bridge.gateway.line(&["http_request", "status=504"]);
    let upstream = bridge.service.socket_addr();
    for part in [
        &*format!(" upstream={upstream} "),
        " peer=127.0.0.1:",
        "\"the upstream has read no byte of the body within 300 ms\"",
    ] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // The service still does not read, and its connection is given up nevertheless.
    assert_room(&bridge);
    drop(leg);
    bridge.gateway.end();
}

#[test]
fn an_early_answer_is_not_lost_behind_a_large_upload() {
    const EARLY: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n";
    let bridge = Bridge::start(&IMPATIENT);
    // The service leaves, it only stops reading, and it does not answer at all.
    let (leaves, first) = upload_unread(&bridge, |mut leg| {
        leg.write(format!("{EARLY}Connection: close\r\n\r\nbig").as_bytes());
        leg.send_fin();
        Some(leg)
    });
    assert_eq!((leaves.status, &*leaves.body), (413, "big"), "{leaves:?}");
    assert_eq!(leaves.header("connection"), Some("close"));
    let (stays, second) = upload_unread(&bridge, |mut leg| {
        leg.write(format!("{EARLY}\r\nbig").as_bytes());
        Some(leg)
    });
    assert_eq!((stays.status, &*stays.body), (413, "big"), "{stays:?}");
    let (dies, _) = upload_unread(&bridge, |leg| {
        drop(leg);
        None
    });
    assert_eq!(dies.status, 502, "{dies:?}");
    assert_room(&bridge);
    drop((first, second));
    bridge.gateway.end();
}

#[test]
fn refusals_behind_the_loop_reach_a_client_that_sends_first() {
    let proxies = [
        ("HTTP_BODY_IDLE_MS", "300"),
        ("HANDSHAKE_TIMEOUT_MS", "300"),
    ];
    let bridge = Bridge::start(&proxies);
    let chunked =
        "POST /up HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n";
    let twice = "Content-Length: 1\r\n";
    for (head, status) in [
        (post(twice), 400),
        (post("Transfer-Encoding: chunked\r\n"), 400),
        (post("").replacen("POST", "TRACE", 1), 405),
        (post(&format!("X: {}\r\n", "x".repeat(20_000))), 431),
        (
            post("X-Forwarded-Host: a b\r\n").replacen("test", "a,b", 1),
            400,
        ),
        (chunked.to_owned(), 400),
    ] {
        // Once on the loop's own terms, once behind another request.
        for is_kept in [false, true] {
            let mut client = Client::connect(bridge.gateway.addr);
            if is_kept {
                client.write(get("/first", "").as_bytes());
                let mut leg = bridge.service.accept();
                leg.read_head();
                leg.write(super::rig::LAST);
                super::rig::read_answer(&mut client);
            }
            let response = upload(&mut client, &head, SIZE);
            assert_eq!(response.status, status, "{is_kept} {head:?}");
            while bridge.service.try_accept().is_some() {}
        }
    }
    bridge.gateway.end();
}

#[test]
fn refusals_of_the_loop_reach_a_client_that_sends_first() {
    let folder = Folder::new();
    let route = "[[route]]\nname = 'r'\npath = '/r'\nupstream = ['http://127.0.0.1:9']\n";
    let file = folder.file("routes.toml", route);
    let gateway = Gateway::start(&[&QUIET[..], &[("CONFIG_FILE", &*file)]].concat());
    let closed = Bridge::start(&[("HTTP_PASS", "off")]);
    for (addr, head, status) in [
        (gateway.addr, post(""), 405),
        (closed.gateway.addr, post(""), 405),
        (
            closed.gateway.addr,
            post("").replacen("POST", "GET", 1),
            400,
        ),
    ] {
        let response = upload(&mut Client::connect(addr), &head, SIZE);
        assert_eq!(response.status, status, "{response:?}");
    }
    gateway.end();
    closed.gateway.end();
}

/// A connection that only waits for its client's last bytes has its place, and does not hold up the
/// end of the process.
#[test]
fn a_client_that_goes_on_sending_does_not_delay_the_end() {
    let bridge = Bridge::start(&IMPATIENT);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(post("").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    assert_eq!(super::rig::status(&client.refusal()), 408);
    let here = bridge.gateway.metrics().get("pulsegate_http_connections");
    assert_eq!(here, 1.0);
    let began = std::time::Instant::now();
    let writing = std::thread::spawn(move || while client.try_write(b"more of it") {});
    bridge.gateway.end();
    assert!(began.elapsed() < std::time::Duration::from_secs(20));
    writing.join().expect("the writer ends");
}
