//! The relay on virtual time: the whole gateway, without sockets. Real clients are tested in
//! `tests/foreign/clients`.

use crate::fleet::{Fleet, button, number, texts};
use pulsegate::gateway::{
    APP_STOPPED, Admission, AppRegistry, Credentials, DropReason, GLASSES, GatewaySlicedQuery,
    KickOutcome, PageRequest, Progress, QUERY_UNITS, RelaySettings, ReplayLimits, SESSION_ENDED,
    SESSION_UNKNOWN, SLICE_UNITS, Search, StartOutcome,
};
use pulsegate::testing::{PeerId, client_frame, upgrade_request};
use pulsegate::{Cause, Io, Message, Micros, Policy};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn a_frame_of_the_glasses_reaches_exactly_the_subscribers() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    assert_eq!(fleet.next(glasses)["type"], "connection_ack");
    let [exact, all, none] = ["p.exact", "p.all", "p.none"].map(|p| fleet.app("ada", p));
    let other = fleet.app("bob", "p.all");
    fleet.say(
        exact,
        json!({"type":"subscription_update","subscriptions":["button_press"]}),
    );
    fleet.say(
        all,
        json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    fleet.say(
        other,
        json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    fleet.say(
        none,
        json!({"type":"subscription_update","subscriptions":["button_presses"]}),
    );
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
    fleet.say(
        audio,
        json!({"type":"subscription_update","subscriptions":["audio_chunk"]}),
    );
    fleet.say(
        words,
        json!({"type":"subscription_update","subscriptions":["transcription:en-US"]}),
    );
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

#[test]
fn frames_for_an_absent_peer_arrive_once_in_order_after_the_ack() {
    for cut in ["reset", "freeze", "close"] {
        let mut fleet = Fleet::open();
        let glasses = fleet.glasses("ada");
        let mut app = fleet.app("ada", "p.x");
        fleet.say(
            app,
            json!({"type":"subscription_update","subscriptions":["button_press"]}),
        );
        let mut sent = 0;
        // Any number of resumes in a row.
        for round in 0..12 {
            fleet.lose(app, cut);
            for _ in 0..5 {
                sent += 1;
                fleet.say(glasses, button(sent));
            }
            // Rarely enough that it does not count as flapping.
            fleet.advance(4_500);
            app = fleet.app_again("ada", "p.x");
            let got = fleet.texts(app);
            let numbers: Vec<_> = got.iter().filter_map(|t| crate::fleet::number(t)).collect();
            let expected: Vec<_> = (sent - 4..=sent).collect();
            assert_eq!(numbers, expected, "{cut} round {round}: {got:?}");
            assert!(
                got[0].contains("tpa_connection_ack"),
                "the ack comes first: {got:?}"
            );
        }
        let stats = fleet.stats();
        assert_eq!(stats.resumes[1], 12, "{cut}");
        assert_eq!((stats.replayed, stats.dropped.iter().sum::<u64>()), (60, 0));
    }
}

/// Its connection is closed because of that, and nothing that waited is lost.
#[test]
fn what_a_returning_peer_has_no_room_for_waits_on() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada");
    let app = fleet.started(glasses, "ada", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    fleet.lose(app, "reset");
    fleet.say(glasses, json!({"type":"big","text":"x".repeat(2_000)}));
    fleet.say(glasses, button(1));
    fleet.reload(&["p.x"], |newer| {
        newer.engine.max_message_bytes = 1_000;
        newer.engine.max_pending_bytes = 1_100;
    });
    for _ in 0..3 {
        let back = fleet.init("ada", "p.x", "key-of-p.x");
        // The ack was not sent either.
        assert_eq!(texts(&fleet.texts(back)), [""; 0]);
        fleet.expect_closing(back, Cause::SLOW_CONSUMER, 1013);
        fleet.lose(back, "close");
    }
    fleet.reload_apps(&["p.x"]);
    let back = fleet.init("ada", "p.x", "key-of-p.x");
    let got = texts(&fleet.texts(back));
    assert_eq!(got, ["tpa_connection_ack", "data_stream", "data_stream"]);
    let stats = fleet.stats();
    assert_eq!((stats.replayed, stats.dropped.iter().sum::<u64>()), (2, 0));
}

#[test]
fn what_is_kept_for_all_together_is_bounded_too() {
    const TOTAL: usize = 30_000;
    let settings = RelaySettings::default();
    let mut fleet = Fleet::tuned(settings, None, |_, config| {
        config.max_message_bytes = 8_000;
        config.max_pending_bytes = TOTAL;
        config.max_buffered_bytes = TOTAL;
    });
    let glasses = fleet.glasses("ada");
    let apps = ["p.x", "p.y"].map(|package| {
        let app = fleet.app("ada", package);
        fleet.say(
            app,
            json!({"type":"subscription_update","subscriptions":[package]}),
        );
        app
    });
    // A heartbeat confirms what was sent.
    fleet.advance(16_000);
    assert_eq!(fleet.stats().kept, 0);
    apps.into_iter().for_each(|app| fleet.lose(app, "reset"));
    let padding = "x".repeat(4_000);
    for package in ["p.x", "p.y"] {
        for n in 0..10 {
            fleet.say(glasses, json!({"type":package,"n":n,"padding":padding}));
            assert!(fleet.charged() <= TOTAL as u64);
        }
    }
    let kept = fleet.stats().kept;
    assert!((1..10).contains(&kept), "{kept}");
    assert_eq!(fleet.stats().dropped.iter().sum::<u64>(), 20 - kept);
    // The first has its newest frames; there was no room for those of the second.
    let [x, y] = ["p.x", "p.y"].map(|package| {
        let app = fleet.app_again("ada", package);
        let got = fleet.texts(app);
        let numbers = got[1..]
            .iter()
            .map(|t| crate::fleet::json(t)["data"]["n"].clone());
        numbers.collect::<Vec<_>>()
    });
    assert_eq!(x, (10 - kept..10).collect::<Vec<_>>());
    assert!(y.is_empty(), "{y:?}");
}

#[test]
fn frames_for_absent_glasses_wait_too() {
    let mut fleet = Fleet::open();
    let mut glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.lose(glasses, "reset");
    for n in 0..3 {
        fleet.say(app, json!({"type":"display_event","n":n}));
    }
    glasses = fleet.glasses("ada");
    let got = fleet.texts(glasses);
    assert!(got[0].contains("connection_ack"), "{got:?}");
    let shown: Vec<_> = got[1..]
        .iter()
        .map(|t| crate::fleet::json(t)["n"].clone())
        .collect();
    assert_eq!(shown, [0, 1, 2]);
    assert_eq!(fleet.stats().resumes, [1, 0]);
    assert!(fleet.is_open(app));
}

/// Returns a session whose app listens to buttons; frames in doubt are sent again, or not.
fn pressed(replay_unconfirmed: bool) -> (Fleet, PeerId, PeerId) {
    let relay = RelaySettings {
        replay_unconfirmed,
        ..RelaySettings::default()
    };
    let mut fleet = Fleet::with(relay, None);
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["button_press"]}),
    );
    (fleet, glasses, app)
}

