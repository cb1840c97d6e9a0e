//! What an app may send.

use crate::fleet::{Fleet, button, texts};
use pulsegate::Cause;
use pulsegate::gateway::{Admission, AppRegistry, Credentials};
use serde_json::json;

#[test]
fn an_app_cannot_speak_as_the_gateway() {
    const FORGED: [&str; 14] = [
        "auth_error",
        "connection_ack",
        "connection_error",
        "app_started",
        "app_stopped",
        "app_state_change",
        "pong",
        "reconnect",
        "settings_update",
        "microphone_state_change",
        "set_location_tier",
        "augmentos_settings_update",
        "tpa_connection_ack",
        "data_stream",
    ];
    let (mut fleet, glasses, app) = Fleet::with_app();
    fleet.drain(glasses);
    for forged in FORGED {
        fleet.say(app, json!({"type":forged,"packageName":"p.x"}));
    }
    assert!(fleet.silent(glasses));
    assert!(
        fleet.is_open(app),
        "it is dropped, and counted, and no more"
    );
    assert_eq!(fleet.stats().forbidden, FORGED.len() as u64);
    // Messages that apps send according to the contract.
    let said = [
        "display_event",
        "dashboard_content_update",
        "photo_request",
        "audio_play_request",
        "audio_stop_request",
        "rgb_led_control",
    ];
    for kind in said {
        fleet.say(app, json!({"type":kind,"packageName":"p.x","sessionId":""}));
    }
    assert_eq!(texts(&fleet.texts(glasses)), said);
}

#[test]
fn an_app_cannot_speak_as_another_app() {
    let (mut fleet, glasses, app) = Fleet::with_app();
    fleet.app("ada", "p.y");
    fleet.drain(glasses);
    let frames = [
        r#"{"type":"display_event","packageName":"p.y"}"#,
        r#"{"packageName":"p.y","type":"subscription_update","subscriptions":["*"]}"#,
        r#"{"type":"display_event","packageN\u0061me":"p.y"}"#,
        r#"{"type":"display_event","packageName":"p.x","packageName":"p.y"}"#,
    ];
    for frame in frames {
        fleet.say_text(app, frame);
        assert_eq!(fleet.next(app)["code"], "MALFORMED_MESSAGE", "{frame}");
    }
    fleet.say(glasses, button(1));
    assert!(fleet.silent(glasses) && fleet.silent(app));
    assert_eq!(fleet.stats().malformed, 4);
    fleet.say(app, json!({"type":"display_event","packageName":"p.x"}));
    fleet.say(app, json!({"type":"display_event"}));
    assert_eq!(fleet.texts(glasses).len(), 2);
    fleet.say_text(app, frames[0]);
    fleet.expect_closing(app, Cause::FORBIDDEN, 1008);
}

#[test]
fn an_app_with_a_list_sends_only_what_is_on_it() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    let reload = |fleet: &mut Fleet, apps: serde_json::Value| {
        let apps = AppRegistry::parse(apps.to_string().as_bytes()).expect("apps");
        fleet.reload(&[], |newer| {
            let secret = Some(crate::fleet::SECRET);
            newer.credentials =
                Credentials::new(secret, Some(apps), Admission::Started, Vec::new());
        });
    };
    let said = |fleet: &mut Fleet| {
        fleet.drain(glasses);
        for kind in ["display_event", "photo_request", "settings_update"] {
            fleet.say(app, json!({"type":kind,"packageName":"p.x"}));
        }
        texts(&fleet.texts(glasses))
    };
    assert_eq!(said(&mut fleet), ["display_event", "photo_request"]);
    let listed =
        |may_send: serde_json::Value| json!([{"package":"p.x","api_key":"k","may_send":may_send}]);
    reload(
        &mut fleet,
        listed(json!(["display_event", "settings_update"])),
    );
    // Types that are reserved for the gateway stay reserved.
    assert_eq!(said(&mut fleet), ["display_event"]);
    reload(&mut fleet, listed(json!([])));
    assert!(said(&mut fleet).is_empty());
    assert!(fleet.is_open(app));
    assert_eq!(fleet.stats().forbidden, 1 + 2 + 3);
    // Requests of an app to the gateway are not subject to the list.
    fleet.subscribe(app, &["*"]);
    fleet.say(glasses, button(1));
    assert_eq!(
        texts(&fleet.texts(app)).last().map(String::as_str),
        Some("data_stream")
    );
    reload(&mut fleet, listed(serde_json::Value::Null));
    assert_eq!(said(&mut fleet), ["display_event", "photo_request"]);
}
