//! The memory of all connections together is counted and bounded, and takes nothing from others.

use crate::echo::{Host, server};
use crate::nets::check_invariants;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::{Net, PeerId, Received, client_frame};

/// Creates a loop that may hold 2 MiB; each message has 1 MiB.
fn small_loop() -> Net<Host> {
    let config = Config {
        max_pending_bytes: 2 << 20,
        max_buffered_bytes: 2 << 20,
        ..Config::default()
    };
    server(config)
}

/// Returns the header of a frame of one MiB and `extra` bytes.
fn announcement(first: u8, extra: u64) -> Vec<u8> {
    let length = ((1u64 << 20) + extra).to_be_bytes();
    [&[first, 0xFF][..], &length, &[0; 4]].concat()
}

#[test]
fn announcing_much_takes_no_room_from_others() {
    let mut net = small_loop();
    let innocent = net.connect("/");
    let liars: Vec<PeerId> = (0..100).map(|_| net.connect("/sink")).collect();
    for liar in &liars {
        net.write(*liar, &announcement(0x82, 0));
    }
    net.settle();
    net.send(innocent, Message::text("hello"));
    net.settle();
    assert_eq!(
        net.received(innocent),
        [Received::Message(Message::text("hello"))]
    );
    assert!(liars.iter().all(|l| net.is_open(*l)));
    check_invariants(&net);
}

#[test]
fn what_has_come_of_fragments_and_frames_is_counted_and_bounded() {
    let mut net = small_loop();
    let peers: Vec<PeerId> = (0..3).map(|_| net.connect("/sink")).collect();
    let fragment = client_frame(0x02, &vec![7; (1 << 20) - 1]);
    for peer in &peers {
        net.send(*peer, Message::text("it is introduced"));
        net.write(*peer, &fragment);
        net.settle();
        let held = net.engine().stats().held_bytes;
        assert!(held <= 2 << 20, "{held}");
        net.advance(1_000);
    }
    let held = net.engine().stats().held_bytes;
    assert!((1 << 20..2 << 20).contains(&held), "{held}");
    assert!(net.is_open(peers[2]), "the newest has progressed last");
    net.advance(3_000);
    net.expect_closed(peers[0], Cause::BUFFERS_FULL);
    net.expect_closed(peers[1], Cause::BUFFERS_FULL);
    net.shutdown();
    assert_eq!(net.engine().stats().held_bytes, 0);
}

#[test]
fn a_message_in_two_reads_passes_a_full_loop() {
    let mut net = small_loop();
    let hogs: Vec<PeerId> = (0..2).map(|_| net.connect("/sink")).collect();
    for hog in &hogs {
        net.write(*hog, &client_frame(0x02, &vec![7; (1 << 20) - 1]));
    }
    net.settle();
    let innocent = net.connect("/");
    let frame = client_frame(0x81, &[b'x'; 300]);
    net.write(innocent, &frame[..100]);
    net.settle();
    net.write(innocent, &frame[100..]);
    net.settle();
    assert_eq!(net.received(innocent).len(), 1, "it is answered");
    assert!(net.is_open(innocent));
}
