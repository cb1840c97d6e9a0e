//! A change of policy closes no peer that answers, and keeps no dead one.

use crate::nets::{check_invariants, one_class, timed};
use crate::outlook::notes::{LATE, Notes, came_true, net, outlook};
use fastrand::Rng;
use pulsegate::engine::wheel::TICK;
use pulsegate::testing::{Net, PeerId};
use pulsegate::{Cause, Class, Config, ConnId, HeartbeatMode, Micros, Policy};
use std::collections::HashSet;

#[test]
fn a_shorter_timeout_holds_for_all_connections() {
    // More connections than are re-armed in one turn.
    let mut net = net(Policy::default());
    let peers: Vec<PeerId> = (0..3_000).map(|_| net.connect("/")).collect();
    net.advance(20_000);
    peers.iter().for_each(|peer| net.mute(*peer));
    let short = Policy {
        heartbeat_interval: Micros::from_secs(1),
        connection_timeout: Micros::from_secs(20),
        ..Policy::default()
    };
    net.with_io(|_, io| io.set_policy(Class(0), short))
        .expect("a good policy");
    net.settle();
    let told: Vec<(ConnId, Micros)> = peers
        .iter()
        .map(|peer| (net.id(*peer), outlook(&mut net, *peer).ends_at))
        .collect();
    net.advance(21_000);
    let closed = &net.host().closed;
    assert_eq!(closed.len(), peers.len());
    for (id, ends_at) in told {
        let (_, at, cause) = closed.iter().find(|(of, ..)| *of == id).expect("closed");
        assert!(
            *cause == Cause::STALE && came_true(ends_at, *at),
            "{id}: {at} for {ends_at}"
        );
    }
}

/// The ways in which a policy reaches the loop.
#[derive(Debug, Clone, Copy)]
enum Path {
    Live,
    Reload,
}

fn tell(net: &mut Net<Notes>, path: Path, policy: Policy) {
    net.with_io(|_, io| match path {
        Path::Live => io.set_policy(Class(0), policy).expect("a good policy"),
        Path::Reload => io
            .reconfigure(Config {
                stale_closes_per_second: 0,
                ..one_class(policy)
            })
            .expect("a good policy"),
    });
}

/// More connections than change over in one turn.
const PEERS: usize = 1_100;

const MODES: [HeartbeatMode; 2] = [HeartbeatMode::Always, HeartbeatMode::Idle];

/// A change of policy under many connections, of which a tenth are ghosts.
struct Change {
    net: Net<Notes>,
    former: Policy,
    newer: Policy,
    ghosts: Vec<PeerId>,
    alive: Vec<PeerId>,
    /// A connection with a policy of its own.
    own: PeerId,
    context: String,
}

