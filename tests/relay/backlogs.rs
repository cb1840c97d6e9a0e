//! Frames for a peer that is away: what waits, how long, and what is in doubt.

use crate::fleet::{Fleet, button, texts};
use crate::scenarios::pressed;
use pulsegate::Cause;
use pulsegate::gateway::{Admission, RelaySettings, ReplayLimits};
use serde_json::json;

#[test]
fn frames_for_an_absent_peer_arrive_once_in_order_after_the_ack() {
    for cut in ["reset", "freeze", "close"] {
        let mut fleet = Fleet::open();
        let glasses = fleet.glasses("ada");
        let mut app = fleet.app("ada", "p.x");
        fleet.subscribe(app, &["button_press"]);
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
    fleet.subscribe(app, &["*"]);
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
    let (mut fleet, glasses, app) = Fleet::with_app();
    fleet.subscribe(app, &["button_press"]);
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
    let (mut fleet, glasses, app) = Fleet::with_app();
    fleet.subscribe(app, &["*", "audio_chunk"]);
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

#[test]
fn what_can_not_be_kept_pushes_nothing_else_out() {
    let (mut fleet, glasses, app) = Fleet::with_app();
    fleet.subscribe(app, &["*"]);
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
    fleet.subscribe(app, &["*"]);
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
