//! Reloads of the list of apps.

use crate::fleet::{Fleet, button};
use crate::scenarios::{OVERSHOOT, many_apps, restored_users};
use pulsegate::Micros;
use pulsegate::gateway::{APP_STOPPED, Admission, QUERY_UNITS};
use serde_json::json;

#[test]
fn an_app_that_is_taken_off_the_list_is_stopped() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    let other = fleet.started(glasses, "ada@x.y", "p.y");
    let away = fleet.started(glasses, "ada@x.y", "p.z");
    fleet.lose(away, "reset");
    fleet.reload_apps(&["p.y"]);
    assert_eq!(fleet.stops(), 2, "also the server of the one that is away");
    fleet.advance(3_000);
    assert_eq!(fleet.ending(app).cause, APP_STOPPED);
    assert!(fleet.is_open(other));
    fleet.say(glasses, button(1));
    let again = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(again)["code"], "INVALID_API_KEY");
}

#[test]
fn a_reload_stops_apps_over_many_turns_and_each_turn_does_its_share() {
    let mut fleet = Fleet::restored(restored_users(2_000));
    let packages = many_apps(&mut fleet);
    fleet.begin_reload(&["p.y"], |_| {});
    assert_eq!(fleet.stops(), 0, "nothing is done but in turns");
    let (mut stopped, mut turns) = (0, 0);
    while stopped < packages.len() + 2_000 {
        let units = fleet.turn();
        let stops = fleet.stops();
        assert!(stops <= 80, "{stops} in one turn");
        assert!(units <= u64::from(QUERY_UNITS) + OVERSHOOT, "{units} units");
        assert!(units > 0 || stops == 0, "{stops} stops for nothing");
        (stopped, turns) = (stopped + stops, turns + 1);
        assert!(turns < 10_000, "{stopped}");
    }
    fleet.rest();
    assert_eq!(fleet.stops(), 0, "each is told once");
    assert!(turns > 50, "{turns}");
    fleet.net.with_io(|gateway, _| {
        for (user, session) in gateway.sessions_after(None).0 {
            let left: Vec<&str> = session.apps.iter().map(|app| &*app.package).collect();
            let expected: &[&str] = if user.starts_with("ada") {
                &[]
            } else {
                &["p.y"]
            };
            assert_eq!(left, expected, "{user}");
        }
    });
}

#[test]
fn a_second_reload_meanwhile_loses_nothing_and_the_newest_list_judges() {
    let mut fleet = Fleet::restored(restored_users(2_000));
    let glasses = fleet.glasses("u1999");
    fleet.begin_reload(&["p.y", "p.z"], |_| {});
    for _ in 0..4 {
        fleet.turn();
    }
    let first = fleet.stops();
    assert!((1..1_000).contains(&first), "it is under way: {first}");
    // `p.x` is back before most were processed, and `p.y` is gone.
    fleet.begin_reload(&["p.x", "p.z"], |_| {});
    fleet.rest();
    assert!(fleet.is_open(glasses));
    assert_eq!(
        fleet.stops(),
        2_000,
        "every p.y, at the address that it had"
    );
    let (mut kept, mut gone) = (0, 0);
    fleet.net.with_io(|gateway, _| {
        for n in 0..2_000 {
            let session = gateway.session(&format!("u{n:04}"));
            assert!(session.is_none_or(|session| session.app("p.y").is_none()));
            match session.and_then(|session| session.app("p.x")) {
                Some(_) => kept += 1,
                None => gone += 1,
            }
        }
    });
    assert_eq!((kept, gone), (2_000 - first, first));
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.y"}));
    let told = fleet.texts(glasses);
    assert!(
        told.iter()
            .any(|text| text.contains("this app is not in APPS_FILE"))
    );
}

#[test]
fn an_app_that_its_user_stops_before_a_reload_has_come_to_it_is_told_where_it_was() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada");
    fleet.started(glasses, "ada", "p.x");
    fleet.stops();
    // The reload is known, and no app is processed yet.
    fleet.begin_reload(&["p.y"], |_| {});
    fleet.net.with_io(|gateway, io| {
        let session = gateway.session("ada").expect("a session");
        let id = session.app("p.x").and_then(|app| app.view().conn());
        gateway.kick(io, id.expect("a connection"), "", Micros::from_secs(60))
    });
    assert_eq!(fleet.stops(), 1);
    fleet.rest();
    assert_eq!(fleet.stops(), 0, "once");
}
