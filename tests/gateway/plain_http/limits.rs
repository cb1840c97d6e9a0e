//! The limits of plain HTTP: times, sizes, and requests in progress.

use super::rig::{LAST, answer, assert_answer, assert_end, get, read, read_answer, serve, status};
use crate::bridge::legs::Bridge;
use crate::sockets::Client;

#[test]
fn a_connection_without_a_request_is_closed() {
    let bridge = Bridge::start(&[("HTTP_KEEP_ALIVE_MS", "200")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/", "").as_bytes());
    serve(&mut bridge.service.accept(), "ok");
    assert_answer(&mut client, "ok");
    assert_end(&mut client);
    bridge.gateway.end();
}

#[test]
fn an_upstream_connection_without_a_request_is_closed() {
    let bridge = Bridge::start(&[("UPSTREAM_KEEP_ALIVE_MS", "200")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/", "").as_bytes());
    let mut leg = bridge.service.accept();
    serve(&mut leg, "ok");
    assert_answer(&mut client, "ok");
    leg.expect_end();
    // The client's stays.
    client.write(get("/", "").as_bytes());
    serve(&mut bridge.service.accept(), "again");
    assert_answer(&mut client, "again");
    bridge.gateway.end();
}

#[test]
fn a_head_that_does_not_come_to_its_end_is_answered_408() {
    let bridge = Bridge::start(&[("HANDSHAKE_TIMEOUT_MS", "300")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/", "").as_bytes());
    serve(&mut bridge.service.accept(), "ok");
    assert_answer(&mut client, "ok");
    client.write(b"GET /slow HTTP/1.1\r\nHo");
    let response = client.response();
    assert_eq!(response.status, 408, "{response:?}");
    bridge.gateway.end();
}

#[test]
fn heads_have_bounds_on_kept_connections_too() {
    let bridge = Bridge::start(&[("MAX_HEAD_BYTES", "2048")]);
    for (lines, expected) in [
        (format!("X: {}\r\n", "x".repeat(3_000)), 431),
        ("X: 1\r\n".repeat(130), 431),
    ] {
        let mut client = Client::connect(bridge.gateway.addr);
        client.write(get("/", "").as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        leg.write(LAST);
        read_answer(&mut client);
        client.write(get("/", &lines).as_bytes());
        assert_eq!(client.response().status, expected);
    }
    bridge.gateway.end();
}

/// Behind a proxy all clients come from one address, and yet they are many.
#[test]
fn a_service_that_answers_three_clients_not_at_all_is_avoided() {
    let bridge = Bridge::start(&[
        ("HTTP_ANSWER_TIMEOUT_MS", "200"),
        ("TRUSTED_PROXIES", "127.0.0.1"),
    ]);
    let ask = |n: u8| {
        let mut client = Client::connect(bridge.gateway.addr);
        let lines = format!("X-Forwarded-For: 192.0.2.{n}\r\n");
        client.write(get("/", &lines).as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        assert_eq!(status(&read_answer(&mut client).0), 504);
    };
    for n in [1, 1, 1, 1, 2] {
        ask(n);
    }
    assert!(bridge.gateway.lines(&["state=avoided"]).is_empty());
    ask(3);
    bridge.gateway.line(&["upstream route=", "state=avoided"]);
    bridge.gateway.end();
}

#[test]
fn a_service_that_does_not_answer_is_given_up() {
    let bridge = Bridge::start(&[("HTTP_ANSWER_TIMEOUT_MS", "200")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    let (head, body) = read_answer(&mut client);
    assert_eq!(status(&head), 504, "{head}");
    assert!(
        body.contains("the upstream has not answered within 200 ms"),
        "{body}"
    );
    leg.expect_end();
    // The time begins with the end of the request, however long its body takes.
    client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\n");
    let mut leg = bridge.service.accept();
    leg.read_head();
    for nth in 0..9 {
        std::thread::sleep(std::time::Duration::from_millis(40));
        client.write(&[b'0' + nth]);
    }
    assert_eq!(leg.read_exactly(9), b"012345678");
    leg.write(answer("late enough").as_bytes());
    assert_answer(&mut client, "late enough");
    bridge.gateway.end();
}

/// The time for the answer begins with the end of the body, also when the limit of a body that
/// stands still is far longer.
#[test]
fn a_service_that_does_not_answer_a_late_body_is_given_up_at_once() {
    let bridge = Bridge::start(&[
        ("HTTP_ANSWER_TIMEOUT_MS", "200"),
        ("HTTP_BODY_IDLE_MS", "3600000"),
    ]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n");
    let mut leg = bridge.service.accept();
    leg.read_head();
    client.write(b"12345");
    assert_eq!(leg.read_exactly(5), b"12345");
    let (head, body) = read_answer(&mut client);
    assert_eq!(status(&head), 504, "{head}");
    assert!(body.contains("not answered within 200 ms"), "{body}");
    bridge.gateway.end();
}

#[test]
fn a_body_that_stands_still_is_given_up() {
    let bridge = Bridge::start(&[("HTTP_BODY_IDLE_MS", "300")]);
    // The client's body.
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 9\r\n\r\nabc");
    let mut leg = bridge.service.accept();
    leg.read_head();
    assert_eq!(leg.read_exactly(3), b"abc");
    leg.expect_end();
    drop(client);
    // The service's.
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    leg.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
    client.refusal();
    assert_eq!(read(&mut client, 3), "abc");
    assert_end(&mut client);
    leg.expect_end();
    bridge.gateway.end();
}

/// A client that does not read must not make the gateway keep what the service sends.
#[test]
fn a_client_that_does_not_read_holds_the_service_back() {
    let bridge = Bridge::start(&[("HTTP_BODY_IDLE_MS", "500")]);
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    leg.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    let chunk = vec![b'x'; 1 << 20];
    let mut sent = 0;
    while leg.try_write(&chunk) {
        sent += chunk.len();
        assert!(sent < 200 << 20, "the gateway takes everything");
    }
    drop(client);
    bridge.gateway.end();
}

#[test]
fn a_request_above_the_limit_waits_for_another_one_to_end() {
    let bridge = Bridge::start(&[("HTTP_MAX_REQUESTS", "1")]);
    let mut first = Client::connect(bridge.gateway.addr);
    first.write(get("/1", "").as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    let mut second = Client::connect(bridge.gateway.addr);
    second.write(get("/2", "").as_bytes());
    leg.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&first.refusal()), 200);
    assert!(
        bridge.service.try_accept().is_none(),
        "the first is not complete"
    );
    leg.write(b"ok");
    serve(&mut bridge.service.accept(), "second");
    assert_answer(&mut second, "second");
    bridge.gateway.end();
}

/// One address leaves a quarter of the places to others.
#[test]
fn an_address_with_many_requests_leaves_room_for_others() {
    let bridge = Bridge::start(&[("HTTP_MAX_REQUESTS", "8")]);
    let begin = || {
        let mut client = Client::connect_from([127, 0, 0, 2], bridge.gateway.addr);
        client.write(get("/slow", "").as_bytes());
        client
    };
    let crowd: Vec<_> = (0..6)
        .map(|_| {
            let client = begin();
            let mut leg = bridge.service.accept();
            leg.read_head();
            (client, leg)
        })
        .collect();
    assert_eq!(status(&begin().refusal()), 503);
    let mut other = Client::connect_from([127, 0, 0, 3], bridge.gateway.addr);
    other.write(get("/", "").as_bytes());
    serve(&mut bridge.service.accept(), "other");
    assert_answer(&mut other, "other");
    drop(crowd);
    bridge.gateway.end();
}
