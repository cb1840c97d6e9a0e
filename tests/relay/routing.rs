//! Frames reach those that subscribed, unchanged.

use crate::fleet::{Fleet, button};
use crate::scenarios::listeners;
use pulsegate::Message;
use pulsegate::gateway::DropReason;
use pulsegate::testing::client_frame;
use serde_json::json;

#[test]
fn a_frame_of_the_glasses_reaches_exactly_the_subscribers() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    assert_eq!(fleet.next(glasses)["type"], "connection_ack");
    let [exact, all, none] = ["p.exact", "p.all", "p.none"].map(|p| fleet.app("ada", p));
    let other = fleet.app("bob", "p.all");
    fleet.subscribe(exact, &["button_press"]);
    fleet.subscribe(all, &["*"]);
    fleet.subscribe(other, &["*"]);
    fleet.subscribe(none, &["button_presses"]);
    fleet.say(glasses, button(7));
    for app in [exact, all] {
        let got = fleet.next(app);
        assert_eq!(got["type"], "data_stream");
        assert_eq!(got["streamType"], "button_press");
        assert_eq!(got["sessionId"], "ada");
        assert_eq!(got["data"], button(7), "it is passed on as it was");
    }
    assert!(fleet.silent(none) && fleet.silent(other));
    // A replaced set keeps nothing of the old one.
    fleet.say(
        exact,
        json!({"type":"subscription_update","subscriptions":[{"stream":"VAD","rate":"x"}]}),
    );
    fleet.say(glasses, button(8));
    assert!(fleet.silent(exact));
    fleet.say(glasses, json!({"type":"VAD","status":true}));
    assert_eq!(fleet.next(exact)["data"]["status"], true);
}

#[test]
fn binary_goes_to_audio_subscribers_and_bare_transcription_is_named() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let [audio, words] = ["p.audio", "p.words"].map(|p| fleet.app("ada", p));
    fleet.subscribe(audio, &["audio_chunk"]);
    fleet.subscribe(words, &["transcription:en-US"]);
    fleet.binary(glasses, &[1, 2, 3]);
    assert_eq!(fleet.binaries(audio), vec![vec![1, 2, 3]]);
    assert!(fleet.silent(words));
    fleet.say(glasses, json!({"type":"transcription","text":"hello"}));
    let got = fleet.next(words);
    assert_eq!(got["streamType"], "transcription:en-US");
    assert_eq!(got["data"]["text"], "hello");
}

#[test]
fn requests_of_apps_reach_the_glasses_verbatim_whatever_session_they_name() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    fleet.next(glasses);
    let app = fleet.app("ada", "p.x");
    fleet.drain(glasses);
    let text = r#"{ "type" : "display_event", "sessionId":"", "layout": {"layoutType":"text_wall"},  "n": 1.00 }"#;
    fleet.say_text(app, text);
    assert_eq!(fleet.texts(glasses), [text], "to the byte");
    fleet.say_text(app, r#"{"type":"something_new"}"#);
    assert_eq!(fleet.texts(glasses), [r#"{"type":"something_new"}"#]);
    fleet.say_text(app, r#"{"type":"ping"}"#);
    assert_eq!(fleet.texts(app), [r#"{"type":"pong"}"#]);
    assert!(fleet.silent(glasses), "a ping is not for the glasses");
}

/// Texts of a megabyte are read, put into their envelope and sent on in steps, and arrive
/// unchanged.
#[test]
fn large_texts_arrive_as_they_were() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let apps = listeners(&mut fleet, 2);
    let pad = "é1,\\\"".repeat(100_000);
    let text = format!(r#"{{"pad":"{pad}","type":"photo","n":[1,2,3]}}"#);
    for (from, to) in [(glasses, apps[1]), (apps[0], glasses)] {
        fleet.drain(to);
        fleet.net.send(from, Message::text(&*text));
        let mut turns = 0;
        let got = loop {
            let units = fleet.turn();
            assert!(units <= 300, "{units}");
            fleet.charged();
            turns += 1;
            assert!(turns < 200);
            if let Some(got) = fleet.texts(to).pop() {
                break got;
            }
        };
        assert!(turns > 3, "{turns}");
        let whole = if to == glasses {
            got == text
        } else {
            got.starts_with(r#"{"type":"data_stream""#)
                && got.ends_with(&format!("\"data\":{text}}}"))
        };
        assert!(whole, "{}", &got[..200]);
    }
    // Refused like a small one, wherever the fault is.
    for wrong in [&text[..text.len() - 1], &text.replace("[1,2", "[1,,2")] {
        fleet.say_text(glasses, wrong);
        let told = fleet.texts(glasses);
        assert!(told[0].contains("MALFORMED_MESSAGE"), "{told:?}");
    }
    let forged = text.replace(r#""type":"photo""#, r#""type":"auth_error""#);
    fleet.say_text(apps[0], &forged);
    assert!(fleet.silent(glasses));
    assert_eq!(fleet.stats().forbidden, 1);
    fleet.drain(apps[0]);
    let other = text.replace(r#""n":"#, r#""packageName":"com.other","n":"#);
    fleet.say_text(apps[0], &other);
    assert_eq!(fleet.next(apps[0])["code"], "MALFORMED_MESSAGE");
    let long = format!(
        r#"{{"type":"subscription_update","subscriptions":["{}"]}}"#,
        "x".repeat(200_000)
    );
    fleet.say_text(apps[0], &long);
    let told = fleet.next(apps[0]).to_string();
    assert!(told.contains("more than 81920 bytes"), "{told}");
}

/// A text is counted if its connection is closed before it was read completely.
#[test]
fn a_text_that_was_not_read_whole_is_counted() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let text = format!(r#"{{"type":"a","n":[1{}]}}"#, ",1".repeat(60_000));
    fleet.net.send(glasses, Message::text(text));
    let id = fleet.net.id(glasses);
    for _ in 0..2 {
        fleet.turn();
    }
    assert!(fleet.net.engine().stats().held_bytes > 100_000);
    fleet.net.with_io(|_, io| io.close(id, 4000, "now"));
    fleet.rest();
    assert_eq!(fleet.stats().dropped[DropReason::Unread as usize], 1);
    assert_eq!(fleet.net.engine().stats().held_bytes, 0);
}

/// Reading a text is given up when its connection begins to close, not when the peer has answered
/// the close.
#[test]
fn a_text_that_is_being_read_is_given_up_with_its_connection() {
    let mut fleet = Fleet::open();
    fleet.glasses("ada");
    let text = format!(r#"{{"type":"a","n":[1{}]}}"#, ",1".repeat(60_000));
    let app = fleet.app("ada", "p.x");
    fleet.net.write(app, &client_frame(0x81, text.as_bytes()));
    fleet.turn();
    fleet.net.mute(app);
    assert!(fleet.held() > 100_000);
    fleet.app_again("ada", "p.x");
    assert_eq!(fleet.held(), 0);
    assert_eq!(fleet.stats().dropped[DropReason::Unread as usize], 1);
}
