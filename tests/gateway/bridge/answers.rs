//! What the client sees of the service's answer.

use super::legs::{Bridge, Told};
use crate::sockets::{Client, Event, Response, Server, frame, header_values, server_frame};
use pulsegate::wire::frame::TEXT;

/// Asks with these lines. Returns the client, and the service's connection with the request.
#[track_caller]
fn asked(bridge: &Bridge, lines: &str) -> (Client, Server) {
    let client = bridge.ask("/", lines);
    let mut leg = bridge.service.accept();
    leg.read_head();
    (client, leg)
}

#[test]
fn a_101_passes_with_subprotocol_extension_and_cookies() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = asked(
        &bridge,
        "Sec-WebSocket-Protocol: a, b\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n",
    );
    let agreement = leg.agreement(
        "Sec-WebSocket-Protocol: b\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=12\r\n\
         Set-Cookie: a=1; Secure; HttpOnly\r\nSet-Cookie: b=2\r\nServer: s\r\nX-Own: 1\r\n\
         Keep-Alive: timeout=5\r\n",
    );
    leg.write(agreement.as_bytes());
    let head = client.refusal();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for (name, values) in [
        (
            "sec-websocket-accept",
            &["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="][..],
        ),
        ("sec-websocket-protocol", &["b"]),
        (
            "sec-websocket-extensions",
            &["permessage-deflate; client_max_window_bits=12"],
        ),
        ("set-cookie", &["a=1; Secure; HttpOnly", "b=2"]),
        ("server", &["s"]),
        ("x-own", &["1"]),
        ("keep-alive", &[]),
    ] {
        assert_eq!(header_values(&head, name), values, "{name}: {head}");
    }
    // RSV1 is the mark of a compressed message. Both directions pass it on, as it came.
    let mut compressed = frame(TEXT, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
    compressed[0] |= 0x40;
    client.write(&compressed);
    assert_eq!(leg.read_exactly(compressed.len()), compressed);
    drop((client, leg));
    bridge.gateway.end();
}

#[test]
fn frames_arrive_byte_by_byte_as_they_were_sent() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = bridge.pair();
    // A text in two fragments, with a ping of the client in between, and a binary of 70 000 bytes.
    let mut sent = frame(TEXT, b"frag");
    sent[0] = TEXT;
    sent.extend(frame(0x9, b"own ping"));
    sent.extend(frame(0x0, b"ment"));
    sent.extend(frame(0x2, &vec![7; 70_000]));
    client.write(&sent);
    assert_eq!(leg.read_exactly(sent.len()), sent);
    leg.send(0xA, b"own ping");
    assert_eq!(client.next(), Event::Pong(b"own ping".to_vec()));
    leg.send(0x2, &vec![8; 70_000]);
    assert_eq!(client.next(), Event::Binary(vec![8; 70_000]));
    drop((client, leg));
    bridge.gateway.end();
}

#[test]
fn frames_right_behind_either_head_are_kept() {
    let bridge = Bridge::start(&[]);
    let mut client = Client::connect(bridge.gateway.addr);
    let hello = frame(TEXT, b"from the client");
    client.write(&[super::legs::request("/", "").as_bytes(), &hello].concat());
    let mut leg = bridge.service.accept();
    leg.agree_and_send(&server_frame(TEXT, b"from the service"));
    client.switched();
    assert_eq!(client.next(), Event::Text("from the service".to_owned()));
    assert_eq!(leg.read_exactly(hello.len()), hello);
    drop((client, leg));
    bridge.gateway.end();
}

/// Returns what the client gets for this answer of the service.
#[track_caller]
fn refused(bridge: &Bridge, answer: &str) -> Response {
    let (mut client, mut leg) = asked(bridge, "");
    leg.write(answer.as_bytes());
    client.response()
}

