//! A connection's outlook predicts what happens, also in a drain. A change of policy closes no peer
//! that answers, and keeps no dead one. A preamble is read however it is cut. All on virtual time.

use crate::fleet::Fleet;
use fastrand::Rng;
use pulsegate::testing::{Net, PeerId, client_frame, upgrade_request};
use pulsegate::{
    Cause, Class, ClassConfig, Config, ConnId, Ending, Handler, HealthChange, HealthState,
    HeartbeatMode, Io, Message, Micros, Outlook, PhaseView, Policy, Pong, Preamble, Reply, Request,
    Upgrade, Verdict,
};
use std::collections::HashSet;
use std::net::SocketAddr;

/// How late an event may be: by a beat of 10 ms, and the tick of 5 ms after it.
const LATE: Micros = Micros::from_millis(15);

/// Records events and their times.
#[derive(Default)]
struct Notes {
    suspect_at: Vec<(ConnId, Micros)>,
    closed: Vec<(ConnId, Micros, Cause)>,
    rtts: Vec<(ConnId, Micros)>,
    requests: Vec<SocketAddr>,
    preamble: Option<&'static [u8]>,
}

const CLIENT: &str = "192.0.2.7:1234";

impl Handler for Notes {
    fn on_preamble(&mut self, _peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        let Some(wanted) = self.preamble else {
            return Preamble::None;
        };
        match bytes.get(..wanted.len()) {
            Some(start) if start == wanted => Preamble::Whole {
                len: wanted.len(),
                client: Some(CLIENT.parse().expect("an address")),
            },
            Some(_) => Preamble::Invalid("not the preamble"),
            None if wanted.starts_with(bytes) => Preamble::Partial,
            None => Preamble::Invalid("not the preamble"),
        }
    }

    fn on_health_check(&mut self, io: &mut Io<'_>, _: ConnId, request: &Request) -> Option<Reply> {
        (request.path() == "/healthz").then(|| io.health_reply(request))
    }

    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, request: &Request) -> Verdict {
        self.requests.push(request.peer_addr());
        Verdict::Upgrade(Upgrade {
            policy: (request.path() == "/own").then(|| timed(10, 30)),
            ..Upgrade::to(Class(0))
        })
    }

    fn on_message(&mut self, _io: &mut Io<'_>, _id: ConnId, _message: Message) {}

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        if change.state == HealthState::Suspect {
            self.suspect_at.push((id, io.now()));
        }
    }

    fn on_pong(&mut self, _io: &mut Io<'_>, id: ConnId, pong: Pong) {
        self.rtts.push((id, pong.rtt));
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.closed.push((id, io.now(), end.cause));
    }
}

fn net(policy: Policy) -> Net<Notes> {
    let config = Config {
        classes: vec![ClassConfig {
            name: "peer".to_owned(),
            policy,
        }],
        // Many dead connections end at the same moment here.
        stale_closes_per_second: 0,
        ..Config::default()
    };
    Net::new(config, Notes::default())
}

/// Returns a policy with this interval and timeout, in seconds.
fn timed(interval: u64, timeout: u64) -> Policy {
    Policy {
        heartbeat_interval: Micros::from_secs(interval),
        connection_timeout: Micros::from_secs(timeout),
        ..Policy::default()
    }
}

fn outlook(net: &mut Net<Notes>, peer: PeerId) -> Outlook {
    let id = net.id(peer);
    net.with_io(|_, io| io.outlook(id)).expect("it is here")
}

/// Returns the number of pings sent.
fn pings(net: &Net<Notes>) -> u64 {
    net.engine().stats().pings
}

/// Returns whether `at` fits an event that was predicted for `predicted`.
fn came_true(predicted: Micros, at: Micros) -> bool {
    at >= predicted && at <= predicted + LATE
}

