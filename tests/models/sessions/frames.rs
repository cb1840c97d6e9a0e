//! Every frame for an absent app arrives once and in order: the model knows which frame is owed to
//! which app.

use crate::fleet::{Fleet, button, number};
use crate::sessions::peers::{PACKAGES, USERS, all_ends, lose, place};
use pulsegate::gateway::RelaySettings;
use pulsegate::testing::PeerId;
use std::collections::BTreeMap;

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

impl App {
    /// Asserts that it got what was owed to it, and nothing that was not for it.
    fn check(&self, unconfirmed: bool, what: &str) {
        let is_for_it = |n: &u64| self.owed.contains(n) || self.may.contains(n);
        if unconfirmed {
            assert!(self.got.iter().all(is_for_it), "{what}");
        } else {
            let in_order = self.got.windows(2).all(|w| w[0] < w[1]);
            assert!(in_order, "{what}: once and in order");
        }
        for n in &self.owed {
            let times = self.got.iter().filter(|got| *got == n).count();
            let least_once = times >= 1 && (unconfirmed || times == 1);
            assert!(least_once, "{what}: {n} was owed and came {times} times");
        }
        for n in &self.got {
            assert!(is_for_it(n), "{what}: {n} was not for it");
        }
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
    let settings = RelaySettings {
        replay_unconfirmed: unconfirmed,
        // No identity is delayed here: that has its own test.
        flapping_limit: 0,
        ..RelaySettings::default()
    };
    let mut frames = Frames {
        rng: fastrand::Rng::with_seed(seed),
        fleet: Fleet::with(settings, None),
        glasses: BTreeMap::new(),
        apps: BTreeMap::new(),
        sent: 0,
    };
    for _ in 0..120 {
        if frames.act(seed) {
            frames.fleet.charged();
            frames.read_all();
        }
    }
    frames.all_return();
    for ((user, package), app) in &frames.apps {
        let what = format!(
            "seed {seed} unconfirmed {unconfirmed} {user} {package}: {:?}",
            app.got
        );
        app.check(unconfirmed, &what);
    }
    all_ends(&mut frames.fleet, seed);
}

/// Glasses send frames while their apps come and go, and which frame is owed to which app.
struct Frames {
    rng: fastrand::Rng,
    fleet: Fleet,
    glasses: BTreeMap<&'static str, PeerId>,
    apps: BTreeMap<(&'static str, &'static str), App>,
    sent: u64,
}

impl Frames {
    /// Returns whether anything was done.
    fn act(&mut self, seed: u64) -> bool {
        let user = USERS[self.rng.usize(0..USERS.len())];
        let package = PACKAGES[self.rng.usize(0..PACKAGES.len())];
        let app = self.apps.get(&(user, package)).and_then(|app| app.peer);
        match self.rng.u8(0..12) {
            0 | 1 => {
                self.glasses.insert(user, self.fleet.glasses(user));
            }
            2 | 3 => self.app_connects(user, package, seed),
            4 => {
                if let Some(peer) = self.glasses.get(user) {
                    lose(&mut self.fleet, &mut self.rng, *peer);
                }
            }
            5 => {
                if let Some(peer) = app {
                    lose(&mut self.fleet, &mut self.rng, peer);
                }
            }
            6 => self.fleet.advance(self.rng.u64(1..9_000)),
            7 => {
                if let Some(peer) = app {
                    let window = self.rng.bool().then(|| self.rng.usize(0..600));
                    self.fleet.net.set_window(peer, window);
                }
            }
            _ => return self.glasses_send(user),
        }
        true
    }

    fn app_connects(&mut self, user: &'static str, package: &'static str, seed: u64) {
        let fleet = &mut self.fleet;
        let app = self.apps.entry((user, package)).or_default();
        app.read(fleet);
        let before = place(fleet, user, package);
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
        // Frames sent over the older connection and not read yet are in doubt, and may be sent
        // again if that is set.
        fleet.drain(peer);
    }

    /// The glasses send a few frames; returns whether they could.
    fn glasses_send(&mut self, user: &'static str) -> bool {
        let fleet = &mut self.fleet;
        let glasses = self.glasses.get(user).copied();
        let Some(peer) = glasses.filter(|p| fleet.is_open(*p)) else {
            return false;
        };
        for _ in 0..self.rng.u8(1..6) {
            self.sent += 1;
            let before = PACKAGES.map(|package| (package, place(fleet, user, package)));
            let muted = !fleet.say_heard(peer, button(self.sent));
            for (package, before) in before {
                let Some(app) = self.apps.get_mut(&(user, package)) else {
                    continue;
                };
                match before {
                    _ if muted => {}
                    Some((false, true)) => app.owed.push(self.sent),
                    Some((true, _)) => app.may.push(self.sent),
                    Some((false, false)) | None => {}
                }
            }
        }
        true
    }

    /// Reads what each app got. When the grace or the session of an app is over, what was owed to
    /// it is no longer owed.
    fn read_all(&mut self) {
        for ((user, package), app) in &mut self.apps {
            app.read(&mut self.fleet);
            if !matches!(
                place(&mut self.fleet, user, package),
                Some((_, true)) | Some((true, _))
            ) {
                let got = &app.got;
                app.owed.retain(|n| got.contains(n));
            }
        }
    }

    /// Every lost app comes back.
    fn all_return(&mut self) {
        let fleet = &mut self.fleet;
        for ((user, package), app) in &mut self.apps {
            app.read(fleet);
            if place(fleet, user, package).is_some() {
                app.peer = Some(fleet.app_again(user, package));
                app.read(fleet);
            }
        }
    }
}

#[test]
fn every_app_gets_a_frame_for_many_once_and_in_order() {
    for seed in 0..30 {
        if let Err(why) = crate::fan_outs::run(seed) {
            panic!("seed {seed}: {why}");
        }
    }
}
