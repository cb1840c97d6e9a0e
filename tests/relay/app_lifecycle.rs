//! Apps are started, lost, asked again and stopped.

use crate::fleet::{Fleet, button, texts};
use pulsegate::gateway::{
    APP_STOPPED, Admission, KickOutcome, RelaySettings, SESSION_ENDED, StartOutcome,
};
use pulsegate::{Cause, Micros};
use serde_json::json;

#[test]
fn a_started_app_is_asked_once_and_stopped_for_good() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let starts = fleet.starts();
    assert_eq!(starts.len(), 1, "single flight: {starts:?}");
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    fleet.drain(glasses);
    fleet.drain(app);
    fleet.say(glasses, json!({"type":"stop_app","packageName":"p.x"}));
    assert_eq!(texts(&fleet.texts(app)), ["app_stopped"]);
    fleet.advance(3_000);
    let end = fleet.ending(app);
    assert_eq!(
        (end.cause, &*end.reason, end.code.to_string()),
        (APP_STOPPED, "App stopped", "1000".to_owned())
    );
    assert!(texts(&fleet.texts(glasses)).contains(&"app_stopped".to_owned()));
    assert_eq!(fleet.stops(), 1);
    fleet.advance(60_000);
    assert_eq!(fleet.starts().len(), 0, "it is not asked back");
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["code"], "APP_NOT_STARTED");
}

#[test]
fn an_app_that_does_not_come_back_is_asked_once_when_its_grace_is_over() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    fleet.lose(app, "reset");
    fleet.advance(14_900);
    assert_eq!(fleet.starts().len(), 0);
    fleet.advance(200);
    let starts = fleet.starts();
    assert_eq!(starts.len(), 1);
    fleet.advance(120_000);
    assert_eq!(fleet.starts().len(), 0, "one is enough");
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    assert_eq!(fleet.cancelled(), starts, "no further attempt is wanted");
}

#[test]
fn an_app_is_not_asked_while_the_glasses_are_away() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    fleet.lose(glasses, "reset");
    fleet.lose(app, "reset");
    fleet.advance(20_000);
    assert_eq!(fleet.starts().len(), 0);
    fleet.glasses("ada@x.y");
    assert_eq!(fleet.starts().len(), 1);
}

#[test]
fn an_app_that_leaves_on_purpose_is_not_asked_back() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    // Also soon after its start: its server has answered, so no new connection is on its way.
    for ms in [100, 20_000] {
        let app = fleet.started(glasses, "ada@x.y", "p.x");
        fleet.advance(ms);
        fleet.say(
            app,
            json!({"type":"ownership_release","reason":"switching_clouds"}),
        );
        fleet.lose(app, "close");
        assert_eq!(fleet.stats().absent, [0, 0]);
        fleet.advance(60_000);
        assert_eq!(fleet.starts().len(), 0);
    }
}

#[test]
fn an_app_that_makes_room_for_the_connection_it_was_asked_for_is_let_in() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    // It comes back by itself just when its server was asked: the SDK then releases the connection
    // and opens another.
    fleet.lose(app, "reset");
    fleet.advance(15_100);
    assert_eq!(fleet.starts().len(), 1);
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    fleet.say(
        app,
        json!({"type":"ownership_release","reason":"switching_clouds"}),
    );
    fleet.lose(app, "close");
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    fleet.advance(60_000);
    assert!(fleet.is_open(app));
    assert_eq!(fleet.starts().len(), 0);
}

/// A server that has not answered in time may still act on the request; a server that was not asked
/// does not.
#[test]
fn what_became_of_a_start_says_whether_a_released_app_makes_room() {
    for (outcome, waited_for) in [("down", 1), ("cancelled", 0)] {
        let mut fleet = Fleet::closed(Admission::Started);
        let glasses = fleet.glasses("ada@x.y");
        let app = fleet.started(glasses, "ada@x.y", "p.x");
        fleet.lose(app, "reset");
        fleet.advance(15_100);
        let number = fleet.starts()[0];
        let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
        match outcome {
            "down" => fleet.fail(number, outcome),
            _ => fleet.done(number, StartOutcome::Cancelled),
        }
        assert!(fleet.is_open(app));
        fleet.say(app, json!({"type":"ownership_release","reason":"x"}));
        fleet.lose(app, "close");
        assert_eq!(fleet.stats().absent, [0, waited_for], "{outcome}");
    }
}

