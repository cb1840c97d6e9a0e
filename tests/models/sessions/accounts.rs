//! With little memory, in any sequence of events: the account is exact after each step, never
//! above the limit, and zero in the end.

use crate::fleet::Fleet;
use crate::sessions::peers::{USERS, all_ends, lose};
use pulsegate::Config;
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::testing::PeerId;
use serde_json::json;
use std::collections::BTreeMap;

/// The bytes that the loop may buffer in this test.
const ROOM: usize = 64 << 10;

const KNOWN: [&str; 4] = ["p.x", "p.y", "p.z", "p.bare"];

/// A fleet with little memory, and its peers.
struct Crowded {
    rng: fastrand::Rng,
    fleet: Fleet,
    glasses: BTreeMap<&'static str, PeerId>,
    apps: BTreeMap<(&'static str, &'static str), PeerId>,
    /// Starts that were requested and not answered.
    asked: Vec<u64>,
}

impl Crowded {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = RelaySettings {
            replay_unconfirmed: rng.bool(),
            flapping_limit: 0,
            ..RelaySettings::default()
        };
        let fleet = Fleet::tuned(settings, Some(Admission::Started), |options, config| {
            options.max_connections = rng.usize(1..8);
            little_memory(config);
        });
        Crowded {
            rng,
            fleet,
            glasses: BTreeMap::new(),
            apps: BTreeMap::new(),
            asked: Vec::new(),
        }
    }

    fn act(&mut self, step: u32) {
        let user = USERS[self.rng.usize(0..USERS.len())];
        let package = KNOWN[self.rng.usize(0..KNOWN.len())];
        let app = self.apps.get(&(user, package)).copied();
        let phone = self.glasses.get(user).copied();
        let (rng, fleet) = (&mut self.rng, &mut self.fleet);
        match rng.u8(0..14) {
            0 | 1 => {
                let peer = fleet.try_glasses(user);
                self.glasses.extend(peer.map(|peer| (user, peer)));
            }
            2 | 3 => {
                let peer = fleet.init(user, package, &format!("key-of-{package}"));
                self.apps.insert((user, package), peer);
            }
            4 | 5 => {
                if let Some(peer) = [app, phone][rng.usize(0..2)] {
                    lose(fleet, rng, peer);
                }
            }
            6 => fleet.advance(rng.u64(1..20_000)),
            7 => self.server_answers(),
            8 => self.app_subscribes(app),
            9 => {
                let kind = ["start_app", "stop_app"][rng.usize(0..2)];
                if let Some(peer) = phone.filter(|peer| fleet.is_open(*peer)) {
                    fleet.say(peer, json!({"type":kind,"packageName":package}));
                }
            }
            10 if step.is_multiple_of(5) => self.settings_change(),
            _ => {
                let frame = json!({"type":"said","text":"x".repeat(rng.usize(0..3_000))});
                for peer in [app, phone].into_iter().flatten() {
                    if fleet.is_open(peer) {
                        fleet.say(peer, frame.clone());
                    }
                }
            }
        }
    }

    fn server_answers(&mut self) {
        let (rng, fleet) = (&mut self.rng, &mut self.fleet);
        self.asked.extend(fleet.starts());
        if !self.asked.is_empty() {
            let number = self.asked.swap_remove(rng.usize(0..self.asked.len()));
            match rng.bool() {
                true => fleet.answer(number),
                false => fleet.fail(number, "down"),
            }
        }
    }

    fn app_subscribes(&mut self, app: Option<PeerId>) {
        let (rng, fleet) = (&mut self.rng, &mut self.fleet);
        if let Some(peer) = app.filter(|peer| fleet.is_open(*peer)) {
            let names: Vec<String> = (0..rng.usize(0..200))
                .map(|n| format!("{n:0100}"))
                .chain(["*".to_owned()])
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            fleet.subscribe(peer, &names);
        }
    }

    fn settings_change(&mut self) {
        let rng = &mut self.rng;
        let known = rng.usize(1..KNOWN.len() + 1);
        self.fleet.reload(&KNOWN[..known], |newer| {
            newer.max_connections = rng.usize(1..8);
            little_memory(&mut newer.engine);
        });
    }
}

fn little_memory(config: &mut Config) {
    config.max_message_bytes = 60 << 10;
    config.max_pending_bytes = ROOM;
    config.max_buffered_bytes = ROOM;
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
    let mut crowded = Crowded::new(seed);
    for step in 0..200 {
        crowded.act(step);
        let charged = crowded.fleet.charged();
        // Small entries are still accepted: a set of subscriptions, a place for each lost app.
        assert!(
            charged <= (ROOM + (8 << 10)) as u64,
            "seed {seed}: {charged} B"
        );
    }
    all_ends(&mut crowded.fleet, seed);
}
