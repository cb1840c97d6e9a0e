//! Glasses that are behind.

use crate::fleet::Fleet;
use pulsegate::Message;
use pulsegate::gateway::RelaySettings;
use pulsegate::testing::PeerId;
use serde_json::json;

/// Returns glasses that do not read, and an app that sends them more than may be queued.
fn behind() -> (Fleet, PeerId, PeerId) {
    let mut fleet = Fleet::tuned(RelaySettings::default(), None, |_, config| {
        config.max_message_bytes = 256 << 10;
        config.max_pending_bytes = 512 << 10;
    });
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.drain(glasses);
    fleet.net.set_window(glasses, Some(0));
    for n in 0..30 {
        let text = "x".repeat(100_000);
        let frame = json!({"type":"display_event","packageName":"p.x","n":n,"text":text});
        fleet.net.send(app, Message::text(frame.to_string()));
    }
    fleet.net.settle();
    (fleet, glasses, app)
}

#[test]
fn an_app_is_not_read_while_its_glasses_are_behind() {
    let (mut fleet, glasses, app) = behind();
    let (id, app_id) = (fleet.net.id(glasses), fleet.net.id(app));
    let pending = fleet.net.with_io(|_, io| io.pending(id));
    assert!((512 << 10..700 << 10).contains(&pending), "{pending}");
    let view = fleet.net.with_io(|_, io| io.view(app_id)).expect("open");
    assert!(view.paused, "the rest stays where it is");
    // They read again within the second: nothing is lost, nothing is closed.
    fleet.net.advance(900);
    let mut got = Vec::new();
    for _ in 0..100 {
        fleet.net.set_window(glasses, Some(50_000));
        fleet.net.advance(100);
        got.extend(fleet.texts(glasses));
    }
    let numbers: Vec<u64> = got
        .iter()
        .filter_map(|text| serde_json::from_str::<serde_json::Value>(text).ok()?["n"].as_u64())
        .collect();
    assert_eq!(numbers, (0..30).collect::<Vec<_>>());
    assert!(fleet.is_open(glasses) && fleet.is_open(app));
    let view = fleet.net.with_io(|_, io| io.view(app_id)).expect("open");
    assert!(!view.paused);
}

#[test]
fn an_app_is_read_again_when_its_glasses_are_gone_or_come_anew() {
    // They do not read for a second: a slow consumer.
    let (mut fleet, _, app) = behind();
    let app_id = fleet.net.id(app);
    fleet.net.advance(4_000);
    let view = fleet.net.with_io(|_, io| io.view(app_id)).expect("open");
    assert!(!view.paused);
    // Another connection of the same glasses takes over.
    let (mut fleet, _, app) = behind();
    let app_id = fleet.net.id(app);
    let again = fleet.glasses("ada");
    fleet.net.settle();
    let view = fleet.net.with_io(|_, io| io.view(app_id)).expect("open");
    assert!(!view.paused);
    assert!(fleet.is_open(again));
}
