//! Output accepted a few bytes at a time, control frames before data, and what goes out before a
//! close.

use crate::bytes::script::{LARGE, script_frames};
use crate::echo::{check_all_ended, end_of, peer_code, scripted, server};
use crate::frames::{close, data_and_control, ping, text};
use crate::nets::S;
use pulsegate::cause::Cause;
use pulsegate::engine::{Config, Message};
use pulsegate::testing::{Received, upgrade_request};

#[test]
fn output_accepted_a_few_bytes_at_a_time_is_the_same() {
    let all = [
        vec![upgrade_request("/").into_bytes()],
        script_frames(&LARGE),
    ]
    .concat()
    .concat();
    let run = |step: Option<usize>, seed: u64| {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut net = server(Config::default());
        let peer = net.open_socket();
        net.mute(peer);
        if step.is_some() {
            net.set_window(peer, Some(0));
        }
        net.write(peer, &all);
        net.settle();
        while let Some(step) = step.filter(|_| net.engine().stats().pending_bytes > 0) {
            net.set_window(
                peer,
                Some(if step == 0 { rng.usize(0..5_000) } else { step }),
            );
            net.run_turn();
        }
        net.set_window(peer, None);
        net.write(peer, &close(1000, b"bye"));
        net.advance(3 * S);
        assert!(net.leftover(peer).is_empty());
        check_all_ended(&mut net);
        let head = net.response(peer).map(str::to_owned);
        (
            head,
            data_and_control(net.received(peer)),
            end_of(&net, peer),
        )
    };
    let free = run(None, 0);
    for step in [1, 2, 3, 7, 125, 1_000, 65_536] {
        assert!(run(Some(step), 0) == free, "{step} bytes at a time");
    }
    for seed in 0..50 {
        assert!(run(Some(0), seed) == free, "seed {seed}");
    }
}

#[test]
fn a_control_frame_goes_before_data_but_never_inside_a_frame() {
    for taken in 0..12 {
        let mut net = server(Config::default());
        let peer = scripted(&mut net, "/");
        net.set_window(peer, Some(taken));
        net.write(peer, &[text("12345678"), text("second")].concat());
        net.settle();
        net.write(peer, &ping(b"!"));
        net.settle();
        net.set_window(peer, None);
        net.settle();
        let order: Vec<bool> = net
            .received(peer)
            .iter()
            .map(|r| matches!(r, Received::Pong(_)))
            .collect();
        let expected = match taken {
            0 => [true, false, false],
            1..=10 => [false, true, false],
            _ => [false, false, true],
        };
        assert_eq!(order, expected, "after {taken} bytes");
    }
}

#[test]
fn a_peer_that_closes_without_reading_gets_the_frame_in_progress_and_the_answer() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.set_window(peer, Some(4));
    net.write(peer, &[text("in progress"), text("not begun")].concat());
    net.settle();
    net.write(peer, &close(1000, b""));
    net.settle();
    net.set_window(peer, None);
    net.settle();
    let expected = [
        Received::Message(Message::text("in progress")),
        Received::Close(1000, String::new()),
    ];
    assert_eq!(net.received(peer), expected);
    net.expect_closed(peer, Cause::PEER_CLOSED);
    assert_eq!(net.ending(peer).and_then(peer_code), Some(1000));
}

#[test]
fn what_was_sent_before_the_peers_close_is_not_dropped() {
    // A send that returned Flowing "goes out at the end of this turn", even if the peer's close
    // frame arrived in the same read.
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.write(peer, &[text("a question"), close(1000, b"")].concat());
    net.settle();
    let expected = [
        Received::Message(Message::text("a question")),
        Received::Close(1000, String::new()),
    ];
    assert_eq!(net.received(peer), expected);
}
