//! Intervals that adapt to what the connections of a network survive.

use crate::nets::{S, check_invariants, one_class, timed};
use pulsegate::engine::{
    AdaptiveCadence, Class, Config, Ending, Handler, Io, Message, Request, Upgrade, Verdict,
};
use pulsegate::health::{AliveBy, HeartbeatForm, Pace};
use pulsegate::sabotage::{self, Bug};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{ConnId, Micros, Policy};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[derive(Default)]
struct Host {
    own_policy: Option<Policy>,
    ends: u64,
}

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::Upgrade(Upgrade {
            policy: self.own_policy,
            ..Upgrade::to(Class(0))
        })
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}

    fn on_close(&mut self, _: &mut Io<'_>, _: ConnId, _: &Ending) {
        self.ends += 1;
    }
}

/// An interval of 15 s that may grow up to this many seconds.
fn adaptive(policy: Policy, longest: u64) -> Config {
    Config {
        cadence: Some(AdaptiveCadence {
            interval_max: Micros::from_secs(longest),
            detect_within: Micros::from_secs(3 * longest),
        }),
        ..one_class(policy)
    }
}

fn net(policy: Policy, longest: u64) -> Net<Host> {
    Net::new(adaptive(policy, longest), Host::default())
}

/// Peers behind a NAT that forgets a connection after this many seconds without a byte. A peer
/// whose connection has ended comes back.
struct Fleet {
    net: Net<Host>,
    peers: Vec<PeerId>,
    timeout: u64,
}

impl Fleet {
    fn new(peers: usize, timeout: u64, longest: u64) -> Fleet {
        let mut net = net(timed(15, 45), longest);
        let peers = (0..peers).map(|_| net.connect("/")).collect();
        Fleet {
            net,
            peers,
            timeout,
        }
    }

    fn run(&mut self, secs: u64) {
        for _ in 0..secs {
            self.net.advance(S);
            let now = self.net.now();
            for peer in &mut self.peers {
                if !self.net.is_open(*peer) {
                    *peer = self.net.connect("/");
                    continue;
                }
                let id = self.net.id(*peer);
                let heard = self.net.with_io(|_, io| io.view(id)).map(|view| view.heard);
                let is_forgotten = |heard| now - heard >= Micros::from_secs(self.timeout);
                if heard.is_some_and(is_forgotten) {
                    self.net.mute(*peer);
                }
            }
        }
        check_invariants(&self.net);
    }

    fn pace(&mut self, peer: usize) -> Pace {
        pace(&mut self.net, self.peers[peer])
    }

    /// Returns the median interval, in seconds.
    fn interval(&mut self) -> u64 {
        let ids: Vec<ConnId> = self.peers.iter().map(|peer| self.net.id(*peer)).collect();
        let interval = |id| {
            let policy = self.net.with_io(|_, io| io.policy_of(id).copied());
            policy.map_or(0, |policy| policy.heartbeat_interval.as_secs())
        };
        let mut intervals: Vec<u64> = ids.into_iter().map(interval).collect();
        intervals.sort_unstable();
        intervals[intervals.len() / 2]
    }
}

fn pace(net: &mut Net<Host>, peer: PeerId) -> Pace {
    let id = net.id(peer);
    let outlook = net.with_io(|_, io| io.outlook(id)).expect("it is open");
    outlook.pace.map_or(Pace::Configured, |view| view.pace)
}

fn interval(net: &mut Net<Host>, peer: PeerId) -> (u64, u64) {
    let id = net.id(peer);
    let policy = net
        .with_io(|_, io| io.policy_of(id).copied())
        .expect("it is open");
    let (interval, timeout) = (policy.heartbeat_interval, policy.connection_timeout);
    (interval.as_millis(), timeout.as_millis())
}

fn intervals_grow_up_to_what_the_network_lets_live() {
    let mut fleet = Fleet::new(40, 60, 600);
    for _ in 0..20 {
        fleet.run(1_800);
    }
    assert_eq!(fleet.interval(), 38, "0.85 of the edge of 44.9 s");
    let lost = fleet.net.host().ends;
    assert!((1..=2).contains(&lost), "one or two explorers: {lost}");
}

fn a_nat_that_becomes_stricter_is_found() {
    let mut fleet = Fleet::new(40, 100, 60);
    for _ in 0..12 {
        fleet.run(1_800);
    }
    assert_eq!(
        fleet.interval(),
        38,
        "above 44.9 s nothing is allowed up to a minute"
    );
    fleet.timeout = 30;
    fleet.run(3_600);
    let lost = fleet.net.host().ends;
    fleet.run(3_600);
    assert!(fleet.interval() < 30);
    let lost_later = fleet.net.host().ends - lost;
    assert!(
        (40..=90).contains(&lost) && lost_later <= 2,
        "{lost}, {lost_later}"
    );
}

fn the_limits_of_the_settings_hold() {
    let mut fleet = Fleet::new(25, 3_600, 35);
    for _ in 0..8 {
        fleet.run(1_800);
    }
    assert_eq!((fleet.interval(), fleet.net.host().ends), (26, 0));
}

