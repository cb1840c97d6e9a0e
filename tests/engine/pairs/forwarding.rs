//! What is forwarded, however it is cut and however slow the other side is.

use crate::nets::{S, check_invariants, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use pulsegate::engine::{LinkRules, SendError, SendOutcome};
use pulsegate::testing::{Net, PeerId, Received, client_frame, frame_of_server};
use pulsegate::{Cause, Message};

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
const PONG: u8 = 0x8A;

fn net() -> Net<PairHost> {
    let policy = timed(15, 45);
    Net::new(pair_config(policy, policy), PairHost::default())
}

/// Returns the messages, pings and pongs that a peer has received, without our own pings.
fn forwarded(net: &mut Net<PairHost>, peer: PeerId) -> Vec<Received> {
    let ours =
        |received: &Received| matches!(received, Received::Ping(payload) if payload.len() == 8);
    let mut received = net.received(peer);
    received.retain(|r| !ours(r));
    received
}

#[test]
fn messages_pings_and_pongs_go_both_ways_in_order() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    for (from, to) in [(client, server), (server, client)] {
        net.send(from, Message::text("hello"));
        net.send(from, Message::Ping(b"a ping"[..].into()));
        net.send(from, Message::binary(vec![7; 70_000]));
        net.send(from, Message::Pong(b"unasked"[..].into()));
        net.settle();
        let expected = vec![
            Received::Message(Message::text("hello")),
            Received::Ping(b"a ping".to_vec()),
            Received::Message(Message::binary(vec![7; 70_000])),
            Received::Pong(b"unasked".to_vec()),
        ];
        assert_eq!(forwarded(&mut net, to), expected);
        // The answer to the ping came from the other peer.
        assert_eq!(
            forwarded(&mut net, from),
            [Received::Pong(b"a ping".to_vec())]
        );
    }
    assert_eq!(net.host().messages, 0);
    check_invariants(&net);
}

/// Frames of every length class, fragments and control frames between them.
fn script(frame: fn(u8, &[u8]) -> Vec<u8>) -> Vec<u8> {
    [
        frame(TEXT, b"hi"),
        frame(BINARY, &[1; 126]),
        frame(0x01, b"first "),
        frame(PING, b"between"),
        frame(0x00, &[b'm'; 300]),
        frame(0x80, b"last"),
        frame(BINARY, &vec![2; 66_000]),
        frame(PONG, b""),
        frame(TEXT, b""),
    ]
    .concat()
}

fn received_after(cuts: &[usize], bytes: &[u8], from_client: bool) -> Vec<Received> {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    let (from, to) = if from_client {
        (client, server)
    } else {
        (server, client)
    };
    let mut at = 0;
    for cut in cuts.iter().copied().chain([bytes.len()]) {
        net.write(from, &bytes[at..cut]);
        net.settle();
        check_invariants(&net);
        at = cut;
    }
    net.advance(100);
    check_invariants(&net);
    forwarded(&mut net, to)
}

#[test]
fn a_stream_means_the_same_wherever_it_is_cut() {
    for (from_client, frame) in [
        (true, client_frame as fn(u8, &[u8]) -> Vec<u8>),
        (false, frame_of_server),
    ] {
        let bytes = script(frame);
        let whole = received_after(&[], &bytes, from_client);
        assert_eq!(whole.len(), 9);
        // Every cut near a frame's ends, and some inside the large one.
        let cuts = (1..520).chain((520..bytes.len() - 40).step_by(1_713));
        for cut in cuts.chain(bytes.len() - 40..bytes.len()) {
            assert_eq!(
                received_after(&[cut], &bytes, from_client),
                whole,
                "cut at {cut}"
            );
        }
        let every: Vec<usize> = (1..500).collect();
        assert_eq!(received_after(&every, &bytes, from_client), whole);
    }
}

