//! Answers of the service on their way to the client.

use super::rig::{LAST, answer, assert_answer, assert_end, get, read, read_answer, serve, status};
use crate::bridge::legs::Bridge;
use crate::sockets::{Client, Server};

/// Sends a request, and returns the client and the service's connection that has it.
#[track_caller]
fn asked(bridge: &Bridge, request: &str) -> (Client, Server) {
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(request.as_bytes());
    let mut leg = bridge.service.accept();
    leg.read_head();
    (client, leg)
}

/// The client reads each event before the service writes the next one.
#[test]
fn each_piece_of_a_body_reaches_the_client_at_once() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = asked(&bridge, &get("/events", "Accept: text/event-stream\r\n"));
    leg.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
    let head = client.refusal();
    assert!(
        head.contains("\r\nTransfer-Encoding: chunked\r\n"),
        "{head}"
    );
    for nth in 0..3 {
        let event = format!("data: {nth}\n\n");
        leg.write(event.as_bytes());
        assert_eq!(read(&mut client, 14), format!("9\r\n{event}\r\n"));
    }
    drop(leg);
    assert_eq!(read(&mut client, 5), "0\r\n\r\n");
    // The connection goes on.
    client.write(get("/next", "").as_bytes());
    let mut leg = bridge.service.accept();
    serve(&mut leg, "next");
    assert_answer(&mut client, "next");
    bridge.gateway.end();
}

#[test]
fn status_fields_and_reason_are_the_services() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = asked(&bridge, &get("/", ""));
    leg.write(
        b"HTTP/1.1 299 As Said\r\nSet-Cookie: a=1\r\nx-MIXED: 1\r\nSet-Cookie: b=2; Path=/\r\n\
          ETag: \"x\"\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
          Content-Length: 2\r\n\r\nok",
    );
    let (head, body) = read_answer(&mut client);
    assert_eq!(body, "ok");
    assert_eq!(
        head,
        "HTTP/1.1 299 As Said\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2; Path=/\r\nx-MIXED: 1\r\n\
         ETag: \"x\"\r\nContent-Length: 2\r\n\r\n"
    );
    leg.expect_end();
    bridge.gateway.end();
}

#[test]
fn answers_without_a_body_have_none() {
    let bridge = Bridge::start(&[]);
    for (request, said, seen) in [
        (
            "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n",
            "200 OK\r\nContent-Length: 12345",
            "200 OK\r\nContent-Length: 12345",
        ),
        (
            "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
            "204 No Content",
            "204 No Content",
        ),
        (
            "GET / HTTP/1.1\r\nHost: test\r\n\r\n",
            "304 Not Modified\r\nContent-Length: 5",
            "304 Not Modified",
        ),
    ] {
        let (mut client, mut leg) = asked(&bridge, request);
        leg.write(format!("HTTP/1.1 {said}\r\n\r\n").as_bytes());
        assert_eq!(client.refusal(), format!("HTTP/1.1 {seen}\r\n\r\n"));
        // Both connections serve the next request.
        client.write(get("/next", "").as_bytes());
        serve(&mut leg, "next");
        assert_answer(&mut client, "next");
        client.write(get("/last", "").as_bytes());
        leg.read_head();
        leg.write(LAST);
        read_answer(&mut client);
        leg.expect_end();
    }
    bridge.gateway.end();
}

#[test]
fn informational_answers_are_not_taken_for_the_answer() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = asked(&bridge, &get("/", ""));
    leg.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    leg.write(answer("final").as_bytes());
    assert_answer(&mut client, "final");
    bridge.gateway.end();
}

#[test]
fn trailers_of_an_answer_end_with_it() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = asked(&bridge, &get("/", "TE: trailers\r\nConnection: TE\r\n"));
    assert!(leg.fields("te").is_empty());
    leg.write(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    client.refusal();
    assert_eq!(read(&mut client, 13), "3\r\nabc\r\n0\r\n\r\n");
    client.write(get("/next", "").as_bytes());
    serve(&mut leg, "next");
    assert_answer(&mut client, "next");
    bridge.gateway.end();
}

/// A service may answer without reading the body, such as with 413.
#[test]
fn an_early_answer_reaches_the_client() {
    let bridge = Bridge::start(&[]);
    let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\nbegin";
    let (mut client, mut leg) = asked(&bridge, request);
    leg.write(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    let (head, _) = read_answer(&mut client);
    assert_eq!(status(&head), 413, "{head}");
    bridge.gateway.end();
}

#[test]
fn what_is_no_answer_becomes_502() {
    let bridge = Bridge::start(&[]);
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: 1\r\n".repeat(129));
    for said in [
        "",
        "HTTP/1.1 200",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        &long,
        &many,
    ] {
        let request = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
        let (mut client, mut leg) = asked(&bridge, request);
        leg.write(said.as_bytes());
        if !said.contains("\r\n\r\n") {
            drop(leg);
        }
        let (head, body) = read_answer(&mut client);
        assert_eq!(status(&head), 502, "{said:?}: {head}");
        assert!(
            body.starts_with("{\"status\":502,\"error\":\"the "),
            "{body}"
        );
        // The client's connection is not at fault.
        client.write(get("/next", "").as_bytes());
        let mut leg = bridge.service.accept();
        serve(&mut leg, "next");
        assert_answer(&mut client, "next");
        client.write(get("/last", "").as_bytes());
        leg.read_head();
        leg.write(LAST);
        read_answer(&mut client);
    }
    bridge.gateway.line(&[
        "[WARN] http_request route=default upstream=127.0.0.1:",
        "method=POST",
        "status=502",
    ]);
    bridge.gateway.end();
}

/// The client must notice that the body is not whole.
#[test]
fn a_service_that_dies_inside_a_body_cuts_the_client_off() {
    let bridge = Bridge::start(&[]);
    for head in ["Content-Length: 9", "Transfer-Encoding: chunked"] {
        let (mut client, mut leg) = asked(&bridge, &get("/", ""));
        let piece = if head.starts_with('C') {
            "abc"
        } else {
            "3\r\nabc\r\n"
        };
        leg.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{piece}").as_bytes());
        client.refusal();
        assert_eq!(read(&mut client, piece.len()), piece);
        leg.reset();
        assert_end(&mut client);
    }
    let metrics = bridge.gateway.metrics();
    let series = "pulsegate_http_requests_total{route=\"default\",code_class=\"cut\"}";
    assert_eq!(metrics.get(series), 2.0);
    bridge.gateway.end();
}
