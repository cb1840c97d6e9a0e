//! Requests are sent again only where that can do no harm.

use super::rig::{LAST, assert_answer, get, read_answer, serve, status};
use crate::bridge::legs::{Bridge, QUIET};
use crate::folder::Folder;
use crate::sockets::{Client, Gateway, Listener, Server};

/// Lets a request pass, and returns the connection of the service that waits for the next one.
#[track_caller]
fn kept(bridge: &Bridge) -> (Client, Server) {
    let mut client = Client::connect(bridge.gateway.addr);
    client.write(get("/first", "").as_bytes());
    let mut leg = bridge.service.accept();
    serve(&mut leg, "first");
    assert_answer(&mut client, "first");
    (client, leg)
}

#[test]
fn get_and_head_are_sent_once_more_if_no_byte_was_answered() {
    let bridge = Bridge::start(&[]);
    for method in ["GET", "HEAD"] {
        let request = format!("{method} /again HTTP/1.1\r\nHost: test\r\n\r\n");
        let (mut client, mut leg) = kept(&bridge);
        client.write(request.as_bytes());
        leg.read_head();
        drop(leg);
        let mut leg = bridge.service.accept();
        assert!(leg.read_head().starts_with(&format!("{method} /again ")));
        leg.write(LAST);
        read_answer(&mut client);

        // Not a second time, and not after a byte of an answer.
        client.write(request.as_bytes());
        for _ in 0..2 {
            bridge.service.accept().read_head();
        }
        assert_eq!(status(&client.refusal()), 502);
        let mut client = Client::connect(bridge.gateway.addr);
        client.write(request.as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        leg.write(b"H");
        drop(leg);
        assert_eq!(status(&client.refusal()), 502);
    }
    assert!(bridge.service.try_accept().is_none());
    bridge.gateway.end();
}

#[test]
fn other_requests_are_sent_once() {
    let bridge = Bridge::start(&[]);
    for request in [
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
        "DELETE / HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab",
    ] {
        let mut client = Client::connect(bridge.gateway.addr);
        client.write(request.as_bytes());
        let mut leg = bridge.service.accept();
        leg.read_head();
        drop(leg);
        let (head, body) = read_answer(&mut client);
        assert_eq!(status(&head), 502, "{request}: {body}");
        assert!(
            body.contains("closed the connection without an answer"),
            "{body}"
        );
    }
    assert!(bridge.service.try_accept().is_none());
    bridge.gateway.end();
}

/// A service may be closing a connection that has waited for long.
#[test]
fn a_request_that_must_not_be_repeated_gets_a_fresh_connection() {
    let bridge = Bridge::start(&[("UPSTREAM_KEEP_ALIVE_MS", "600000")]);
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let (mut client, mut old) = kept(&bridge);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    client.write(post.as_bytes());
    serve(&mut bridge.service.accept(), "a new one");
    assert_answer(&mut client, "a new one");
    // The old one is kept for what can be repeated.
    assert!(old.is_quiet());
    drop(client);
    bridge.gateway.end();
}

/// A connection that the service has closed meanwhile is not used.
#[test]
fn a_connection_that_the_service_has_closed_costs_no_request() {
    let bridge = Bridge::start(&[]);
    let (mut client, leg) = kept(&bridge);
    drop(leg);
    client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab");
    let mut leg = bridge.service.accept();
    leg.read_head();
    assert_eq!(leg.read_exactly(2), b"ab");
    leg.write(super::rig::answer("taken").as_bytes());
    assert_answer(&mut client, "taken");
    bridge.gateway.end();
}

#[test]
fn another_upstream_is_tried_only_if_connecting_fails() {
    let folder = Folder::new();
    let (gone, there) = (Listener::tcp(), Listener::tcp());
    let route = format!(
        "[[route]]\nname = 'r'\npath = '/'\nupstream = ['{}', '{}']\n",
        gone.url, there.url
    );
    let file = folder.file("routes.toml", route);
    let gateway = Gateway::start(&[&QUIET[..], &[("CONFIG_FILE", &*file)]].concat());
    drop(gone);
    // Whatever the method: nothing was sent. Both upstreams have their turn.
    for _ in 0..2 {
        let mut client = Client::connect(gateway.addr);
        client.write(b"POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nab");
        let mut leg = there.accept();
        leg.read_head();
        assert_eq!(leg.read_exactly(2), b"ab");
        leg.write(LAST);
        assert_eq!(status(&read_answer(&mut client).0), 200);
    }
    gateway.line(&["upstream route=r", "state=avoided"]);
    drop(there);
    let mut client = Client::connect(gateway.addr);
    client.write(get("/", "").as_bytes());
    let (head, body) = read_answer(&mut client);
    assert_eq!(status(&head), 502);
    assert!(body.contains("the upstream cannot be reached"), "{body}");
    gateway.end();
}
