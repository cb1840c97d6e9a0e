//! Tests of parsing and writing frames of glasses and apps.

use super::fields::*;
use super::frames::RESERVED;
use super::replies::*;
use super::*;
use crate::base::json_fields::TOO_LONG;
use crate::host::mutation::mutate;

fn whole_data_stream(session: &str, stream: &str, frame: &str) -> String {
    let mut text = data_stream(session, stream, frame.len());
    text.push_str(frame);
    text.push(DATA_END);
    text
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

#[test]
fn users_and_packages_may_have_hyphens() {
    for (session, package, user) in [
        ("a@b.c-com.x", "com.x", Some("a@b.c")),
        (
            "anna-lena@ex-ample.org-com.my-app",
            "com.my-app",
            Some("anna-lena@ex-ample.org"),
        ),
        ("com.x", "com.x", None),
        ("-com.x", "com.x", None),
        ("a@b.ccom.x", "com.x", None),
        ("a@b.c-com.y", "com.x", None),
        ("a", "", None),
    ] {
        let text = format!(
            r#"{{"type":"tpa_connection_init","sessionId":"{session}","packageName":"{package}","apiKey":"k"}}"#
        );
        let Ok(AppFrame::Init(init)) = AppFrame::parse(&text, package) else {
            panic!("{text}");
        };
        assert_eq!(Init::parse(&text).as_ref(), Ok(&init));
        assert_eq!(init.user(package), user, "{text}");
        assert!(!format!("{init:?}").contains("\"k\""));
    }
}

#[test]
fn what_glasses_say() {
    let data = GlassesFrame::parse(r#"{"type":"button_press","buttonId":"a"}"#);
    assert_eq!(data, Ok(GlassesFrame::Data("button_press".into())));
    let start = GlassesFrame::parse(r#"{"packageName":"p","type":"start_app"}"#);
    assert_eq!(start, Ok(GlassesFrame::StartApp("p".into())));
    let ping = GlassesFrame::parse(r#" { "timestamp": 1, "type" : "ping" } "#);
    assert_eq!(ping, Ok(GlassesFrame::Ping));
    for malformed in [
        "",
        "ping",
        r#""ping""#,
        "[]",
        r#"["ping"]"#,
        r#"["button_press"]"#,
        "null",
        "{}",
        r#"{"kind":"ping"}"#,
        r#"{"type":1}"#,
        r#"{"type":"ping""#,
        r#"{"type":"a","type":"b"}"#,
        r#"{"type":"a"} {"type":"b"}"#,
        r#"{"type":"a","x":01}"#,
        "{\"type\":\"a\",\"x\":\"\n\"}",
    ] {
        assert!(GlassesFrame::parse(malformed).is_err(), "{malformed}");
        assert!(AppFrame::parse(malformed, "p").is_err(), "{malformed}");
        assert!(Init::parse(malformed).is_err(), "{malformed}");
    }
    let nothing = r#"{"type":"start_app"}"#;
    assert!(GlassesFrame::parse(nothing).is_err(), "start what?");
    let deep = format!(r#"{{"type":"a","x":{}}}"#, "[".repeat(100_000));
    assert!(GlassesFrame::parse(&deep).is_err());
}

#[test]
fn an_app_subscribes_by_name_and_by_object() {
    let update = |items: &str| {
        let text = format!(r#"{{"type":"subscription_update","subscriptions":[{items}]}}"#);
        match AppFrame::parse(&text, "p") {
            Ok(AppFrame::Subscribe(names)) => {
                Ok(names.iter().map(str::to_owned).collect::<Vec<_>>())
            }
            Ok(other) => panic!("{other:?}"),
            Err(e) => Err(e.0),
        }
    };
    assert_eq!(update(""), Ok(vec![]));
    assert_eq!(
        update(r#""VAD",{"stream":"location_stream","rate":"high"},"transcription","VAD""#),
        Ok(vec![
            "VAD".into(),
            "location_stream".into(),
            "transcription:en-US".into()
        ])
    );
    assert!(update("1").is_err());
    assert!(update(&vec![r#""x""#; 257].join(",")).is_err());
    assert!(update(&format!(r#""{}""#, "x".repeat(257))).is_err());
}

/// Parsing stops where a list exceeds its limit, wherever the list is and whatever follows, even if
/// that is not JSON.
#[test]
fn a_list_that_is_too_long_is_read_to_its_limit_only() {
    let many = vec![r#"{"stream":""}"#; 257].join(",");
    let wrong = Err(Malformed(TOO_MANY.to_owned()));
    let text = format!(r#"{{"type":"subscription_update","subscriptions":[{many},!!"#);
    assert_eq!(AppFrame::parse(&text, "p"), wrong);
    // The type after the list is searched, but the list is not built.
    let text = format!(r#"{{"subscriptions":[{many},1],"type":"subscription_update"}}"#);
    assert_eq!(AppFrame::parse(&text, "p"), wrong);
    let text = format!(r#"{{"subscriptions":[{many},1],"type":"custom"}}"#);
    assert_eq!(
        AppFrame::parse(&text, "p"),
        Ok(AppFrame::Request("custom".into()))
    );
    let long = "x".repeat(257);
    let escaped = "\\u0078".repeat(257);
    for item in [&*long, &*escaped] {
        for item in [format!(r#""{item}""#), format!(r#"{{"stream":"{item}"}}"#)] {
            let text = format!(r#"{{"type":"subscription_update","subscriptions":[{item},!!"#);
            assert_eq!(
                AppFrame::parse(&text, "p"),
                Err(Malformed(TOO_LONG.to_owned()))
            );
        }
    }
}

/// A first message of another type is rejected at its type: what follows is not even JSON.
#[test]
fn of_a_first_message_only_the_introduction_is_read() {
    for text in [
        r#"{"type":"subscription_update","subscriptions":[!!"#,
        r#"{"x":[{"y":1}],"type":"display_event",!!"#,
    ] {
        assert_eq!(Init::parse(text), Err(Malformed(NO_INIT.to_owned())));
    }
    let long = "x".repeat(1_000);
    for field in ["type", "sessionId", "packageName", "apiKey", "sdkVersion"] {
        let text = format!(r#"{{"{field}":"{long}",!!"#);
        let refused = Init::parse(&text).map_err(|e| e.0);
        assert_eq!(refused, Err(TOO_LONG.to_owned()), "{field}");
    }
    let sorted =
        r#"{"apiKey":"k","packageName":"p","sessionId":"a-p","type":"tpa_connection_init"}"#;
    let key = Init::parse(sorted).map(|init| init.api_key);
    assert_eq!(key, Ok(Some("k".into())));
    let twice =
        r#"{"type":"tpa_connection_init","packageName":"p","packageName":"q","sessionId":"a-p"}"#;
    assert!(Init::parse(twice).is_err());
}

/// A long introduction, of which only the fields are parsed, is judged as a short one.
#[test]
fn an_introduction_and_its_scanned_fields_say_the_same() {
    for (version, is_accepted) in [
        ("", true),
        (r#","sdkVersion":"3.0.1""#, true),
        (r#","sdkVersion":"2.0","sdkVersion":"3.0""#, false),
        (r#","sdkVersion":3"#, false),
    ] {
        let text =
            format!(r#"{{"type":"tpa_connection_init","sessionId":"a-p","apiKey":"k"{version}}}"#);
        let scanned = FieldScanner::new(APP_FIELDS).read(&text, text.len());
        let Ok(ScanProgress::Whole(fields)) = scanned else {
            panic!("{scanned:?}: {text}");
        };
        let (full, scanned) = (AppFrame::parse(&text, "p"), AppFrame::parse(&fields, "p"));
        assert_eq!(full.as_ref().ok(), scanned.as_ref().ok(), "{text}");
        assert_eq!(full.is_ok(), is_accepted, "{text}");
    }
}

#[test]
fn names_are_bounded_before_they_are_copied() {
    let long = "x".repeat(257);
    for text in [
        format!(r#"{{"type":"{long}"}}"#),
        format!(r#"{{"type":"start_app","packageName":"{long}"}}"#),
    ] {
        let refused = GlassesFrame::parse(&text);
        assert_eq!(refused, Err(Malformed(TOO_LONG.to_owned())));
        assert!(AppFrame::parse(&text, &long).is_err());
    }
}

#[test]
fn an_app_names_itself_or_no_app() {
    let parsed = |fields: &str| {
        let text = format!(r#"{{"type":"display_event"{fields}}}"#);
        AppFrame::parse(&text, "com.x").map(|_| ()).map_err(|e| e.0)
    };
    for fields in [
        "",
        r#","packageName":"com.x""#,
        r#","packageName":"com.\u0078""#,
        r#","packageName":null"#,
        r#","layout":{"packageName":"com.y"}"#,
    ] {
        assert_eq!(parsed(fields), Ok(()), "{fields}");
    }
    for fields in [
        r#","packageName":"com.y""#,
        r#","packageName":"""#,
        r#","packageN\u0061me":"com.y""#,
    ] {
        assert_eq!(parsed(fields), Err(OTHER_PACKAGE.to_owned()), "{fields}");
    }
    // A field that occurs twice is ambiguous.
    assert!(parsed(r#","packageName":"com.x","packageName":"com.y""#).is_err());
    assert!(parsed(r#","packageName":["com.y"]"#).is_err());
    assert!(parsed(r#","type":"auth_error""#).is_err());
}

#[test]
fn the_gateways_words_are_reserved_and_those_of_apps_are_not() {
    assert!(RESERVED.is_sorted());
    for kind in RESERVED {
        assert!(is_reserved(kind), "{kind}");
    }
    for kind in [
        "display_event",
        "dashboard_content_update",
        "dashboard_mode_change",
        "dashboard_system_update",
        "photo_request",
        "rtmp_stream_request",
        "rtmp_stream_stop",
        "managed_stream_request",
        "managed_stream_stop",
        "stream_status_check",
        "audio_play_request",
        "audio_stop_request",
        "rgb_led_control",
        "location_poll_request",
        "request_wifi_setup",
        "app_broadcast_message",
        "app_direct_message",
        "app_room_join",
        "app_room_leave",
        "anything_else",
    ] {
        assert!(!is_reserved(kind), "{kind}");
    }
}

#[test]
fn what_is_sent_is_json_whatever_the_names_are() {
    let odd = "a\"b\\c\n\u{202e}</script>";
    let data = json(&whole_data_stream(odd, odd, r#"{"type":"x","n":[1,2]}"#));
    assert_eq!(
        (data["sessionId"].as_str(), data["streamType"].as_str()),
        (Some(odd), Some(odd))
    );
    assert_eq!(data["data"]["n"][1], 2);
    let ack = json(&app_ack(odd, "p"));
    assert_eq!(ack["sessionId"], format!("{odd}-p"));
    assert!(ack["mentraosSettings"].is_object() && ack["settings"].is_array());
    for text in [
        connection_ack(odd),
        app_error("CODE", odd),
        glasses_error("CODE", odd),
        app_notice("app_stopped", odd, Some(odd)),
        app_state_change(odd, "running"),
        app_stopped(odd),
    ] {
        assert!(json(&text)["timestamp"].is_string(), "{text}");
    }
}

/// Mutated frames (bytes changed, cut, doubled, moved) never panic, and what is passed on is valid
/// JSON with the same meaning.
#[test]
fn whatever_comes_is_understood_whole_or_not_at_all() {
    const FRAMES: [&str; 7] = [
        r#"{"type":"button_press","buttonId":"main","pressType":"short","n":[1,2.5e3,null,true]}"#,
        r#"{"type":"start_app","packageName":"com.example.notes"}"#,
        r#"{"type":"tpa_connection_init","sessionId":"a-b","packageName":"b","apiKey":"k"}"#,
        r#"{"type":"subscription_update","subscriptions":["a",{"stream":"b","rate":"c"}]}"#,
        r#"{"type":"ownership_release","reason":"switching_clouds"}"#,
        r#"{"type":"transcription","text":"\u00e9\ud83d\udc53 \\ \" /"}"#,
        r#"{"type":"x","deep":[[[[{"a":{"b":[]}}]]]]}"#,
    ];
    let mut rng = fastrand::Rng::with_seed(6455);
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..60_000 {
        let Some(text) = mutate(&mut rng, &FRAMES) else {
            continue;
        };
        drop(AppFrame::parse(&text, "b"));
        drop(Init::parse(&text));
        match GlassesFrame::parse(&text) {
            Ok(GlassesFrame::Data(kind)) => {
                // Half a surrogate pair is valid JSON (RFC 8259 §8.2), but not a Rust string: it is
                // passed on unread.
                let Ok(said) = serde_json::from_str::<serde_json::Value>(&text) else {
                    assert!(text.contains("\\u"), "{text}");
                    continue;
                };
                let sent = json(&whole_data_stream("s", stream_of(&kind), &text));
                assert_eq!(sent["data"], said, "{text}");
                assert_eq!(
                    sent.as_object().map(serde_json::Map::len),
                    Some(5),
                    "{text}"
                );
                passed += 1;
            }
            Ok(_) => {}
            Err(_) => refused += 1,
        }
    }
    assert!(passed > 1_000 && refused > 1_000, "{passed} {refused}");
}
