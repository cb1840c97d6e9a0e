//! Sessions compared with a model: random joins, losses, returns, stops and graces on virtual time.
//! The promises of the relay are checked for each frame. There is at most one pair of glasses and
//! one app of a package at a time, and every wait ends.

use crate::fleet::{Fleet, button, number};
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::testing::PeerId;
use serde_json::json;
use std::collections::BTreeMap;

const USERS: [&str; 3] = ["ada", "bob", "a-b@c.de"];
const PACKAGES: [&str; 3] = ["p.x", "p.y", "p.z"];

/// One app of one user from its server's view.
#[derive(Default)]
struct App {
    /// Its newest connection.
    peer: Option<PeerId>,
    /// Numbers in the order of arrival, over all connections.
    got: Vec<u64>,
    /// Numbers that must arrive: sent while the app was known to be absent, in a grace that did not
    /// end.
    owed: Vec<u64>,
    /// Numbers that may arrive: sent while the app was connected.
    may: Vec<u64>,
}

impl App {
    fn read(&mut self, fleet: &mut Fleet) {
        if let Some(peer) = self.peer {
            let texts = fleet.texts(peer);
            self.got.extend(texts.iter().filter_map(|t| number(t)));
        }
    }
}

/// Returns the state of a place: whether a connection holds it, and whether it is waited for.
fn place(fleet: &mut Fleet, user: &str, package: &str) -> Option<(bool, bool)> {
    fleet.net.with_io(|gateway, _| {
        let app = gateway.session(user)?.app(package)?;
        Some((app.view().conn().is_some(), app.view().absence().is_some()))
    })
}

fn lose(fleet: &mut Fleet, rng: &mut fastrand::Rng, peer: PeerId) {
    if fleet.is_open(peer) {
        match rng.u8(0..4) {
            0 => fleet.net.reset(peer),
            1 => fleet.net.half_close(peer),
            2 => fleet.net.send(peer, pulsegate::Message::Close(None)),
            _ => fleet.net.mute(peer),
        }
        fleet.net.settle();
    }
}

#[test]
fn every_frame_for_an_absent_app_arrives_once_and_in_order() {
    for seed in 0..150 {
        every_frame(seed, false);
        every_frame(seed, true);
    }
}

fn every_frame(seed: u64, unconfirmed: bool) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let settings = RelaySettings {
        replay_unconfirmed: unconfirmed,
        // No identity is delayed here: that has its own test.
        flapping_limit: 0,
        ..RelaySettings::default()
    };
    let mut fleet = Fleet::with(settings, None);
    let mut glasses: BTreeMap<&str, PeerId> = BTreeMap::new();
    let mut apps: BTreeMap<(&str, &str), App> = BTreeMap::new();
    let mut sent = 0;
    for _ in 0..120 {
        let user = USERS[rng.usize(0..USERS.len())];
        let package = PACKAGES[rng.usize(0..PACKAGES.len())];
        let key = (user, package);
        match rng.u8(0..12) {
            0 | 1 => {
                glasses.insert(user, fleet.glasses(user));
            }
            2 | 3 => {
                let app = apps.entry(key).or_default();
                app.read(&mut fleet);
                let before = place(&mut fleet, user, package);
                let peer = fleet.app_again(user, package);
                app.peer = Some(peer);
                let texts = fleet.texts(peer);
                assert!(
                    texts[0].contains("tpa_connection_ack"),
                    "seed {seed}: {texts:?}"
                );
                app.got.extend(texts.iter().filter_map(|t| number(t)));
                if before.is_none() {
                    fleet.subscribe(peer, &["button_press"]);
                }
                // Frames sent over the older connection and not read yet are in doubt, and may be
                // sent again if that is set.
                fleet.drain(peer);
            }
            4 => {
                if let Some(peer) = glasses.get(user) {
                    lose(&mut fleet, &mut rng, *peer);
                }
            }
            5 => {
                if let Some(peer) = apps.get(&key).and_then(|app| app.peer) {
                    lose(&mut fleet, &mut rng, peer);
                }
            }
            6 => fleet.advance(rng.u64(1..9_000)),
            7 => {
                if let Some(peer) = apps.get(&key).and_then(|app| app.peer) {
                    let window = rng.bool().then(|| rng.usize(0..600));
                    fleet.net.set_window(peer, window);
                }
            }
            _ => {
                let Some(peer) = glasses.get(user).copied().filter(|p| fleet.is_open(*p)) else {
                    continue;
                };
                for _ in 0..rng.u8(1..6) {
                    sent += 1;
                    let before: Vec<_> = PACKAGES
                        .map(|package| (package, place(&mut fleet, user, package)))
                        .to_vec();
                    let muted = !fleet.say_heard(peer, button(sent));
                    for (package, before) in before {
                        let Some(app) = apps.get_mut(&(user, package)) else {
                            continue;
                        };
                        match before {
                            _ if muted => {}
                            Some((false, true)) => app.owed.push(sent),
                            Some((true, _)) => app.may.push(sent),
                            Some((false, false)) | None => {}
                        }
                    }
                }
            }
        }
        fleet.charged();
        for ((user, package), app) in &mut apps {
            app.read(&mut fleet);
            // Its grace, or its session, is over: what was owed to it is no longer owed.
            if !matches!(
                place(&mut fleet, user, package),
                Some((_, true)) | Some((true, _))
            ) {
                let got = &app.got;
                app.owed.retain(|n| got.contains(n));
            }
        }
    }
    // Every lost peer comes back.
    for ((user, package), app) in &mut apps {
        app.read(&mut fleet);
        if place(&mut fleet, user, package).is_some() {
            let peer = fleet.app_again(user, package);
            app.peer = Some(peer);
            app.read(&mut fleet);
        }
    }
    for ((user, package), app) in &apps {
        let what = format!(
            "seed {seed} unconfirmed {unconfirmed} {user} {package}: {:?}",
            app.got
        );
        let mut once = app.got.clone();
        once.sort_unstable();
        once.dedup();
        if unconfirmed {
            assert!(
                once.iter()
                    .all(|n| app.owed.contains(n) || app.may.contains(n)),
                "{what}"
            );
        } else {
            assert!(
                app.got.windows(2).all(|w| w[0] < w[1]),
                "{what}: once and in order"
            );
        }
        for n in &app.owed {
            let times = app.got.iter().filter(|got| *got == n).count();
            let least_once = times >= 1 && (unconfirmed || times == 1);
            assert!(least_once, "{what}: {n} was owed and came {times} times");
        }
        for n in &app.got {
            assert!(
                app.owed.contains(n) || app.may.contains(n),
                "{what}: {n} was not for it"
            );
        }
    }
    all_ends(&mut fleet, seed);
}