#[test]
fn an_app_that_may_not_come_yet_is_missed_only_when_it_may() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let mut app = fleet.started(glasses, "ada@x.y", "p.x");
    for _ in 0..15 {
        app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    }
    let refused = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(refused)["code"], "RECONNECTS_TOO_OFTEN");
    fleet.lose(app, "reset");
    fleet.advance(58_000);
    let stats = fleet.stats();
    assert_eq!((stats.absent[1], stats.expired_slots[1]), (1, 0));
    assert_eq!(fleet.starts().len(), 0);
    fleet.advance(3_000);
    let stats = fleet.stats();
    assert_eq!((stats.absent[1], stats.expired_slots[1]), (0, 1));
    assert_eq!(fleet.starts().len(), 1);
}

/// Glasses that wait as told find their session unchanged, even if the grace is shorter.
#[test]
fn glasses_that_flap_are_waited_for_until_they_may_come() {
    let mut fleet = Fleet::with(
        RelaySettings {
            glasses_grace: Micros::from_secs(5),
            ..RelaySettings::default()
        },
        Some(Admission::Started),
    );
    let first = fleet.glasses("ada@x.y");
    let app = fleet.started(first, "ada@x.y", "p.x");
    fleet.lose(first, "reset");
    while let Some(glasses) = fleet.try_glasses("ada@x.y") {
        fleet.lose(glasses, "reset");
    }
    fleet.advance(59_000);
    assert!(fleet.is_open(app), "the session is there");
    fleet.advance(1_500);
    let back = fleet.try_glasses("ada@x.y").expect("they may come");
    assert!(fleet.is_open(back) && fleet.is_open(app));
    // Glasses that never come back are not waited for without end.
    fleet.lose(back, "reset");
    fleet.advance(120_000);
    assert_eq!(fleet.ending(app).cause, SESSION_ENDED);
    assert_eq!(fleet.sessions(), 0);
}

/// A server that is asked again and again is asked at its current address.
#[test]
fn a_server_that_has_moved_is_asked_at_its_new_address() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    for package in ["p.x", "p.y"] {
        fleet.say(glasses, json!({"type":"start_app","packageName":package}));
    }
    let before = fleet.starts();
    assert_eq!(before.len(), 2);
    fleet.reload(&["p.x", "p.y"], |newer| {
        newer.credentials = crate::fleet::credentials_at(&["p.x"], &["p.y"], Admission::Started);
    });
    assert_eq!(fleet.cancelled(), before[..1], "p.y stands where it stood");
    let again = fleet.starts();
    assert_eq!(again.len(), 1);
    fleet.answer(before[0]);
    fleet.fail(again[0], "down");
    assert_eq!(
        texts(&fleet.texts(glasses)).last().map(String::as_str),
        Some("app_state_change")
    );
}

/// Lost places are kept as long as there is room for them; a place that may not be taken now is no
/// exception.
#[test]
fn apps_that_flap_wait_for_no_longer_than_there_is_room() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    fleet.reload(&["p.x", "p.y"], |newer| newer.max_connections = 1);
    let apps = ["p.x", "p.y"].map(|package| {
        let mut app = fleet.started(glasses, "ada@x.y", package);
        let key = format!("key-of-{package}");
        for _ in 0..15 {
            app = fleet.init("ada@x.y", package, &key);
            assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
        }
        let newer = fleet.init("ada@x.y", package, &key);
        assert_eq!(fleet.next(newer)["code"], "RECONNECTS_TOO_OFTEN");
        app
    });
    fleet.starts();
    fleet.lose(apps[0], "reset");
    assert_eq!((fleet.stats().absent[1], fleet.starts().len()), (1, 0));
    fleet.lose(apps[1], "reset");
    assert_eq!((fleet.stats().absent[1], fleet.starts().len()), (1, 1));
}

