//! Which connection is closed when memory is short.

use crate::fairness::host::small_memory;
use crate::nets::check_invariants;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Handler, Io, Message, Request, SHARE_UNITS, Verdict};
use pulsegate::testing::{Net, PeerId, client_frame};
use pulsegate::{Class, ConnId};

#[test]
fn the_one_that_holds_most_for_longest_goes_first() {
    let mut net = small_memory();
    let peers: Vec<PeerId> = (0..70).map(|_| net.connect("/")).collect();
    for (nth, peer) in peers.iter().enumerate() {
        net.send(*peer, Message::text("hello"));
        let bytes = if nth == 5 { 1_000_000 } else { 900_000 };
        let frame = client_frame(0x82, &vec![1; bytes]);
        net.write(*peer, &frame[..frame.len() - 1]);
        net.set_in_frame(*peer, true);
        net.settle();
        net.advance(if nth < 10 { 0 } else { 100 });
    }
    let full = net.engine().stats().buffered_bytes();
    assert!(full <= 64 << 20, "{full}");
    let first = net.endings().first().map(|(id, _)| *id);
    net.advance(3_000);
    let first = first.or(net.endings().first().map(|(id, _)| *id));
    assert_eq!(
        first,
        Some(net.id(peers[5])),
        "the most bytes, as long as any"
    );
    assert!(
        net.endings()
            .iter()
            .all(|(_, end)| end.cause == Cause::BUFFERS_FULL)
    );
    assert!(net.is_open(peers[69]) && net.is_open(peers[60]));
}

/// A host whose work on messages of more than 1 000 bytes never ends, and which keeps them
/// meanwhile.
#[derive(Default)]
struct Keeper(Vec<(ConnId, usize)>);

impl Handler for Keeper {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if message.len() > 1_000 {
            self.0.push((id, message.len()));
            io.set_unfinished(id, message.len());
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        if io.class(id).is_none() {
            return self.0.retain(|(of, _)| *of != id);
        }
        let kept = self.0.iter().find(|(of, _)| *of == id);
        io.set_unfinished(id, kept.expect("an unfinished message").1);
        io.spend(SHARE_UNITS);
    }
}

/// Memory that a host keeps for a message counts for the sending connection: that one is closed
/// when memory is short.
#[test]
fn an_unfinished_message_is_weighed_with_its_connection() {
    let config = Config {
        max_pending_bytes: 2 << 20,
        max_buffered_bytes: 64 << 20,
        ..Config::default()
    };
    let mut net = Net::new(config, Keeper::default());
    let peers: Vec<PeerId> = (0..70).map(|_| net.connect("/")).collect();
    for peer in &peers {
        net.write(*peer, &client_frame(0x82, &vec![1; 1 << 20]));
        for _ in 0..40 {
            net.run_turn();
            check_invariants(&net);
            let kept: usize = net.host().0.iter().map(|(_, bytes)| bytes).sum();
            let held = net.engine().stats().held_bytes;
            assert!(
                kept as u64 <= held && held <= 64 << 20,
                "{kept} B, {held} B"
            );
        }
        net.run_turn_after(20);
    }
    let stats = net.engine().stats();
    assert!(stats.held_bytes > 32 << 20, "{}", stats.held_bytes);
    for _ in 0..200 {
        net.run_turn_after(20);
    }
    net.expect_closed(peers[0], Cause::BUFFERS_FULL);
    let mut ends = net.endings().iter();
    assert!(ends.all(|(_, end)| end.cause == Cause::BUFFERS_FULL));
    assert!(net.is_open(peers[69]));
}

#[test]
fn small_frames_between_fragments_are_no_progress_of_the_message() {
    let mut net = small_memory();
    let hoarders: Vec<PeerId> = (0..60).map(|_| net.connect("/")).collect();
    for hoarder in &hoarders {
        net.send(*hoarder, Message::text("hello"));
        net.write(*hoarder, &client_frame(0x02, &vec![1; 1_000_000]));
        net.settle();
        for other in &hoarders {
            net.write(*other, &client_frame(0x89, b"here"));
        }
        net.advance(5);
    }
    net.advance(3_000);
    let ended = net.endings().len();
    assert!(
        ended >= 1,
        "{ended} of those that keep saying that they are there"
    );
    let full = net.engine().stats().buffered_bytes();
    assert!(full <= (64 << 20) * 7 / 8, "{full}");
}