/// Checks that nothing is left when all peers have left.
fn all_ends(fleet: &mut Fleet, seed: u64) {
    let last = fleet.net.open_socket();
    (0..=last.0).for_each(|n| fleet.net.mute(PeerId(n)));
    fleet.advance(200_000);
    let stats = fleet.stats();
    assert_eq!(fleet.sessions(), 0, "seed {seed}");
    assert_eq!(stats.absent, [0, 0], "seed {seed}");
    assert_eq!((stats.kept, stats.kept_bytes), (0, 0), "seed {seed}");
    assert_eq!(fleet.charged(), 0, "seed {seed}");
}

#[test]
fn every_app_gets_a_frame_for_many_once_and_in_order() {
    for seed in 0..30 {
        if let Err(why) = crate::fan_outs::run(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}

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
                let known = gateway.identity(*id).expect("who has a place has a name");
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

/// With little memory, in any sequence of events: the account is exact after each step, never above
/// the limit, and zero in the end.
#[test]
fn the_account_is_exact_and_never_overdrawn() {
    for seed in 0..60 {
        accounts(seed);
    }
}

fn accounts(seed: u64) {
    const ROOM: usize = 64 << 10;
    let mut rng = fastrand::Rng::with_seed(seed);
    let settings = RelaySettings {
        replay_unconfirmed: rng.bool(),
        flapping_limit: 0,
        ..RelaySettings::default()
    };
    let packages = ["p.x", "p.y", "p.z", "p.bare"];
    let mut fleet = Fleet::tuned(settings, Some(Admission::Started), |options, config| {
        options.max_connections = rng.usize(1..8);
        config.max_message_bytes = 60 << 10;
        config.max_pending_bytes = ROOM;
        config.max_buffered_bytes = ROOM;
    });
    let mut glasses: BTreeMap<&str, PeerId> = BTreeMap::new();
    let mut apps: BTreeMap<(&str, &str), PeerId> = BTreeMap::new();
    let mut asked: Vec<u64> = Vec::new();
    for step in 0..200 {
        let user = USERS[rng.usize(0..USERS.len())];
        let package = packages[rng.usize(0..packages.len())];
        let app = apps.get(&(user, package)).copied();
        let phone = glasses.get(user).copied();
        match rng.u8(0..14) {
            0 | 1 => {
                glasses.extend(fleet.try_glasses(user).map(|peer| (user, peer)));
            }
            2 | 3 => {
                let peer = fleet.init(user, package, &format!("key-of-{package}"));
                apps.insert((user, package), peer);
            }
            4 | 5 => {
                if let Some(peer) = [app, phone][rng.usize(0..2)] {
                    lose(&mut fleet, &mut rng, peer);
                }
            }
            6 => fleet.advance(rng.u64(1..20_000)),
            7 => {
                asked.extend(fleet.starts());
                if !asked.is_empty() {
                    let number = asked.swap_remove(rng.usize(0..asked.len()));
                    match rng.bool() {
                        true => fleet.answer(number),
                        false => fleet.fail(number, "down"),
                    }
                }
            }
            8 => {
                if let Some(peer) = app.filter(|peer| fleet.is_open(*peer)) {
                    let names: Vec<String> = (0..rng.usize(0..200))
                        .map(|n| format!("{n:0100}"))
                        .chain(["*".to_owned()])
                        .collect();
                    fleet.say(
                        peer,
                        json!({"type":"subscription_update","subscriptions":names}),
                    );
                }
            }
            9 => {
                let kind = ["start_app", "stop_app"][rng.usize(0..2)];
                if let Some(peer) = phone.filter(|peer| fleet.is_open(*peer)) {
                    fleet.say(peer, json!({"type":kind,"packageName":package}));
                }
            }
            10 if step % 5 == 0 => {
                let known = rng.usize(1..packages.len() + 1);
                fleet.reload(&packages[..known], |newer| {
                    newer.max_connections = rng.usize(1..8);
                    newer.engine.max_message_bytes = 60 << 10;
                    newer.engine.max_pending_bytes = ROOM;
                    newer.engine.max_buffered_bytes = ROOM;
                });
            }
            _ => {
                let frame = json!({"type":"said","text":"x".repeat(rng.usize(0..3_000))});
                for peer in [app, phone].into_iter().flatten() {
                    if fleet.is_open(peer) {
                        fleet.say(peer, frame.clone());
                    }
                }
            }
        }
        let charged = fleet.charged();
        // Small entries are still accepted: a set of subscriptions, a place for each lost app.
        assert!(
            charged <= (ROOM + (8 << 10)) as u64,
            "seed {seed}: {charged} B"
        );
    }
    all_ends(&mut fleet, seed);
}
