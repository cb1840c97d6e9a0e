//! Planned closes while both peers send without a pause: the close comes at the next frame boundary
//! of each, and behind all whole messages that were read.

use crate::nets::{S, check_invariants, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use pulsegate::testing::{Net, PeerId, Received, client_frame, frame_of_server};
use pulsegate::{Cause, Message};

const BINARY: u8 = 0x82;

/// The length of frames that are forwarded while they arrive.
const LONG: usize = 200 * 1024;

/// The bytes of a long frame that are sent after the kick.
const TAIL: usize = 10 * 1024;

const KICKED: u16 = 4_000;

fn net() -> (Net<PairHost>, [PeerId; 2]) {
    let policy = timed(15, 45);
    let mut net = Net::new(pair_config(policy, policy), PairHost::default());
    let (client, server) = connect_pair(&mut net);
    // They say nothing but what the tests say.
    net.mute(client);
    net.mute(server);
    (net, [client, server])
}

fn frame(side: usize, payload: &[u8]) -> Vec<u8> {
    let encode = [client_frame, frame_of_server][side];
    encode(BINARY, payload)
}

fn long(side: usize, byte: u8) -> Vec<u8> {
    frame(side, &vec![byte; LONG])
}

fn kick(net: &mut Net<PairHost>, peer: PeerId) {
    let id = net.id(peer);
    net.with_io(|_, io| io.close_for(id, Cause::KICKED, KICKED, "kicked"));
}

/// Sends a long frame, except for its tail.
fn begin_long(net: &mut Net<PairHost>, peers: [PeerId; 2], side: usize) {
    let raw = long(side, 1);
    net.write(peers[side], &raw[..raw.len() - TAIL]);
    net.settle();
}

/// Sends the tail of the long frame, `between`, and the head of another long frame, at once.
fn go_on(net: &mut Net<PairHost>, peers: [PeerId; 2], side: usize, between: &[u8]) {
    let (raw, next) = (long(side, 1), long(side, 2));
    let tail = &raw[raw.len() - TAIL..];
    net.write(peers[side], &[tail, between, &next[..TAIL]].concat());
    net.settle();
    check_invariants(net);
}

/// What a peer has received: the lengths of messages, and the code of a close.
fn received(net: &mut Net<PairHost>, peer: PeerId) -> Vec<Result<usize, u16>> {
    let brief = |received| match received {
        Received::Message(Message::Binary(bytes)) => Ok(bytes.len()),
        Received::Close(code, _) => Err(code),
        other => panic!("{other:?}"),
    };
    net.received(peer).into_iter().map(brief).collect()
}

fn code(kicked: usize, side: usize) -> u16 {
    match (kicked == side, side) {
        (true, _) => KICKED,
        (false, 0) => 1_012,
        (false, _) => 1_001,
    }
}

/// Both peers have ended their streams, and both connections have ended.
fn check_end(net: &mut Net<PairHost>, peers: [PeerId; 2], kicked: usize) {
    assert_eq!(net.engine().stats().cut_mid_frame, 0);
    check_invariants(net);
    peers.into_iter().for_each(|peer| net.half_close(peer));
    net.advance(20 * S);
    net.expect_closed(peers[kicked], Cause::KICKED);
    net.expect_closed(peers[1 - kicked], Cause::PARTNER_ENDED);
    check_invariants(net);
}

#[test]
pub fn a_planned_close_comes_at_the_first_boundary_however_fast_frames_follow() {
    for (kicked, first) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut net, peers) = net();
        begin_long(&mut net, peers, 0);
        begin_long(&mut net, peers, 1);
        kick(&mut net, peers[kicked]);
        net.advance(100);
        assert!(net.is_open(peers[0]) && net.is_open(peers[1]));
        go_on(&mut net, peers, first, &[]);
        let [from, to] = [peers[first], peers[1 - first]];
        assert_eq!(received(&mut net, to), [Ok(LONG)]);
        assert!(net.leftover(to).is_empty(), "the next frame is not begun");
        assert!(net.is_open(from) && net.is_open(to));
        // It sends on, and is not read.
        for _ in 0..10 {
            net.write(from, &[3; TAIL]);
            net.advance(10);
        }
        assert!(net.unread(from) > 0);
        go_on(&mut net, peers, 1 - first, &[]);
        let closes = [0, 1].map(|side| Err(code(kicked, side)));
        assert_eq!(received(&mut net, from), [Ok(LONG), closes[first]]);
        assert_eq!(received(&mut net, to), [closes[1 - first]]);
        assert!(net.leftover(from).is_empty() && net.leftover(to).is_empty());
        check_end(&mut net, peers, kicked);
    }
}