#[test]
fn what_was_written_before_a_loss_is_in_doubt_until_a_pong_confirms_it() {
    for unconfirmed in [false, true] {
        let (mut fleet, glasses, app) = pressed(unconfirmed);
        fleet.say(glasses, button(1));
        assert_eq!(crate::fleet::number(&fleet.texts(app)[0]), Some(1));
        // A heartbeat and its pong.
        fleet.advance(16_000);
        assert_eq!(fleet.stats().kept, 0, "confirmed frames are not kept");
        fleet.say(glasses, button(2));
        fleet.lose(app, "reset");
        fleet.say(glasses, button(3));
        let app = fleet.app_again("ada", "p.x");
        let got: Vec<_> = fleet
            .texts(app)
            .iter()
            .filter_map(|t| crate::fleet::number(t))
            .collect();
        let expected: &[u64] = if unconfirmed { &[2, 3] } else { &[3] };
        assert_eq!(got, expected);
        assert_eq!(fleet.stats().doubtful, 1);
    }
}

#[test]
fn what_never_left_is_not_in_doubt() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["button_press"]}),
    );
    fleet.net.set_window(app, Some(0));
    for n in 1..=3 {
        fleet.say(glasses, button(n));
    }
    // It comes back before the loss was noticed: the older connection is taken over.
    let again = fleet.app_again("ada", "p.x");
    let got: Vec<_> = fleet
        .texts(again)
        .iter()
        .filter_map(|t| crate::fleet::number(t))
        .collect();
    assert_eq!(got, [1, 2, 3]);
    fleet.net.set_window(app, None);
    fleet.advance(100);
    assert!(
        fleet
            .texts(app)
            .iter()
            .all(|t| crate::fleet::number(t).is_none()),
        "and not twice"
    );
    fleet.expect_closed(app, Cause::REPLACED);
    assert_eq!(
        (fleet.stats().takeovers, fleet.stats().doubtful),
        ([0, 1], 0)
    );
}

