//! What servers answer, however the answer is cut.

use crate::dialer::{Dialer, Does, Told, accepted, dialer, told_of};
use crate::nets::{S, check_invariants};
use pulsegate::cause::{Cause, EndCode};
use pulsegate::testing::{Net, PeerId, Received, frame_of_server, upgrade_response};
use pulsegate::{Config, Message};

/// What became of a dial: the host's calls, how it ended, and what the server received.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    told: Vec<Told>,
    end: Option<(Cause, EndCode, String)>,
    received: Vec<Received>,
}

/// Returns what an answer leads to that arrives in these pieces, and whose end is a FIN if `fin`.
fn outcome(bytes: &[u8], cuts: &[usize], fin: bool) -> Outcome {
    let mut net = dialer(Config::default());
    let server = accepted(&mut net);
    let mut at = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        net.write(server, &bytes[at..cut]);
        net.settle();
        check_invariants(&net);
        at = cut;
    }
    if fin {
        net.half_close(server);
    }
    net.advance(100);
    check_invariants(&net);
    assert_eq!(net.engine().stats().held_bytes, 0, "nothing is kept");
    Outcome {
        told: told_of(&mut net, server),
        end: end_of(&net, server),
        received: net.received(server),
    }
}

fn end_of(net: &Net<Dialer>, server: PeerId) -> Option<(Cause, EndCode, String)> {
    let end = net.ending(server)?;
    Some((end.cause, end.code, end.reason.to_string()))
}

/// Returns the outcome of an answer, which must be the same for every cut and byte by byte.
fn at_every_cut(bytes: &[u8], fin: bool) -> Outcome {
    let whole = outcome(bytes, &[], fin);
    for cut in 1..bytes.len() {
        assert_eq!(outcome(bytes, &[cut], fin), whole, "cut at {cut}");
    }
    let every: Vec<usize> = (1..bytes.len()).collect();
    assert_eq!(outcome(bytes, &every, fin), whole, "byte by byte");
    whole
}

/// Returns the 101 that answers the request of a new engine.
fn switching(headers: &str) -> Vec<u8> {
    let mut net = dialer(Config::default());
    let server = accepted(&mut net);
    let request = net.request(server).expect("a request");
    upgrade_response(request, headers).into_bytes()
}

#[test]
fn the_request_is_the_one_that_the_host_gave() {
    let mut net = dialer(Config::default());
    let server = accepted(&mut net);
    let request = net.request(server).expect("a request").to_owned();
    assert!(
        request.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: server\r\n"),
        "{request}"
    );
    for line in [
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
    ] {
        assert!(request.lines().any(|l| l == line), "{request}");
    }
    assert_eq!(net.dialed_addresses(), [], "they were taken");
    assert!(net.ending(server).is_none() && !net.is_open(server));
}

#[test]
fn a_101_opens_wherever_it_is_cut_and_what_follows_it_counts() {
    let bytes = [
        switching("X-Served-By: a\r\n"),
        frame_of_server(0x81, b"welcome"),
        frame_of_server(0x02, b"in two "),
        frame_of_server(0x89, b"are you there?"),
        frame_of_server(0x80, b"parts"),
    ]
    .concat();
    let whole = at_every_cut(&bytes, false);
    let expected = [
        Told::Response(101, Vec::new(), false),
        Told::Opened,
        Told::Message(Message::text("welcome")),
        Told::Message(Message::binary(&b"in two parts"[..])),
    ];
    assert_eq!(whole.told, expected);
    assert_eq!(whole.end, None);
    assert_eq!(whole.received, [Received::Pong(b"are you there?".to_vec())]);
}

#[test]
fn informational_responses_before_the_101_are_skipped() {
    let bytes = [
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".to_vec(),
        switching(""),
    ]
    .concat();
    let whole = outcome(&bytes, &[], false);
    let opened = [Told::Response(101, Vec::new(), false), Told::Opened];
    assert_eq!(whole.told, opened);
}

#[test]
fn a_refusal_reaches_the_host_with_its_body_wherever_it_is_cut() {
    let rows: &[(&str, u16, &[u8], bool)] = &[
        (
            "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno room",
            404,
            b"no room",
            false,
        ),
        (
            "HTTP/1.1 401 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n5;a=b\r\n are \r\n\
             0\r\nX: y\r\n\r\n",
            401,
            b"who are ",
            false,
        ),
        (
            "HTTP/1.1 500 x\r\n\r\nuntil the end",
            500,
            b"until the end",
            true,
        ),
        ("HTTP/1.0 200 OK\r\n\r\n<html>", 200, b"<html>", true),
        ("HTTP/1.1 204 x\r\n\r\n", 204, b"", false),
        (
            "HTTP/1.1 503 x\r\nContent-Length: 0\r\n\r\n",
            503,
            b"",
            false,
        ),
        (
            "HTTP/1.1 302 x\r\nLocation: /b\r\nContent-Length: 1\r\n\r\nx",
            302,
            b"x",
            false,
        ),
    ];
    for (text, status, body, fin) in rows {
        let whole = at_every_cut(text.as_bytes(), *fin);
        let told = [
            Told::Response(*status, body.to_vec(), false),
            Told::Closed(Cause::NOT_UPGRADED),
        ];
        assert_eq!(whole.told, told, "{text:?}");
        let reason = format!("the server answered {status}");
        let end = (Cause::NOT_UPGRADED, EndCode::Http(*status), reason);
        assert_eq!(whole.end, Some(end), "{text:?}");
    }
}

