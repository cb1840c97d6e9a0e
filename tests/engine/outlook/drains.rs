//! In a drain, each connection is closed by the time that was predicted.

use crate::fleet::Fleet;
use crate::nets::timed;
use crate::outlook::notes::{LATE, Notes, net, outlook};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{Cause, Class, ConnId, Micros};

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
        let found = closed.iter().find(|(of, ..)| *of == ids[nth]);
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
    let inspect = |fleet: &mut Fleet, peer: PeerId| {
        let id = fleet.net.id(peer);
        let connection = fleet.net.with_io(|gateway, io| gateway.inspect(io, id));
        connection.expect("it is here").outlook
    };
    let mut foretold = Vec::new();
    let mut ended: Vec<Option<(Micros, Cause)>> = vec![None; glasses.len()];
    while fleet.net.now() < started + spread + LATE {
        for (nth, peer) in glasses.iter().enumerate() {
            if !fleet.is_open(*peer) {
                let cause = fleet.ending(*peer).cause;
                ended[nth].get_or_insert((fleet.net.now(), cause));
            } else if fleet.net.now().as_millis().is_multiple_of(500) {
                let told = inspect(&mut fleet, *peer);
                assert_eq!(told.ends_for, Cause::DRAINING);
                let by = told.drained_by.expect("its class is sent away");
                foretold.push((*peer, by, told.ends_at, told.ends_for));
            }
        }
        if let Some(app) = apps.first().filter(|app| fleet.is_open(**app)) {
            assert_eq!(inspect(&mut fleet, *app).drained_by, None, "another class");
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
    let late = fleet.app("later", "p.x");
    fleet
        .net
        .with_io(|gateway, io| gateway.drain_class(io, Class(1), spread, Micros::ZERO));
    fleet.net.advance(100);
    let newer = fleet.app("another", "p.x");
    assert!(inspect(&mut fleet, late).drained_by.is_some());
    assert_eq!(
        inspect(&mut fleet, newer).drained_by,
        None,
        "it came after the start"
    );
}