#[test]
pub fn a_slow_reader_pauses_its_partner_and_gets_everything() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    net.set_window(client, Some(1_000));
    let mut sent = 0;
    for i in 0..200_u8 {
        net.send(server, Message::binary(vec![i; 5_000]));
        net.settle();
        sent += 1;
    }
    let (id, partner) = (net.id(client), net.id(server));
    let (pending, is_paused) = net.with_io(|_, io| {
        let paused = io.view(partner).is_some_and(|view| view.paused);
        (io.pending(id), paused)
    });
    assert!(is_paused && pending > 64 << 10, "{pending}");
    assert!(pending < 200 << 10, "{pending}");
    check_invariants(&net);
    let mut got = 0;
    for _ in 0..400 {
        net.set_window(client, Some(4_000));
        net.advance(10);
        got += forwarded(&mut net, client).len();
        check_invariants(&net);
    }
    assert_eq!(got, sent);
    assert!(net.is_open(client) && net.is_open(server));
}

/// Opens a pair whose peers read nothing and send until both legs are paused.
fn paused_both_ways() -> (Net<PairHost>, PeerId, PeerId) {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    for peer in [client, server] {
        net.set_window(peer, Some(0));
    }
    for i in 0..EACH {
        for peer in [client, server] {
            net.send(peer, Message::binary(vec![i; 5_000]));
        }
        net.settle();
        check_invariants(&net);
    }
    for peer in [client, server] {
        let id = net.id(peer);
        let view = net.with_io(|_, io| io.view(id)).expect("it is open");
        assert!(view.paused, "{} bytes wait for it", view.pending);
        assert!(
            (64 << 10..200 << 10).contains(&view.pending),
            "{}",
            view.pending
        );
    }
    (net, client, server)
}

/// Messages from each of the peers of [`paused_both_ways`].
const EACH: u8 = 60;

/// Each is closed for its own lack of progress: nothing is read that could end the other first.
#[test]
fn two_legs_that_pause_each_other_end_when_no_byte_has_left_for_too_long() {
    let (mut net, client, server) = paused_both_ways();
    net.advance(29_900);
    check_invariants(&net);
    assert!(net.is_open(client) && net.is_open(server));
    // Both are due at once, and neither takes the close frame.
    net.advance(5 * S);
    for peer in [client, server] {
        net.expect_closed(peer, Cause::SLOW_CONSUMER);
    }
    assert!(net.engine().is_empty());
}

#[test]
fn two_legs_that_pause_each_other_go_on_when_their_peers_read_again() {
    let (mut net, client, server) = paused_both_ways();
    net.advance(20 * S);
    let (mut at_client, mut at_server) = (0, 0);
    for _ in 0..400 {
        for peer in [client, server] {
            net.set_window(peer, Some(4_000));
        }
        net.advance(100);
        check_invariants(&net);
        at_client += forwarded(&mut net, client).len();
        at_server += forwarded(&mut net, server).len();
    }
    assert_eq!((at_client, at_server), (EACH.into(), EACH.into()));
    assert!(net.is_open(client) && net.is_open(server));
}

#[test]
pub fn a_frame_that_is_forwarded_in_parts_lets_no_ping_in() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    let frame = frame_of_server(BINARY, &vec![9; 200_000]);
    let (first, rest) = frame.split_at(100_000);
    net.write(server, first);
    net.settle();
    assert!(net.leftover(client).len() >= 90_000, "cut through");
    // Longer than the timeout: the ping cannot leave, so the silence does not count.
    net.set_in_frame(server, true);
    for piece in rest[..90_000].chunks(9_000) {
        net.advance(6 * S);
        net.write(server, piece);
        net.settle();
        check_invariants(&net);
        assert!(
            net.is_open(client) && net.is_open(server),
            "{:?}",
            net.endings()
        );
    }
    net.write(server, &rest[90_000..]);
    net.set_in_frame(server, false);
    net.settle();
    net.advance(20 * S);
    assert_eq!(
        forwarded(&mut net, client),
        [Received::Message(Message::binary(vec![9; 200_000]))]
    );
    assert!(net.is_open(client) && net.is_open(server));
}

