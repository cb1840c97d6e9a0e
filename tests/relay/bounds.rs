//! Everything that users and apps can make the relay keep is bounded.

use crate::fleet::{Fleet, button};
use crate::scenarios::{many, with_apps};
use pulsegate::Cause;
use pulsegate::gateway::{Admission, RelaySettings};
use serde_json::json;

#[test]
fn a_session_has_no_more_than_1000_apps() {
    let mut fleet = Fleet::open();
    let apps: Vec<_> = (0..1_000)
        .map(|n| fleet.app("ada", &format!("p.{n}")))
        .collect();
    let (status, _) = fleet.refused("/app-ws?user=ada&package=p.1000");
    assert_eq!(status, 503);
    let late = fleet.init("ada", "p.1000", "any");
    assert_eq!(fleet.next(late)["code"], "TOO_MANY_APPS");
    fleet.app("ada", "p.7");
    fleet.app("bob", "p.1000");
    assert!(apps.iter().filter(|app| fleet.is_open(**app)).count() == 999);
}

/// If 200 users start 300 apps each, there are no more places than the connection limit, and each
/// user is told.
#[test]
fn places_that_users_start_are_bounded_by_the_connections() {
    const MOST: u64 = 300;
    let packages = many(300);
    let mut fleet = with_apps(&packages, MOST as usize);
    let mut told = 0;
    for user in 0..200 {
        let glasses = fleet.glasses(&format!("u{user}"));
        fleet.drain(glasses);
        for package in &packages {
            fleet.say(glasses, json!({"type":"start_app","packageName":package}));
        }
        let refused = fleet.texts(glasses);
        told += refused.iter().filter(|t| t.contains("app_stopped")).count();
    }
    let places = fleet.net.with_io(|gateway, _| {
        let sessions = gateway.sessions_after(None).0;
        sessions.map(|(_, s)| s.apps.len() as u64).sum::<u64>()
    });
    assert!((MOST / 2..=MOST).contains(&places), "{places}");
    assert_eq!(told as u64, 200 * 300 - places);
    assert!(fleet.charged() >= places * 192);
    // Apps whose servers agree are waited for, within the same limit.
    for number in fleet.starts() {
        fleet.answer(number);
    }
    assert_eq!(fleet.stats().absent, [0, places]);
    fleet.charged();
    // Apps that had a connection still find room.
    let user = "u0";
    let glasses = fleet.glasses(user);
    let app = fleet.init(user, "p.0", "key-of-p.0");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    fleet.lose(app, "reset");
    assert_eq!(fleet.stats().absent, [0, places]);
    assert!(fleet.is_open(glasses));
    fleet.advance(60_000);
    assert_eq!(fleet.stats().absent[1], 0);
}

#[test]
fn a_state_file_makes_no_more_places_than_there_may_be_connections() {
    let apps = many(9);
    let sessions = (0..20).map(|user| {
        let apps = apps.iter().map(|p| p.as_str().into()).collect();
        (format!("u{user}").into(), apps)
    });
    let names: Vec<&str> = apps.iter().map(String::as_str).collect();
    let settings = RelaySettings::default();
    let mut fleet = Fleet::tuned(settings, Some(Admission::Started), |options, _| {
        options.credentials = crate::fleet::credentials(&names, Admission::Started);
        options.restored = sessions.collect();
        options.max_connections = 55;
    });
    assert_eq!(fleet.sessions(), 5, "of ten places each");
    assert!(fleet.charged() > 0);
    fleet.advance(70_000);
    assert_eq!((fleet.sessions(), fleet.charged()), (0, 0));
}

