//! Heartbeats that are texts of the host: sent, timed and judged as pings are.

use crate::frames::text;
use crate::nets::{S, check_invariants, one_class, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use crate::texts::{TextHost, connect_answering, numbers};
use pulsegate::engine::Message;
use pulsegate::health::{AliveBy, HealthState, HeartbeatForm, Policy};
use pulsegate::testing::{Net, PeerId, Received};
use pulsegate::{Cause, Micros};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// A heartbeat every 15 s as a text, stale after 45 s.
fn texts() -> Policy {
    Policy {
        heartbeat_form: HeartbeatForm::Text,
        ..timed(15, 45)
    }
}

fn net_of(policy: Policy) -> Net<TextHost> {
    Net::new(one_class(policy), TextHost::default())
}

fn unanswered(net: &mut Net<TextHost>, peer: PeerId) -> u16 {
    let id = net.id(peer);
    net.with_io(|_, io| io.health(id).expect("it is open").unanswered)
}

/// Sends a frame of the host unchanged.
fn send_frame(net: &mut Net<TextHost>, peer: PeerId, payload: &[u8], opcode: Data, is_last: bool) {
    let id = net.id(peer);
    let frame = Frame::message(payload.to_vec(), OpCode::Data(opcode), is_last);
    net.with_io(|_, io| io.send(id, Message::Frame(frame)));
    net.settle();
}

#[test]
fn an_answered_text_counts_as_an_answered_ping() {
    let mut net = net_of(texts());
    let peer = connect_answering(&mut net);
    net.set_latency(peer, 70);
    net.record_frames(peer);
    net.advance(60 * S);
    let sent = numbers(&mut net, peer);
    assert_eq!(sent.len(), 4);
    assert!(sent.windows(2).all(|w| w[1] == (w[0] + 1) % (1 << 32)));
    assert!(sent.iter().all(|number| *number <= u64::from(u32::MAX)));
    let first = format!("beat {}", sent[0]);
    let frame = [&[0x81, first.len() as u8], first.as_bytes()].concat();
    assert!(
        net.recorded_frames(peer).starts_with(&frame),
        "one text frame"
    );
    let rtt = Micros::from_millis(70);
    assert_eq!(net.host().rtts, [Some(rtt); 4]);
    assert!(net.host().pongs.iter().all(|pong| pong.rtt == rtt));
    assert_eq!(net.host().pongs.len(), 4);
    assert_eq!(net.host().states, []);
    let stats = net.engine().stats();
    assert_eq!((stats.pings(), stats.pongs()), (4, 4));
    assert_eq!(stats.messages_out, 0, "a heartbeat is no message");
    assert_eq!(stats.classes[0].pongs_mangled, 0);
    check_invariants(&net);
}

#[test]
fn a_peer_that_answers_only_pings_is_suspect_and_stale_on_time() {
    let mut net = net_of(texts());
    let peer = net.connect("/");
    let opened = net.now();
    net.advance(44 * S);
    assert_eq!(numbers(&mut net, peer).len(), 3);
    assert_eq!(net.host().states, [HealthState::Suspect]);
    assert!(net.is_open(peer));
    net.advance(S + 5);
    net.expect_closed(peer, Cause::STALE);
    let end = net.ending(peer).expect("an end");
    assert_eq!(
        (opened + Micros::from_secs(45), end.unanswered),
        (opened + end.silence, 3)
    );
}

#[test]
fn only_the_latest_number_gives_a_round_trip_time_and_any_is_a_sign_of_life() {
    let mut net = net_of(texts());
    let peer = net.connect("/");
    net.advance(30 * S);
    let sent = numbers(&mut net, peer);
    assert_eq!((sent.len(), unanswered(&mut net, peer)), (2, 2));
    assert_eq!(net.host().states, [HealthState::Suspect]);
    for (number, has_rtt) in [
        (sent[0], false),
        (sent[1] + 1, false),
        (u64::MAX, false),
        (sent[1], true),
        (sent[1], false),
    ] {
        net.send(peer, Message::text(format!("echo {number}")));
        net.settle();
        let last = net.host().rtts.last().copied().expect("an answer");
        assert_eq!(last.is_some(), has_rtt, "{number} of {sent:?}");
        assert_eq!(unanswered(&mut net, peer), 0);
    }
    assert_eq!(net.host().pongs.len(), 1);
    assert_eq!(
        net.host().states,
        [HealthState::Suspect, HealthState::Healthy]
    );
}

#[test]
fn a_watched_text_proves_what_was_received_before_it() {
    let mut net = net_of(texts());
    let peer = connect_answering(&mut net);
    let id = net.id(peer);
    net.with_io(|_, io| {
        io.send(id, Message::text("one"));
        io.send(id, Message::text("two"));
    });
    net.advance(16 * S);
    assert_eq!(net.host().pongs.len(), 1);
    assert_eq!(net.host().pongs[0].received, 2);
}

#[test]
fn a_text_overtakes_messages_that_wait_and_stands_between_two_of_them() {
    let mut net = net_of(texts());
    let peer = connect_answering(&mut net);
    // The first message is taken in part.
    net.set_window(peer, Some(1_000));
    let id = net.id(peer);
    net.with_io(|_, io| {
        for letter in ["a", "b", "c"] {
            io.send(id, Message::text(letter.repeat(2_000)));
        }
    });
    net.settle();
    net.advance(16 * S);
    assert_eq!(net.host().texts, 1);
    net.set_window(peer, None);
    net.settle();
    let texts: Vec<String> = received_texts(&mut net, peer);
    let starts: Vec<&str> = texts.iter().map(|text| &text[..1]).collect();
    assert_eq!(starts, ["a", "b", "b", "c"], "the second is the heartbeat");
    assert!(texts[1].starts_with("beat "), "{texts:?}");
    assert_eq!(net.host().rtts.len(), 1);
    check_invariants(&net);
}

fn received_texts(net: &mut Net<TextHost>, peer: PeerId) -> Vec<String> {
    let text = |received: Received| match received {
        Received::Message(Message::Text(text)) => text.to_string(),
        Received::Fragment(first, payload) => {
            format!("{first:#04x} {}", String::from_utf8_lossy(&payload))
        }
        other => format!("{other:?}"),
    };
    net.received(peer).into_iter().map(text).collect()
}

#[test]
fn a_text_of_which_a_part_was_taken_is_completed() {
    let mut net = net_of(texts());
    let peer = connect_answering(&mut net);
    net.set_window(peer, Some(3));
    net.advance(16 * S);
    assert_eq!((net.host().texts, net.leftover(peer).len()), (1, 3));
    net.set_window(peer, None);
    net.settle();
    assert_eq!(net.host().rtts.len(), 1);
    check_invariants(&net);
}

#[test]
fn a_text_waits_for_the_end_of_a_message_in_fragments() {
    let mut net = net_of(texts());
    let peer = connect_answering(&mut net);
    send_frame(&mut net, peer, b"one", Data::Text, false);
    // Longer than the timeout: the peer could not be asked.
    net.advance(100 * S);
    assert!(net.is_open(peer));
    assert_eq!(net.host().states, []);
    send_frame(&mut net, peer, b"two", Data::Continue, false);
    net.advance(16 * S);
    assert_eq!(net.host().texts, 0);
    send_frame(&mut net, peer, b"three", Data::Continue, true);
    let texts = received_texts(&mut net, peer);
    assert_eq!(texts[..3], ["0x01 one", "0x00 two", "0x80 three"]);
    assert!(texts[3].starts_with("beat "), "right behind it: {texts:?}");
    assert_eq!((texts.len(), net.host().rtts.len()), (4, 1));
    net.advance(15 * S);
    assert_eq!(net.host().rtts.len(), 2, "and every interval again");
    check_invariants(&net);
}

#[test]
fn a_text_waits_for_fragments_that_the_socket_has_not_taken() {
    let mut net = net_of(texts());
    let peer = connect_answering(&mut net);
    net.set_window(peer, Some(100));
    send_frame(&mut net, peer, &[b'x'; 1_000], Data::Text, false);
    send_frame(&mut net, peer, &[b'y'; 1_000], Data::Continue, true);
    let id = net.id(peer);
    net.with_io(|_, io| io.send(id, Message::text("z")));
    net.advance(16 * S);
    // The boundary between the two fragments is inside of what is taken.
    net.set_window(peer, Some(1_200));
    net.settle();
    assert_eq!(net.host().texts, 0);
    net.set_window(peer, None);
    net.settle();
    let texts = received_texts(&mut net, peer);
    let starts: Vec<&str> = texts.iter().map(|text| &text[..1]).collect();
    assert_eq!(starts, ["0", "0", "z", "b"], "{texts:?}");
    assert_eq!(net.host().rtts.len(), 1);
    check_invariants(&net);
}

#[test]
fn pings_may_stand_between_fragments() {
    let mut net = net_of(timed(15, 45));
    let peer = net.connect("/");
    send_frame(&mut net, peer, b"one", Data::Text, false);
    net.advance(16 * S);
    assert_eq!(net.engine().stats().pongs(), 1);
}

#[test]
fn a_host_may_close_or_send_while_it_is_asked_for_the_text() {
    let mut net = net_of(texts());
    net.host().closes = true;
    let peer = connect_answering(&mut net);
    net.advance(16 * S);
    let end = net.ending(peer).expect("an end");
    assert_eq!((end.cause, end.clean), (Cause::KICKED, true));
    assert_eq!(net.engine().stats().pings(), 0);
    let mut net = net_of(texts());
    net.host().says = Some(Message::text("news"));
    let peer = connect_answering(&mut net);
    net.advance(16 * S);
    let texts = received_texts(&mut net, peer);
    assert!(
        texts.contains(&"news".to_owned()) && texts.len() == 2,
        "{texts:?}"
    );
    assert_eq!(net.host().rtts.len(), 1);
    check_invariants(&net);
}

#[test]
fn the_answer_alone_keeps_a_peer_alive_by_answers_however_late_it_comes() {
    let policy = Policy {
        alive_by: AliveBy::Pong,
        ..texts()
    };
    let mut net = net_of(policy);
    let (answers, talks) = (connect_answering(&mut net), net.connect("/"));
    // An answer that comes after the next heartbeat has left is an answer.
    net.set_latency(answers, 20 * S);
    for _ in 0..20 {
        net.send(talks, Message::text("news"));
        net.advance(5 * S);
    }
    assert!(net.is_open(answers), "{:?}", net.ending(answers));
    net.expect_closed(talks, Cause::STALE);
    let end = net.ending(talks).expect("an end");
    assert!(end.reason.starts_with("no answer"), "{}", end.reason);
    net.advance(200 * S);
    assert!(net.is_open(answers));
    // A number that was never sent answers nothing.
    let guesses = net.connect("/");
    for _ in 0..10 {
        net.send(guesses, Message::text("echo 12345"));
        net.advance(5 * S);
    }
    net.expect_closed(guesses, Cause::STALE);
}

#[test]
fn a_new_policy_changes_the_form_of_the_next_heartbeat() {
    let mut net = net_of(timed(15, 45));
    let peer = connect_answering(&mut net);
    net.advance(16 * S);
    assert_eq!((net.host().texts, net.engine().stats().pongs()), (0, 1));
    net.with_io(|_, io| io.set_policy(pulsegate::Class(0), texts()))
        .expect("a policy");
    net.advance(30 * S);
    assert_eq!(net.host().texts, 2);
    assert_eq!(net.engine().stats().pongs(), 3);
    assert!(net.is_open(peer));
}

#[test]
fn a_linked_connection_is_pinged() {
    let mut net = Net::new(pair_config(texts(), texts()), PairHost::default());
    let (client, server) = connect_pair(&mut net);
    net.advance(100 * S);
    assert!(net.is_open(client) && net.is_open(server));
    let received = net.received(client);
    assert!(received.iter().all(|r| matches!(r, Received::Ping(_))));
    assert_eq!(net.engine().stats().pongs(), 12);
    // A change of policy keeps that.
    let mut policy = texts();
    policy.suspect_after = 2;
    net.with_io(|_, io| io.set_policy(pulsegate::Class(0), policy))
        .expect("a policy");
    net.advance(100 * S);
    assert!(net.is_open(client));
    check_invariants(&net);
}

#[test]
fn the_limit_for_a_message_is_the_engines() {
    let mut net = net_of(texts());
    let most = net.engine().config().max_message_bytes;
    let peer = net.connect("/");
    let longest = net.with_io(|_, io| io.max_message_bytes());
    assert_eq!(longest, most);
    net.write(peer, &text(&"x".repeat(longest + 1)));
    net.settle();
    assert!(!net.is_open(peer));
    let received = net.received(peer);
    assert!(
        matches!(received[..], [Received::Close(1009, _)]),
        "{received:?}"
    );
}