#[test]
fn a_peer_that_has_taken_all_and_waits_for_the_rest_of_a_frame_is_not_slow() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    let frame = frame_of_server(BINARY, &vec![9; 200_000]);
    net.set_window(client, Some(1_000));
    net.set_in_frame(server, true);
    net.write(server, &frame[..100_000]);
    // A ping waits behind the part that has come.
    net.advance(20 * S);
    net.set_window(client, None);
    net.settle();
    assert_eq!(net.leftover(client).len(), 100_000);
    net.advance(40 * S);
    check_invariants(&net);
    assert!(net.is_open(client), "{:?}", net.ending(client));
    net.write(server, &frame[100_000..]);
    net.settle();
    let got = net.received(client);
    assert_eq!(got[0], Received::Message(Message::binary(vec![9; 200_000])));
    assert!(matches!(got[1], Received::Ping(_)), "{got:?}");
}

/// Neither can be pinged, because each is inside a frame of the other.
#[test]
fn two_peers_that_are_lost_inside_frames_to_each_other_are_found() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    net.write(client, &client_frame(BINARY, &vec![1; 200_000])[..100_000]);
    net.write(
        server,
        &frame_of_server(BINARY, &vec![2; 200_000])[..100_000],
    );
    net.settle();
    for peer in [client, server] {
        net.mute(peer);
    }
    net.advance(44_900);
    check_invariants(&net);
    assert!(net.is_open(client) && net.is_open(server));
    net.advance(200);
    assert!(!net.is_open(client) && !net.is_open(server));
    net.advance(20 * S);
    let causes = [client, server].map(|peer| net.ending(peer).map(|end| end.cause));
    assert!(causes.contains(&Some(Cause::STALE)), "{causes:?}");
    assert!(net.engine().is_empty());
}

#[test]
fn the_end_of_a_frame_that_is_forwarded_in_parts_counts_as_heard() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    net.mute(server);
    let frame = frame_of_server(BINARY, &vec![9; 100_000]);
    // Fewer bytes than what counts as progress.
    let (most, rest) = frame.split_at(frame.len() - 500);
    net.write(server, most);
    net.advance(44 * S);
    net.write(server, rest);
    net.advance(44 * S);
    assert!(net.is_open(server) && net.is_open(client));
    net.advance(2 * S);
    net.expect_closed(server, Cause::STALE);
    check_invariants(&net);
}

#[test]
fn a_host_cannot_send_into_a_pair() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    for peer in [client, server] {
        let id = net.id(peer);
        let sent = net.with_io(|_, io| io.send(id, Message::text("no")));
        assert_eq!(sent, SendOutcome::Refused(SendError::Linked));
    }
}