#[test]
fn what_waits_is_bounded_by_number_and_age_and_live_media_do_not_wait() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["*", "audio_chunk"]}),
    );
    fleet.lose(app, "reset");
    for n in 1..=300 {
        fleet.say(glasses, button(n));
    }
    fleet.say(glasses, json!({"type":"VAD","status":true}));
    fleet.binary(glasses, b"audio");
    let app = fleet.app_again("ada", "p.x");
    // The rest is sent in the next turns.
    fleet.advance(50);
    let got = fleet.texts(app);
    let numbers: Vec<_> = got.iter().filter_map(|t| crate::fleet::number(t)).collect();
    assert_eq!(
        numbers,
        (45..=300).collect::<Vec<_>>(),
        "the oldest go first"
    );
    assert!(!got.iter().any(|t| t.contains("VAD")));
    assert_eq!(fleet.stats().dropped, [44, 0, 2, 0, 0, 0]);
}

#[test]
fn glasses_that_do_not_come_back_end_the_session() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
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
    let mut fleet = Fleet::open();
    let first = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
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
fn malformed_frames_are_answered_and_only_repeated_ones_close() {
    for kind in ["glasses", "app"] {
        let mut fleet = Fleet::open();
        let peer = match kind {
            "glasses" => fleet.glasses("ada"),
            _ => fleet.app("ada", "p.x"),
        };
        fleet.drain(peer);
        for _ in 0..4 {
            fleet.say_text(peer, "{\"type\":");
            let answer = fleet.next(peer);
            assert_eq!(answer["code"], "MALFORMED_MESSAGE", "{answer}");
        }
        // A minute later the count is reset.
        fleet.advance(61_000);
        for _ in 0..4 {
            fleet.say_text(peer, "[]");
        }
        assert!(fleet.is_open(peer));
        fleet.say_text(peer, "nonsense");
        fleet.expect_closing(peer, Cause::FORBIDDEN, 1008);
    }
}

#[test]
fn only_a_peer_that_flaps_is_slowed() {
    let mut fleet = Fleet::open();
    let mut glasses = fleet.glasses("ada");
    for _ in 0..15 {
        fleet.advance(500);
        glasses = fleet.glasses("ada");
    }
    let (status, head) = fleet.refused("/glasses-ws?user=ada");
    assert_eq!(status, 429);
    assert!(head.to_lowercase().contains("retry-after: "), "{head}");
    assert!(fleet.is_open(glasses), "who is here stays");
    fleet.glasses("bob");
    fleet.advance(60_000);
    fleet.glasses("ada");
    assert_eq!(fleet.stats().flapping, [1, 0]);
}

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

#[test]
fn an_app_introduces_itself_in_time_or_is_closed() {
    let mut fleet = Fleet::open();
    let silent = fleet.net.connect("/app-ws");
    fleet.advance(9_900);
    assert!(fleet.is_open(silent));
    fleet.advance(200);
    fleet.expect_closing(silent, Cause::INIT_TIMEOUT, 3008);
    // With an identity in the query there is nothing to say.
    let quiet = fleet.app("ada", "p.x");
    fleet.advance(30_000);
    assert!(fleet.is_open(quiet));
    let rude = fleet.net.connect("/tpa-ws");
    fleet.say(
        rude,
        json!({"type":"subscription_update","subscriptions":[]}),
    );
    assert_eq!(fleet.next(rude)["code"], "MALFORMED_MESSAGE");
    fleet.expect_closing(rude, Cause::FORBIDDEN, 1008);
}

// ---- with credentials ----