#[test]
fn a_silent_peer_meets_the_fate_that_was_foretold() {
    let mut rng = Rng::with_seed(4);
    let mut all = 0;
    for round in 0..1_000 {
        let interval = rng.u64(20..3_000);
        let policy = Policy {
            heartbeat_interval: Micros::from_millis(interval),
            connection_timeout: Micros::from_millis(interval + rng.u64(1..8 * interval)),
            suspect_after: rng.u16(1..4),
            first_message_timeout: rng.bool().then(|| Micros::from_millis(rng.u64(10..20_000))),
            mode: if rng.bool() {
                HeartbeatMode::Always
            } else {
                HeartbeatMode::Idle
            },
            ..Policy::default()
        };
        let mut net = net(policy);
        let peer = net.connect("/");
        let id = net.id(peer);
        net.set_latency(peer, rng.u64(0..interval / 2));
        // At any point of the connection's life, perhaps in the middle of a frame.
        net.advance(rng.u64(0..5 * interval));
        net.mute(peer);
        // It may have stopped reading, too, with much queued for it.
        if rng.u8(0..3) == 0 {
            let id = net.id(peer);
            net.set_window(peer, Some(rng.usize(0..100_000)));
            net.with_io(|_, io| io.send(id, Message::binary(vec![0; 100_000])));
        }
        // Everything that was on its way has arrived by then.
        net.advance(interval + rng.u64(0..interval));
        if net.is_open(peer) && rng.u8(0..4) == 0 {
            net.write(peer, &client_frame(0x82, &[0; 100])[..50]);
        }
        if net.is_open(peer) && rng.u8(0..3) == 0 {
            let other = timed(rng.u64(1..5), 5 + rng.u64(0..20));
            let other = Policy {
                mode: policy.mode,
                ..other
            };
            net.with_io(|_, io| io.set_policy(Class(0), other))
                .expect("a good policy");
            net.settle();
        }
        let mut asked = 0;
        while net.is_open(peer) {
            let told = outlook(&mut net, peer);
            let (now, suspects, pinged) = (net.now(), net.host().suspect_at.len(), pings(&net));
            asked += 1;
            let context = format!("round {round}, asked {asked} at {now}: {policy:?} {told:?}");
            // To the next predicted event, and not further.
            let next = [told.next_ping, told.suspect_at, Some(told.ends_at)];
            let next = next.into_iter().flatten().min().expect("it ends");
            assert!(next + LATE >= now, "{context}");
            let before = (next - now).as_millis();
            if before > 1 {
                net.advance(before - 1);
                assert_eq!(pings(&net), pinged, "too early; {context}");
                assert_eq!(
                    net.host().suspect_at.len(),
                    suspects,
                    "too early; {context}"
                );
                assert!(net.is_open(peer), "too early; {context}");
            }
            net.advance(20 + 1);
            if told.next_ping.is_some_and(|at| at == next) {
                assert_eq!(pings(&net), pinged + 1, "{context}");
            }
            if told.suspect_at == Some(next) {
                let found = net.host().suspect_at.get(suspects).copied();
                let (who, at) = found.unwrap_or_else(|| panic!("not suspect; {context}"));
                assert!(who == id && came_true(next, at), "{at}; {context}");
            }
            if told.ends_at <= next + Micros::from_millis(5) {
                let view = net.with_io(|_, io| io.view(id));
                match (view.map(|v| v.phase), net.host().closed.last()) {
                    // Reported at once.
                    (None, Some((who, at, cause))) => {
                        assert!(
                            *who == id && came_true(told.ends_at, *at),
                            "{at}; {context}"
                        );
                        assert_eq!(*cause, told.ends_for, "{context}");
                    }
                    // It was open a moment before.
                    (Some(PhaseView::Closing { cause, .. }), _) => {
                        assert_eq!(cause, told.ends_for, "{context}");
                    }
                    other => panic!("{other:?}; {context}"),
                }
            }
        }
        all += asked;
    }
    assert!(all > 1_000, "only {all} outlooks were put to the test");
}

#[test]
fn a_frozen_peer_is_foretold_no_pings_and_is_suspect_before_it_dies() {
    for suspect_after in 1..4 {
        let mut net = net(Policy {
            suspect_after,
            ..timed(1, 8)
        });
        let peer = net.connect("/");
        net.advance(5_000);
        let id = net.id(peer);
        net.set_window(peer, Some(16_384));
        net.with_io(|_, io| io.send(id, Message::binary(vec![0; 2 << 20])));
        net.settle();
        let (told, pinged, now) = (outlook(&mut net, peer), pings(&net), net.now());
        assert_eq!(told.next_ping, None);
        let suspect_at = told.suspect_at.expect("before it dies");
        assert!(suspect_at <= now + Micros::from_secs(u64::from(suspect_after) + 2));
        assert_eq!(told.ends_for, Cause::STALE);
        while net.is_open(peer) {
            let later = outlook(&mut net, peer);
            assert_eq!((later.next_ping, later.ends_at), (None, told.ends_at));
            let expected = Some(suspect_at).filter(|_| net.host().suspect_at.is_empty());
            assert_eq!(later.suspect_at, expected, "at {}", net.now());
            net.advance(250);
        }
        assert_eq!(pings(&net), pinged);
        let (suspected, closed) = (net.host().suspect_at[0], net.host().closed[0]);
        assert!(came_true(suspect_at, suspected.1), "{}", suspected.1);
        assert!(came_true(told.ends_at, closed.1) && closed.2 == Cause::STALE);
    }
}

