//! Foresight: connections at risk, cohorts that stop answering together, and whose fault it is.

use crate::nets::{S, check_invariants, one_class, timed};
use pulsegate::engine::{
    Class, CohortView, Ending, Handler, Io, Message, OwnFault, Request, Verdict,
};
use pulsegate::health::{CohortChange, Risk};
use pulsegate::sabotage::{self, Bug};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{ConnId, Micros};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A host whose peers say their address and their number in the path: `/192.0.2.1/7`.
#[derive(Default)]
struct Host {
    peers: HashMap<ConnId, u64>,
    told: Vec<(Micros, CohortChange, CohortView)>,
}

impl Handler for Host {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let mut parts = request.path().split('/').skip(1);
        let address = parts
            .next()
            .and_then(|part| part.parse().ok())
            .expect("an address");
        let number = parts
            .next()
            .and_then(|part| part.parse().ok())
            .expect("a number");
        io.set_peer_addr(id, (std::net::IpAddr::V4(address), 1).into());
        self.peers.insert(id, number);
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}

    fn on_cohort(&mut self, io: &mut Io<'_>, change: CohortChange, cohort: &CohortView) {
        self.told.push((io.now(), change, *cohort));
    }

    fn peer_key(&self, id: ConnId) -> Option<u64> {
        self.peers.get(&id).copied()
    }

    fn on_close(&mut self, _: &mut Io<'_>, id: ConnId, _: &Ending) {
        self.peers.remove(&id);
    }
}

fn net() -> Net<Host> {
    Net::new(one_class(timed(15, 45)), Host::default())
}

/// Connects peers with these numbers from a /24 block.
fn connect(net: &mut Net<Host>, block: u8, numbers: impl IntoIterator<Item = u64>) -> Vec<PeerId> {
    let path = |n: u64| format!("/10.0.{block}.{}/{n}", n % 256);
    numbers.into_iter().map(|n| net.connect(&path(n))).collect()
}

fn mute(net: &mut Net<Host>, peers: &[PeerId]) {
    peers.iter().for_each(|peer| net.mute(*peer));
}

/// Returns when alarms began and ended, in order, with the block.
fn told(net: &mut Net<Host>) -> Vec<(Micros, CohortChange, String)> {
    let told = net.host().told.iter();
    told.map(|(at, change, view)| (*at, *change, view.block.to_string()))
        .collect()
}

/// Returns the connections of raised and of high risk.
fn at_risk(net: &Net<Host>) -> (u64, u64) {
    let class = &net.engine().stats().classes[0];
    (class.risk_raised, class.risk_high)
}

fn a_late_heartbeat_is_a_risk_until_four_more_were_sent() {
    let mut net = net();
    let peer = connect(&mut net, 1, [1])[0];
    let beats = |net: &Net<Host>| net.heartbeats_sent_at(peer).len();
    let next_beat = |net: &mut Net<Host>| {
        let sent = beats(net);
        while beats(net) == sent {
            net.advance(10);
        }
    };
    let id = net.id(peer);
    let history = |net: &mut Net<Host>| {
        let view = net.with_io(|_, io| io.view(id)).expect("it is open");
        (
            view.late_history.risk(),
            view.late_history.sent_since_late(),
        )
    };
    next_beat(&mut net);
    net.advance(S);
    assert_eq!(history(&mut net), (Risk::Low, None));
    net.mute(peer);
    next_beat(&mut net);
    assert_eq!(at_risk(&net), (0, 0), "not yet");
    net.advance(2 * S + 10);
    assert_eq!(
        (at_risk(&net), history(&mut net)),
        ((0, 1), (Risk::High, Some(0)))
    );
    net.unmute(peer);
    for (sent, risk, counts) in [
        (1, Risk::High, (0, 1)),
        (2, Risk::Raised, (1, 0)),
        (3, Risk::Raised, (1, 0)),
        (4, Risk::Low, (0, 0)),
        (5, Risk::Low, (0, 0)),
    ] {
        next_beat(&mut net);
        net.advance(3 * S);
        assert_eq!(
            (history(&mut net), at_risk(&net)),
            ((risk, Some(sent)), counts)
        );
        check_invariants(&net);
    }
}

/// Connects 20 peers of the block `10.0.1.0/24`, strewn among others, so that their heartbeats are
/// spread over the interval.
fn strewn(net: &mut Net<Host>) -> Vec<PeerId> {
    let mut peers = Vec::new();
    for n in 0..20 {
        peers.extend(connect(net, 1, [n]));
        connect(net, 2, 100 * n..100 * n + 20);
    }
    peers
}

fn a_block_that_goes_dark_raises_one_alarm_and_answers_end_it() {
    let mut net = net();
    let dark = strewn(&mut net);
    net.advance(60 * S);
    assert!(net.host().told.is_empty());
    let began = net.now();
    mute(&mut net, &dark);
    net.advance(15 * S);
    let alarm = told(&mut net);
    assert_eq!(alarm.len(), 1, "{alarm:?}");
    let (at, change, block) = &alarm[0];
    assert_eq!(
        (*change, block.as_str()),
        (CohortChange::Alarmed, "10.0.1.0/24")
    );
    // Eight of twenty heartbeats in 15 s, each late after 2 s.
    assert!(*at - began < Micros::from_secs(10), "{}", *at - began);
    let view = net.with_io(|_, io| io.cohorts().find(|c| c.alarmed_for.is_some()));
    assert_eq!(view.map(|view| view.connections), Some(20));
    dark.iter().for_each(|peer| net.unmute(*peer));
    net.advance(45 * S);
    let all = told(&mut net);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(
        (all[1].1, all[1].2.as_str()),
        (CohortChange::Cleared, "10.0.1.0/24")
    );
    check_invariants(&net);
    let view = net.with_io(|_, io| io.cohorts().find(|c| c.block.to_string() == *block));
    assert_eq!(view.map(|view| view.late_peers), Some(0));
    assert_eq!(net.engine().len(), 20 * 21, "nothing is closed");
}