#[test]
fn keys_are_checked_and_the_user_must_have_started_the_app() {
    let mut fleet = Fleet::closed(Admission::Started);
    for (user, package, key, code, cause, close) in [
        (
            "a-b@c.de",
            "p.x",
            "wrong-key",
            "INVALID_API_KEY",
            Cause::FORBIDDEN,
            1008,
        ),
        (
            "a-b@c.de",
            "p.unknown",
            "key-of-p.x",
            "INVALID_API_KEY",
            Cause::FORBIDDEN,
            1008,
        ),
        (
            "a-b@c.de",
            "p.x",
            "key-of-p.x",
            "SESSION_NOT_FOUND",
            SESSION_UNKNOWN,
            1013,
        ),
    ] {
        let app = fleet.init(user, package, key);
        assert_eq!(fleet.next(app)["code"], code, "{user} {package} {key}");
        fleet.expect_closing(app, cause, close);
    }
    let glasses = fleet.glasses("a-b@c.de");
    let app = fleet.init("a-b@c.de", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["code"], "APP_NOT_STARTED");
    fleet.expect_closing(app, Cause::FORBIDDEN, 1008);
    fleet.drain(glasses);
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.x"}));
    let app = fleet.init("a-b@c.de", "p.x", "key-of-p.x");
    let ack = fleet.next(app);
    assert_eq!(
        (ack["type"].as_str(), ack["sessionId"].as_str()),
        (Some("tpa_connection_ack"), Some("a-b@c.de-p.x"))
    );
    let news = texts(&fleet.texts(glasses));
    assert!(news.contains(&"app_started".to_owned()), "{news:?}");
}

#[test]
fn any_valid_key_is_enough_where_that_is_wanted() {
    let mut fleet = Fleet::closed(Admission::Key);
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.x");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    let app = fleet.init("ada@x.y", "p.x", "key-of-p.y");
    assert_eq!(fleet.next(app)["code"], "INVALID_API_KEY");
}

#[test]
fn glasses_without_a_valid_token_get_the_401_of_the_contract() {
    let mut fleet = Fleet::closed(Admission::Started);
    for path in [
        "/glasses-ws",
        "/glasses-ws?user=ada",
        "/glasses-ws?token=nonsense",
    ] {
        let peer = fleet.net.connect(path);
        let response = fleet.net.response(peer).expect("an answer").to_owned();
        assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
        let (_, body) = response.split_once("\r\n\r\n").expect("a body");
        let body = crate::fleet::json(body);
        assert_eq!(body["type"], "connection_error", "{body}");
        assert!(body["code"].is_string() && body["message"].is_string());
    }
    // The identity in a query no longer counts.
    let app = fleet.net.connect("/app-ws?user=ada&package=p.x");
    fleet.advance(10_100);
    fleet.expect_closing(app, Cause::INIT_TIMEOUT, 3008);
}

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
fn after_a_restart_each_app_is_asked_once_when_its_glasses_are_back() {
    let restored = vec![
        (
            "ada@x.y".into(),
            vec!["p.x".into(), "p.y".into(), "p.gone".into()],
        ),
        ("bob@x.y".into(), vec!["p.x".into()]),
    ];
    let mut fleet = Fleet::restored(restored);
    assert_eq!(fleet.sessions(), 2);
    // One app has come back by itself before the glasses.
    let app = fleet.init("ada@x.y", "p.y", "key-of-p.y");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    fleet.advance(10_000);
    assert_eq!(fleet.starts().len(), 0);
    fleet.glasses("ada@x.y");
    assert_eq!(fleet.starts().len(), 1, "p.x, and not p.y, which is here");
    fleet.advance(60_000);
    assert_eq!(
        fleet.sessions(),
        1,
        "bob's glasses were waited for as long as any"
    );
}