#[test]
fn a_request_that_never_ends_and_a_closing_one_have_an_outlook_too() {
    let mut net = net(Policy::default());
    let slow = net.open_socket();
    net.write(slow, b"GET / HTTP/1.1\r\n");
    net.settle();
    let told = outlook(&mut net, slow);
    assert_eq!(told.ends_for, Cause::HANDSHAKE_TIMEOUT);
    assert_eq!((told.next_ping, told.suspect_at), (None, None));
    net.advance((told.ends_at - net.now()).as_millis() - 1);
    assert!(net.response(slow).is_none());
    net.advance(20);
    assert!(
        net.response(slow)
            .is_some_and(|r| r.starts_with("HTTP/1.1 408"))
    );

    // A connection that has sent nothing is closed without an answer.
    let silent = net.open_socket();
    net.settle();
    let told = outlook(&mut net, silent);
    assert_eq!(told.ends_for, Cause::PROBE);
    net.advance((told.ends_at - net.now()).as_millis() - 1);
    assert!(net.ending(silent).is_none());
    net.advance(20);
    assert_eq!(net.ending(silent).map(|end| end.cause), Some(Cause::PROBE));

    let kicked = net.connect("/");
    let id = net.id(kicked);
    net.mute(kicked);
    net.with_io(|_, io| io.close(id, 4000, "out"));
    net.settle();
    let (view, told) = net.with_io(|_, io| (io.view(id), io.outlook(id)));
    let (view, told) = (view.expect("it is here"), told.expect("it is here"));
    assert!(
        matches!(
            view.phase,
            PhaseView::Closing { cause, .. } if cause == Cause::KICKED
        ),
        "{view:?}"
    );
    net.advance((told.ends_at - net.now()).as_millis() - 1);
    assert_eq!(net.host().closed, []);
    net.advance(20);
    let (who, at, cause) = net.host().closed[0];
    assert!(who == id && cause == Cause::KICKED && came_true(told.ends_at, at));
    assert!(net.with_io(|_, io| io.view(id)).is_none());
}

/// Predicted ends of connections.
type Foretold = Vec<(PeerId, Micros, Micros, Cause)>;

/// Checks that each connection was closed by its predicted time, and for the predicted cause if
/// that was the drain.
fn closed_in_time(foretold: &Foretold, ended: impl Fn(PeerId) -> (Micros, Cause)) {
    assert!(foretold.len() > 300, "{}", foretold.len());
    for (peer, drained_by, ends_at, ends_for) in foretold {
        let (at, cause) = ended(*peer);
        let context = format!("{peer:?} at {at} for {cause}: {drained_by}, {ends_at} {ends_for}");
        assert!(
            at <= *drained_by + LATE && at <= *ends_at + LATE,
            "{context}"
        );
        assert_eq!(cause, Cause::DRAINING, "{context}");
    }
}

