//! The work that one peer can cause in a turn, and how the rest is done later. Work is counted in
//! units, never in time.

use crate::fairness::host::{FRAME, net, numbered, pongs, turn};
use crate::nets::check_invariants;
use pulsegate::Class;
use pulsegate::engine::{Config, Message, SHARE_UNITS, TURN_UNITS};
use pulsegate::testing::{PeerId, client_frame, upgrade_request};

#[test]
fn a_flood_of_small_frames_is_worked_off_share_by_share() {
    let mut net = net(Config::default());
    let (heavy, light) = (net.connect("/"), net.connect("/"));
    net.write(heavy, &numbered(15_000));
    let mut turns = 0;
    while net.host().heard.len() < 15_000 {
        net.write(light, &client_frame(0x89, b"there?"));
        // Its share, the bytes that were read, and the ping.
        let units = turn(&mut net);
        assert!(units <= u64::from(SHARE_UNITS) + 24, "{units} units");
        assert_eq!(pongs(&mut net, light), 1, "answered in the same turn");
        turns += 1;
        assert!(turns < 200, "{} heard", net.host().heard.len());
    }
    assert!(turns >= 15_000 / SHARE_UNITS as usize, "{turns} turns");
    let heard = std::mem::take(&mut net.host().heard);
    let in_order = (0..15_000u32).map(|i| i.to_be_bytes().to_vec());
    assert!(heard.into_iter().map(|(_, data)| data).eq(in_order));
    let class = net.engine().stats().classes[0].clone();
    assert_eq!(class.throttled, 0, "it is within its share again");
}

#[test]
fn deliveries_count_for_the_peer_that_causes_them() {
    let mut net = net(Config::default());
    for _ in 0..200 {
        net.connect("/sink");
    }
    let (heavy, light) = (net.connect("/fan"), net.connect("/"));
    net.write(heavy, &numbered(40));
    let mut turns = 0;
    while net.host().heard.len() < 40 {
        net.write(light, &client_frame(0x89, b"there?"));
        let units = turn(&mut net);
        assert!(units <= 201 + 24, "one frame to 200 peers, {units} units");
        assert_eq!(pongs(&mut net, light), 1);
        turns += 1;
        assert!(turns < 100);
    }
    assert!(turns >= 40, "{turns} turns");
}

#[test]
fn a_dear_frame_is_paid_for_in_the_next_turns() {
    let mut net = net(Config::default());
    let (dear, light) = (net.connect("/dear"), net.connect("/"));
    net.write(dear, &numbered(3));
    net.write(light, &numbered(1));
    let mut spent = Vec::new();
    while spent.len() < 18 {
        spent.push(turn(&mut net) >= 1_000);
    }
    // 1 000 units are five shares: one is used now, four are owed.
    let at: Vec<usize> = (0..18).filter(|i| spent[*i]).collect();
    assert_eq!(at, [0, 5, 10], "{spent:?}");
    assert_eq!(net.host().heard.len(), 4);
}

#[test]
fn all_peers_together_cost_no_more_than_a_turn_has() {
    let mut net = net(Config::default());
    let heavy: Vec<PeerId> = (0..30).map(|_| net.connect("/")).collect();
    for peer in &heavy {
        net.write(*peer, &numbered(2_000));
    }
    let mut least = vec![0; heavy.len()];
    for _ in 0..20 {
        turn(&mut net);
        for (peer, heard) in heavy.iter().zip(&mut least) {
            let id = net.id(*peer);
            *heard = net.host().heard.iter().filter(|(of, _)| *of == id).count();
        }
    }
    let stats = net.engine().stats();
    assert!(stats.turn_units_max <= TURN_UNITS, "{stats:?}");
    assert!(stats.frame_units_max <= FRAME + 1, "{stats:?}");
    // Each had its turns: none is more than two shares behind another.
    let (fewest, most) = (least.iter().min(), least.iter().max());
    let apart = most.expect("peers") - fewest.expect("peers");
    assert!(apart <= 2 * SHARE_UNITS as usize, "{least:?}");
}

#[test]
fn frames_behind_the_upgrade_have_a_share_too() {
    let mut net = net(Config::default());
    let peer = net.open_socket();
    let all = [upgrade_request("/").into_bytes(), numbered(1_000)].concat();
    net.write(peer, &all);
    turn(&mut net);
    let heard = net.host().heard.len();
    assert!((100..=SHARE_UNITS as usize).contains(&heard), "{heard}");
    net.settle();
    assert_eq!(net.host().heard.len(), 1_000);
}

#[test]
fn large_frames_are_gathered_in_steps() {
    let config = Config {
        max_message_bytes: 4 << 20,
        max_pending_bytes: 16 << 20,
        ..Config::default()
    };
    let mut net = net(config);
    let peer = net.connect("/");
    let payload = vec![7; 4 << 20];
    net.write(peer, &client_frame(0x82, &payload));
    let mut turns = 0;
    while net.host().heard.is_empty() {
        let units = turn(&mut net);
        // A complete message is joined: 128 KiB, or 32 units, at a time.
        assert!(units <= u64::from(SHARE_UNITS + 32), "{units}");
        turns += 1;
    }
    assert!(
        (10..30).contains(&turns),
        "1 024 units of 4 KiB to gather, and as many to join: {turns}"
    );
    assert!(net.host().heard[0].1 == payload);
}

#[test]
fn what_others_do_later_in_a_turn_is_not_charged_to_the_peer_that_was_read_last() {
    let mut net = net(Config::default());
    for _ in 0..1_000 {
        net.connect("/sink");
    }
    let light = net.connect("/");
    let remote = net.engine().remote();
    for _ in 0..20 {
        net.write(light, &client_frame(0x89, b"there?"));
        net.with_io(|_, io| io.broadcast(Class(0), &Message::text("to all")));
        for _ in 0..500 {
            remote
                .try_send(net.id(light), Message::text("x"))
                .expect("room");
        }
        net.run_turn();
        check_invariants(&net);
        assert_eq!(net.engine().stats().classes[0].throttled, 0);
        assert_eq!(pongs(&mut net, light), 1);
    }
}