#[test]
fn a_kick_with_a_block_stops_an_app_and_one_without_does_not() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada");
    let [x, y] = ["p.x", "p.y"].map(|package| fleet.started(glasses, "ada", package));
    fleet.drain(glasses);
    let kick = |fleet: &mut Fleet, package: &str, block: Micros| {
        let app = fleet.net.with_io(|gateway, io| {
            let session = gateway.session("ada").expect("a session");
            let id = session.app(package).and_then(|app| app.view().conn());
            gateway.kick(io, id.expect("a connection"), "go away", block)
        });
        fleet.net.settle();
        app
    };
    // Without a block it is one more loss: the gateway waits for it.
    assert_eq!(
        kick(&mut fleet, "p.x", Micros::ZERO),
        KickOutcome::Done {
            blocked: false,
            partner: None
        }
    );
    fleet.expect_closing(x, Cause::KICKED, 4000);
    assert_eq!(&*fleet.ending(x).reason, "go away");
    assert_eq!((fleet.stops(), fleet.starts().len()), (0, 0));
    let x = fleet.init("ada", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(x)["type"], "tpa_connection_ack");
    // With a block it is stopped, and its server is not asked again.
    let hour = Micros::from_secs(3_600);
    assert_eq!(
        kick(&mut fleet, "p.x", hour),
        KickOutcome::Done {
            blocked: true,
            partner: None
        }
    );
    assert_eq!(texts(&fleet.texts(x)), ["app_stopped"]);
    fleet.expect_closing(x, Cause::KICKED, 1000);
    assert_eq!(&*fleet.ending(x).reason, "App stopped");
    assert_eq!(fleet.stops(), 1);
    let told = fleet.texts(glasses);
    assert_eq!(texts(&told), ["app_stopped", "app_state_change"]);
    fleet.advance(120_000);
    assert_eq!(fleet.starts(), [0; 0]);
    // Its user cannot start it either, and the other app is not affected.
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let told = fleet.texts(glasses);
    assert!(told.iter().any(|t| t.contains("blocked by the operator")));
    assert_eq!(fleet.starts(), [0; 0]);
    assert!(fleet.is_open(y) && fleet.silent(y));
}

#[test]
fn an_app_whose_server_is_down_is_reported_stopped() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    fleet.drain(glasses);
    let number = fleet.starts()[0];
    fleet.fail(number, "connection refused");
    let news = fleet.next(glasses);
    assert_eq!(
        (news["type"].as_str(), news["reason"].as_str()),
        (Some("app_stopped"), Some("connection refused"))
    );
    // The user tries again.
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    assert_eq!(fleet.starts().len(), 1);
}

#[test]
fn a_server_that_agrees_and_an_app_that_does_not_come() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let number = fleet.starts()[0];
    fleet.answer(number);
    fleet.advance(14_900);
    fleet.drain(glasses);
    fleet.advance(200);
    assert_eq!(fleet.next(glasses)["reason"], "the app did not connect");
}

#[test]
fn a_lost_app_that_its_user_starts_keeps_what_waits_for_it() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    fleet.subscribe(app, &["button_press"]);
    fleet.lose(app, "reset");
    fleet.say(glasses, button(1));
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    fleet.say(glasses, button(2));
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    let got: Vec<_> = fleet
        .texts(app)
        .iter()
        .filter_map(|t| crate::fleet::number(t))
        .collect();
    assert_eq!(got, [1, 2]);
    assert_eq!(fleet.starts().len(), 0, "none in its grace");
    assert_eq!(fleet.stats().resumes, [0, 1]);
}

#[test]
fn an_app_that_made_room_and_whose_new_connection_was_lost_on_its_way_is_asked_again() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    fleet.lose(app, "reset");
    fleet.advance(15_100);
    assert_eq!(fleet.starts().len(), 1);
    // It connects by itself, then hears that its server was asked, and makes room; the connection
    // that should follow never comes.
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    fleet.say(app, json!({"type":"ownership_release","reason":"x"}));
    fleet.lose(app, "close");
    fleet.advance(14_900);
    assert_eq!(fleet.starts().len(), 0);
    fleet.advance(200);
    let starts = fleet.starts();
    assert_eq!(starts.len(), 1, "it is no zombie");
    // A server that always agrees and an app that never connects are given up in the end.
    let mut number = starts[0];
    for again in 0..3 {
        fleet.answer(number);
        fleet.advance(15_100);
        let starts = fleet.starts();
        assert_eq!(starts.len(), usize::from(again < 2), "{again}");
        number = starts.first().copied().unwrap_or_default();
    }
    fleet.drain(glasses);
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["code"], "APP_NOT_STARTED");
}