#[test]
fn in_a_drain_each_connection_is_closed_by_when_it_was_foretold_and_for_that() {
    let mut net = net(timed(15, 45));
    let peers: Vec<PeerId> = (0..200).map(|_| net.connect("/")).collect();
    // Closed connections leave free slots.
    let (peers, left): (Vec<PeerId>, Vec<PeerId>) = peers.into_iter().partition(|p| p.0 % 3 > 0);
    left.iter().for_each(|peer| net.half_close(*peer));
    net.advance(10_000);
    assert!(
        peers
            .iter()
            .all(|p| outlook(&mut net, *p).drained_by.is_none())
    );
    let (delay, spread) = (Micros::from_secs(1), Micros::from_secs(5));
    let told = net.now();
    net.with_io(|_, io| io.remote().drain(delay, spread));
    net.settle();
    let slow = net.open_socket();
    net.write(slow, b"GET / HTTP/1.1\r\n");
    let waits = |net: &Net<Notes>, peer| peer == slow && net.response(slow).is_none();
    let mut foretold = Vec::new();
    for _ in 0..14 {
        for peer in peers.iter().copied().chain([slow]) {
            let id = net.id(peer);
            let outlook = net.with_io(|_, io| io.outlook(id));
            let Some(outlook) = outlook.filter(|_| net.is_open(peer) || waits(&net, peer)) else {
                continue;
            };
            assert_eq!(outlook.ends_for, Cause::DRAINING, "nothing ends it sooner");
            let by = outlook.drained_by.expect("a drain is in progress");
            assert!(by <= told + delay + spread + LATE, "{by}");
            if peer != slow {
                foretold.push((peer, by, outlook.ends_at, outlook.ends_for));
            }
        }
        if net.now() > told + delay + spread {
            break;
        }
        net.advance(487);
    }
    net.advance(3_000);
    assert!(
        net.response(slow)
            .is_some_and(|r| r.starts_with("HTTP/1.1 503"))
    );
    let ids: Vec<ConnId> = peers.iter().map(|p| net.id(*p)).collect();
    let closed = &net.host().closed;
    // They answer the close frame at the same moment.
    closed_in_time(&foretold, |peer| {
        let nth = peers.iter().position(|p| *p == peer).expect("one of them");
        let found = closed.iter().find(|(who, ..)| *who == ids[nth]);
        found.map(|(_, at, cause)| (*at, *cause)).expect("closed")
    });
    let sharp = foretold
        .iter()
        .filter(|(_, by, ..)| *by + Micros::from_secs(1) < told + delay + spread);
    assert!(
        sharp.count() > 50,
        "the first ones are told that they are among the first"
    );
}

#[test]
fn what_ends_a_connection_before_a_drain_is_foretold_beside_it() {
    let mut net = net(timed(15, 45));
    let [ghost, peer] = [net.connect("/"), net.connect("/")];
    net.mute(ghost);
    net.advance(40_000);
    net.with_io(|_, io| io.remote().drain(Micros::ZERO, Micros::from_secs(20)));
    net.settle();
    let [ghosts, peers] = [ghost, peer].map(|p| outlook(&mut net, p));
    assert_eq!(ghosts.ends_for, Cause::STALE);
    assert_eq!(ghosts.drained_by, Some(Micros::from_secs(60)));
    assert_eq!(
        (peers.ends_for, peers.ends_at),
        (Cause::DRAINING, Micros::from_secs(60))
    );
    net.advance(5_020);
    assert_eq!(net.host().closed[0].2, Cause::STALE);
}

#[test]
fn in_a_drain_of_a_class_its_own_are_closed_by_when_it_was_foretold() {
    let mut fleet = Fleet::open();
    let users: Vec<String> = (0..150).map(|n| format!("user{n}")).collect();
    let mut glasses = Vec::new();
    let mut apps = Vec::new();
    for user in &users {
        glasses.push(fleet.glasses(user));
        apps.push(fleet.app(user, "p.x"));
    }
    let spread = Micros::from_secs(5);
    let started = fleet.net.now();
    fleet
        .net
        .with_io(|gateway, io| gateway.drain_class(io, Class(0), spread, spread));
    fleet.net.settle();
    let portray = |fleet: &mut Fleet, peer: PeerId| {
        let id = fleet.net.id(peer);
        let portrait = fleet.net.with_io(|gateway, io| gateway.inspect(io, id));
        portrait.expect("it is here").outlook
    };
    let mut foretold = Vec::new();
    let mut ended: Vec<Option<(Micros, Cause)>> = vec![None; glasses.len()];
    while fleet.net.now() < started + spread + LATE {
        for (nth, peer) in glasses.iter().enumerate() {
            if !fleet.is_open(*peer) {
                let cause = fleet.ending(*peer).cause;
                ended[nth].get_or_insert((fleet.net.now(), cause));
            } else if fleet.net.now().as_millis().is_multiple_of(500) {
                let told = portray(&mut fleet, *peer);
                assert_eq!(told.ends_for, Cause::DRAINING);
                let by = told.drained_by.expect("its class is sent away");
                foretold.push((*peer, by, told.ends_at, told.ends_for));
            }
        }
        if let Some(app) = apps.first().filter(|app| fleet.is_open(**app)) {
            assert_eq!(portray(&mut fleet, *app).drained_by, None, "another class");
        }
        fleet.net.advance(5);
    }
    closed_in_time(&foretold, |peer| {
        let nth = glasses
            .iter()
            .position(|p| *p == peer)
            .expect("one of them");
        ended[nth].expect("closed")
    });
    let late = fleet.app("somebody", "p.x");
    fleet
        .net
        .with_io(|gateway, io| gateway.drain_class(io, Class(1), spread, Micros::ZERO));
    fleet.net.advance(100);
    let newer = fleet.app("another", "p.x");
    assert!(portray(&mut fleet, late).drained_by.is_some());
    assert_eq!(
        portray(&mut fleet, newer).drained_by,
        None,
        "it came after the start"
    );
}

