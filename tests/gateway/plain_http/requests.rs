//! Requests on their way to the service.

use super::rig::{answer, assert_answer, assert_end, get, read_answer, serve, status};
use crate::bridge::legs::Bridge;
use crate::sockets::Client;

#[test]
fn both_connections_serve_one_request_after_the_other() {
    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/1", "").as_bytes());
    let mut leg = bridge.service.accept();
    serve(&mut leg, "first");
    assert_answer(&mut client, "first");
    for nth in ["/2", "/3"] {
        client.write(get(nth, "").as_bytes());
        let head = serve(&mut leg, nth);
        assert!(
            head.starts_with(&format!("GET {nth} HTTP/1.1\r\n")),
            "{head}"
        );
        assert_answer(&mut client, nth);
    }
    client.write(get("/4", "Connection: close\r\n").as_bytes());
    serve(&mut leg, "last");
    assert_answer(&mut client, "last");
    assert_end(&mut client);
    bridge.gateway.end();
}

/// The service reads the first bytes of a body before the client has sent the last ones.
#[test]
fn a_body_is_passed_on_as_it_comes() {
    let bridge = Bridge::start(&[]);
    for framing in ["Content-Length: 12", "Transfer-Encoding: chunked"] {
        let is_chunked = framing.starts_with("Transfer");
        let piece = |text: &str| match is_chunked {
            true => format!("{:x}\r\n{text}\r\n", text.len()),
            false => text.to_owned(),
        };
        let mut client = Client::connect(bridge.gateway.addr);
        let head = format!("POST /up HTTP/1.1\r\nHost: test\r\n{framing}\r\n\r\n");
        client.write(head.as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        for text in ["one ", "two ", "end."] {
            client.write(piece(text).as_bytes());
            let len = piece(text).len();
            assert_eq!(leg.read_exactly(len), piece(text).as_bytes(), "{framing}");
        }
        if is_chunked {
            client.write(b"0\r\n\r\n");
            assert_eq!(leg.read_exactly(5), b"0\r\n\r\n");
        }
        leg.write(answer("taken").as_bytes());
        assert_answer(&mut client, "taken");
        drop(leg);
    }
    bridge.gateway.end();
}

#[test]
fn a_large_body_passes_while_the_service_reads_slowly() {
    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    let size = 32 << 20;
    let head = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {size}\r\n\r\n");
    client.write(head.as_bytes());
    let mut writer = client.writer();
    let sent = std::thread::spawn(move || {
        let chunk: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
        for _ in 0..32 {
            writer.write(&chunk);
        }
    });
    let mut leg = bridge.service.accept();
    leg.read_head();
    let (mut got, mut wrong) = (0, 0);
    while got < size {
        for byte in leg.read_up_to(64 << 10) {
            wrong += usize::from(byte != ((got % (1 << 20)) % 251) as u8);
            got += 1;
        }
    }
    assert_eq!(wrong, 0);
    sent.join().expect("all sent");
    leg.write(answer("taken").as_bytes());
    assert_answer(&mut client, "taken");
    bridge.gateway.end();
}

/// The client is asked for its body when an upstream is there to take it.
#[test]
fn a_client_that_expects_100_gets_it_before_its_body_is_read() {
    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(
        b"POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    let head = client.refusal();
    assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n");
    let mut leg = bridge.service.accept();
    assert!(leg.read_head().contains("\r\nContent-Length: 4\r\n"));
    assert!(leg.fields("expect").is_empty(), "{}", leg.head);
    client.write(b"body");
    assert_eq!(leg.read_exactly(4), b"body");
    leg.write(answer("taken").as_bytes());
    assert_answer(&mut client, "taken");

    // With no upstream the answer comes instead, and the connection does not wait for the body.
    let gone = Bridge::start(&[]);
    let addr = gone.gateway.addr;
    drop(gone.service);
    let mut client = Client::connect(addr);
    client.write(
        b"POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n",
    );
    let (head, _) = read_answer(&mut client);
    assert_eq!(status(&head), 502, "{head}");
    assert_end(&mut client);
    bridge.gateway.end();
    gone.gateway.end();
}

#[test]
fn a_client_that_leaves_takes_its_request_along() {
    let bridge = Bridge::start(&[]);
    // It waits for an answer, it sends a body, it reads one.
    for place in 0..3 {
        let mut client = Client::connect(bridge.gateway.addr);
        match place {
            1 => client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc"),
            _ => client.write(get("/", "").as_bytes()),
        }
        let mut leg = bridge.service.accept();
        leg.read_head();
        if place == 1 {
            assert_eq!(leg.read_exactly(3), b"abc");
        }
        if place == 2 {
            leg.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
            client.refusal();
        }
        drop(client);
        leg.expect_end();
    }
    bridge.gateway.end();
}

#[test]
fn proxies_in_front_are_believed_as_for_websockets() {
    let bridge = Bridge::start(&[("TRUSTED_PROXIES", "127.0.0.1"), ("PROXY_PROTOCOL", "v1")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(b"PROXY TCP4 192.0.2.7 192.0.2.1 4000 443\r\n");
    client.write(get("/1", "X-Forwarded-For: 6.6.6.6\r\n").as_bytes());
    let mut leg = bridge.service.accept();
    for nth in ["/2", "end"] {
        serve(&mut leg, "ok");
        assert_eq!(leg.fields("x-forwarded-for"), ["192.0.2.7"]);
        assert_answer(&mut client, "ok");
        if nth != "end" {
            client.write(get(nth, "").as_bytes());
        }
    }
    bridge.gateway.end();
}

/// A service that ignores the body would take it for its next request. So the connection serves no
/// other client.
#[test]
fn a_connection_on_which_a_body_was_sent_serves_no_further_request() {
    let bridge = Bridge::start(&[]);
    let evil = "GET /evil HTTP/1.1\r\nHost: x\r\n\r\n";
    for method in ["GET", "POST"] {
        let mut client = Client::connect(bridge.gateway.addr);
        let len = evil.len();
        let head = format!("{method} /a HTTP/1.1\r\nHost: test\r\nContent-Length: {len}\r\n\r\n");
        client.write((head + evil).as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        assert_eq!(leg.fields("connection"), ["close"]);
        leg.write(answer("a").as_bytes());
        assert_answer(&mut client, "a");
        let mut victim = Client::connect(bridge.gateway.addr);
        victim.write(get("/victim", "").as_bytes());
        serve(&mut bridge.service.accept(), "victim");
        assert_answer(&mut victim, "victim");
        assert_eq!(leg.read_exactly(len), evil.as_bytes());
        leg.expect_end();
    }
    bridge.gateway.end();
}

/// The next request is read when the answer to the present one is complete. What stands behind the
/// present one says nothing of it.
#[test]
fn a_request_that_waits_changes_nothing_for_the_one_before_it() {
    let limits = [
        ("HTTP_BODY_IDLE_MS", "300"),
        ("HANDSHAKE_TIMEOUT_MS", "300"),
    ];
    let bridge = Bridge::start(&limits);
    for behind in [
        "POST /late HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc",
        "GET /late HTTP/1.1\r\nHo",
    ] {
        let mut client = Client::connect(bridge.gateway.addr);
        client.write((get("/1", "") + behind).as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        std::thread::sleep(std::time::Duration::from_millis(600));
        let body = "x".repeat(3 << 20);
        let last = answer(&body).replacen("OK\r\n", "OK\r\nConnection: close\r\n", 1);
        leg.write(last.as_bytes());
        let (head, got) = read_answer(&mut client);
        assert_eq!((status(&head), got.len()), (200, body.len()));
        assert!(
            got.bytes().all(|byte| byte == b'x'),
            "another answer inside"
        );
        drop(leg);
        let late = behind.starts_with("POST").then(|| bridge.service.accept());
        assert_eq!(status(&client.refusal()), 408);
        drop(late);
    }
    // A client that leaves is noticed although another request waits.
    let mut client = Client::connect(bridge.gateway.addr);
    client.write((get("/1", "") + &get("/2", "")).as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    drop(client);
    leg.expect_end();
    bridge.gateway.end();
}

/// Clients that stop in the middle of a body do not make the service look bad.
#[test]
fn a_client_that_stalls_is_answered_408_and_the_upstream_stays_well() {
    let proxies = [
        ("TRUSTED_PROXIES", "127.0.0.1"),
        ("HTTP_BODY_IDLE_MS", "200"),
    ];
    let bridge = Bridge::start(&proxies);
    for n in 0..4 {
        let mut client = Client::connect(bridge.gateway.addr);
        let head = format!("POST / HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 192.0.2.{n}\r\n");
        client.write((head + "Content-Length: 9\r\n\r\nabc").as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        let (head, body) = read_answer(&mut client);
        assert_eq!(status(&head), 408, "{body}");
        leg.expect_end();
    }
    let upstreams = bridge.gateway.api("/api/v1/upstreams");
    assert_eq!(upstreams["upstreams"][0]["state"], "up", "{upstreams}");
    bridge.gateway.end();
}
