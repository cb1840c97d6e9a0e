//! There is one connection of each identity, and every wait ends.

use crate::fleet::Fleet;
use crate::sessions::peers::{PACKAGES, USERS, all_ends, lose};
use pulsegate::gateway::Admission;
use pulsegate::testing::PeerId;
use serde_json::json;
use std::collections::BTreeMap;

#[test]
fn there_is_one_of_each_and_every_wait_ends() {
    for seed in 0..150 {
        lives(seed);
    }
}

/// Users start and stop apps; servers agree, fail or do not answer; peers come and go.
fn lives(seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut fleet = Fleet::closed(Admission::Started);
    let mut glasses: BTreeMap<&str, PeerId> = BTreeMap::new();
    let mut apps: BTreeMap<(&str, &str), PeerId> = BTreeMap::new();
    let mut all: Vec<PeerId> = Vec::new();
    let mut asked: Vec<u64> = Vec::new();
    for _ in 0..150 {
        let user = USERS[rng.usize(0..USERS.len())];
        let package = PACKAGES[rng.usize(0..PACKAGES.len())];
        match rng.u8(0..12) {
            // Or they reconnect too often, and are refused.
            0 | 1 => {
                if let Some(peer) = fleet.try_glasses(user) {
                    all.push(peer);
                    glasses.insert(user, peer);
                }
            }
            2 | 3 => {
                let key = format!("key-of-{package}");
                let peer = fleet.init(user, package, &key);
                all.push(peer);
                apps.insert((user, package), peer);
            }
            4 => {
                if let Some(peer) = glasses.get(user) {
                    lose(&mut fleet, &mut rng, *peer);
                }
            }
            5 => {
                if let Some(peer) = apps.get(&(user, package)) {
                    if fleet.is_open(*peer) && rng.bool() {
                        fleet.say(*peer, json!({"type":"ownership_release","reason":"x"}));
                    }
                    lose(&mut fleet, &mut rng, *peer);
                }
            }
            6 | 7 => fleet.advance(rng.u64(1..20_000)),
            8 => {
                asked.extend(fleet.starts());
                if !asked.is_empty() {
                    let number = asked.swap_remove(rng.usize(0..asked.len()));
                    match rng.u8(0..3) {
                        0 => fleet.answer(number),
                        1 => fleet.again(number, 4_000),
                        _ => fleet.fail(number, "down"),
                    }
                }
            }
            kind => {
                let kind = if kind == 11 { "stop_app" } else { "start_app" };
                if let Some(peer) = glasses.get(user).filter(|p| fleet.is_open(**p)) {
                    fleet.say(*peer, json!({"type":kind,"packageName":package}));
                }
            }
        }
        fleet.charged();
        one_of_each(&mut fleet, &all, seed);
    }
    all_ends(&mut fleet, seed);
}

/// Checks that the holder of a place is open, and that no other connection of the same identity is.
fn one_of_each(fleet: &mut Fleet, all: &[PeerId], seed: u64) {
    let mut places = Vec::new();
    fleet.net.with_io(|gateway, io| {
        for (user, session) in gateway.sessions_after(None).0 {
            let apps = session.apps.iter();
            let apps =
                apps.map(|app| (user.to_owned(), app.package.to_string(), app.view().conn()));
            places.extend(apps);
            places.push((user.to_owned(), String::new(), session.glasses().conn()));
            for app in &session.apps {
                let waited = app.view().absence().is_some();
                assert!(
                    !(waited && app.view().conn().is_some()),
                    "seed {seed}: both there and absent"
                );
            }
        }
        for (user, package, conn) in &places {
            if let Some(id) = conn {
                let known = gateway
                    .identity(*id)
                    .expect("a connection with a place has an identity");
                assert_eq!(*known.user, **user, "seed {seed} {package}");
                assert!(
                    io.view(*id).is_some(),
                    "seed {seed}: {user} {package} is gone"
                );
            }
        }
    });
    let mut ids: Vec<_> = places.iter().filter_map(|(_, _, conn)| *conn).collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(
        ids.len(),
        count,
        "seed {seed}: two places share a connection"
    );
    // An open connection with an identity has a place, unless it has announced that it leaves and
    // another connection has taken its place.
    for peer in all {
        if !fleet.is_open(*peer) {
            continue;
        }
        let id = fleet.net.id(*peer);
        let (named, leaves) = fleet.net.with_io(|gateway, _| {
            let identity = gateway.identity(id);
            (identity.is_some(), gateway.is_leaving(id))
        });
        assert!(
            !named || leaves || ids.contains(&id),
            "seed {seed}: {id} is open and has no place"
        );
    }
}