#[test]
fn an_app_that_ran_before_a_restart_is_asked_again_if_it_agrees_and_does_not_come() {
    let mut fleet = Fleet::restored(vec![("ada@x.y".into(), vec!["p.x".into()])]);
    let glasses = fleet.glasses("ada@x.y");
    for _ in 0..4 {
        let starts = fleet.starts();
        assert_eq!(starts.len(), 1);
        fleet.answer(starts[0]);
        fleet.advance(15_100);
    }
    let news = texts(&fleet.texts(glasses));
    assert_eq!(fleet.starts().len(), 0);
    assert!(news.contains(&"app_stopped".to_owned()), "{news:?}");
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

/// Drained peers go to the next process, so they get no message here that they would take as an
/// order to stop.
#[test]
fn in_a_drain_that_outlasts_the_graces_no_app_is_told_that_a_session_is_over() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let [x, y] = ["p.x", "p.y"].map(|package| fleet.started(glasses, "ada@x.y", package));
    fleet.drain(glasses);
    fleet.net.with_io(|_, io| {
        let hour = Micros::from_secs(3_600);
        io.remote().drain(Micros::ZERO, hour);
    });
    fleet.net.settle();
    fleet.lose(y, "reset");
    fleet.advance(16_000);
    assert_eq!(texts(&fleet.texts(glasses)), [""; 0], "y is away");
    fleet.say(glasses, json!({"type":"start_app","packageName":"p.z"}));
    assert_eq!(fleet.starts().len(), 1);
    fleet.lose(glasses, "reset");
    fleet.advance(61_000);
    fleet.expect_closing(x, Cause::DRAINING, 1012);
    assert_eq!(texts(&fleet.texts(x)), [""; 0]);
    assert_eq!((fleet.stops(), fleet.sessions()), (0, 0));
}

/// What a user starts or stops during a drain applies in the next process, unless that runs already
/// and writes the file itself.
#[test]
fn what_a_user_wants_in_a_drain_is_kept_for_the_next_process() {
    for overlap in [0, 60_000] {
        let mut fleet = Fleet::with(
            RelaySettings {
                overlap: Micros::from_millis(overlap),
                ..RelaySettings::default()
            },
            Some(Admission::Started),
        );
        let glasses = fleet.glasses("ada@x.y");
        fleet.started(glasses, "ada@x.y", "p.x");
        assert_eq!(fleet.remembered().len(), 2, "started, and arrived");
        fleet.net.with_io(|_, io| {
            let minute = Micros::from_secs(60);
            io.remote().drain(minute, minute);
        });
        fleet.net.settle();
        fleet.say(glasses, json!({"type":"start_app","packageName":"p.y"}));
        fleet.say(glasses, json!({"type":"stop_app","packageName":"p.x"}));
        let (started, stopped) = fleet.noted();
        let alone = usize::from(overlap == 0);
        assert_eq!((started.len(), stopped.len()), (alone, alone));
        if overlap == 0 {
            assert_eq!((&*started[0].1, &*stopped[0].1), ("p.y", "p.x"));
        }
    }
}

/// However many times a frame is sent again, it is dropped when it is too old.
#[test]
fn a_frame_that_is_sent_again_grows_no_younger() {
    let (mut fleet, glasses, app) = pressed(true);
    fleet.lose(app, "reset");
    fleet.say(glasses, button(1));
    for again in 0..12 {
        let app = fleet.app_again("ada", "p.x");
        let is_there = fleet
            .texts(app)
            .iter()
            .any(|text| crate::fleet::number(text) == Some(1));
        assert_eq!(is_there, again < 10, "after {again} times 3 s");
        // Sooner than the first heartbeat.
        fleet.lose(app, "reset");
        fleet.advance(3_000);
    }
}

/// A successor waits for glasses as long as its predecessor may still hold them.
#[test]
fn sessions_of_a_predecessor_that_lives_are_not_over() {
    let sessions = || vec![("ada@x.y".into(), vec!["p.x".into()])];
    for (overlap, passed, held) in [(0, 61, 0), (300, 359, 1)] {
        let relay = RelaySettings {
            overlap: Micros::from_secs(overlap),
            ..RelaySettings::default()
        };
        let mut fleet = Fleet::start(relay, Some(Admission::Started), sessions());
        fleet.advance(passed * 1_000);
        assert_eq!((fleet.sessions(), fleet.stops()), (held, 1 - held));
        fleet.advance(20_000);
        assert_eq!(fleet.sessions(), 0);
    }
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
        KickOutcome::Done { blocked: false }
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
        KickOutcome::Done { blocked: true }
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

#[test]
fn a_lost_app_that_its_user_starts_keeps_what_waits_for_it() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada@x.y");
    let app = fleet.started(glasses, "ada@x.y", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["button_press"]}),
    );
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
fn an_app_without_a_webhook_survives_a_restart_too() {
    let mut fleet = Fleet::restored(vec![("ada@x.y".into(), vec!["p.bare".into()])]);
    fleet.glasses("ada@x.y");
    assert_eq!(fleet.starts().len(), 0, "there is nowhere to ask");
    let app = fleet.init("ada@x.y", "p.bare", "key-of-p.bare");
    assert_eq!(fleet.next(app)["type"], "tpa_connection_ack");
    assert_eq!(
        fleet.remembered(),
        [("ada@x.y".to_owned(), "p.bare".to_owned())]
    );
}

