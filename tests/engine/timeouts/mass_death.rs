//! Many peers that fall silent at once, and a stall of the loop.

use crate::echo::{Told, scripted, server, told_of};
use crate::frames::text;
use crate::nets::{S, check_invariants};
use pulsegate::cause::Cause;
use pulsegate::engine::Config;
use pulsegate::engine::wheel::TICK;
use pulsegate::health::HealthState;
use pulsegate::testing::PeerId;
use pulsegate::{ConnId, Micros};

#[test]
fn a_stall_of_the_loop_is_not_counted_as_silence() {
    let mut net = server(Config::default());
    let (alive, ghost) = (net.connect("/"), scripted(&mut net, "/"));
    net.advance(40 * S);
    let before = net.now();
    net.stall(3_600 * S);
    assert_eq!((net.engine().stats().stalls, net.now()), (1, before));
    net.advance(4 * S);
    assert!(net.is_open(ghost), "it has 5 s left, as before");
    net.advance(S + 10);
    net.expect_closed(ghost, Cause::STALE);
    let end = net.ending(ghost).expect("an end");
    assert!(
        end.silence <= Micros::from_secs(45) + TICK,
        "{}",
        end.silence
    );
    net.advance(100 * S);
    assert!(net.is_open(alive));
    let rtt = net.engine().stats().rtt().percentile(1.0);
    assert!(
        rtt.is_none_or(|worst| worst < 1_000),
        "a stall is no round trip: {rtt:?}"
    );
}

#[test]
fn mass_death_is_closed_oldest_first_within_the_rate_and_a_peer_that_speaks_is_saved() {
    let (count, rate) = (5_000, 1_000);
    let mut net = server(Config {
        stale_closes_per_second: rate,
        ..Config::default()
    });
    let peers: Vec<PeerId> = (0..count).map(|_| scripted(&mut net, "/sink")).collect();
    // The last frame of each, over 100 ms.
    for hundred in peers.chunks(50) {
        hundred
            .iter()
            .for_each(|p| net.write(*p, &text("farewell")));
        net.advance(1);
    }
    net.advance(44 * S);
    let mut closed = Vec::new();
    let began = net.now();
    let saved = [peers[4_900], peers[4_950], peers[4_999]];
    for step in 0..700 {
        net.advance(10);
        let total = net.endings().len();
        closed.push(total);
        if step == 250 {
            for peer in saved {
                net.write(peer, &text("I am here"));
            }
        }
    }
    assert!(
        closed[closed.len() - 1] == count - saved.len(),
        "{} closed",
        closed[closed.len() - 1]
    );
    for (step, total) in closed.iter().enumerate() {
        let before = if step < 100 { 0 } else { closed[step - 100] };
        assert!(
            total - before <= 2_000 + 10,
            "a burst and a second's worth, at most: {}",
            total - before
        );
    }
    let second = closed[closed.len() - 1] - closed[200];
    assert!(
        second > 1_000,
        "it took its time: {second} were left after 2 s from {began}"
    );
    let id_of = |p: &PeerId| net.id(*p);
    let order: std::collections::HashMap<ConnId, usize> = peers
        .iter()
        .map(id_of)
        .enumerate()
        .map(|(i, id)| (id, i / 50))
        .collect();
    let ranks: Vec<usize> = net.endings().iter().map(|(id, _)| order[id]).collect();
    // Deadlines are rounded to ticks, and ten of these groups share one.
    let oldest_first = ranks.windows(2).all(|w| w[1] + 11 >= w[0]);
    assert!(oldest_first, "oldest first");
    for peer in saved {
        assert!(net.is_open(peer));
        assert!(told_of(&mut net, peer).contains(&Told::Health(HealthState::Healthy)));
    }
    assert!(
        net.engine().stats().stale_delay.count() > 3_000,
        "their lateness is counted apart"
    );
    check_invariants(&net);
}