#[test]
fn a_refusal_passes_with_status_fields_and_body() {
    let bridge = Bridge::start(&[]);
    let page = "<html><h1>no such room</h1></html>";
    for (answer, status, field, value, body) in [
        (
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"r\"\r\n\
             Content-Type: text/plain\r\nContent-Length: 8\r\n\r\nwho are?",
            401,
            "www-authenticate",
            "Basic realm=\"r\"",
            "who are?",
        ),
        (
            "HTTP/1.1 302 Found\r\nLocation: https://login.example/?next=%2F\r\n\
             Content-Length: 0\r\n\r\n",
            302,
            "location",
            "https://login.example/?next=%2F",
            "",
        ),
        (
            &format!(
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n\
                 {page}",
                page.len()
            ),
            404,
            "content-type",
            "text/html",
            page,
        ),
        (
            "HTTP/1.1 503 x\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nbusy",
            503,
            "retry-after",
            "7",
            "busy",
        ),
        (
            "HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\nX-Own: 1\r\n\r\n\
             5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: 1\r\n\r\n",
            403,
            "x-own",
            "1",
            "hello world",
        ),
        (
            "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nOK",
            200,
            "set-cookie",
            "a=1",
            "OK",
        ),
    ] {
        let response = refused(&bridge, answer);
        assert_eq!(response.status, status, "{response:?}");
        assert_eq!(response.header(field), Some(value), "{response:?}");
        assert_eq!(response.body, body, "{response:?}");
    }
    bridge.gateway.end();
}

#[test]
fn a_refusal_whose_body_ends_with_the_stream_passes() {
    let bridge = Bridge::start(&[]);
    let (mut client, mut leg) = asked(&bridge, "");
    leg.write(b"HTTP/1.0 410 Gone\r\n\r\nfor ever");
    leg.send_fin();
    let response = client.response();
    assert_eq!((response.status, &*response.body), (410, "for ever"));
    let reason = "the upstream answered 410";
    let told = Told::unclean("not_upgraded", "http_410", "upstream", reason);
    told.assert_is(&bridge.record("none"));
    bridge.gateway.end();
}

#[test]
fn a_101_that_accepts_what_was_not_offered_is_a_502() {
    let bridge = Bridge::start(&[]);
    let wrong_accept = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    let rows = [
        (None, "Sec-WebSocket-Accept"),
        (
            Some("Sec-WebSocket-Protocol: c\r\n"),
            "the upstream chose the subprotocol \\\"c\\\", which the client did not offer",
        ),
        (
            Some("Sec-WebSocket-Extensions: permessage-deflate\r\n"),
            "the upstream chose the extension \\\"permessage-deflate\\\"",
        ),
    ];
    for (nth, (lines, why)) in rows.into_iter().enumerate() {
        let (mut client, mut leg) = asked(&bridge, "Sec-WebSocket-Protocol: a, b\r\n");
        let answer = match lines {
            None => wrong_accept.to_owned(),
            Some(lines) => leg.agreement(lines),
        };
        leg.write(answer.as_bytes());
        let response = client.response();
        assert_eq!(response.status, 502, "{response:?}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert!(
            response.body.starts_with("{\"status\":502,\"error\":"),
            "{response:?}"
        );
        assert!(response.body.contains(why), "{response:?}");
        leg.expect_end();
        let parts = [
            "close class=none",
            "cause=bad_answer",
            "code=http_502",
            "by=upstream",
        ];
        crate::sockets::eventually("a line for each", || {
            (bridge.gateway.lines(&parts).len() == nth + 1).then_some(())
        });
    }
    bridge.gateway.end();
}

#[test]
fn what_is_not_http_is_a_502() {
    let bridge = Bridge::start(&[]);
    let response = refused(&bridge, "SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert_eq!(response.status, 502, "{response:?}");
    assert!(
        response
            .body
            .contains("the answer of the upstream is invalid"),
        "{response:?}"
    );
    Told::unclean(
        "bad_answer",
        "http_502",
        "upstream",
        "the answer of the upstream is invalid",
    )
    .assert_is(&bridge.record("none"));
    bridge.gateway.end();
}
