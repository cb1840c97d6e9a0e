//! Input that waits for its share: the end is told behind it, and its peer is not taken for dead.

use crate::fairness::host::{net, numbered};
use crate::nets::check_invariants;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{Config, Handler, Io, Message, Request, SHARE_UNITS, Verdict};
use pulsegate::testing::{Net, client_frame};
use pulsegate::{Class, ConnId, Micros};

#[test]
fn the_end_of_a_stream_is_told_behind_what_waits() {
    for reset in [false, true] {
        let mut net = net(Config::default());
        let peer = net.connect("/");
        net.write(peer, &numbered(900));
        net.run_turn();
        assert!(net.host().heard.len() < 900);
        if reset {
            net.reset(peer);
        } else {
            net.half_close(peer);
        }
        net.settle();
        assert_eq!(net.host().heard.len(), 900);
        let cause = if reset {
            Cause::PEER_RESET
        } else {
            Cause::PEER_EOF
        };
        net.expect_closed(peer, cause);
    }
}

#[test]
fn a_failed_write_is_told_behind_what_waits() {
    let mut net = net(Config::default());
    let peer = net.connect("/");
    net.write(peer, &numbered(900));
    net.run_turn();
    net.reset_after(peer, 0);
    let id = net.id(peer);
    net.with_io(|_, io| io.send(id, Message::text("it is gone")));
    net.settle();
    assert_eq!(net.host().heard.len(), 900);
    net.expect_closed(peer, Cause::PEER_RESET);
    assert_eq!(net.engine().stats().pending_bytes, 0);
}

#[test]
fn a_peer_that_waits_for_its_share_is_not_taken_for_dead() {
    let mut net = net(Config::default());
    let peer = net.connect("/dear");
    // 1 000 units a frame, a turn every two seconds: each frame takes ten seconds, the timeout is
    // 45 s.
    net.write(peer, &numbered(20));
    net.mute(peer);
    for _ in 0..98 {
        net.run_turn_after(2_000);
        check_invariants(&net);
        assert!(net.is_open(peer));
        let view = net.with_io(|_, io| io.stats().suspects());
        assert_eq!(view, 0);
    }
    assert_eq!(net.host().heard.len(), 20);
    let pings = net.received(peer).len();
    assert!(pings <= 1, "{pings} pings to a peer that we do not read");
    let told = std::mem::take(&mut net.host().throttled);
    let class = net.engine().stats().classes[0].clone();
    let sum: u64 = told.iter().map(|(_, waited)| waited.0).sum();
    assert_eq!(class.throttled_time, Micros(sum), "all waits are told");
    assert!(class.throttled_time >= Micros::from_secs(150), "{class:?}");
    net.advance(60_000);
    net.expect_closed(peer, Cause::STALE);
}

/// A host that does a tenth of a share at a time for each message, and 30 such steps for a message
/// of more than 100 bytes.
#[derive(Default)]
struct Slow {
    left: usize,
    steps: usize,
    heard: Vec<usize>,
}

impl Slow {
    fn step(&mut self, io: &mut Io<'_>, id: ConnId) {
        io.spend(SHARE_UNITS / 10);
        self.steps += 1;
        self.left -= 1;
        if self.left > 0 {
            io.set_unfinished(id, 0);
        }
    }
}

impl Handler for Slow {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        assert_eq!(self.left, 0, "the last message is not finished");
        self.heard.push(message.len());
        self.left = if message.len() > 100 { 30 } else { 1 };
        self.step(io, id);
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.step(io, id);
    }
}

/// Work that a host leaves for later is done in shares of the connection. Later input of the
/// connection, including its end, waits.
#[test]
fn a_host_works_on_a_message_in_shares() {
    let mut net = Net::new(Config::default(), Slow::default());
    let peer = net.connect("/");
    let other = net.connect("/");
    net.write(peer, &client_frame(0x82, &[7; 101]));
    net.write(peer, &client_frame(0x82, &[7; 3]));
    net.write(peer, &client_frame(0x88, &1000u16.to_be_bytes()));
    net.half_close(peer);
    let mut turns = 0;
    while net.ending(peer).is_none() {
        let before = net.engine().stats().work_units;
        net.run_turn();
        let units = net.engine().stats().work_units - before;
        assert!(units <= u64::from(SHARE_UNITS + 50), "{units}");
        check_invariants(&net);
        turns += 1;
        assert!(turns < 20);
    }
    assert!(turns >= 3, "600 units in shares of 200: {turns}");
    assert_eq!(net.host().heard, [101, 3]);
    assert_eq!(net.host().steps, 31);
    net.expect_closed(peer, Cause::PEER_CLOSED);
    assert_eq!(net.ending(peer).map(|e| e.code), Some(EndCode::Close(1000)));
    assert!(net.is_open(other));
}
