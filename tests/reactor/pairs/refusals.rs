//! Servers that do not open: what the client gets.

use crate::dial_host::DialHost;
use crate::folder::Folder;
use crate::sockets::{Client, Event, Listener, upgrade};
use pulsegate::{Cause, Micros};

/// Connects a client and sends its request.
fn asking(host: &DialHost) -> Client {
    let mut client = Client::connect(host.addr);
    client.write(upgrade("/chat").as_bytes());
    client
}

#[test]
fn a_server_that_cannot_be_reached_is_502() {
    let folder = Folder::named("unreachable");
    for upstream in [Listener::tcp(), Listener::unix(folder.path("socket"), 1)] {
        let host = DialHost::in_front_of(&upstream);
        drop(upstream);
        let mut client = asking(&host);
        assert_eq!(client.response().status, 502);
        host.stop();
    }
}

#[test]
fn the_answer_of_a_server_that_refuses_reaches_the_client() {
    let upstream = Listener::tcp();
    let host = DialHost::in_front_of(&upstream);
    let mut client = asking(&host);
    let mut server = upstream.accept();
    assert!(server.read_head().starts_with("GET /chat HTTP/1.1\r\n"));
    server.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 11\r\n\r\nnot for you");
    let response = client.response();
    assert_eq!((response.status, &*response.body), (403, "not for you"));
    host.stop();
}

#[test]
fn a_wrong_answer_is_502() {
    let upstream = Listener::tcp();
    let host = DialHost::in_front_of(&upstream);
    let mut client = asking(&host);
    let mut server = upstream.accept();
    server.read_head();
    server.write(b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
    assert_eq!(client.response().status, 502);
    host.stop();
}

#[test]
fn a_server_that_does_not_answer_in_time_is_504() {
    let upstream = Listener::tcp();
    let host = DialHost::waiting_for(&upstream, Micros::from_millis(300));
    let mut client = asking(&host);
    let server = upstream.accept();
    assert_eq!(client.response().status, 504);
    drop(server);
    host.stop();
}

#[test]
fn a_client_that_leaves_before_the_answer_ends_the_dial() {
    let upstream = Listener::tcp();
    let host = DialHost::in_front_of(&upstream);
    for resets in [true, false] {
        let mut client = asking(&host);
        let mut server = upstream.accept();
        server.read_head();
        match resets {
            true => client.reset(),
            false => client.send_fin(),
        }
        assert!(matches!(server.next(), Event::Eof | Event::Reset));
    }
    let stats = host.stop();
    let [aborted, ended] = [Cause::ABORTED, Cause::PARTNER_ENDED].map(Cause::index);
    assert_eq!((stats.rejected[aborted], stats.dials_failed[ended]), (2, 2));
}
