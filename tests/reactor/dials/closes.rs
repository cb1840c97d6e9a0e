//! A client does not close TCP first (RFC 6455 §7.1.1).

use crate::dial_host::{DialHost, dial};
use crate::folder::Folder;
use crate::sockets::{Event, Listener, Server, eventually, server_frame};
use pulsegate::engine::{CloseStage, PhaseView};
use pulsegate::{Cause, ConnId};
use std::time::{Duration, Instant};

fn listeners(folder: &Folder) -> [Listener; 2] {
    [Listener::tcp(), Listener::unix(folder.path("socket"), 16)]
}

fn opened(host: &DialHost, listener: &Listener) -> (ConnId, Server) {
    let id = host.dial(dial(listener.address()));
    let server = listener.open();
    host.await_open(id);
    (id, server)
}

/// Waits until only the end of the server's stream is missing.
#[track_caller]
fn await_last_stage(host: &DialHost, id: ConnId) {
    eventually("the last stage of the close", || match host.phase(id)? {
        PhaseView::Closing { stage, .. } => (stage == CloseStage::PeerEof).then_some(()),
        _ => None,
    });
}

#[test]
fn no_fin_is_sent_before_the_servers() {
    let folder = Folder::named("close");
    let host = DialHost::start();
    for listener in listeners(&folder) {
        for is_ours in [true, false] {
            let (id, mut server) = opened(&host, &listener);
            let close = [&4_000_u16.to_be_bytes()[..], b"bye"].concat();
            if is_ours {
                host.with_io(move |io| io.close(id, 4_000, "bye"));
            } else {
                server.write(&server_frame(8, &close));
            }
            let event = server.next_answering();
            assert_eq!(event, Event::Close(4_000, "bye".to_owned()));
            if is_ours {
                server.write(&server_frame(8, &close));
            }
            await_last_stage(&host, id);
            assert!(server.is_quiet(), "no FIN");
            server.send_fin();
            let end = host.ending(id);
            let cause = match is_ours {
                true => Cause::KICKED,
                false => Cause::PEER_CLOSED,
            };
            assert_eq!((end.cause, end.clean), (cause, true));
            assert_eq!(server.next(), Event::Eof);
        }
    }
    host.stop();
}

#[test]
fn a_server_that_does_not_close_tcp_is_dropped_after_the_close_timeout() {
    let folder = Folder::named("drop");
    let host = DialHost::start();
    for listener in listeners(&folder) {
        let (id, mut server) = opened(&host, &listener);
        server.write(&server_frame(8, &1000_u16.to_be_bytes()));
        let event = server.next_answering();
        assert_eq!(event, Event::Close(1000, String::new()));
        let answered = Instant::now();
        assert_eq!(server.next(), Event::Eof);
        // The answer left a little before it was read.
        assert!(answered.elapsed() > Duration::from_millis(500), "too early");
        let end = host.ending(id);
        assert_eq!((end.cause, end.clean), (Cause::PEER_CLOSED, true));
    }
    host.stop();
}

#[test]
fn a_close_and_a_fin_that_come_together_are_not_waited_for_again() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    let (id, mut server) = opened(&host, &listener);
    server.write(&server_frame(8, &1000_u16.to_be_bytes()));
    server.send_fin();
    let event = server.next_answering();
    assert_eq!(event, Event::Close(1000, String::new()));
    assert_eq!(server.next(), Event::Eof);
    let end = host.ending(id);
    assert_eq!((end.cause, end.clean), (Cause::PEER_CLOSED, true));
    host.stop();
}

#[test]
fn a_server_that_breaks_the_protocol_gets_1002_and_a_fin() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    let (id, mut server) = opened(&host, &listener);
    server.write(&crate::sockets::frame(1, b"masked"));
    let event = server.next_answering();
    assert!(matches!(event, Event::Close(1002, _)), "{event:?}");
    assert_eq!(server.next(), Event::Eof);
    server.send_fin();
    assert_eq!(host.ending(id).cause, Cause::PROTOCOL);
    host.stop();
}

#[test]
fn a_silent_server_is_stale_and_dropped() {
    let host = DialHost::start();
    let listener = Listener::tcp();
    let (id, mut server) = opened(&host, &listener);
    let end = host.ending(id);
    assert_eq!((end.cause, end.lost), (Cause::STALE, true));
    assert!(end.unanswered >= 2);
    let mut pings = 0;
    let close = loop {
        match server.next() {
            Event::Ping(_) => pings += 1,
            other => break other,
        }
    };
    assert!(pings >= 2, "{pings}");
    assert!(matches!(close, Event::Close(3008, _)), "{close:?}");
    host.stop();
}