#[test]
fn faults_end_the_pair_and_blame_the_offender() {
    let faults: &[(&str, Vec<u8>)] = &[
        ("no mask", frame_of_server(TEXT, b"x")),
        ("RSV1", client_frame(0xC1, b"x")),
        ("RSV2", client_frame(0xA1, b"x")),
        ("fragmented ping", client_frame(0x09, b"x")),
        ("long ping", client_frame(PING, &[0; 126])),
        ("opcode 3", client_frame(0x83, b"x")),
        ("continuation of nothing", client_frame(0x80, b"x")),
        (
            "long form of a short length",
            vec![0x82, 0xFE, 0, 1, 0, 0, 0, 0, 1],
        ),
        (
            "a length of 2^63",
            vec![0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
    ];
    for (what, bytes) in faults {
        for step in [bytes.len(), 1] {
            let mut net = net();
            let (client, server) = connect_pair(&mut net);
            net.send(client, Message::text("before"));
            for piece in bytes.chunks(step) {
                net.write(client, piece);
                net.settle();
            }
            net.advance(1);
            let at_server = forwarded(&mut net, server);
            assert_eq!(
                at_server[0],
                Received::Message(Message::text("before")),
                "{what}"
            );
            assert_eq!(
                at_server[1],
                Received::Close(1001, "protocol".to_owned()),
                "{what}"
            );
            let closes = forwarded(&mut net, client);
            assert!(
                matches!(&closes[..], [Received::Close(1002, _)]),
                "{what}: {closes:?}"
            );
            let (c, s) = (net.id(client), net.id(server));
            assert_eq!(net.host().ended, [(c, s, Cause::PROTOCOL)], "{what}");
            check_invariants(&net);
            net.advance(30 * S);
            net.expect_closed(client, Cause::PROTOCOL);
            net.expect_closed(server, Cause::PARTNER_ENDED);
        }
    }
}

#[test]
fn a_message_limit_is_judged_on_the_header() {
    for from_client in [true, false] {
        let mut net = net();
        net.host().rules = LinkRules {
            max_message_bytes: 1_000,
            ..LinkRules::default()
        };
        let (client, server) = connect_pair(&mut net);
        let (from, to) = if from_client {
            (client, server)
        } else {
            (server, client)
        };
        net.send(from, Message::binary(vec![1; 1_000]));
        net.settle();
        assert_eq!(forwarded(&mut net, to).len(), 1);
        let frame = if from_client {
            client_frame
        } else {
            frame_of_server
        };
        net.write(from, &frame(0x02, &[1; 600]));
        net.write(from, &frame(0x80, &[1; 401])[..14]);
        net.settle();
        let code = if from_client { 1001 } else { 1011 };
        let got = forwarded(&mut net, to);
        assert_eq!(got[0], Received::Fragment(0x02, vec![1; 600]));
        assert_eq!(got[1], Received::Close(code, "too_big".to_owned()));
        let got = forwarded(&mut net, from);
        assert!(matches!(&got[..], [Received::Close(1009, _)]), "{got:?}");
    }
}

#[test]
fn compressed_messages_pass_only_if_both_sides_have_agreed() {
    for compression in [true, false] {
        let mut net = net();
        net.host().rules.compression = compression;
        let (client, server) = connect_pair(&mut net);
        net.write(client, &client_frame(0xC2, b"deflated"));
        net.settle();
        if compression {
            let got = forwarded(&mut net, server);
            assert_eq!(got, [Received::Fragment(0xC2, b"deflated".to_vec())]);
            // RSV1 belongs on the first frame of a message only (RFC 7692 §6.1).
            net.write(client, &client_frame(0x42, b"first"));
            net.write(client, &client_frame(0xC0, b"second"));
            net.settle();
        }
        net.advance(30 * S);
        net.expect_closed(client, Cause::PROTOCOL);
    }
}

#[test]
fn a_pair_at_rest_holds_nothing_after_a_frame_that_was_forwarded_in_parts() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    let frame = frame_of_server(BINARY, &vec![9; 100_000]);
    for cut in [80_000, 99_990, frame.len() - 1, frame.len() - 5_000] {
        net.write(server, &frame[..cut]);
        net.settle();
        net.write(server, &frame[cut..]);
        net.settle();
        assert_eq!(net.engine().stats().held_bytes, 0, "cut at {cut}");
        check_invariants(&net);
        assert_eq!(forwarded(&mut net, client).len(), 1);
    }
}

#[test]
fn a_frame_that_was_forwarded_in_parts_leaves_nothing_and_counts_as_heard() {
    // The last part may be shorter than what counts as heard inside a frame.
    for last in [1, 4_095, 4_096, 50_000] {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        let frame = client_frame(BINARY, &vec![9; 200_000]);
        let (first, rest) = frame.split_at(frame.len() - last);
        net.write(client, first);
        net.settle();
        check_invariants(&net);
        net.advance(10 * S);
        let heard = net.now();
        net.write(client, rest);
        net.settle();
        check_invariants(&net);
        assert_eq!(net.engine().stats().held_bytes, 0, "{last}");
        let id = net.id(client);
        let view = net.with_io(|_, io| io.view(id)).expect("it is open");
        assert_eq!(view.heard, heard, "{last}");
        assert_eq!(forwarded(&mut net, server).len(), 1);
    }
}
