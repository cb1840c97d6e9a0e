//! Close frames and ends of pairs: what each side gets.

use crate::nets::{S, check_invariants, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use pulsegate::testing::{Net, PeerId, Received, client_frame, frame_of_server};
use pulsegate::{Cause, Message, Micros};

fn net() -> Net<PairHost> {
    let policy = timed(15, 45);
    Net::new(pair_config(policy, policy), PairHost::default())
}

fn closes(net: &mut Net<PairHost>, peer: PeerId) -> Vec<(u16, String)> {
    let close = |received| match received {
        Received::Close(code, reason) => Some((code, reason)),
        _ => None,
    };
    net.received(peer).into_iter().filter_map(close).collect()
}

/// The peer that begins, and the other one.
fn in_order(from_client: bool, client: PeerId, server: PeerId) -> (PeerId, PeerId) {
    match from_client {
        true => (client, server),
        false => (server, client),
    }
}

/// What makes frames (first byte, payload) of a client, or of a server.
fn encoder(is_client: bool) -> fn(u8, &[u8]) -> Vec<u8> {
    match is_client {
        true => client_frame,
        false => frame_of_server,
    }
}

#[test]
fn a_close_goes_to_the_other_side_and_its_answer_comes_back() {
    for from_client in [true, false] {
        for payload in [&b""[..], b"\x03\xE8", b"\x0F\xA1bye", b"\x03\xEE?", b"x"] {
            let mut net = net();
            let (client, server) = connect_pair(&mut net);
            let (from, to) = in_order(from_client, client, server);
            let frame = encoder(from_client);
            net.mute(to);
            net.write(from, &frame(0x88, payload));
            net.advance(100);
            // Data of the other side still comes.
            net.send(to, Message::text("last words"));
            net.advance(100);
            assert!(
                net.received(from)
                    .contains(&Received::Message(Message::text("last words")))
            );
            let answer = encoder(!from_client);
            net.write(to, &answer(0x88, b"\x0F\xA2ok"));
            net.settle();
            assert_eq!(closes(&mut net, from), [(4_002, "ok".to_owned())]);
            let expected = match payload {
                [a, b, reason @ ..] => {
                    let reason = String::from_utf8_lossy(reason).into_owned();
                    (u16::from_be_bytes([*a, *b]), reason)
                }
                _ => (1005, String::new()),
            };
            assert_eq!(closes(&mut net, to), [expected]);
            check_invariants(&net);
            net.half_close(server);
            net.advance(20 * S);
            net.expect_closed(from, Cause::PEER_CLOSED);
            net.expect_closed(to, Cause::PARTNER_ENDED);
            assert!(net.ending(from).is_some_and(|e| e.clean));
            assert!(net.ending(to).is_some_and(|e| e.clean));
            assert!(net.host().ended.is_empty(), "no call of the host");
        }
    }
}

#[test]
fn a_close_without_an_answer_is_answered_with_itself_after_the_close_timeout() {
    for from_client in [true, false] {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        let (from, to) = in_order(from_client, client, server);
        let frame = encoder(from_client);
        net.mute(to);
        net.write(from, &frame(0x88, b"\x0F\xA1bye"));
        net.advance(timed(15, 45).close_timeout.as_millis() - 100);
        assert_eq!(closes(&mut net, from), []);
        net.advance(200);
        assert_eq!(closes(&mut net, from), [(4_001, "bye".to_owned())]);
        check_invariants(&net);
        net.half_close(server);
        net.advance(20 * S);
        net.expect_closed(from, Cause::PEER_CLOSED);
        net.expect_closed(to, Cause::PARTNER_ENDED);
        assert!(net.ending(to).is_some_and(|e| !e.clean));
    }
}

#[test]
fn nothing_behind_a_fault_is_forwarded_even_if_the_offender_was_sent_a_close() {
    for from_client in [true, false] {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        let (from, to) = in_order(from_client, client, server);
        let (frame, answer) = (encoder(from_client), encoder(!from_client));
        net.mute(to);
        net.write(from, &frame(0x88, b"\x0F\xA1bye"));
        net.settle();
        net.write(to, &answer(0xA2, b"a reserved bit"));
        net.write(to, &answer(0x82, b"behind it"));
        net.settle();
        let got = net.received(from);
        assert_eq!(got, [Received::Close(4_001, "bye".to_owned())]);
        check_invariants(&net);
        net.half_close(to);
        net.half_close(server);
        net.advance(20 * S);
        net.expect_closed(from, Cause::PEER_CLOSED);
        net.expect_closed(to, Cause::PARTNER_ENDED);
    }
}

#[test]
pub fn closes_that_cross_are_answered_each_with_its_own() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    net.mute(client);
    net.mute(server);
    net.write(client, &client_frame(0x88, b"\x0F\xA1c"));
    net.write(server, &frame_of_server(0x88, b"\x0F\xA2s"));
    net.settle();
    assert_eq!(closes(&mut net, client), [(4_001, "c".to_owned())]);
    assert_eq!(closes(&mut net, server), [(4_002, "s".to_owned())]);
    net.half_close(server);
    net.advance(20 * S);
    for peer in [client, server] {
        net.expect_closed(peer, Cause::PEER_CLOSED);
        assert!(net.ending(peer).is_some_and(|e| e.clean));
    }
}

