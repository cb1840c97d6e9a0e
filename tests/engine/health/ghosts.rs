//! Ghosts: clients that are gone behind an edge that ends WebSockets. The edge answers pings, and
//! acknowledges what it is sent, as long as it lives. The peers here are such edges; what they send
//! besides comes from their clients.

use crate::frames::{binary, fragments, pattern, ping, pong};
use crate::nets::{S, check_invariants, one_class, timed};
use crate::pairs_host::{PairHost, connect_pair, pair_config};
use crate::texts::{TextHost, connect_answering, echo_of};
use pulsegate::engine::Message;
use pulsegate::engine::wheel::TICK;
use pulsegate::health::{AliveBy, HealthState, HeartbeatForm, Policy, StaleAction};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{Cause, Micros};

const HOUR: u64 = 3_600 * S;

/// A heartbeat every 15 s, stale after 45 s.
fn policy(form: HeartbeatForm, alive_by: AliveBy) -> Policy {
    Policy {
        heartbeat_form: form,
        alive_by,
        ..timed(15, 45)
    }
}

fn net_of(form: HeartbeatForm, alive_by: AliveBy) -> Net<TextHost> {
    Net::new(one_class(policy(form, alive_by)), TextHost::default())
}

/// Asserts that the connection ends as stale 45 s from now, and within a tick of that.
#[track_caller]
fn expect_found(net: &mut Net<TextHost>, ghost: PeerId) {
    let gone = net.now();
    net.advance(45 * S - 1);
    assert!(net.is_open(ghost), "{:?}", net.ending(ghost));
    net.advance(TICK.as_millis() + 1);
    net.expect_closed(ghost, Cause::STALE);
    let end = net.ending(ghost).expect("an end");
    let silence = Micros::from_secs(45);
    assert!((silence..=silence + TICK).contains(&end.silence), "{end:?}");
    assert!(net.now() <= gone + silence + TICK);
    check_invariants(net);
}

#[test]
fn by_any_input_a_ghost_lives_as_long_as_its_edge() {
    let mut net = net_of(HeartbeatForm::Ping, AliveBy::Any);
    let ghost = net.connect("/");
    net.advance(HOUR);
    assert!(net.is_open(ghost));
    // Until the edge is gone as well.
    net.mute(ghost);
    net.advance(60 * S);
    net.expect_closed(ghost, Cause::STALE);
}

#[test]
fn by_data_a_ghost_is_found_and_a_client_that_talks_lives() {
    let mut net = net_of(HeartbeatForm::Ping, AliveBy::Data);
    let (ghost, talker) = (net.connect("/"), net.connect("/"));
    for _ in 0..30 {
        for peer in [ghost, talker] {
            net.send(peer, Message::text("news"));
        }
        net.advance(40 * S);
    }
    assert!(net.is_open(ghost) && net.is_open(talker));
    net.send(talker, Message::text("news"));
    net.send(ghost, Message::text("last words"));
    net.settle();
    expect_found(&mut net, ghost);
    let end = net.ending(ghost).expect("an end");
    assert!(
        end.reason.starts_with("no message heard for 45"),
        "{}",
        end.reason
    );
    assert_eq!(
        net.engine().stats().classes[0].rtt.count(),
        net.engine().stats().pongs()
    );
    assert!(
        net.engine().stats().pongs() > 100,
        "pongs still give round-trip times"
    );
}

#[test]
fn by_data_no_control_frame_and_no_acknowledgement_keeps_a_ghost() {
    for alive_by in [AliveBy::Data, AliveBy::Pong] {
        let mut net = net_of(HeartbeatForm::Text, alive_by);
        let ghost = net.connect("/");
        let id = net.id(ghost);
        let opened = net.now();
        // The edge takes what it is sent, slowly, and sends control frames of its own.
        net.set_link(ghost, 4_000, 16_000);
        while net.is_open(ghost) && net.now() < opened + Micros::from_secs(60) {
            net.write(ghost, &ping(b"edge"));
            net.write(ghost, &pong(b""));
            net.with_io(|_, io| io.send(id, Message::binary(vec![0; 1_000])));
            net.advance(500);
        }
        net.expect_closed(ghost, Cause::STALE);
        let end = net.ending(ghost).expect("an end");
        assert_eq!(end.silence.as_millis() / S, 45, "{alive_by:?}: {end:?}");
        assert_eq!(net.host().messages, []);
    }
}

#[test]
fn by_data_a_flood_of_pings_keeps_a_ghost_for_no_more_than_a_moment() {
    let mut net = net_of(HeartbeatForm::Ping, AliveBy::Data);
    let ghost = net.connect("/");
    let opened = net.now();
    let flood = ping(b"edge").repeat(3_000);
    while net.is_open(ghost) && net.now() < opened + Micros::from_secs(50) {
        net.write(ghost, &flood);
        net.run_turn_after(20);
    }
    let latest = opened + Micros::from_secs(46);
    assert!(!net.is_open(ghost) && net.now() <= latest, "{}", net.now());
}