#[test]
fn a_drain_by_the_host_holds_when_the_call_returns() {
    let mut net = Net::new(Config::default(), Notes::default());
    let (delay, spread) = (Micros::from_secs(20), Micros::from_secs(40));
    // No turn in between: what the host logs after its call is still true when it is read.
    net.with_io(|_, io| {
        assert_eq!(io.drain(delay, spread), (delay, spread));
        assert!(io.is_draining());
        assert_eq!(io.drain_left(), Some((delay, spread)));
        let shorter = (Micros::from_secs(5), spread);
        assert_eq!(
            io.drain(Micros::from_secs(5), Micros::from_secs(90)),
            shorter
        );
        assert_eq!(io.drain_left(), Some(shorter));
    });
    let check = net.open_socket();
    net.write(check, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    net.settle();
    let answer = net.response(check).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[test]
fn a_second_drain_cuts_the_first_one_short_and_never_makes_it_longer() {
    let (hour, second) = (Micros::from_secs(3_600), Micros::from_secs(1));
    let drain = |net: &mut Net<Notes>, delay: Micros, spread: Micros| {
        net.with_io(|_, io| io.remote().drain(delay, spread));
        net.settle();
        net.with_io(|_, io| io.drain_left())
            .expect("it is draining")
    };
    for (wait, spread, left) in [
        // Announced: accepting continues for an hour.
        (hour, hour, (second, second)),
        (hour, Micros::ZERO, (second, Micros::ZERO)),
        // Closing.
        (Micros::ZERO, hour, (Micros::ZERO, second)),
    ] {
        let mut net = net(timed(15, 45));
        let peers: Vec<PeerId> = (0..100).map(|_| net.connect("/")).collect();
        assert_eq!(net.with_io(|_, io| io.drain_left()), None);
        drain(&mut net, wait, spread);
        net.advance(60_000);
        let gone = net.host().closed.len();
        assert!(gone <= 2, "{gone}");
        assert_eq!(drain(&mut net, second, second), left);
        // The longer one changes nothing.
        assert_eq!(drain(&mut net, hour, hour), left);
        let latest = outlook(&mut net, peers[99]).drained_by.expect("a drain");
        assert!(latest <= net.now() + left.0 + left.1, "{latest}");
        net.advance(left.0.as_millis() + left.1.as_millis() / 2);
        let half = net.host().closed.len();
        match left.1 {
            Micros::ZERO => {}
            _ => assert!((45..=55).contains(&half), "evenly: {half}"),
        }
        net.advance(left.1.as_millis() / 2 + 20);
        assert_eq!(net.host().closed.len(), peers.len());
        assert!(
            net.host()
                .closed
                .iter()
                .all(|(.., cause)| *cause == Cause::DRAINING)
        );
        assert!(net.engine().is_over());
    }
}

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
        let (_, at, cause) = closed.iter().find(|(who, ..)| *who == id).expect("closed");
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
                classes: vec![ClassConfig {
                    name: "peer".to_owned(),
                    policy,
                }],
                stale_closes_per_second: 0,
                ..Config::default()
            })
            .expect("a good policy"),
    });
}

