//! What servers answer to the request, or do not.

use crate::dial_host::{DialHost, Told, dial};
use crate::sockets::Listener;
use pulsegate::cause::EndCode;
use pulsegate::{Cause, ConnId, Message, Micros};
use std::time::{Duration, Instant};

/// Returns status and body of the answer that the host was told.
fn answer(host: &DialHost, id: ConnId) -> (u16, Vec<u8>) {
    host.await_told("an answer", id, |told| match told {
        Told::Response(status, body) => Some((*status, body.clone())),
        _ => None,
    })
}

#[test]
fn a_server_that_says_nothing_is_given_up_after_the_timeout() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    // One is accepted; one stays in the queue: the connect is complete for both.
    for accepts in [true, false] {
        let mut dial = dial(listener.address());
        dial.answer_timeout = Micros::from_millis(300);
        let started = Instant::now();
        let id = host.dial(dial);
        let server = accepts.then(|| listener.accept());
        let end = host.ending(id);
        assert_eq!(end.cause, Cause::ANSWER_TIMEOUT, "{end:?}");
        assert!(started.elapsed() >= Duration::from_millis(300), "too early");
        drop(server);
    }
    host.stop();
}

#[test]
fn a_refusal_has_its_body_however_that_is_framed() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    for (text, fin) in [
        ("Content-Length: 12\r\n\r\nno such room", false),
        (
            "Transfer-Encoding: chunked\r\n\r\n8\r\nno such \r\n4\r\nroom\r\n0\r\n\r\n",
            false,
        ),
        ("\r\nno such room", true),
    ] {
        // At once, and byte by byte.
        for step in [text.len() + 100, 1] {
            let id = host.dial(dial(listener.address()));
            let mut server = listener.accept();
            server.read_head();
            let text = format!("HTTP/1.1 404 Not Found\r\n{text}");
            for piece in text.as_bytes().chunks(step) {
                server.write(piece);
            }
            if fin {
                server.send_fin();
            }
            assert_eq!(answer(&host, id), (404, b"no such room".to_vec()));
            let end = host.ending(id);
            assert_eq!(end.cause, Cause::NOT_UPGRADED);
            assert_eq!(end.code, EndCode::Http(404));
        }
    }
    host.stop();
}

#[test]
fn a_body_beyond_64_kib_is_cut_and_its_server_not_waited_for() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    let id = host.dial(dial(listener.address()));
    let mut server = listener.accept();
    server.read_head();
    server.write(b"HTTP/1.1 500 x\r\nContent-Length: 1000000\r\n\r\n");
    server.write(&[b'x'; 70_000]);
    let (status, body) = answer(&host, id);
    assert_eq!((status, body.len()), (500, 64 << 10));
    assert_eq!(host.ending(id).cause, Cause::NOT_UPGRADED);
    host.stop();
}

#[test]
fn an_answer_that_is_not_http_ends_at_its_first_byte() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    for (bytes, what) in [
        (&b"SSH-2.0-OpenSSH_9.6\r\n"[..], "HTTP"),
        (b"\x15\x03\x03\x00\x02\x02\x46", "TLS"),
        (
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
              Sec-WebSocket-Accept: wrong\r\n\r\n",
            "Sec-WebSocket-Accept",
        ),
    ] {
        let id = host.dial(dial(listener.address()));
        let mut server = listener.accept();
        server.read_head();
        server.write(bytes);
        let end = host.ending(id);
        assert_eq!(end.cause, Cause::BAD_ANSWER);
        assert!(end.reason.contains(what), "{end:?}");
    }
    host.stop();
}

#[test]
fn a_server_that_leaves_before_its_answer_is_told_as_that() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    for (resets, cause) in [(false, Cause::PEER_EOF), (true, Cause::PEER_RESET)] {
        // Before it has read the request, and after that.
        for reads in [true, false] {
            let id = host.dial(dial(listener.address()));
            let mut server = listener.accept();
            if reads || !resets {
                server.read_head();
            }
            match resets {
                true => server.reset(),
                false => server.send_fin(),
            }
            let end = host.ending(id);
            // A reset may come before the connect is known to be complete.
            let allowed = [cause, Cause::CONNECT_FAILED];
            assert!(
                allowed[..1 + usize::from(resets)].contains(&end.cause),
                "{end:?}"
            );
        }
    }
    host.stop();
}

#[test]
fn frames_right_behind_the_answer_are_messages() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    let texts: Vec<String> = (0..500).map(|i| format!("message {i}")).collect();
    let frames = texts
        .iter()
        .map(|text| crate::sockets::server_frame(1, text.as_bytes()));
    let tail = frames.collect::<Vec<_>>().concat();
    let id = host.dial(dial(listener.address()));
    let mut server = listener.accept();
    server.agree_and_send(&tail);
    let got = host.wait_for("all messages", |told| {
        let messages = told.iter().filter_map(|(_, told)| match told {
            Told::Message(Message::Text(text)) => Some(text.as_str().to_owned()),
            _ => None,
        });
        let messages: Vec<String> = messages.collect();
        (messages.len() == texts.len()).then_some(messages)
    });
    assert_eq!(got, texts);
    host.await_open(id);
    host.stop();
}