#[test]
fn a_client_that_ends_its_stream_still_hears_the_server() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    net.mute(server);
    net.half_close(client);
    net.settle();
    assert_eq!(closes(&mut net, server), [(1001, "peer_eof".to_owned())]);
    net.send(server, Message::text("still here"));
    net.write(server, &frame_of_server(0x88, b"\x03\xE9"));
    net.settle();
    let got = net.received(client);
    assert_eq!(
        got,
        [
            Received::Message(Message::text("still here")),
            Received::Close(1001, String::new())
        ]
    );
    net.half_close(server);
    net.advance(10 * S);
    net.expect_closed(client, Cause::PEER_EOF);
    net.expect_closed(server, Cause::PARTNER_ENDED);
    check_invariants(&net);
}

#[test]
pub fn each_end_tells_the_other_side() {
    type Act = fn(&mut Net<PairHost>, pulsegate::testing::PeerId);
    let rows: &[(&str, bool, Act, Cause, u16)] = &[
        (
            "client resets",
            true,
            |n, p| n.reset(p),
            Cause::PEER_RESET,
            1001,
        ),
        (
            "server resets",
            false,
            |n, p| n.reset(p),
            Cause::PEER_RESET,
            1012,
        ),
        (
            "server ends",
            false,
            |n, p| n.half_close(p),
            Cause::PEER_EOF,
            1012,
        ),
        ("client stale", true, |n, p| n.mute(p), Cause::STALE, 1001),
        ("server stale", false, |n, p| n.mute(p), Cause::STALE, 1012),
    ];
    for (what, is_client, act, cause, code) in rows {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        let (one, other) = if *is_client {
            (client, server)
        } else {
            (server, client)
        };
        act(&mut net, one);
        net.advance(61 * S);
        net.expect_closed(one, *cause);
        let got = closes(&mut net, other);
        assert_eq!(got, [(*code, cause.name().to_owned())], "{what}");
        let (o, p) = (net.id(one), net.id(other));
        assert_eq!(net.host().ended, [(o, p, *cause)], "{what}");
        net.half_close(other);
        net.advance(10 * S);
        net.expect_closed(other, Cause::PARTNER_ENDED);
        check_invariants(&net);
    }
}

#[test]
fn an_end_inside_a_frame_is_a_fin_and_nothing_else() {
    let mut net = net();
    let (client, server) = connect_pair(&mut net);
    let frame = frame_of_server(0x82, &vec![9; 200_000]);
    net.write(server, &frame[..100_000]);
    net.settle();
    net.reset(server);
    net.advance(100);
    assert!(net.fin_received(client));
    assert_eq!(net.leftover(client), &frame[..net.leftover(client).len()]);
    assert_eq!(net.engine().stats().cut_mid_frame, 1);
    net.half_close(client);
    net.advance(10 * S);
    net.expect_closed(client, Cause::PARTNER_ENDED);
}

#[test]
fn a_planned_end_waits_for_the_frame_in_progress() {
    for finishes in [true, false] {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        let frame = frame_of_server(0x82, &vec![9; 200_000]);
        net.write(server, &frame[..100_000]);
        net.settle();
        let id = net.id(client);
        net.with_io(|_, io| io.close_for(id, Cause::KICKED, 4_000, "kicked"));
        net.advance(S);
        assert!(net.is_open(client));
        if finishes {
            net.write(server, &frame[100_000..]);
            net.send(server, Message::text("too late"));
        }
        net.advance(6 * S);
        let got = net.received(client);
        if finishes {
            assert_eq!(
                got,
                [
                    Received::Message(Message::binary(vec![9; 200_000])),
                    Received::Close(4_000, "kicked".to_owned())
                ]
            );
        } else {
            assert!(got.is_empty() && net.fin_received(client), "{got:?}");
        }
        let cut = net.engine().stats().cut_mid_frame;
        assert_eq!(cut, u64::from(!finishes));
        check_invariants(&net);
        net.half_close(client);
        net.half_close(server);
        net.advance(20 * S);
        net.expect_closed(client, Cause::KICKED);
        net.expect_closed(server, Cause::PARTNER_ENDED);
    }
}