#[test]
fn how_often_a_user_starts_and_stops_apps_is_bounded() {
    let mut fleet = Fleet::closed(Admission::Started);
    let [ada, bob] = ["ada", "bob"].map(|user| fleet.glasses(user));
    fleet.drain(ada);
    for _ in 0..30 {
        fleet.say(ada, json!({"type":"start_app","packageName":"p.x"}));
        fleet.say(ada, json!({"type":"stop_app","packageName":"p.x"}));
    }
    assert_eq!((fleet.starts().len(), fleet.stops()), (30, 30));
    fleet.drain(ada);
    for _ in 0..100 {
        fleet.say(ada, json!({"type":"start_app","packageName":"p.x"}));
        let told = fleet.next(ada);
        assert_eq!(
            (&told["type"], &told["packageName"]),
            (&json!("app_stopped"), &json!("p.x"))
        );
        let why = told["reason"].as_str().unwrap_or_default();
        assert_eq!(
            why,
            "apps are started and stopped too often: try again in 1 s"
        );
        fleet.say(ada, json!({"type":"stop_app","packageName":"p.x"}));
        let told = fleet.next(ada);
        assert_eq!(
            (&told["type"], &told["code"]),
            (&json!("connection_error"), &json!("TOO_OFTEN"))
        );
    }
    assert_eq!((fleet.starts().len(), fleet.stops()), (0, 0));
    // Other glasses of the same user change nothing, and other users are not affected.
    let ada = fleet.glasses("ada");
    fleet.say(ada, json!({"type":"start_app","packageName":"p.x"}));
    fleet.say(bob, json!({"type":"start_app","packageName":"p.x"}));
    assert_eq!(fleet.starts().len(), 1);
    fleet.advance(1_000);
    fleet.say(ada, json!({"type":"start_app","packageName":"p.x"}));
    assert_eq!(fleet.starts().len(), 1);
}

/// The first message is refused for its type: a list of 74 000 entries costs nothing then, nor
/// later.
#[test]
fn a_long_list_is_not_read_to_its_end() {
    let entries = vec![r#"{"stream":""}"#; 74_000].join(",");
    let update = format!(r#"{{"type":"subscription_update","subscriptions":[{entries}]}}"#);
    let mut fleet = Fleet::open();
    let stranger = fleet.net.connect("/app-ws");
    let app = fleet.app("ada", "p.x");
    for (peer, cause) in [(stranger, Cause::FORBIDDEN), (app, Cause::FORBIDDEN)] {
        for _ in 0..5 {
            let mut counted = 0;
            fleet
                .net
                .send(peer, pulsegate::Message::text(update.as_str()));
            let allocated = allocation_counter::measure(|| fleet.net.settle());
            counted += allocated.count_total;
            assert!(counted < 1_000, "{counted} allocations");
        }
        fleet.expect_closing(peer, cause, 1008);
    }
}

/// Subscriptions without room are refused, and the previous ones stay.
#[test]
fn subscriptions_count_against_the_room_of_all() {
    let settings = RelaySettings::default();
    let mut fleet = Fleet::tuned(settings, None, |_, config| {
        // Four sets, and the message of the fifth, with the parsed copy of it.
        config.max_buffered_bytes = 480_000;
        config.max_pending_bytes = 300_000;
        config.max_message_bytes = 200_000;
    });
    let glasses = fleet.glasses("ada");
    let update = |n: usize| {
        let names: Vec<String> = (0..n).map(|n| format!("{n:0256}")).collect();
        json!({"type":"subscription_update","subscriptions":names})
    };
    let mut refused = 0;
    let apps: Vec<_> = (0..10)
        .map(|n| fleet.app("ada", &format!("p.{n}")))
        .collect();
    for app in &apps {
        fleet.say(
            *app,
            json!({"type":"subscription_update","subscriptions":["button_press"]}),
        );
        fleet.say(*app, update(256));
        let told = fleet.texts(*app);
        refused += usize::from(told.iter().any(|t| t.contains("NO_ROOM")));
        assert!(fleet.charged() <= 300_000);
    }
    assert_eq!(refused, 6, "66 560 bytes each");
    assert!(fleet.charged() > 4 * 66_560);
    fleet.say(glasses, button(1));
    let heard = apps.iter().filter(|app| !fleet.silent(**app)).count();
    assert_eq!(heard, refused);
    // A small set always finds room, and frees some.
    fleet.say(apps[0], update(1));
    assert!(fleet.silent(apps[0]));
    fleet.say(apps[9], update(256));
    assert!(fleet.silent(apps[9]));
    for app in apps {
        fleet.lose(app, "close");
    }
    fleet.lose(glasses, "close");
    fleet.advance(200_000);
    assert_eq!((fleet.sessions(), fleet.charged()), (0, 0));
}