#[test]
fn with_credentials_a_user_may_be_called_anonymous() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("anonymous-cat@x.y");
    let app = fleet.started(glasses, "anonymous-cat@x.y", "p.x");
    fleet.lose(glasses, "reset");
    fleet.advance(1_000);
    assert!(fleet.is_open(app), "there is a grace as for any");
    // In the open gateway a generated name is never used again.
    let mut fleet = Fleet::open();
    let glasses = fleet.net.connect("/glasses-ws");
    fleet.lose(glasses, "reset");
    assert_eq!(fleet.sessions(), 0);
}

#[test]
fn what_can_not_be_kept_pushes_nothing_else_out() {
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    fleet.lose(app, "reset");
    fleet.say(glasses, button(1));
    fleet.say(
        glasses,
        json!({"type":"photo_response","data":"x".repeat(300_000)}),
    );
    fleet.say(glasses, button(2));
    let app = fleet.app_again("ada", "p.x");
    let got: Vec<_> = fleet
        .texts(app)
        .iter()
        .filter_map(|t| crate::fleet::number(t))
        .collect();
    assert_eq!(got, [1, 2]);
    assert_eq!(fleet.stats().dropped, [1, 0, 0, 0, 0, 0]);
}

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
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
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
    let mut fleet = Fleet::open();
    let glasses = fleet.glasses("ada");
    let app = fleet.app("ada", "p.x");
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
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    fleet.say(glasses, button(1));
    assert_eq!(
        texts(&fleet.texts(app)).last().map(String::as_str),
        Some("data_stream")
    );
    reload(&mut fleet, listed(serde_json::Value::Null));
    assert_eq!(said(&mut fleet), ["display_event", "photo_request"]);
}

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

// ---- work over all sessions or connections is done in slices ----

/// Returns users with the apps `p.x` and `p.y`, and 20 users with 50 others each, all lost and
/// waited for.
fn many_apps(fleet: &mut Fleet) -> Vec<String> {
    let packages: Vec<String> = (0..1_000).map(|n| format!("q.{n}")).collect();
    let mut known: Vec<&str> = packages.iter().map(|package| &**package).collect();
    known.extend(["p.x", "p.y"]);
    fleet.reload_apps(&known);
    for (nth, packages) in packages.chunks(50).enumerate() {
        let glasses = fleet.glasses(&format!("ada{nth}"));
        for package in packages {
            fleet.say(glasses, json!({"type":"start_app","packageName":package}));
        }
        fleet.drain(glasses);
    }
    assert_eq!(fleet.starts().len(), packages.len());
    packages
}

