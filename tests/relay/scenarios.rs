//! Scenarios of the relay's tests: fleets with many apps, users or listeners.

use crate::fleet::Fleet;
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::testing::PeerId;
use serde_json::json;

/// Returns a session whose app listens to buttons; frames in doubt are sent again, or not.
pub fn pressed(replay_unconfirmed: bool) -> (Fleet, PeerId, PeerId) {
    let relay = RelaySettings {
        replay_unconfirmed,
        ..RelaySettings::default()
    };
    let mut fleet = Fleet::with(relay, None);
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.subscribe(app, &["button_press"]);
    (fleet, glasses, app)
}

/// Returns users with the apps `p.x` and `p.y`, and 20 users with 50 others each, all lost and
/// waited for.
pub fn many_apps(fleet: &mut Fleet) -> Vec<String> {
    let packages: Vec<String> = (0..1_000).map(|n| format!("q.{n}")).collect();
    let mut known: Vec<&str> = packages.iter().map(|package| &**package).collect();
    known.extend(["p.x", "p.y"]);
    fleet.reload_apps(&known);
    for (nth, packages) in packages.chunks(50).enumerate() {
        let glasses = fleet.glasses(&format!("ada{nth}"));
        for package in packages {
            fleet.say(glasses, json!({"type":"start_app","packageName":package}));
        }
        fleet.drain(glasses);
    }
    assert_eq!(fleet.starts().len(), packages.len());
    packages
}

pub fn restored_users(users: usize) -> Vec<(Box<str>, Vec<Box<str>>)> {
    let apps = || vec!["p.x".into(), "p.y".into()];
    (0..users)
        .map(|n| (format!("u{n:04}").into(), apps()))
        .collect()
}

pub fn many(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("p.{n}")).collect()
}

/// Returns a gateway with these apps, and this `MAX_CONNECTIONS`.
pub fn with_apps(packages: &[String], max_connections: usize) -> Fleet {
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    Fleet::tuned(
        RelaySettings::default(),
        Some(Admission::Started),
        |options, _| {
            options.max_connections = max_connections;
            options.credentials = crate::fleet::credentials(&names, Admission::Started);
        },
    )
}

/// Connects `n` apps of one user that subscribe to everything.
pub fn listeners(fleet: &mut Fleet, n: usize) -> Vec<PeerId> {
    let app = |n: usize| {
        let app = fleet.app("ada", &format!("p.{n:04}"));
        fleet.subscribe(app, &["*"]);
        fleet.drain(app);
        app
    };
    (0..n).map(app).collect()
}

/// Connects apps of ada that subscribe to every stream.
pub fn listening_apps(fleet: &mut Fleet, count: usize) -> Vec<PeerId> {
    let update = json!({"type":"subscription_update","subscriptions":["*"]});
    (0..count)
        .map(|n| {
            let app = fleet.app("ada", &format!("p.{n:03}"));
            fleet.say(app, update.clone());
            app
        })
        .collect()
}

/// The units by which a slice may exceed its budget: its last step.
pub const OVERSHOOT: u64 = 5;
