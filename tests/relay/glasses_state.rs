//! Apps are told that the connection of their glasses was lost, and that the glasses are back.

use crate::fleet::{Fleet, button, json};
use crate::scenarios::listening_apps;
use pulsegate::gateway::RelaySettings;
use pulsegate::testing::PeerId;

fn fleet(is_on: bool) -> Fleet {
    let relay = RelaySettings {
        glasses_connection_state: is_on,
        ..RelaySettings::default()
    };
    Fleet::with(relay, None)
}

/// Returns the states that an app was told since the last call, and asserts their form.
#[track_caller]
fn states(fleet: &mut Fleet, app: PeerId) -> Vec<String> {
    let texts = fleet.texts(app);
    let frames = texts.iter().map(|text| json(text));
    let told = frames.filter(|frame| frame["streamType"] == "glasses_connection_state");
    told.map(|frame| {
        assert_eq!(frame["type"], "data_stream");
        let data = &frame["data"];
        assert_eq!(data["type"], "glasses_connection_state");
        assert_eq!(data["modelName"], "");
        assert_eq!(data["source"], "gateway");
        assert!(data["timestamp"].is_string(), "{data}");
        data["status"].as_str().expect("a word").to_owned()
    })
    .collect()
}

#[test]
fn subscribed_apps_are_told_at_the_loss_and_at_the_return() {
    for cut in ["reset", "freeze", "close"] {
        let mut fleet = fleet(true);
        let mut glasses = fleet.glasses("ada");
        let [told, other] = ["p.x", "p.y"].map(|package| fleet.app("ada", package));
        fleet.subscribe(told, &["glasses_connection_state"]);
        fleet.subscribe(other, &["button_press"]);
        assert_eq!(states(&mut fleet, told), [""; 0], "nothing has changed");
        for _ in 0..3 {
            fleet.lose(glasses, cut);
            assert_eq!(states(&mut fleet, told), ["DISCONNECTED"], "{cut}");
            fleet.advance(4_500);
            glasses = fleet.glasses("ada");
            assert_eq!(states(&mut fleet, told), ["CONNECTED"], "{cut}");
        }
        assert!(fleet.silent(other), "it has not asked");
        assert_eq!(fleet.stats().unrouted, 0);
    }
}

#[test]
fn without_the_setting_nothing_is_told() {
    let mut fleet = fleet(false);
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.subscribe(app, &["*"]);
    fleet.lose(glasses, "reset");
    fleet.glasses("ada");
    assert!(fleet.silent(app));
}

/// The newer connection is there before the older one is gone: nothing was lost.
#[test]
fn a_takeover_is_no_loss() {
    let mut fleet = fleet(true);
    fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.subscribe(app, &["glasses_connection_state"]);
    fleet.glasses("ada");
    fleet.advance(3_000);
    assert_eq!(states(&mut fleet, app), [""; 0]);
}

/// An app that is away is told when it comes back.
#[test]
fn an_absent_app_is_told_later() {
    let mut fleet = fleet(true);
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.subscribe(app, &["glasses_connection_state"]);
    fleet.lose(app, "reset");
    fleet.lose(glasses, "reset");
    let app = fleet.app_again("ada", "p.x");
    assert_eq!(states(&mut fleet, app), ["DISCONNECTED"]);
}

/// A session with very many apps: they are told over several turns, behind the frames that the
/// glasses have sent.
#[test]
fn many_apps_are_told_behind_the_last_frames_of_the_glasses() {
    let mut fleet = fleet(true);
    let glasses = fleet.glasses("ada");
    let apps = listening_apps(&mut fleet, 300);
    for app in &apps {
        fleet.drain(*app);
    }
    fleet.say(glasses, button(1));
    fleet.lose(glasses, "reset");
    fleet.advance(1_000);
    for app in apps {
        let texts = fleet.texts(app);
        let kinds: Vec<_> = texts
            .iter()
            .map(|text| json(text)["streamType"].clone())
            .collect();
        assert_eq!(kinds, ["button_press", "glasses_connection_state"]);
    }
}
