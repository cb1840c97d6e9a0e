//! Closing handshakes of a client: the server closes TCP first (RFC 6455 §7.1.1).

use crate::dialer::{Dialer, Told, dialer, opened, told_of};
use crate::nets::{S, check_invariants};
use pulsegate::cause::EndCode;
use pulsegate::engine::{CloseStage, PhaseView};
use pulsegate::testing::{Net, PeerId, Received, frame_of_server};
use pulsegate::{Cause, Config, Message, Policy};

fn net() -> (Net<Dialer>, PeerId) {
    let mut net = dialer(Config::default());
    let server = opened(&mut net);
    (net, server)
}

fn stage(net: &mut Net<Dialer>, server: PeerId) -> Option<CloseStage> {
    let id = net.id(server);
    match net.with_io(|_, io| io.view(id))?.phase {
        PhaseView::Closing { stage, .. } => Some(stage),
        other => panic!("{other:?}"),
    }
}

/// Returns the close timeout, in ms.
fn timeout() -> u64 {
    Policy::default().close_timeout.as_millis()
}

#[test]
fn our_close_is_answered_and_the_server_ends_the_stream() {
    for fin in [true, false] {
        let (mut net, server) = net();
        let id = net.id(server);
        net.mute(server);
        net.with_io(|_, io| {
            io.send(id, Message::text("last words"));
            io.close(id, 4_000, "bye");
        });
        net.settle();
        let words = Received::Message(Message::text("last words"));
        let close = Received::Close(4_000, "bye".to_owned());
        assert_eq!(net.received(server), [words, close]);
        assert_eq!(stage(&mut net, server), Some(CloseStage::PeerClose));
        net.send(server, Message::text("not delivered"));
        net.write(server, &frame_of_server(0x88, b"\x0F\xA0bye"));
        net.settle();
        assert_eq!(stage(&mut net, server), Some(CloseStage::PeerEof));
        net.advance(timeout() - 10);
        assert!(!net.fin_received(server), "the server is to close first");
        check_invariants(&net);
        if fin {
            net.half_close(server);
            net.settle();
        } else {
            net.advance(20);
        }
        let end = net.ending(server).expect("an end");
        assert_eq!((end.cause, end.clean), (Cause::KICKED, true), "{fin}");
        assert_eq!(end.code, EndCode::Close(4_000));
        assert_eq!(net.released(server), Some(false), "no RST");
        let told = told_of(&mut net, server);
        assert!(!told.iter().any(|t| matches!(t, Told::Message(_))));
    }
}

#[test]
fn our_close_without_an_answer_ends_after_the_close_timeout() {
    let (mut net, server) = net();
    let id = net.id(server);
    net.mute(server);
    net.with_io(|_, io| io.close(id, 1000, ""));
    net.advance(timeout() - 10);
    assert!(net.ending(server).is_none() && !net.fin_received(server));
    net.advance(20);
    let end = net.ending(server).expect("an end");
    assert_eq!((end.cause, end.clean), (Cause::KICKED, false));
}

#[test]
fn the_servers_close_is_answered_and_the_server_ends_the_stream() {
    for (payload, code, answer) in [
        (&b"\x03\xE8done"[..], 1000, (1000, "done")),
        (b"", 1005, (1005, "")),
        (b"\x0F\xA1", 4_001, (4_001, "")),
    ] {
        for fin in [true, false] {
            let (mut net, server) = net();
            net.mute(server);
            net.write(server, &frame_of_server(0x88, payload));
            net.settle();
            let got = net.received(server);
            let [Received::Close(answered, _)] = &got[..] else {
                panic!("{got:?}");
            };
            assert_eq!(*answered, answer.0);
            assert_eq!(stage(&mut net, server), Some(CloseStage::PeerEof));
            net.advance(timeout() - 10);
            assert!(!net.fin_received(server), "the server is to close first");
            check_invariants(&net);
            if fin {
                net.half_close(server);
            }
            net.advance(20);
            let end = net.ending(server).expect("an end");
            assert_eq!((end.cause, end.clean), (Cause::PEER_CLOSED, true));
            assert_eq!(end.code, EndCode::Close(code));
            assert_eq!(&*end.reason, answer.1);
        }
    }
}

#[test]
fn a_server_that_ends_its_stream_with_its_close_still_gets_the_answer() {
    let (mut net, server) = net();
    net.mute(server);
    net.write(server, &frame_of_server(0x88, b"\x03\xE8"));
    net.half_close(server);
    net.settle();
    assert_eq!(net.received(server), [Received::Close(1000, String::new())]);
    let end = net.ending(server).expect("an end");
    assert_eq!((end.cause, end.clean), (Cause::PEER_CLOSED, true));
    check_invariants(&net);
}

#[test]
fn closes_that_cross_are_one_handshake() {
    let (mut net, server) = net();
    let id = net.id(server);
    net.mute(server);
    net.with_io(|_, io| io.close(id, 4_000, "ours"));
    net.write(server, &frame_of_server(0x88, b"\x0F\xA1theirs"));
    net.settle();
    // Theirs is the answer to ours, and gets none.
    let ours = Received::Close(4_000, "ours".to_owned());
    assert_eq!(net.received(server), [ours]);
    net.half_close(server);
    net.settle();
    let end = net.ending(server).expect("an end");
    assert!(end.clean, "{end:?}");
    check_invariants(&net);
}

#[test]
fn a_server_that_resets_after_the_handshake_has_closed_cleanly() {
    let (mut net, server) = net();
    let id = net.id(server);
    net.with_io(|_, io| io.close(id, 4_000, "bye"));
    net.settle();
    assert_eq!(stage(&mut net, server), Some(CloseStage::PeerEof));
    net.reset(server);
    net.settle();
    let end = net.ending(server).expect("an end");
    assert_eq!((end.cause, end.clean), (Cause::KICKED, true));
    net.advance(S);
    assert!(net.engine().is_empty());
}

#[test]
fn a_server_that_does_not_read_is_dropped_ten_close_timeouts_later() {
    let (mut net, server) = net();
    let id = net.id(server);
    net.set_window(server, Some(10));
    net.mute(server);
    net.with_io(|_, io| {
        io.send(id, Message::binary(vec![1; 1_000]));
        io.close(id, 4_000, "bye");
    });
    net.advance(timeout() + 20);
    net.expect_closed(server, Cause::KICKED);
    let end = net.ending(server).expect("an end");
    assert_eq!((end.code, end.clean), (EndCode::None, false));
    check_invariants(&net);
}