#[test]
fn under_any_policy_peers_that_answer_stay_and_every_ghost_is_closed() {
    const TICK: Micros = Micros::from_millis(5);
    // More connections than change over in one turn.
    const PEERS: usize = 1_100;
    let changes = [
        (timed(15, 45), timed(2, 6)),
        (timed(15, 45), timed(1, 2)),
        (timed(15, 16), timed(2, 30)),
        (timed(2, 6), timed(15, 45)),
        (timed(2, 6), timed(15, 16)),
    ];
    let modes = [HeartbeatMode::Always, HeartbeatMode::Idle];
    for (nth, (former, newer)) in changes.into_iter().enumerate() {
        for (path, from) in [Path::Live, Path::Reload].into_iter().zip(modes) {
            let to = modes[nth % 2];
            let context = format!("{path:?}, {former:?} {from:?}, {newer:?} {to:?}");
            let mut rng = Rng::with_seed(nth as u64);
            let mut net = net(Policy {
                mode: from,
                ..former
            });
            let mut peers = Vec::new();
            for _ in 0..PEERS {
                let peer = net.connect("/");
                net.set_latency(peer, rng.u64(0..400));
                peers.push(peer);
            }
            let own = net.connect("/own");
            net.advance(former.heartbeat_interval.as_millis() * 2 + rng.u64(0..2_000));
            let (ghosts, alive) = peers.split_at(PEERS / 10);
            for ghost in ghosts {
                net.mute(*ghost);
            }
            net.advance(rng.u64(500..1_000));
            assert_eq!(net.host().closed, []);
            let own_outlook = outlook(&mut net, own);
            let ends: Vec<Micros> = peers
                .iter()
                .map(|p| outlook(&mut net, *p).ends_at)
                .collect();

            tell(&mut net, path, Policy { mode: to, ..newer });
            net.settle();
            let changed = net.now();
            assert_eq!(outlook(&mut net, own), own_outlook, "{context}");
            let mut pings = Vec::new();
            for (peer, former_end) in peers.iter().zip(&ends) {
                let told = outlook(&mut net, *peer);
                let heard = told.ends_at >= *former_end.min(&(changed + newer.connection_timeout));
                assert!(heard, "{context}: {former_end} {told:?}");
                let pinged = told.next_ping.unwrap_or(told.ends_at);
                let latest = changed + newer.heartbeat_interval + Micros::from_millis(10);
                assert!(pinged <= latest, "{context}: {told:?}");
                pings.push((pinged - changed).0);
            }
            // Spread over the interval; groups of 16 neighbours go together.
            let tenth = newer.heartbeat_interval.min(former.heartbeat_interval).0 / 10;
            for from in (0..10).map(|n| n * tenth) {
                let n = pings
                    .iter()
                    .filter(|p| (from..from + tenth).contains(p))
                    .count();
                assert!(n < PEERS / 3, "{context}: {n} pings within {tenth} µs");
            }

            let told: Vec<(ConnId, Micros)> = ghosts
                .iter()
                .map(|p| (net.id(*p), outlook(&mut net, *p).ends_at))
                .collect();
            net.advance(newer.connection_timeout.as_millis() + 2 * LATE.as_millis());
            for (id, ends_at) in told {
                let end = net
                    .host()
                    .closed
                    .iter()
                    .find(|(who, ..)| *who == id)
                    .copied();
                let (_, at, cause) = end.unwrap_or_else(|| panic!("{id} lives; {context}"));
                assert_eq!(cause, Cause::STALE, "{context}");
                assert!(came_true(ends_at, at), "{at} for {ends_at}; {context}");
                assert!(at <= changed + newer.connection_timeout + TICK, "{context}");
            }
            net.advance(newer.connection_timeout.as_millis() * 2);
            assert_eq!(net.host().closed.len(), ghosts.len(), "{context}");
            assert!(alive.iter().all(|peer| net.is_open(*peer)), "{context}");
            let ids: HashSet<ConnId> = alive.iter().map(|peer| net.id(*peer)).collect();
            let suspects = net.host().suspect_at.iter();
            let slandered = suspects.filter(|(who, _)| ids.contains(who));
            assert_eq!(slandered.count(), 0, "{context}");
            net.check().expect("the books");
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

#[test]
fn only_watched_connections_report_round_trips() {
    let mut net = net(Policy {
        heartbeat_interval: Micros::from_secs(1),
        ..Policy::default()
    });
    let [watched, other] = [net.connect("/"), net.connect("/")];
    let id = net.id(watched);
    for peer in [watched, other] {
        net.set_latency(peer, 40);
    }
    net.with_io(|_, io| io.report_pongs(id, true));
    net.advance(5_500);
    let rtts = std::mem::take(&mut net.host().rtts);
    assert!((4..=6).contains(&rtts.len()), "{rtts:?}");
    assert!(
        rtts.iter().all(|(who, rtt)| *who == id && rtt.0 >= 40_000),
        "{rtts:?}"
    );
    net.with_io(|_, io| io.report_pongs(id, false));
    net.advance(5_000);
    assert_eq!(net.host().rtts, []);
}

#[test]
fn bytes_and_messages_are_counted_by_connection_as_in_all() {
    let mut net = net(Policy::default());
    let peers = [net.connect("/"), net.connect("/")];
    for (nth, peer) in peers.into_iter().enumerate() {
        for _ in 0..=nth {
            net.write(peer, &client_frame(0x81, b"hello"));
        }
        let id = net.id(peer);
        net.with_io(|_, io| io.send(id, Message::text("hi")));
    }
    net.advance(60_000);
    let views = peers.map(|peer| {
        let id = net.id(peer);
        net.with_io(|_, io| io.view(id)).expect("open").traffic
    });
    assert_eq!(
        views.map(|t| (t.messages_in, t.messages_out)),
        [(1, 1), (2, 1)]
    );
    let stats = net.engine().stats();
    assert_eq!(
        views.map(|t| t.bytes_in).iter().sum::<u64>(),
        stats.bytes_in
    );
    assert_eq!(
        views.map(|t| t.bytes_out).iter().sum::<u64>(),
        stats.bytes_out
    );
}

#[test]
fn a_preamble_is_read_however_it_is_cut() {
    const PREAMBLE: &[u8] = b"PROXY something\r\n";
    let whole = [PREAMBLE, upgrade_request("/").as_bytes()].concat();
    for cut in 1..whole.len() {
        let mut net = net(Policy::default());
        net.host().preamble = Some(PREAMBLE);
        let peer = net.open_socket();
        net.write(peer, &whole[..cut]);
        net.settle();
        net.write(peer, &whole[cut..]);
        net.settle();
        assert!(net.is_open(peer), "cut at {cut}: {:?}", net.response(peer));
        let id = net.id(peer);
        let addr = net.with_io(|_, io| io.peer_addr(id));
        assert_eq!(addr, CLIENT.parse().ok(), "cut at {cut}");
        assert_eq!(net.host().requests, [CLIENT.parse().expect("an address")]);
    }
}

/// The limit of a preamble is the same whether it arrives at once or in pieces.
#[test]
fn a_preamble_above_8_kib_is_refused_however_it_is_cut() {
    const LONGEST: &[u8] = &[b'p'; 8 * 1024];
    const TOO_LONG: &[u8] = &[b'p'; 8 * 1024 + 1];
    for (preamble, is_accepted) in [(LONGEST, true), (TOO_LONG, false)] {
        let whole = [preamble, upgrade_request("/").as_bytes()].concat();
        for cut in [whole.len(), 5_000, 100] {
            let mut net = net(Policy::default());
            net.host().preamble = Some(preamble);
            let peer = net.open_socket();
            for piece in whole.chunks(cut) {
                net.write(peer, piece);
                net.settle();
            }
            assert_eq!(net.is_open(peer), is_accepted, "cuts of {cut}");
            let response = net.response(peer).expect("an answer");
            let status = if is_accepted { 101 } else { 400 };
            let status_line = format!("HTTP/1.1 {status} ");
            assert!(response.starts_with(&status_line), "{response}");
        }
    }
}

#[test]
fn without_the_preamble_that_is_required_a_connection_is_refused() {
    let mut net = net(Policy::default());
    net.host().preamble = Some(b"PROXY something\r\n");
    let bad = net.open_socket();
    net.write(bad, upgrade_request("/").as_bytes());
    net.settle();
    assert!(
        net.response(bad)
            .is_some_and(|r| r.starts_with("HTTP/1.1 400"))
    );
    // A check that only sends its preamble is a probe, like one that sends nothing.
    let probe = net.open_socket();
    net.write(probe, b"PROXY something\r\n");
    net.settle();
    net.half_close(probe);
    net.settle();
    assert_eq!(net.ending(probe).map(|end| end.cause), Some(Cause::PROBE));
    // A connection that waits after its preamble, like a browser's spare connection through a
    // proxy, gets no answer either.
    let spare = net.open_socket();
    net.write(spare, b"PROXY something\r\n");
    net.advance(10_100);
    assert_eq!(net.response(spare), None);
    assert_eq!(net.ending(spare).map(|end| end.cause), Some(Cause::PROBE));
    // A connection that stops in the middle has the time of a request.
    let slow = net.open_socket();
    net.write(slow, b"PROXY");
    net.advance(10_100);
    assert!(
        net.response(slow)
            .is_some_and(|r| r.starts_with("HTTP/1.1 408"))
    );
}
