//! Connects over TCP and Unix sockets, and servers that cannot be connected to.

use crate::dial_host::{DialHost, Told, dial};
use crate::folder::Folder;
use crate::sockets::{Event, Listener, PATIENCE, server_frame};
use pulsegate::engine::{DialAddress, PhaseView};
use pulsegate::{Cause, Message, Micros};
use std::time::{Duration, Instant};

#[test]
fn a_server_is_dialled_over_tcp_and_over_a_unix_socket() {
    let folder = Folder::named("dial");
    let host = DialHost::start();
    for listener in [Listener::tcp(), Listener::unix(folder.path("socket"), 16)] {
        let id = host.dial(dial(listener.address()));
        let mut server = listener.accept();
        server.agree("");
        host.await_open(id);
        for text in ["hello", &"long ".repeat(100_000)] {
            let owned = text.to_owned();
            host.with_io(move |io| io.send(id, Message::text(owned)));
            assert_eq!(server.next_answering(), Event::Text(text.to_owned()));
            server.send_text(text);
            host.await_told("the message", id, |told| {
                matches!(told, Told::Message(m) if m.to_text().is_ok_and(|t| t == text))
                    .then_some(())
            });
        }
        // It is pinged, and its answers are measured.
        while host.stats().pongs() == 0 {
            assert!(matches!(server.next(), Event::Ping(payload) if {
                server.write(&server_frame(0x0A, &payload));
                true
            }));
        }
        server.send_fin();
        assert_eq!(host.ending(id).cause, Cause::PEER_EOF);
    }
    host.stop();
}

#[test]
fn a_refused_connect_is_told_at_once() {
    let folder = Folder::named("refused");
    let host = DialHost::start();
    let listener = Listener::tcp();
    let tcp = listener.address();
    drop(listener);
    let path = folder.path("socket");
    let listener = Listener::unix(&path, 1);
    let unix = listener.address();
    drop(listener);
    let missing = DialAddress::Unix(folder.path("missing").into());
    let too_long = DialAddress::Unix(folder.path(&"x".repeat(200)).into());
    for address in [tcp, unix, missing, too_long] {
        let mut dial = dial(address);
        // It would take longer than the test waits.
        dial.connect_timeout = Micros::from_secs(1_000);
        let id = host.dial(dial);
        let end = host.ending(id);
        assert_eq!(end.cause, Cause::CONNECT_FAILED, "{end:?}");
        assert!(!end.reason.is_empty());
    }
    assert_eq!(host.stop().out_of_descriptors, 0);
}

#[test]
fn a_tcp_server_that_does_not_accept_is_given_up_after_the_timeout() {
    let host = DialHost::start();
    let listener = Listener::tcp_with_queue(0);
    let _queue = listener.fill();
    let mut dial = dial(listener.address());
    dial.connect_timeout = Micros::from_millis(300);
    let started = Instant::now();
    let id = host.dial(dial);
    assert_eq!(host.ending(id).cause, Cause::CONNECT_TIMEOUT);
    assert!(started.elapsed() >= Duration::from_millis(300), "too early");
    host.stop();
}

#[test]
fn a_unix_server_that_does_not_accept_is_given_up_after_the_timeout() {
    let folder = Folder::named("queue");
    let host = DialHost::start();
    let listener = Listener::unix(folder.path("socket"), 0);
    let _queue = listener.fill();
    let mut dial = dial(listener.address());
    dial.connect_timeout = Micros::from_millis(300);
    let started = Instant::now();
    let id = host.dial(dial);
    let connecting = PhaseView::Dialing { connected: false };
    assert_eq!(host.phase(id), Some(connecting), "it is not an error");
    assert_eq!(host.ending(id).cause, Cause::CONNECT_TIMEOUT);
    assert!(started.elapsed() >= Duration::from_millis(300), "too early");
    host.stop();
}

#[test]
fn a_unix_server_whose_queue_was_full_is_connected_once_there_is_room() {
    const DIALS: usize = 20;
    let folder = Folder::named("room");
    let host = DialHost::start();
    let listener = Listener::unix(folder.path("socket"), 0);
    let queue = listener.fill();
    let address = listener.address();
    let ids = host.with_io(move |io| {
        let dials = (0..DIALS).map(|_| {
            let mut dial = dial(address.clone());
            dial.connect_timeout = Micros::from(PATIENCE);
            io.dial(dial).expect("a dial")
        });
        dials.collect::<Vec<_>>()
    });
    for _ in queue.iter().filter(|s| s.peer_addr().is_ok()) {
        drop(listener.accept());
    }
    let servers: Vec<_> = (0..DIALS).map(|_| listener.open()).collect();
    for id in ids {
        host.await_open(id);
    }
    drop(servers);
    host.stop();
}

#[test]
fn a_dial_that_is_closed_before_it_is_connected_leaves_nothing() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    let address = listener.address();
    // In the call that has dialled it, and in one after that.
    let at_once = address.clone();
    let id = host.with_io(move |io| {
        let id = io.dial(dial(at_once)).expect("a dial");
        io.close(id, 1000, "no longer wanted");
        id
    });
    assert_eq!(host.ending(id).cause, Cause::KICKED);
    let id = host.dial(dial(address));
    let mut server = listener.accept();
    assert!(server.read_head().starts_with("GET /chat HTTP/1.1\r\n"));
    host.with_io(move |io| io.close(id, 1000, "no longer wanted"));
    assert_eq!(host.ending(id).cause, Cause::KICKED);
    assert!(matches!(server.next(), Event::Eof | Event::Reset));
    host.stop();
}

#[test]
fn a_loop_without_a_listener_drains() {
    let host = DialHost::start();
    assert_eq!(host.addr, ([0, 0, 0, 0], 0).into());
    let listener = Listener::tcp();
    let id = host.dial(dial(listener.address()));
    let mut server = listener.open();
    host.await_open(id);
    host.with_io(|io| io.drain(Micros::ZERO, Micros::ZERO));
    assert!(matches!(server.next_answering(), Event::Close(1012, _)));
    server.write(&server_frame(8, &1012_u16.to_be_bytes()));
    server.send_fin();
    let stats = host.wait_for_end();
    assert_eq!(stats.closed(Cause::DRAINING.index()), 1);
}
