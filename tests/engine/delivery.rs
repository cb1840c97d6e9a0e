//! The delivery report for messages to a lost connection: which arrived, which never left, which
//! are in doubt. For each seed a peer takes random amounts of bytes, and what it received is
//! compared with what the host was told.

use crate::nets::{one_class, timed};
use pulsegate::testing::{Net, PeerId, Received};
use pulsegate::{Class, ConnId, Ending, Handler, Io, Message, Pong, Request, SendOutcome, Verdict};

#[derive(Default)]
struct Notes {
    received: u32,
    unsent: Option<u32>,
}

impl Handler for Notes {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        io.report_pongs(id, true);
    }

    fn on_message(&mut self, _io: &mut Io<'_>, _id: ConnId, _message: Message) {}

    fn on_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, pong: Pong) {
        assert!(pong.received >= self.received, "it does not step back");
        self.received = pong.received;
    }

    fn on_close(&mut self, _io: &mut Io<'_>, _id: ConnId, end: &Ending) {
        self.unsent = Some(end.unsent);
    }
}

fn net() -> (Net<Notes>, PeerId) {
    let mut net = Net::new(one_class(timed(1, 3)), Notes::default());
    let peer = net.connect("/");
    (net, peer)
}

fn messages(net: &mut Net<Notes>, peer: PeerId) -> u32 {
    let received = net.received(peer).into_iter();
    received
        .filter(|r| matches!(r, Received::Message(_)))
        .count() as u32
}

#[test]
fn an_answered_heartbeat_proves_what_was_sent_before_it() {
    let (mut net, peer) = net();
    net.advance(1_000);
    assert_eq!(net.host().received, 0);
    let id = net.id(peer);
    for n in 1..=3 {
        let sent = net.with_io(|_, io| (io.send(id, Message::text("x")), io.messages_sent(id)));
        assert_eq!(sent, (SendOutcome::Flowing, n));
    }
    net.settle();
    assert_eq!(
        net.host().received,
        0,
        "nothing is proved before the next heartbeat"
    );
    net.advance(1_100);
    assert_eq!(net.host().received, 3);
}

#[test]
fn what_stands_behind_the_heartbeat_is_not_proved_by_it() {
    let (mut net, peer) = net();
    net.advance(1_000);
    let id = net.id(peer);
    // One message and half of the next are sent, then the peer takes no more; the heartbeat is
    // queued before the third.
    net.set_window(peer, Some(150));
    for _ in 0..3 {
        net.with_io(|_, io| io.send(id, Message::text("x".repeat(98))));
    }
    net.settle();
    net.advance(1_100);
    assert_eq!(net.host().received, 0);
    // The rest of the second message, and the heartbeat.
    net.set_window(peer, Some(50 + 10));
    net.advance(50);
    assert_eq!(net.host().received, 2);
    let taken = net.with_io(|_, io| io.discard_unsent(id));
    assert_eq!(taken, 1, "of the third nothing had gone out");
}

#[test]
fn what_is_told_at_the_end_is_what_the_peer_got() {
    for seed in 0..400 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut net, peer) = net();
        let id = net.id(peer);
        let mut sent = 0;
        let mut got = 0;
        for _ in 0..rng.u32(1..60) {
            match rng.u8(0..8) {
                0 => net.set_window(peer, Some(rng.usize(0..4_000))),
                1 => net.set_window(peer, None),
                2 => net.advance(rng.u64(1..900)),
                3 => net.set_latency(peer, rng.u64(0..300)),
                _ => {
                    let len = rng.usize(0..1_500);
                    let message = Message::text("m".repeat(len));
                    if let SendOutcome::Flowing | SendOutcome::Pending =
                        net.with_io(|_, io| io.send(id, message))
                    {
                        sent += 1;
                    }
                    if rng.bool() {
                        net.settle();
                    }
                }
            }
            got += messages(&mut net, peer);
            assert!(net.host().received <= got, "seed {seed}: {got} got");
        }
        match rng.u8(0..3) {
            0 => net.reset(peer),
            1 => {
                net.mute(peer);
                net.set_window(peer, Some(0));
                net.advance(4_000);
            }
            _ => net.half_close(peer),
        }
        net.advance(3_000);
        got += messages(&mut net, peer);
        let unsent = net
            .host()
            .unsent
            .unwrap_or_else(|| panic!("seed {seed}: it ends"));
        assert!(net.host().received <= got, "seed {seed}");
        assert!(
            got + unsent <= sent && sent <= got + unsent + 1,
            "seed {seed}: sent {sent}, got {got}, unsent {unsent}: all but the frame in progress"
        );
    }
}