/// An alarm ends even if no connection is left whose heartbeat could end it.
fn the_alarm_of_a_block_that_has_gone_ends() {
    let mut net = net();
    let dark = connect(&mut net, 1, 0..40);
    net.advance(30 * S);
    mute(&mut net, &dark);
    net.advance(50 * S);
    assert_eq!(net.engine().len(), 0, "all are stale");
    net.advance(70 * S);
    let changes: Vec<CohortChange> = told(&mut net).iter().map(|told| told.1).collect();
    assert_eq!(changes, [CohortChange::Alarmed, CohortChange::Cleared]);
    assert_eq!(at_risk(&net), (0, 0));
    check_invariants(&net);
}

fn one_peer_that_comes_back_and_dies_is_no_cohort() {
    let mut net = net();
    for life in 0..12 {
        let phone = connect(&mut net, 1, [life % 4]);
        mute(&mut net, &phone);
        net.advance(16 * S);
    }
    assert!(net.engine().stats().classes[0].late > 20);
    assert!(net.host().told.is_empty(), "{:?}", told(&mut net));
}

fn what_is_late_after_a_stall_is_our_own_fault() {
    let mut net = net();
    let dark = strewn(&mut net);
    net.advance(40 * S);
    mute(&mut net, &dark);
    net.advance(S);
    net.stall(20 * S);
    net.advance(4 * S);
    let fleet = net.with_io(|_, io| io.fleet());
    assert_eq!(fleet.own_fault, Some(OwnFault::Stall));
    let excused = net.engine().stats().lates_excused;
    assert!(excused > 0);
    assert_eq!(net.engine().stats().classes[0].late, excused);
    assert_eq!((at_risk(&net), net.host().told.len()), ((0, 0), 0));
    // What is still silent afterwards is not excused.
    net.advance(20 * S);
    assert_eq!(net.host().told.len(), 1);
}

fn those_that_leave_are_no_members() {
    let mut net = net();
    let peers = connect(&mut net, 1, 0..10);
    mute(&mut net, &peers[..3]);
    net.advance(20 * S);
    for peer in peers {
        net.reset(peer);
        net.settle();
        check_invariants(&net);
    }
    let view = net.with_io(|_, io| io.cohorts().next()).expect("it stays");
    assert_eq!(view.connections, 0);
}

fn a_cohort_that_has_made_room_is_not_mistaken_for_another() {
    let mut net = net();
    let first = connect(&mut net, 0, [1])[0];
    for n in 1..4_400_u32 {
        let [.., a, b] = n.to_be_bytes();
        net.connect(&format!("/11.{a}.{b}.1/{n}"));
    }
    check_invariants(&net);
    let id = net.id(first);
    assert!(net.is_open(first));
    assert_eq!(net.with_io(|_, io| io.cohort(id)), None);
    // It looks for its cohort again.
    net.advance(17 * 15 * S);
    let view = net.with_io(|_, io| io.cohort(id)).expect("a cohort");
    assert_eq!(view.block.to_string(), "10.0.0.0/24");
    check_invariants(&net);
    assert_eq!(net.with_io(|_, io| io.cohorts().count()), 4_096);
}

const CATCHERS: [(Bug, fn()); 6] = [
    (
        Bug::LatesNeverForgotten,
        a_late_heartbeat_is_a_risk_until_four_more_were_sent,
    ),
    (
        Bug::AnswersDoNotCool,
        a_block_that_goes_dark_raises_one_alarm_and_answers_end_it,
    ),
    (
        Bug::OnePeerIsACohort,
        one_peer_that_comes_back_and_dies_is_no_cohort,
    ),
    (
        Bug::OwnStallBlamed,
        what_is_late_after_a_stall_is_our_own_fault,
    ),
    (Bug::MemberStaysCounted, those_that_leave_are_no_members),
    (
        Bug::CohortMistaken,
        a_cohort_that_has_made_room_is_not_mistaken_for_another,
    ),
];

#[test]
fn every_promise_holds() {
    the_alarm_of_a_block_that_has_gone_ends();
    for (_, test) in CATCHERS {
        test();
    }
}

#[test]
fn every_deliberate_bug_is_caught() {
    for (bug, test) in CATCHERS {
        let caught = catch_unwind(AssertUnwindSafe(|| sabotage::with(bug, test)));
        assert!(caught.is_err(), "{bug:?} was not caught");
    }
}

/// More alarms than the host is told of in one turn: the others follow without sleep.
#[test]
fn many_alarms_at_once_are_all_told() {
    let mut net = net();
    let mut dark = Vec::new();
    for block in 0..100 {
        dark.extend(connect(&mut net, block, 0..8));
    }
    net.advance(40 * S);
    mute(&mut net, &dark);
    net.advance(S);
    for _ in 0..17 {
        net.advance(S);
        check_invariants(&net);
    }
    let alarms = told(&mut net).len();
    assert_eq!(alarms, 100);
    net.stall(30 * S);
    net.advance(2 * S);
    let cleared = told(&mut net).split_off(alarms);
    assert_eq!(cleared.len(), 100);
    assert!(cleared.iter().all(|told| told.1 == CohortChange::Cleared));
    assert_eq!(net.with_io(|_, io| io.cohorts_alarmed()), 0);
}
