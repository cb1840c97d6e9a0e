//! A frozen service behind the bridge: it loses no client for a while, and then loses them slowly.

use crate::fleet::Fleet;
use crate::nets::S;
use pulsegate::engine::ClassConfig;
use pulsegate::gateway::{
    BRIDGE_CLASSES, BridgeOptions, Gateway, Proxies, RelaySettings, Route, SessionLimits,
    WeightedUpstream,
};
use pulsegate::testing::{Net, PeerId, Received};
use pulsegate::{Cause, Micros, Policy};

const PAIRS: usize = 600;
const TIMEOUT_S: u64 = 45;

/// Returns a gateway with a bridge, and this many pairs: clients, and their connections to the
/// service.
pub(super) fn pairs(count: usize) -> (Net<Gateway>, Vec<PeerId>, Vec<PeerId>) {
    let upstream = WeightedUpstream::parse("http://127.0.0.1:80").expect("a location");
    let bridge = BridgeOptions {
        routes: vec![Route::to("default", vec![upstream])],
        forwarded_https: false,
        http_pass: false,
        http_max_requests: 0,
        proxies: Proxies::default(),
        sessions: SessionLimits::default(),
    };
    let fleet = Fleet::tuned(RelaySettings::default(), None, |options, config| {
        options.bridge = Some(bridge);
        options.serves_relay = false;
        config
            .classes
            .extend(BRIDGE_CLASSES.map(|info| ClassConfig {
                name: info.name.to_owned(),
                policy: Policy {
                    connection_timeout: Micros::from_secs(TIMEOUT_S),
                    ..Policy::DEFAULT
                },
            }));
    });
    let mut net = fleet.net;
    let clients: Vec<PeerId> = (0..count).map(|_| net.connect("/")).collect();
    net.settle();
    let servers = net.take_dialed();
    assert_eq!(servers.len(), count);
    assert!(clients.iter().all(|peer| net.is_open(*peer)));
    net.advance(20 * S);
    (net, clients, servers)
}

pub(super) fn open(net: &Net<Gateway>, peers: &[PeerId]) -> usize {
    peers.iter().filter(|peer| net.is_open(**peer)).count()
}

#[test]
fn a_service_that_stands_still_for_a_minute_loses_nobody() {
    let (mut net, clients, servers) = pairs(PAIRS);
    for server in &servers {
        net.mute(*server);
    }
    net.advance(60 * S);
    assert_eq!((open(&net, &clients), open(&net, &servers)), (PAIRS, PAIRS));
    // It goes on, and answers what has waited.
    for server in &servers {
        net.unmute(*server);
    }
    net.advance(200 * S);
    assert_eq!((open(&net, &clients), open(&net, &servers)), (PAIRS, PAIRS));
    net.check().expect("invariants");
}

#[test]
fn after_three_timeouts_its_clients_are_sent_away_one_after_the_other() {
    let (mut net, clients, servers) = pairs(PAIRS);
    for server in &servers {
        net.mute(*server);
    }
    // The last answer may be up to one interval old.
    net.advance((3 * TIMEOUT_S - 15) * S);
    assert_eq!(open(&net, &clients), PAIRS);
    net.advance(16 * S);
    let mut before = open(&net, &clients);
    for second in 0..30 {
        net.advance(S);
        let after = open(&net, &clients);
        // A sixtieth of them each second.
        assert!(
            before - after <= PAIRS / 60 + 1,
            "{second}: {before} to {after}"
        );
        before = after;
    }
    assert!((100..500).contains(&before), "{before}");
    net.advance(90 * S);
    assert_eq!(open(&net, &clients), 0);
    for (client, server) in clients.into_iter().zip(servers) {
        let close = net.received(client).pop();
        let is_told = |r: &Received| match r {
            Received::Close(1012, reason) => reason.starts_with("upstream lost: nothing heard"),
            _ => false,
        };
        assert!(close.as_ref().is_some_and(is_told), "{close:?}");
        net.expect_closed(server, Cause::STALE);
        net.expect_closed(client, Cause::PARTNER_ENDED);
    }
}

#[test]
fn a_few_dead_connections_of_a_healthy_service_are_closed_on_time() {
    let (mut net, clients, servers) = pairs(60);
    for server in &servers[..20] {
        net.mute(*server);
    }
    net.advance((TIMEOUT_S + 1) * S);
    assert_eq!((open(&net, &clients), open(&net, &servers)), (40, 40));
}