#[test]
fn a_body_is_cut_at_64_kib() {
    for head in [
        "HTTP/1.1 500 x\r\nContent-Length: 100000\r\n\r\n",
        "HTTP/1.1 500 x\r\n\r\n",
    ] {
        let bytes = [head.as_bytes(), &vec![b'x'; 100_000]].concat();
        // The end of the stream is not needed.
        let whole = outcome(&bytes, &[head.len(), 30_000], false);
        let cut = Told::Response(500, vec![b'x'; 64 << 10], true);
        assert_eq!(whole.told, [cut, Told::Closed(Cause::NOT_UPGRADED)]);
    }
}

#[test]
fn an_answer_that_is_not_allowed_ends_the_dial_wherever_it_is_cut() {
    let wrong_key = "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    let rows: &[(&str, &str)] = &[
        (wrong_key, "Sec-WebSocket-Accept"),
        ("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n", "Upgrade"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "not an HTTP response"),
        ("\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        ("HTTP/1.1 2OO OK\r\n\r\n", "status line"),
        (
            "HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\nnothing\r\n",
            "chunk",
        ),
        (
            "HTTP/1.1 404 x\r\nTransfer-Encoding: gzip\r\n\r\n",
            "Transfer-Encoding",
        ),
    ];
    for (text, what) in rows {
        let whole = at_every_cut(text.as_bytes(), false);
        assert_eq!(whole.told, [Told::Closed(Cause::BAD_ANSWER)], "{text:?}");
        let (_, code, reason) = whole.end.expect("an end");
        assert!(code == EndCode::None && reason.contains(what), "{reason}");
    }
}

#[test]
fn an_answer_that_ends_too_early_is_told_as_that() {
    for text in [
        "",
        "HTTP/1.1 101 Switch",
        "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\nno",
        "HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nwho\r\n",
    ] {
        let whole = outcome(text.as_bytes(), &[], true);
        assert_eq!(whole.told, [Told::Closed(Cause::PEER_EOF)], "{text:?}");
    }
}

#[test]
fn the_head_of_an_answer_has_16_kib() {
    let line = |len| {
        format!(
            "HTTP/1.1 404 x\r\nContent-Length: 0\r\nX: {}\r\n\r\n",
            "x".repeat(len)
        )
    };
    let most = (16 << 10) - line(0).len();
    let told = |len| outcome(line(len).as_bytes(), &[9_000], false).told;
    assert_eq!(told(most).len(), 2);
    assert_eq!(told(most + 1), [Told::Closed(Cause::BAD_ANSWER)]);
}

#[test]
fn the_host_may_refuse_a_101() {
    let mut net = dialer(Config::default());
    net.host().does = Does::Refuses;
    let server = accepted(&mut net);
    net.agree(server, "");
    net.write(server, &frame_of_server(0x81, b"not read"));
    net.settle();
    let told = [
        Told::Response(101, Vec::new(), false),
        Told::Closed(Cause::BAD_ANSWER),
    ];
    assert_eq!(told_of(&mut net, server), told);
    assert_eq!(
        net.ending(server).map(|e| &*e.reason),
        Some("wrong subprotocol")
    );
    check_invariants(&net);
}

#[test]
fn a_host_that_closes_in_a_call_about_the_answer_gets_no_further_call() {
    let tail = frame_of_server(0x81, b"not read");
    for (does, with_tail) in [
        (Does::ClosesInResponse, false),
        (Does::ClosesInResponse, true),
        (Does::ClosesInOpen, false),
        (Does::ClosesInOpen, true),
    ] {
        let mut net = dialer(Config::default());
        net.host().does = does;
        let server = accepted(&mut net);
        net.agree(server, "");
        if with_tail {
            net.write(server, &tail);
        }
        net.settle();
        check_invariants(&net);
        let close = Received::Close(4_000, "no longer wanted".to_owned());
        let was_open = does == Does::ClosesInOpen;
        let closes = if was_open { vec![close] } else { Vec::new() };
        assert_eq!(net.received(server), closes, "{does:?}");
        net.half_close(server);
        net.advance(10 * S);
        let told = told_of(&mut net, server);
        let mut expected = vec![
            Told::Response(101, Vec::new(), false),
            Told::Closed(Cause::KICKED),
        ];
        if was_open {
            expected.insert(1, Told::Opened);
        }
        assert_eq!(told, expected, "{does:?}, {with_tail}");
        assert!(net.host().owed.is_empty() && net.engine().is_empty());
    }
}

#[test]
fn a_host_that_closes_when_it_is_refused_gets_no_further_call() {
    let mut net = dialer(Config::default());
    net.host().does = Does::ClosesInResponse;
    let server = accepted(&mut net);
    net.write(server, b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n");
    net.settle();
    let told = [
        Told::Response(404, Vec::new(), false),
        Told::Closed(Cause::KICKED),
    ];
    assert_eq!(told_of(&mut net, server), told);
    check_invariants(&net);
}
