//! A frame for many apps is delivered in steps.

use crate::fleet::{Fleet, button, number};
use crate::scenarios::{listeners, listening_apps};
use pulsegate::gateway::{DropReason, RelaySettings};
use pulsegate::testing::{client_frame, upgrade_request};
use pulsegate::{Cause, Io, Message, Micros};
use serde_json::json;

/// A frame for 500 apps is delivered over several turns, and the next one arrives after it, at
/// every app.
#[test]
fn a_frame_for_many_apps_is_delivered_in_steps_and_in_order() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let apps = listeners(&mut fleet, 500);
    for n in 1..=3 {
        let text = button(n).to_string();
        fleet.net.send(glasses, Message::text(text));
    }
    let (mut turns, mut reached) = (0, 0);
    while reached < 3 * 500 {
        let units = fleet.turn();
        assert!(units <= 300, "{units}");
        fleet.charged();
        let relayed = fleet.stats().relayed[1];
        assert!(
            turns == 0 || relayed - reached <= 300,
            "{relayed} {reached}"
        );
        (reached, turns) = (relayed, turns + 1);
        assert!(turns < 50, "{reached} in {turns} turns");
    }
    assert!(turns >= 5, "1 500 deliveries in {turns} turns");
    for app in &apps {
        let heard: Vec<_> = fleet.texts(*app).iter().map(|t| number(t)).collect();
        assert_eq!(heard, [Some(1), Some(2), Some(3)]);
    }
    assert_eq!(fleet.stats().unrouted, 0);
}

/// Frames that glasses have sent before they are lost, or replaced, still reach every app, before
/// their next frames.
#[test]
fn a_frame_under_way_survives_its_connection() {
    for end in ["reset", "takeover", "kick", "session"] {
        let settings = RelaySettings {
            glasses_grace: Micros::from_secs(if end == "session" { 0 } else { 60 }),
            ..RelaySettings::default()
        };
        let mut fleet = Fleet::with(settings, None);
        let glasses = fleet.glasses("ada");
        let apps = listeners(&mut fleet, 500);
        let before = fleet.stats().relayed[1];
        fleet
            .net
            .send(glasses, Message::text(button(1).to_string()));
        fleet.turn();
        let reached = fleet.stats().relayed[1] - before;
        assert!((1..500).contains(&reached), "{reached}");
        // An app that leaves, and one that joins, while the frame is being delivered.
        fleet.net.reset(apps[250]);
        match end {
            "reset" => fleet.net.reset(glasses),
            "takeover" => {
                let newer = fleet.glasses("ada");
                fleet.say(newer, button(2));
            }
            _ => {
                let id = fleet.net.id(glasses);
                fleet.net.with_io(|_, io| io.close(id, 4000, "kicked"));
                fleet.advance(10_000);
            }
        }
        fleet.rest();
        fleet.charged();
        for (n, app) in apps.iter().enumerate().filter(|(n, _)| *n != 250) {
            let heard: Vec<_> = fleet.texts(*app).iter().filter_map(|t| number(t)).collect();
            let all: &[u64] = if end == "takeover" { &[1, 2] } else { &[1] };
            assert_eq!(heard, all, "{end}: app {n}");
        }
        fleet.advance(200_000);
        let left = usize::from(end == "takeover");
        assert_eq!(fleet.sessions(), left, "{end}");
        assert!(left == 1 || fleet.charged() == 0, "{end}");
    }
}

/// Whatever else of the same user ends, the glasses hold their own frames.
#[test]
fn an_app_that_ends_leaves_the_frames_of_the_glasses_alone() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let apps = listening_apps(&mut fleet, 800);
    let reader = fleet.app("ada", "p.z");
    let text = format!(r#"{{"type":"a","n":[1{}]}}"#, ",1".repeat(60_000));
    fleet
        .net
        .write(reader, &client_frame(0x81, text.as_bytes()));
    let frame = json!({"type":"button_press","n":1,"text":"x".repeat(1_500)}).to_string();
    fleet
        .net
        .write(glasses, &client_frame(0x81, frame.as_bytes()));
    fleet.turn();
    let before = fleet.held();
    let successor = fleet.net.open_socket();
    let request = upgrade_request("/app-ws?user=ada&package=p.z");
    fleet.net.write(successor, request.as_bytes());
    fleet.turn();
    assert!(fleet.net.is_open(successor) && !fleet.net.is_open(reader));
    let after = fleet.held();
    assert!(after > 1_500 && after < before, "{before} B, {after} B");
    fleet.rest();
    for app in apps {
        assert_eq!(fleet.texts(app).len(), 1);
    }
}

/// A connection that is closed because memory is short takes its frames along. Otherwise they would
/// count for the relay, and other connections would be closed.
#[test]
fn frames_of_a_connection_that_is_closed_for_memory_are_given_up() {
    for (cause, given_up) in [(Cause::BUFFERS_FULL, 1), (Cause::KICKED, 0)] {
        let mut fleet = Fleet::open();
        let glasses = fleet.glasses("ada");
        let apps = listening_apps(&mut fleet, 800);
        let frame = json!({"type":"button_press","n":1,"text":"x".repeat(1_500)}).to_string();
        fleet
            .net
            .write(glasses, &client_frame(0x81, frame.as_bytes()));
        fleet.turn();
        assert!(fleet.held() > 1_500);
        let id = fleet.net.id(glasses);
        let close = |io: &mut Io<'_>| io.close_for(id, cause, cause.close_code(), "a test");
        fleet.net.with_io(|_, io| close(io));
        assert_eq!(fleet.held(), 0, "{cause}");
        fleet.rest();
        fleet.advance(200);
        fleet.rest();
        assert_eq!(
            fleet.stats().dropped[DropReason::NoRoom as usize],
            given_up,
            "{cause}"
        );
        let got = apps.iter().filter(|app| !fleet.texts(**app).is_empty());
        let got = got.count();
        assert_eq!(got == apps.len(), given_up == 0, "{cause}: {got} apps");
    }
}