#[test]
fn whole_messages_that_were_read_come_before_a_planned_close() {
    for (kicked, sender) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut net, peers) = net();
        begin_long(&mut net, peers, sender);
        kick(&mut net, peers[kicked]);
        let between = [1, 100, 5_000].map(|len| frame(sender, &vec![7; len]));
        go_on(&mut net, peers, sender, &between.concat());
        let to = 1 - sender;
        let expected = [LONG, 1, 100, 5_000].map(Ok);
        let expected = [&expected[..], &[Err(code(kicked, to))]].concat();
        assert_eq!(received(&mut net, peers[to]), expected);
        let got = received(&mut net, peers[sender]);
        assert_eq!(got, [Err(code(kicked, sender))]);
        check_end(&mut net, peers, kicked);
    }
}

/// The other leg is inside a long frame: until it is complete, whole messages go on.
#[test]
fn small_messages_go_on_while_a_planned_close_waits_for_the_other_leg() {
    for (kicked, sender) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut net, peers) = net();
        begin_long(&mut net, peers, 1 - sender);
        kick(&mut net, peers[kicked]);
        for len in [5, 70] {
            let raw = frame(sender, &vec![7; len]);
            let (head, rest) = raw.split_at(3);
            net.write(peers[sender], head);
            net.advance(10);
            net.write(peers[sender], rest);
            net.advance(10);
            assert_eq!(received(&mut net, peers[1 - sender]), [Ok(len)]);
        }
        // The header of a long frame comes in two parts.
        let raw = long(sender, 4);
        net.write(peers[sender], &raw[..5]);
        net.settle();
        net.write(peers[sender], &raw[5..TAIL]);
        net.advance(10);
        assert!(net.leftover(peers[1 - sender]).is_empty());
        check_invariants(&net);
        go_on(&mut net, peers, 1 - sender, &[]);
        let got = received(&mut net, peers[1 - sender]);
        assert_eq!(got, [Err(code(kicked, 1 - sender))]);
        let got = received(&mut net, peers[sender]);
        assert_eq!(got, [Ok(LONG), Err(code(kicked, sender))]);
        check_end(&mut net, peers, kicked);
    }
}

/// More small messages than a connection's share of a turn: what was read and waits for its share
/// is forwarded before the close.
#[test]
pub fn what_waits_for_its_share_comes_before_a_planned_close() {
    for (kicked, sender) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut net, peers) = net();
        let one = frame(sender, b"");
        net.write(peers[sender], &one.repeat(100_000));
        net.run_turn();
        let read = 100_000 * one.len() - net.unread(peers[sender]);
        let come = received(&mut net, peers[1 - sender]).len();
        assert!(come < read / one.len(), "{come} of {read} bytes");
        kick(&mut net, peers[kicked]);
        net.settle();
        let got = received(&mut net, peers[1 - sender]);
        let (close, messages) = got.split_last().expect("a close");
        assert_eq!(*close, Err(code(kicked, 1 - sender)));
        assert_eq!(come + messages.len(), read / one.len());
        check_end(&mut net, peers, kicked);
    }
}