fn restored_users(users: usize) -> Vec<(Box<str>, Vec<Box<str>>)> {
    let apps = || vec!["p.x".into(), "p.y".into()];
    (0..users)
        .map(|n| (format!("u{n:04}").into(), apps()))
        .collect()
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

/// Returns a gateway with 20 sessions of 1 000 apps, and 1 000 sessions of one.
fn crowded() -> Fleet {
    let packages = |n: usize| (0..n).map(|n| format!("p.{:04}", n * 7_919 % 1_000).into());
    let users = (0..20).map(|n| (format!("big{n:02}").into(), packages(1_000).collect()));
    let small = (0..1_000).map(|n| (format!("small{n:04}").into(), packages(1).collect()));
    let users = users.chain(small).collect();
    Fleet::start(RelaySettings::default(), None, users)
}

/// The units by which a slice may exceed its budget: its last step.
const OVERSHOOT: u64 = 5;

#[test]
fn a_slice_of_an_operators_question_stops_in_the_middle_of_a_session_of_1000_apps() {
    let mut fleet = crowded();
    let slice = |fleet: &mut Fleet, after: Option<&str>| {
        let before = fleet.work_units();
        let slice = fleet
            .net
            .with_io(|gateway, io| gateway.session_slice(io, after, 1_000));
        let units = fleet.work_units() - before;
        assert!(units <= u64::from(SLICE_UNITS) + OVERSHOOT, "{units} units");
        assert!(units as usize >= slice.rows.len() / 4, "{units} units");
        slice
    };
    let (mut users, mut after) = (Vec::new(), None::<Box<str>>);
    loop {
        let found = slice(&mut fleet, after.as_deref());
        assert_eq!(found.total, 1_020);
        for row in &found.rows {
            let many = row.user.starts_with("big");
            assert_eq!(row.apps_total, if many { 1_000 } else { 1 });
            assert_eq!(
                (row.apps.len(), row.more_apps),
                (if many { 64 } else { 1 }, many)
            );
            users.push(row.user.clone());
        }
        after = users.last().cloned();
        if !found.more {
            break;
        }
    }
    assert!(users.is_sorted_by(|a, b| a < b));
    assert_eq!(
        users.len(),
        1_020,
        "nobody is left out, nobody is named twice"
    );

    let (mut packages, mut after) = (Vec::new(), None::<Box<str>>);
    loop {
        let before = fleet.work_units();
        let row = fleet
            .net
            .with_io(|gateway, io| gateway.app_slice(io, "big07", after.as_deref(), 1_000))
            .expect("a session");
        let units = fleet.work_units() - before;
        assert!(units <= u64::from(SLICE_UNITS) + OVERSHOOT, "{units} units");
        packages.extend(row.apps.into_iter().map(|app| app.package));
        after = packages.last().cloned();
        if !row.more_apps {
            break;
        }
    }
    let expected: Vec<Box<str>> = (0..1_000).map(|n| format!("p.{n:04}").into()).collect();
    assert_eq!(packages, expected);
}

#[test]
fn all_operators_together_have_one_share_of_a_turn() {
    let mut fleet = crowded();
    for n in 0..300 {
        fleet.glasses(&format!("small{n:04}"));
    }
    let queries = fleet
        .net
        .with_io(|gateway, io| gateway.query_sender(io.remote()));
    let done = Arc::new(AtomicUsize::new(0));
    for nth in 0..8 {
        let (mut after, done) = (None::<Box<str>>, done.clone());
        let mut search = Search::new(PageRequest {
            limit: 1_000,
            ..PageRequest::default()
        });
        let work: GatewaySlicedQuery = Box::new(move |gateway, io| {
            let more = if nth % 2 == 0 {
                search.step(gateway, io).is_none()
            } else {
                let slice = gateway.session_slice(io, after.as_deref(), 1_000);
                after = slice.rows.last().map(|row| row.user.clone());
                slice.more
            };
            if more {
                return Progress::More;
            }
            done.fetch_add(1, Ordering::Relaxed);
            Progress::Done
        });
        queries.send_sliced(work).expect("room");
    }
    let (mut turns, mut most) = (0, 0);
    while done.load(Ordering::Relaxed) < 8 {
        let units = fleet.turn();
        assert!(units <= u64::from(QUERY_UNITS) + OVERSHOOT, "{units} units");
        (turns, most) = (turns + 1, most.max(units));
    }
    assert!(
        turns > 20 && most > u64::from(SLICE_UNITS) / 2,
        "{turns} turns, {most} units"
    );
    // A slice without rows is cheap but still counted: many of them fit into a turn, but not all.
    for _ in 0..60 {
        queries
            .send_sliced(Box::new(|_, _| Progress::Done))
            .expect("room");
    }
    let mut turns = 0;
    loop {
        match fleet.turn() {
            0 => break,
            units => assert!(units <= u64::from(QUERY_UNITS)),
        }
        turns += 1;
    }
    assert!((4..=8).contains(&turns), "{turns}");
}

#[test]
fn a_class_drain_closes_so_many_in_one_step_and_no_more() {
    let mut fleet = Fleet::open();
    let glasses: Vec<_> = (0..700).map(|n| fleet.glasses(&format!("u{n}"))).collect();
    let before = fleet.work_units();
    fleet
        .net
        .with_io(|gateway, io| gateway.drain_class(io, GLASSES, Micros::ZERO, Micros::ZERO));
    let mut left = glasses.len();
    let mut steps = vec![(fleet.work_units() - before, 0)];
    while left > 0 {
        fleet.net.advance(5);
        let open = glasses.iter().filter(|peer| fleet.is_open(**peer)).count();
        steps.push((0, left - open));
        left = open;
        assert!(steps.len() < 100);
    }
    assert!(steps[0].0 > 100 && steps[0].0 < 600, "{steps:?}");
    assert!(steps.iter().all(|(_, closed)| *closed <= 256), "{steps:?}");
}

// ---- everything is bounded ----

fn many(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("p.{n}")).collect()
}