#[test]
fn by_data_a_large_message_counts_while_it_arrives() {
    for is_fragmented in [false, true] {
        let mut net = net_of(HeartbeatForm::Ping, AliveBy::Data);
        let peer = net.connect("/");
        let content = pattern(400_000);
        let bytes = match is_fragmented {
            false => binary(&content),
            true => fragments(2, content.chunks(4_000)).concat(),
        };
        // 4.5 KB every 5 s: some seven minutes, in which no pong can be sent.
        net.set_in_frame(peer, true);
        for piece in bytes.chunks(4_500) {
            net.write(peer, piece);
            net.advance(5 * S);
        }
        assert!(net.is_open(peer), "{:?}", net.ending(peer));
        net.set_in_frame(peer, false);
        assert_eq!(net.host().messages.len(), 1);
        net.advance(46 * S);
        net.expect_closed(peer, Cause::STALE);
    }
}

#[test]
fn by_answers_a_peer_is_not_stale_inside_a_message_of_its_own() {
    for (form, is_fragmented) in [
        (HeartbeatForm::Ping, false),
        (HeartbeatForm::Text, false),
        (HeartbeatForm::Text, true),
    ] {
        let mut net = net_of(form, AliveBy::Pong);
        let peer = connect_answering(&mut net);
        let content = pattern(100_000);
        let bytes = match is_fragmented {
            false => binary(&content),
            true => fragments(2, content.chunks(4_000)).concat(),
        };
        net.set_in_frame(peer, true);
        for piece in bytes.chunks(4_500) {
            net.write(peer, piece);
            net.advance(5 * S);
        }
        assert!(net.is_open(peer), "{form:?}: {:?}", net.ending(peer));
        net.set_in_frame(peer, false);
        net.advance(HOUR);
        assert!(net.is_open(peer), "{form:?}: {:?}", net.ending(peer));
    }
}

#[test]
fn by_texts_a_ghost_is_found_and_a_client_that_answers_lives() {
    for alive_by in [AliveBy::Any, AliveBy::Data, AliveBy::Pong] {
        let mut net = net_of(HeartbeatForm::Text, alive_by);
        let (ghost, client) = (connect_answering(&mut net), connect_answering(&mut net));
        net.advance(HOUR);
        assert!(net.is_open(ghost) && net.is_open(client), "{alive_by:?}");
        assert_eq!(net.host().states, []);
        // From the answer to its last heartbeat on.
        let before = net.host().texts;
        while net.host().texts < before + 2 {
            net.advance(10);
        }
        net.answer_texts(ghost, |_| None);
        net.answer_texts(client, echo_of);
        let gone = net.answered_at(ghost).last().copied().expect("an answer");
        net.advance(46 * S);
        net.expect_closed(ghost, Cause::STALE);
        let end = net.ending(ghost).expect("an end");
        let silence = Micros::from_secs(45);
        assert!(
            end.silence <= silence + TICK,
            "{alive_by:?}: {end:?}, last heard {gone}"
        );
        assert!(net.is_open(client));
    }
}

#[test]
fn a_peer_that_is_not_read_is_not_stale_whatever_counts() {
    for alive_by in [AliveBy::Any, AliveBy::Data, AliveBy::Pong] {
        let mut net = net_of(HeartbeatForm::Text, alive_by);
        let peer = connect_answering(&mut net);
        let id = net.id(peer);
        net.with_io(|_, io| io.pause_reading(id));
        net.advance(HOUR);
        assert!(net.is_open(peer), "{alive_by:?}");
        net.with_io(|_, io| io.resume_reading(id));
        net.advance(HOUR);
        assert!(net.is_open(peer), "{alive_by:?}: {:?}", net.ending(peer));
        assert!(!net.host().states.contains(&HealthState::Suspect));
    }
}

#[test]
fn a_reported_silence_is_ended_only_by_what_counts() {
    let reported = Policy {
        when_stale: StaleAction::Report,
        ..policy(HeartbeatForm::Ping, AliveBy::Data)
    };
    let mut net = Net::new(one_class(reported), TextHost::default());
    let peer = net.connect("/");
    net.advance(200 * S);
    let counts = |net: &Net<TextHost>| {
        let class = &net.engine().stats().classes[0];
        (class.would_close, class.would_close_wrong)
    };
    assert_eq!(counts(&net), (1, 0), "pongs are no sign of life");
    net.send(peer, Message::text("news"));
    net.settle();
    assert_eq!(counts(&net), (1, 1));
    check_invariants(&net);
}

#[test]
fn a_linked_client_is_judged_by_what_it_sends() {
    let by_data = policy(HeartbeatForm::Ping, AliveBy::Data);
    let by_pongs = policy(HeartbeatForm::Ping, AliveBy::Pong);
    let mut net = Net::new(pair_config(by_data, by_pongs), PairHost::default());
    let (talker, server) = connect_pair(&mut net);
    let (ghost, other) = connect_pair(&mut net);
    // Pings of a client pass, and are no sign of its life.
    for nth in 0..20 {
        net.send(talker, Message::text("news"));
        if nth < 4 {
            net.write(ghost, &ping(b"edge"));
        }
        net.advance(10 * S);
    }
    net.expect_closed(ghost, Cause::STALE);
    net.expect_closed(other, Cause::PARTNER_ENDED);
    assert!(net.is_open(talker) && net.is_open(server));
    // The server is alive by its pongs alone, whatever it sends.
    net.mute(server);
    for _ in 0..5 {
        net.send(talker, Message::text("news"));
        net.send(server, Message::text("news"));
        net.advance(10 * S);
    }
    net.expect_closed(server, Cause::STALE);
}