/// The same for input that waits because the partner is behind.
#[test]
fn what_waits_for_a_slow_partner_comes_before_a_planned_close() {
    for (kicked, sender) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let (mut net, peers) = net();
        net.set_window(peers[1 - sender], Some(100));
        let one = frame(sender, &[5; 4]);
        net.write(peers[sender], &one.repeat(100_000));
        net.settle();
        let unread = net.unread(peers[sender]);
        assert!(unread > 0, "it is paused");
        kick(&mut net, peers[kicked]);
        net.settle();
        check_invariants(&net);
        net.set_window(peers[1 - sender], None);
        net.settle();
        let got = received(&mut net, peers[1 - sender]);
        let (close, messages) = got.split_last().expect("a close");
        assert_eq!(*close, Err(code(kicked, 1 - sender)));
        let read = 100_000 * one.len() - unread;
        assert_eq!(messages.len(), read / one.len());
        check_end(&mut net, peers, kicked);
    }
}

/// A leg that stands still for a planned close goes on if the other peer closes first.
#[test]
fn a_close_of_a_peer_replaces_a_planned_one_that_waits() {
    for kicked in [0, 1] {
        for closes in [0, 1] {
            let (mut net, peers) = net();
            let other = 1 - closes;
            begin_long(&mut net, peers, closes);
            begin_long(&mut net, peers, other);
            kick(&mut net, peers[kicked]);
            go_on(&mut net, peers, other, &[]);
            let close = [client_frame, frame_of_server][closes](0x88, b"\x0F\xA1bye");
            let raw = long(closes, 1);
            let tail = &raw[raw.len() - TAIL..];
            net.write(peers[closes], &[tail, &close[..]].concat());
            net.settle();
            assert_eq!(received(&mut net, peers[other]), [Ok(LONG), Err(4_001)]);
            // It completes its frame, and then answers.
            let answer = [client_frame, frame_of_server][other](0x88, b"\x0F\xA2ok");
            net.write(peers[other], &[&long(other, 2)[TAIL..], &answer].concat());
            net.settle();
            let got = received(&mut net, peers[closes]);
            assert_eq!(got, [Ok(LONG), Ok(LONG), Err(4_002)]);
            check_invariants(&net);
            peers.into_iter().for_each(|peer| net.half_close(peer));
            net.advance(20 * S);
            net.expect_closed(peers[closes], Cause::PEER_CLOSED);
            net.expect_closed(peers[other], Cause::PARTNER_ENDED);
            assert_eq!(net.engine().stats().cut_mid_frame, 0);
        }
    }
}

/// It has ended its stream behind a frame that is not read, so the loop learns of it late.
#[test]
fn a_client_that_has_ended_its_stream_unseen_gets_the_planned_close() {
    let (mut net, peers) = net();
    begin_long(&mut net, peers, 1);
    kick(&mut net, peers[0]);
    net.write(peers[0], &long(0, 2)[..TAIL]);
    net.settle();
    net.half_close(peers[0]);
    go_on(&mut net, peers, 1, &[]);
    assert_eq!(received(&mut net, peers[0]), [Ok(LONG), Err(KICKED)]);
    assert_eq!(received(&mut net, peers[1]), [Err(code(0, 1))]);
    check_end(&mut net, peers, 0);
}

/// A leg that stands still for a planned close ends with a peer that is lost meanwhile.
#[test]
fn a_loss_ends_a_pair_whose_planned_close_waits() {
    for kicked in [0, 1] {
        for lost in [0, 1] {
            let (mut net, peers) = net();
            begin_long(&mut net, peers, lost);
            begin_long(&mut net, peers, 1 - lost);
            kick(&mut net, peers[kicked]);
            go_on(&mut net, peers, 1 - lost, &[]);
            net.reset(peers[lost]);
            net.advance(20 * S);
            net.expect_closed(peers[lost], Cause::PEER_RESET);
            net.expect_closed(peers[1 - lost], Cause::PARTNER_ENDED);
            assert!(net.fin_received(peers[1 - lost]), "inside a frame");
            check_invariants(&net);
            assert!(net.engine().is_empty());
        }
    }
}