fn a_connection_at_risk_has_a_short_interval_for_a_while() {
    let mut net = net(timed(15, 45), 60);
    let peer = net.connect("/");
    net.advance(40 * S);
    assert_eq!(interval(&mut net, peer), (15_000, 45_000));
    net.mute(peer);
    while pace(&mut net, peer) == Pace::Configured {
        net.advance(S);
    }
    assert_eq!(interval(&mut net, peer), (5_000, 45_000));
    let sent = net.heartbeats_sent_at(peer).len();
    net.advance(15 * S);
    assert_eq!(net.heartbeats_sent_at(peer).len() - sent, 3);
    net.unmute(peer);
    net.advance(20 * S);
    assert_eq!(
        interval(&mut net, peer),
        (15_000, 45_000),
        "two were answered"
    );
    check_invariants(&net);
}

#[test]
fn a_risk_lasts_two_minutes_at_most() {
    let mut net = net(timed(15, 600), 60);
    let peer = net.connect("/");
    net.advance(40 * S);
    net.mute(peer);
    let (mut at_risk, mut first) = (0, None);
    for second in 0..400 {
        net.advance(S);
        if pace(&mut net, peer) == Pace::AtRisk(None) {
            at_risk += 1;
            first.get_or_insert(second);
        }
    }
    assert!((110..=130).contains(&at_risk), "{at_risk} s");
    check_invariants(&net);
}

#[test]
fn nothing_changes_by_default() {
    let mut fleet = Fleet {
        net: Net::new(one_class(timed(15, 45)), Host::default()),
        peers: Vec::new(),
        timeout: 3_600,
    };
    fleet.peers = (0..25).map(|_| fleet.net.connect("/")).collect();
    fleet.run(7_200);
    assert_eq!((fleet.interval(), fleet.pace(0)), (15, Pace::Configured));
    let id = fleet.net.id(fleet.peers[0]);
    let outlook = fleet.net.with_io(|_, io| io.outlook(id));
    assert_eq!(outlook.and_then(|outlook| outlook.pace), None);
}

#[test]
fn whoever_is_not_like_its_class_keeps_its_interval() {
    let own = timed(10, 45);
    for (policy, own_policy) in [
        (timed(15, 45), Some(own)),
        (
            Policy {
                alive_by: AliveBy::Pong,
                ..timed(15, 45)
            },
            None,
        ),
        (
            Policy {
                late: false,
                ..timed(15, 45)
            },
            None,
        ),
        (
            Policy {
                heartbeat_form: HeartbeatForm::Text,
                ..timed(15, 60_000)
            },
            None,
        ),
    ] {
        let mut net = net(policy, 60);
        net.host().own_policy = own_policy;
        let peers: Vec<PeerId> = (0..25).map(|_| net.connect("/")).collect();
        net.advance(7_200 * S);
        let wanted = own_policy.unwrap_or(policy).heartbeat_interval.as_millis();
        for peer in peers {
            assert_eq!(interval(&mut net, peer).0, wanted);
        }
        check_invariants(&net);
    }
}

#[test]
fn gaps_in_which_we_have_sent_something_prove_nothing() {
    let mut net = net(timed(15, 45), 60);
    let peers: Vec<PeerId> = (0..25).map(|_| net.connect("/")).collect();
    for _ in 0..1_440 {
        net.advance(5 * S);
        for peer in &peers {
            let id = net.id(*peer);
            net.with_io(|_, io| io.send(id, Message::text("x")));
        }
    }
    let cohort = net.with_io(|_, io| io.cohorts().next()).expect("a cohort");
    assert_eq!(cohort.cadence.and_then(|cadence| cadence.safe), None);
}

#[test]
fn another_policy_brings_back_the_configured_pace() {
    let mut fleet = Fleet::new(25, 3_600, 60);
    fleet.run(10_000);
    assert!(fleet.interval() > 15);
    let changed = fleet
        .net
        .with_io(|_, io| io.set_policy(Class(0), timed(20, 70)));
    changed.expect("it is valid");
    fleet.net.advance(100);
    assert_eq!(fleet.interval(), 20);
    check_invariants(&fleet.net);
    // The same policy again changes nothing.
    fleet.run(3_600);
    let before = fleet.interval();
    assert!(before > 20);
    let same = fleet
        .net
        .with_io(|_, io| io.set_policy(Class(0), timed(20, 70)));
    same.expect("it is valid");
    fleet.net.advance(100);
    assert_eq!(fleet.interval(), before);
    // Switched off, and on again in the same turn: nothing is forgotten but the paces.
    let off = Config {
        cadence: None,
        ..adaptive(timed(20, 70), 60)
    };
    fleet
        .net
        .with_io(|_, io| io.reconfigure(off))
        .expect("it is valid");
    fleet.net.advance(100);
    assert_eq!(fleet.interval(), 20);
    check_invariants(&fleet.net);
    let on = adaptive(timed(20, 70), 60);
    fleet
        .net
        .with_io(|_, io| io.reconfigure(on))
        .expect("it is valid");
    fleet.run(1_800);
    assert!(fleet.interval() > 20);
}

const CATCHERS: [(Bug, fn()); 3] = [
    (Bug::GapDeathsIgnored, a_nat_that_becomes_stricter_is_found),
    (Bug::PaceWithoutTimeout, the_limits_of_the_settings_hold),
    (
        Bug::ExplorersLeak,
        intervals_grow_up_to_what_the_network_lets_live,
    ),
];

#[test]
fn every_promise_holds() {
    a_connection_at_risk_has_a_short_interval_for_a_while();
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