/// Returns a gateway with these apps, and this `MAX_CONNECTIONS`.
fn with_apps(packages: &[String], max_connections: usize) -> Fleet {
    let names: Vec<&str> = packages.iter().map(String::as_str).collect();
    Fleet::tuned(
        RelaySettings::default(),
        Some(Admission::Started),
        |options, _| {
            options.max_connections = max_connections;
            options.credentials = crate::fleet::credentials(&names, Admission::Started);
        },
    )
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

#[test]
fn long_names_are_no_names() {
    let mut fleet = Fleet::closed(Admission::Started);
    let glasses = fleet.glasses("ada");
    fleet.drain(glasses);
    for kind in ["start_app", "stop_app"] {
        fleet.say(
            glasses,
            json!({"type":kind,"packageName":"x".repeat(100_000)}),
        );
        let told = fleet.next(glasses);
        assert_eq!(told["code"], "MALFORMED_MESSAGE");
        assert!(told.to_string().len() < 200, "{told}");
    }
    fleet.say(glasses, json!({"type":"x".repeat(100_000)}));
    assert_eq!(fleet.next(glasses)["code"], "MALFORMED_MESSAGE");
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

/// Connects `n` apps of one user that subscribe to everything.
fn listeners(fleet: &mut Fleet, n: usize) -> Vec<PeerId> {
    let app = |n: usize| {
        let app = fleet.app("ada", &format!("p.{n:04}"));
        fleet.say(
            app,
            json!({"type":"subscription_update","subscriptions":["*"]}),
        );
        fleet.drain(app);
        app
    };
    (0..n).map(app).collect()
}

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

/// Connects apps of ada that subscribe to every stream.
fn listening_apps(fleet: &mut Fleet, count: usize) -> Vec<PeerId> {
    let update = json!({"type":"subscription_update","subscriptions":["*"]});
    (0..count)
        .map(|n| {
            let app = fleet.app("ada", &format!("p.{n:03}"));
            fleet.say(app, update.clone());
            app
        })
        .collect()
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

/// A long backlog is sent over several turns, in order, and new frames go after it.
#[test]
fn a_long_backlog_is_sent_again_a_few_frames_at_a_time() {
    const FRAMES: u64 = 3_000;
    let settings = RelaySettings {
        replay: ReplayLimits {
            max_messages: 10_000,
            max_bytes: 4 << 20,
            ..ReplayLimits::default()
        },
        ..RelaySettings::default()
    };
    let mut fleet = Fleet::with(settings, None);
    let glasses = fleet.glasses("ada");
    let mut app = fleet.app("ada", "p.x");
    fleet.say(
        app,
        json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    fleet.lose(app, "reset");
    for n in 0..FRAMES {
        fleet.say(glasses, button(n));
    }
    for cut in [true, false] {
        app = fleet.app_again("ada", "p.x");
        let mut got: Vec<u64> = fleet
            .texts(app)
            .iter()
            .filter_map(|t| crate::fleet::number(t))
            .collect();
        assert!((1..=128).contains(&got.len()), "{}", got.len());
        if cut {
            // What was sent is in doubt; what was not sent waits on.
            fleet.lose(app, "reset");
            fleet.charged();
            continue;
        }
        let first = got[0];
        for n in FRAMES..FRAMES + 100 {
            fleet.say(glasses, button(n));
            fleet.advance(5);
            got.extend(
                fleet
                    .texts(app)
                    .iter()
                    .filter_map(|t| crate::fleet::number(t)),
            );
        }
        assert_eq!(got, (first..FRAMES + 100).collect::<Vec<_>>());
    }
    fleet.advance(16_000);
    assert_eq!(fleet.stats().kept, 0);
    assert!(fleet.charged() < 100, "the set of subscriptions");
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

// ---- glasses that are behind ----

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
