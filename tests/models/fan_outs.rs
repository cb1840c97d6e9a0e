//! A model of frames for many apps, and of large texts, which take several steps each. Connections
//! come and go meanwhile.

use crate::fleet::{Fleet, number};
use pulsegate::Message;
use pulsegate::gateway::RelaySettings;
use pulsegate::testing::{PeerId, client_frame, upgrade_request};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const USER: &str = "ada";

/// The state of the model.
struct Model {
    rng: fastrand::Rng,
    fleet: Fleet,
    glasses: PeerId,
    apps: Vec<App>,
    /// The number of the last frame.
    sent: u64,
    /// Frames that must reach every app: their connection stayed open until they were processed.
    owed: Vec<u64>,
    /// Frames since everything was last processed.
    recent: Vec<u64>,
}

/// An app that stays connected.
struct App {
    peer: PeerId,
    wants: bool,
    /// Frames with higher numbers are for it.
    since: u64,
    got: Vec<u64>,
}

/// Runs one seed.
///
/// # Errors
/// The first promise of `docs/relay.md` that was broken. Every app that wants a frame gets it once
/// and in order, or no app gets it and its connection is gone. The account is exact, and in the end
/// nothing is left.
pub fn run(seed: u64) -> Result<(), String> {
    let mut model = Model::new(seed);
    for _ in 0..40 {
        model.act();
        model.fleet.charged();
        model.fleet.net.check()?;
        let (kept, held) = (
            model.fleet.held(),
            model.fleet.net.engine().stats().held_bytes,
        );
        if kept > held {
            return Err(format!(
                "the relay keeps {kept} B, connections hold {held} B"
            ));
        }
    }
    model.rest();
    model.judge()?;
    model.all_leave()
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let settings = RelaySettings {
            flapping_limit: 0,
            ..RelaySettings::default()
        };
        let mut fleet = Fleet::with(settings, None);
        let glasses = fleet.glasses(USER);
        let mut model = Model {
            fleet,
            glasses,
            apps: Vec::new(),
            sent: 0,
            owed: Vec::new(),
            recent: Vec::new(),
            rng: rng.fork(),
        };
        for _ in 0..rng.usize(40..160) {
            model.join();
        }
        model
    }

    fn act(&mut self) {
        match self.rng.u8(0..18) {
            0 => {
                self.rest();
                self.join();
            }
            1 => self.lose_glasses(),
            2 => self.come_back(),
            3 => {
                let ms = self.rng.u64(1..50);
                self.fleet.advance(ms);
            }
            4 => self.rest(),
            5..=8 => self.fleet.net.run_turn(),
            9 | 10 => self.intrude(),
            _ => self.say(),
        }
    }

    /// An app sends a text that takes some time to read, and takes over the place of its older
    /// connection, which may still be reading one.
    fn intrude(&mut self) {
        let app = self.fleet.app_again(USER, "q");
        let ones = vec!["1"; self.rng.usize(1_000..60_000)].join(",");
        let text = format!(r#"{{"type":"x","ones":[{ones}]}}"#);
        self.fleet
            .net
            .write(app, &client_frame(0x81, text.as_bytes()));
        self.fleet.net.run_turn();
        if self.rng.bool() {
            self.fleet.net.mute(app);
        }
    }

    /// Connects an app that wants every frame, or none.
    fn join(&mut self) {
        // Its position among the others is random.
        let package = format!("p.{:04}.{}", self.rng.u16(0..10_000), self.apps.len());
        let peer = self.fleet.app(USER, &package);
        let wants = self.rng.u8(0..8) > 0;
        let streams = if wants {
            json!(["button_press"])
        } else {
            json!([])
        };
        let update = json!({"type":"subscription_update","subscriptions":streams});
        self.fleet.say(peer, update);
        self.apps.push(App {
            peer,
            wants,
            since: self.sent,
            got: Vec::new(),
        });
    }

    /// The glasses send one frame, or several in one write; small ones and large ones.
    fn say(&mut self) {
        if !self.fleet.is_open(self.glasses) {
            return;
        }
        let mut bytes = Vec::new();
        for _ in 0..self.rng.u8(1..6) {
            self.sent += 1;
            self.recent.push(self.sent);
            let length = match self.rng.u8(0..30) {
                0 => 300_000,
                1..10 => self.rng.usize(2_000..40_000),
                _ => self.rng.usize(0..100),
            };
            let text = self.frame(length).to_string();
            bytes.extend(client_frame(0x81, text.as_bytes()));
        }
        self.fleet.net.write(self.glasses, &bytes);
    }

    fn frame(&self, length: usize) -> Value {
        json!({"type":"button_press","n":self.sent,"text":"x".repeat(length)})
    }

    /// Waits until everything under way has arrived, or is lost with its connection.
    fn rest(&mut self) {
        // Chores are done between two ticks.
        self.fleet.rest();
        self.fleet.advance(20);
        self.fleet.rest();
        if self.fleet.is_open(self.glasses) {
            self.owed.append(&mut self.recent);
        }
        self.recent.clear();
        self.read();
    }

    fn lose_glasses(&mut self) {
        match self.rng.u8(0..3) {
            0 => self.fleet.net.reset(self.glasses),
            1 => self.fleet.net.half_close(self.glasses),
            _ => self.fleet.net.send(self.glasses, Message::Close(None)),
        }
        self.recent.clear();
    }

    /// Connects other glasses of the user, whatever the older ones are doing. It takes one turn, in
    /// which the older ones do not finish.
    fn come_back(&mut self) {
        self.recent.clear();
        self.glasses = self.fleet.net.open_socket();
        let request = upgrade_request(&format!("/glasses-ws?user={USER}"));
        self.fleet.net.write(self.glasses, request.as_bytes());
        self.fleet.net.run_turn();
    }

    fn read(&mut self) {
        for app in &mut self.apps {
            let texts = self.fleet.texts(app.peer);
            app.got.extend(texts.iter().filter_map(|text| number(text)));
        }
    }

    fn judge(&mut self) -> Result<(), String> {
        self.read();
        let mut reached: BTreeSet<u64> = self.owed.iter().copied().collect();
        reached.extend(self.apps.iter().flat_map(|app| &app.got));
        for (at, app) in self.apps.iter().enumerate() {
            let expected: Vec<u64> = reached
                .iter()
                .copied()
                .filter(|n| app.wants && *n > app.since)
                .collect();
            if app.got != expected {
                return Err(format!("app {at} got {:?}, not {expected:?}", app.got));
            }
        }
        Ok(())
    }

    fn all_leave(mut self) -> Result<(), String> {
        let last = self.fleet.net.open_socket();
        (0..=last.0).for_each(|n| self.fleet.net.mute(PeerId(n)));
        self.fleet.advance(200_000);
        let left = (
            self.fleet.sessions(),
            self.fleet.charged(),
            self.fleet.net.engine().stats().buffered_bytes(),
        );
        match left {
            (0, 0, 0) => Ok(()),
            _ => Err(format!(
                "sessions, charged and buffered bytes left: {left:?}"
            )),
        }
    }
}