#[test]
fn a_reader_without_progress_is_closed_and_its_partner_told() {
    for client_is_slow in [true, false] {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        let (slow, other) = if client_is_slow {
            (client, server)
        } else {
            (server, client)
        };
        net.set_window(slow, Some(100));
        for _ in 0..40 {
            net.send(other, Message::binary(vec![1; 5_000]));
            net.settle();
        }
        net.advance(29_900);
        assert!(net.is_open(slow) && net.is_open(other));
        net.advance(200);
        let code = if client_is_slow { 1001 } else { 1013 };
        assert_eq!(
            closes(&mut net, other),
            [(code, "slow_consumer".to_owned())]
        );
        net.set_window(slow, None);
        net.advance(Micros::from_secs(20).as_millis());
        net.expect_closed(slow, Cause::SLOW_CONSUMER);
        check_invariants(&net);
    }
}

/// All whole frames are sent. If the last one has begun and will never be complete, it is
/// removed.
#[test]
fn a_slow_client_gets_what_its_server_sent_before_it_died() {
    // The lengths of messages, the bytes of a frame that has begun behind them, how many messages
    // arrive, and how many are removed.
    for (lens, begun, arrive, removed) in [
        (&[1_000; 10][..], None, 10, 0),
        (&[1_000, 2_000], Some(30_000), 2, 1),
    ] {
        let mut net = net();
        let (client, server) = connect_pair(&mut net);
        net.set_window(client, Some(500));
        let message = |(i, len): (u8, &usize)| Message::binary(vec![i; *len]);
        let messages: Vec<Message> = (0..).zip(lens).map(message).collect();
        for message in &messages {
            net.send(server, message.clone());
        }
        if let Some(begun) = begun {
            let frame = frame_of_server(0x82, &vec![99; 200_000]);
            net.write(server, &frame[..begun]);
        }
        net.settle();
        net.reset(server);
        net.advance(100);
        net.set_window(client, None);
        net.advance(100);
        let whole = messages.into_iter().take(arrive).map(Received::Message);
        let close = Received::Close(1012, "peer_reset".to_owned());
        let expected: Vec<Received> = whole.chain([close]).collect();
        assert_eq!(net.received(client), expected);
        assert_eq!(net.engine().stats().cut_mid_frame, 0);
        check_invariants(&net);
        net.advance(10 * S);
        net.expect_closed(client, Cause::PARTNER_ENDED);
        assert_eq!(net.ending(client).map(|e| e.unsent), Some(removed));
    }
}

/// The frames before the fault may be answered, and the offender gets those answers, as it would
/// without the loop between the two.
#[test]
fn an_offender_gets_what_the_other_side_says_until_it_answers() {
    for from_client in [true, false] {
        for (answers, ends_stream) in [(true, false), (true, true), (false, false)] {
            let mut net = net();
            let (client, server) = connect_pair(&mut net);
            let (from, to, code) = match from_client {
                true => (client, server, 1001),
                false => (server, client, 1011),
            };
            let frame = match from_client {
                true => client_frame,
                false => frame_of_server,
            };
            net.mute(from);
            net.mute(to);
            net.send(from, Message::text("question"));
            net.write(from, &frame(0xA1, b"RSV2"));
            net.settle();
            let told = [
                Received::Message(Message::text("question")),
                Received::Close(code, "protocol".to_owned()),
            ];
            assert_eq!(net.received(to), told);
            net.write(from, &frame(0x81, b"ignored"));
            if ends_stream {
                net.half_close(from);
            }
            net.send(to, Message::text("answer"));
            net.advance(100);
            let answer = Received::Message(Message::text("answer"));
            assert_eq!(net.received(from), [answer]);
            check_invariants(&net);
            match answers {
                true => net.send(to, Message::Close(None)),
                false => net.advance(timed(15, 45).close_timeout.as_millis()),
            }
            net.settle();
            let got = closes(&mut net, from);
            assert!(matches!(&got[..], [(1002, reason)] if !reason.is_empty()));
            assert_eq!(net.ending(from).is_some(), ends_stream, "at once");
            assert_eq!(net.received(to), []);
            check_invariants(&net);
            net.half_close(from);
            net.half_close(to);
            net.advance(20 * S);
            net.expect_closed(from, Cause::PROTOCOL);
            net.expect_closed(to, Cause::PARTNER_ENDED);
            let (from, to) = (net.id(from), net.id(to));
            assert_eq!(net.host().ended, [(from, to, Cause::PROTOCOL)]);
        }
    }
}