impl Change {
    fn prepare(seed: u64, former: Policy, newer: Policy, context: String) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut net = net(former);
        let mut peers = Vec::new();
        for _ in 0..PEERS {
            let peer = net.connect("/");
            net.set_latency(peer, rng.u64(0..400));
            peers.push(peer);
        }
        let own = net.connect("/own");
        net.advance(former.heartbeat_interval.as_millis() * 2 + rng.u64(0..2_000));
        let alive = peers.split_off(PEERS / 10);
        for ghost in &peers {
            net.mute(*ghost);
        }
        net.advance(rng.u64(500..1_000));
        assert_eq!(net.host().closed, []);
        Change {
            net,
            former,
            newer,
            ghosts: peers,
            alive,
            own,
            context,
        }
    }

    fn peers(&self) -> Vec<PeerId> {
        self.ghosts.iter().chain(&self.alive).copied().collect()
    }

    /// Returns when each connection would end, as its outlook says.
    fn ends(&mut self, peers: &[PeerId]) -> Vec<Micros> {
        let net = &mut self.net;
        peers.iter().map(|p| outlook(net, *p).ends_at).collect()
    }

    /// Changes the policy, and checks what it means for each connection; returns when it was.
    fn carry_out(&mut self, path: Path) -> Micros {
        let peers = self.peers();
        let former_ends = self.ends(&peers);
        let own_outlook = outlook(&mut self.net, self.own);
        tell(&mut self.net, path, self.newer);
        self.net.settle();
        let (changed, newer, context) = (self.net.now(), self.newer, &self.context);
        assert_eq!(outlook(&mut self.net, self.own), own_outlook, "{context}");
        let mut pings = Vec::new();
        for (peer, former_end) in peers.iter().zip(&former_ends) {
            let told = outlook(&mut self.net, *peer);
            let heard = told.ends_at >= *former_end.min(&(changed + newer.connection_timeout));
            assert!(heard, "{context}: {former_end} {told:?}");
            let pinged = told.next_ping.unwrap_or(told.ends_at);
            let latest = changed + newer.heartbeat_interval + Micros::from_millis(10);
            assert!(pinged <= latest, "{context}: {told:?}");
            pings.push((pinged - changed).0);
        }
        self.assert_spread(&pings);
        changed
    }

    /// Asserts that the next pings are spread over the interval; groups of 16 neighbours go
    /// together.
    fn assert_spread(&self, pings: &[u64]) {
        let (newer, former) = (self.newer, self.former);
        let tenth = newer.heartbeat_interval.min(former.heartbeat_interval).0 / 10;
        for from in (0..10).map(|n| n * tenth) {
            let within = |p: &&u64| (from..from + tenth).contains(*p);
            let n = pings.iter().filter(within).count();
            let context = &self.context;
            assert!(n < PEERS / 3, "{context}: {n} pings within {tenth} µs");
        }
    }

    fn assert_ghosts_close(&mut self, changed: Micros) {
        let (timeout, ghosts) = (self.newer.connection_timeout, self.ghosts.clone());
        let ends = self.ends(&ghosts);
        self.net.advance(timeout.as_millis() + 2 * LATE.as_millis());
        let context = &self.context;
        for (ghost, ends_at) in ghosts.iter().zip(ends) {
            let id = self.net.id(*ghost);
            let mut closed = self.net.host().closed.iter();
            let end = closed.find(|(of, ..)| *of == id).copied();
            let (_, at, cause) = end.unwrap_or_else(|| panic!("{id} lives; {context}"));
            assert_eq!(cause, Cause::STALE, "{context}");
            assert!(came_true(ends_at, at), "{at} for {ends_at}; {context}");
            assert!(at <= changed + timeout + TICK, "{context}");
        }
    }

    fn assert_the_others_stay(&mut self) {
        let context = &self.context;
        self.net
            .advance(self.newer.connection_timeout.as_millis() * 2);
        assert_eq!(self.net.host().closed.len(), self.ghosts.len(), "{context}");
        let open = self.alive.iter().all(|peer| self.net.is_open(*peer));
        assert!(open, "{context}");
        let ids: HashSet<ConnId> = self.alive.iter().map(|peer| self.net.id(*peer)).collect();
        let suspects = self.net.host().suspect_at.iter();
        let slandered = suspects.filter(|(of, _)| ids.contains(of));
        assert_eq!(slandered.count(), 0, "{context}");
        check_invariants(&self.net);
    }
}

#[test]
fn under_any_policy_peers_that_answer_stay_and_every_ghost_is_closed() {
    let changes = [
        (timed(15, 45), timed(2, 6)),
        (timed(15, 45), timed(1, 2)),
        (timed(15, 16), timed(2, 30)),
        (timed(2, 6), timed(15, 45)),
        (timed(2, 6), timed(15, 16)),
    ];
    for (nth, (former, newer)) in changes.into_iter().enumerate() {
        for (path, from) in [Path::Live, Path::Reload].into_iter().zip(MODES) {
            let to = MODES[nth % 2];
            let context = format!("{path:?}, {former:?} {from:?}, {newer:?} {to:?}");
            let former = Policy {
                mode: from,
                ..former
            };
            let newer = Policy { mode: to, ..newer };
            let mut change = Change::prepare(nth as u64, former, newer, context);
            let changed = change.carry_out(path);
            change.assert_ghosts_close(changed);
            change.assert_the_others_stay();
        }
    }
}

#[test]
fn policies_that_are_set_while_one_is_taking_effect_follow_it() {
    let mut net = net(timed(15, 45));
    let peers: Vec<PeerId> = (0..3_000).map(|_| net.connect("/")).collect();
    net.advance(20_000);
    for newer in [timed(2, 6), timed(3, 9), timed(1, 30)] {
        net.with_io(|_, io| io.set_policy(Class(0), newer))
            .expect("a good policy");
        net.run_turn();
    }
    let late = net.connect("/");
    let set = net.with_io(|_, io| io.policy(Class(0)).copied());
    assert_eq!(set, Some(timed(1, 30)));
    for peer in peers.iter().chain([&late]) {
        assert_eq!(outlook(&mut net, *peer).policy, timed(1, 30));
    }
    net.advance(100_000);
    assert_eq!(net.host().closed, []);
}
