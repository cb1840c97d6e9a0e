//! Sessions: glasses that leave, come back or are replaced, and graces.

use crate::fleet::{Fleet, texts};
use crate::scenarios::many;
use pulsegate::gateway::{Admission, RelaySettings, SESSION_ENDED};
use pulsegate::{Cause, Micros, Policy};
use serde_json::json;

#[test]
fn glasses_that_do_not_come_back_end_the_session() {
    let (mut fleet, glasses, app) = Fleet::with_app();
    fleet.lose(glasses, "reset");
    fleet.advance(59_900);
    assert!(fleet.is_open(app));
    fleet.advance(200);
    let last = fleet.texts(app);
    assert!(
        last.last().is_some_and(|t| t.contains("app_stopped")),
        "{last:?}"
    );
    fleet.advance(3_000);
    let end = fleet.ending(app);
    assert_eq!(
        (end.cause, &*end.reason),
        (SESSION_ENDED, "User session ended")
    );
    assert_eq!(end.code.to_string(), "1000");
    assert_eq!(fleet.sessions(), 0);
    assert_eq!(fleet.stats().absent, [0, 0]);
}

#[test]
fn newer_glasses_replace_older_ones_with_4003_and_the_late_end_changes_nothing() {
    let (mut fleet, first, app) = Fleet::with_app();
    fleet.net.mute(first);
    let second = fleet.glasses("ada");
    fleet.advance(3_000);
    let end = fleet.ending(first);
    assert_eq!(
        (end.cause, end.code.to_string()),
        (Cause::REPLACED, "4003".to_owned())
    );
    fleet.drain(second);
    fleet.say(app, json!({"type":"display_event","n":1}));
    assert_eq!(fleet.texts(second).len(), 1);
    assert_eq!(fleet.stats().takeovers, [1, 0]);
    fleet.advance(70_000);
    assert!(
        fleet.is_open(app) && fleet.is_open(second),
        "no grace runs out for who is here"
    );
}

#[test]
fn a_stale_peer_that_is_back_within_a_second_was_no_ghost() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    fleet.lose(glasses, "freeze");
    fleet.glasses("ada");
    assert_eq!(fleet.stats().false_deaths, [1, 0]);
    assert_eq!(fleet.stats().absence.count(), 1);
    // The peer may notice the loss a close timeout later.
    let told = Policy::default().close_timeout.as_millis();
    for (after, counted) in [(told + 900, 1), (told + 1_100, 0)] {
        let mut fleet = Fleet::open();
        let glasses = fleet.glasses("ada");
        fleet.lose(glasses, "freeze");
        fleet.advance(after);
        fleet.glasses("ada");
        assert_eq!(fleet.stats().false_deaths, [counted, 0], "{after} ms");
    }
}

#[test]
fn the_grace_of_a_place_can_be_none() {
    let settings = RelaySettings {
        glasses_grace: Micros::ZERO,
        app_grace: Micros::ZERO,
        ..RelaySettings::default()
    };
    let mut fleet = Fleet::with(settings, Some(Admission::Started));
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    fleet.lose(app, "reset");
    assert_eq!(fleet.starts().len(), 1, "asked at once");
    fleet.lose(glasses, "reset");
    assert_eq!(fleet.sessions(), 0);
}

/// One session with a thousand apps ends over several turns.
#[test]
fn a_session_of_1000_apps_ends_a_few_at_a_time() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let apps: Vec<_> = (0..1_000)
        .map(|n| fleet.app("ada", &format!("p.{n}")))
        .collect();
    for app in &apps {
        fleet.say(
            *app,
            json!({"type":"subscription_update","subscriptions":["*"]}),
        );
    }
    fleet.lose(glasses, "reset");
    // Some of them are lost, and are charged with the frames that wait.
    for app in &apps[..100] {
        fleet.net.reset(*app);
    }
    fleet.advance(59_000);
    let mut most = 0;
    let mut told = 100;
    while told < 1_000 {
        fleet.advance(5);
        fleet.charged();
        let open = apps.iter().filter(|app| fleet.is_open(**app)).count();
        most = most.max(1_000 - open - told);
        told = 1_000 - open;
    }
    assert!((10..=100).contains(&most), "{most} in one turn");
    assert_eq!((fleet.sessions(), fleet.charged()), (0, 0));
    assert_eq!(fleet.stats().absent, [0, 0]);
    for app in &apps[100..] {
        assert_eq!(
            texts(&fleet.texts(*app)).last().map(String::as_str),
            Some("app_stopped")
        );
        fleet.expect_closed(*app, SESSION_ENDED);
    }
}

/// An app that is started again while its previous session is still ending is not stopped by that.
#[test]
fn a_new_session_is_not_ended_with_the_one_before() {
    let packages = many(500);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let settings = RelaySettings::default();
    let mut fleet = Fleet::tuned(settings, Some(Admission::Started), |options, _| {
        options.credentials = crate::fleet::credentials(&names, Admission::Started);
        options.restored = vec![("ada".into(), names.iter().map(|p| Box::from(*p)).collect())];
    });
    while fleet.sessions() > 0 {
        fleet.advance(5);
    }
    let before = fleet.stops();
    assert!((1..100).contains(&before), "{before}");
    // The last of the list is told last.
    let glasses = fleet.glasses("ada");
    let app = fleet.started(glasses, "ada", "p.99");
    fleet.advance(1_000);
    assert_eq!(before + fleet.stops(), 499);
    assert!(fleet.is_open(app));
    assert!(fleet.charged() < 500);
}

/// A thousand apps that wait for their glasses are asked over several turns.
#[test]
fn apps_that_waited_for_their_glasses_are_asked_a_few_at_a_time() {
    let packages = many(1_000);
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    let settings = RelaySettings::default();
    let mut fleet = Fleet::tuned(settings, Some(Admission::Started), |options, _| {
        options.credentials = crate::fleet::credentials(&names, Admission::Started);
        options.restored = vec![("ada".into(), names.iter().map(|p| Box::from(*p)).collect())];
    });
    fleet.glasses("ada");
    let (mut asked, mut most) = (0, 0);
    for _ in 0..1_000 {
        let now = fleet.starts().len();
        asked += now;
        most = most.max(now);
        fleet.advance(5);
    }
    assert_eq!(asked, 1_000);
    assert!((1..=100).contains(&most), "{most} in one turn");
    fleet.charged();
}

/// Graces that end at the same moment end over several turns.
#[test]
fn a_thousand_graces_end_over_several_turns() {
    let mut fleet = Fleet::open();
    let glasses: Vec<_> = (0..1_000)
        .map(|n| fleet.glasses(&format!("u{n}")))
        .collect();
    for glasses in glasses {
        fleet.net.reset(glasses);
    }
    fleet.net.settle();
    assert_eq!(fleet.stats().absent[0], 1_000);
    let (mut most, mut before) = (0, 1_000);
    fleet.advance(59_900);
    while before > 0 {
        fleet.advance(5);
        let now = fleet.sessions();
        most = most.max(before - now);
        before = now;
    }
    assert!(most <= 64, "{most} in one turn");
    assert_eq!(fleet.charged(), 0);
}
