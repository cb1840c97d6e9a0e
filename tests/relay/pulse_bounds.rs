//! What is kept for a peer with pulse is bounded: its senders wait, or its session ends with a
//! reason.

use crate::fleet::{Fleet, button, texts};
use crate::pulse_client::PulseClient;
use crate::pulse_sessions::{APP, GLASSES, display, fleet, pressed, pulse, resets, shown};
use pulsegate::gateway::ResetReason;
use pulsegate::{Cause, Message, Micros};
use serde_json::json;

fn reset_count(fleet: &mut Fleet, why: ResetReason) -> u64 {
    resets(fleet)[why as usize]
}

fn big(n: u64, bytes: usize) -> serde_json::Value {
    json!({"type":"display_event","n":n,"text":"x".repeat(bytes)})
}

#[test]
fn apps_wait_while_attached_glasses_do_not_acknowledge() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let mut apps = [APP, "/app-ws?user=ada&package=p.y"].map(|path| {
        let mut app = PulseClient::open(&mut fleet, path);
        app.ack(&mut fleet);
        app
    });
    glasses.ack(&mut fleet);
    let mut got = Vec::new();
    for n in 0..20 {
        for (app, own) in apps.iter_mut().zip([0, 100]) {
            app.say(&mut fleet, &big(own + n, 40_000));
        }
    }
    fleet.rest();
    glasses.read(&mut fleet);
    let received = glasses.rx;
    assert!(
        (5..12).contains(&received),
        "{received}: the apps are paused"
    );
    // Nothing is said to it, so a paused app would give its connection up.
    for app in &mut apps {
        let heard = app.acks.len();
        app.live(&mut fleet, 16_000);
        assert!(app.acks.len() > heard);
        glasses.live(&mut fleet, 500);
    }
    for _ in 0..20 {
        glasses.ack(&mut fleet);
        fleet.rest();
        got.extend(shown(&glasses.texts(&mut fleet)));
    }
    let (x, y): (Vec<u64>, Vec<u64>) = got.into_iter().partition(|n| *n < 100);
    assert_eq!(x, (0..20).collect::<Vec<_>>());
    assert_eq!(y, (100..120).collect::<Vec<_>>());
    assert!(glasses.big.len() >= 40 && glasses.big.iter().all(|len| *len > 40_000));
    fleet.charged();
}

/// What glasses have not acknowledged does not grow with the number of their apps.
#[test]
fn the_first_frame_of_each_further_app_waits_for_glasses_that_do_not_acknowledge() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let mut speaker = PulseClient::open(&mut fleet, APP);
    speaker.ack(&mut fleet);
    let mut plain: Vec<_> = (0..20)
        .map(|n| fleet.app("ada", &format!("p.{n}")))
        .collect();
    glasses.ack(&mut fleet);
    for n in 0..4 {
        for app in &plain {
            fleet.say(*app, big(n, 100_000));
        }
        speaker.say(&mut fleet, &big(100 + n, 100_000));
    }
    fleet.rest();
    assert!(fleet.charged() < 350_000, "{}", fleet.charged());
    // The relay itself has room for its answers.
    for _ in 0..100 {
        glasses.say(&mut fleet, &json!({"type":"ping"}));
    }
    // What an app has sent is lost with it, and counted.
    let lost = plain.pop().expect("an app");
    fleet.lose(lost, "reset");
    let dropped = fleet.stats().dropped;
    assert_eq!(dropped[pulsegate::gateway::DropReason::Unread as usize], 1);
    let mut got = Vec::new();
    for _ in 0..200 {
        glasses.ack(&mut fleet);
        fleet.rest();
        fleet.advance(20);
        assert!(fleet.charged() < 350_000, "{}", fleet.charged());
        got.extend(glasses.texts(&mut fleet));
    }
    let pongs = got.iter().filter(|text| text.contains("pong"));
    assert_eq!(pongs.count(), 100);
    let (own, plain): (Vec<u64>, Vec<u64>) = shown(&got).into_iter().partition(|n| *n >= 100);
    assert_eq!(own, [100, 101, 102, 103]);
    let of = |n| plain.iter().filter(|got| **got == n).count();
    assert_eq!([0, 1, 2, 3].map(of), [19, 19, 19, 19]);
    fleet.charged();
}

/// An app that always has more to say does not keep the others from their turn.
#[test]
fn apps_that_wait_for_their_glasses_take_turns() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let apps = [0, 1, 2, 3].map(|n| fleet.app("ada", &format!("p.{n}")));
    glasses.ack(&mut fleet);
    for n in 0..200 {
        for app in apps {
            let frame = big(n, 10_000).to_string();
            fleet.net.send(app, Message::text(frame));
        }
    }
    let mut got = Vec::new();
    for _ in 0..200 {
        fleet.rest();
        got.extend(shown(&glasses.texts(&mut fleet)));
        // No app is more than a few rounds ahead.
        let of = |n: u64| got.iter().filter(|got| **got == n).count();
        let behind = (0..200).find(|n| of(*n) < 4).unwrap_or(200);
        let ahead = (0..200).rev().find(|n| of(*n) > 0).unwrap_or(0);
        assert!(ahead < behind + 60, "{ahead} and {behind}");
        glasses.ack(&mut fleet);
    }
    assert_eq!(got.len(), 800);
}

#[test]
fn an_app_that_does_not_acknowledge_is_closed_and_loses_its_session() {
    let mut fleet = fleet();
    let glasses = fleet.glasses("ada");
    let mut app = PulseClient::open(&mut fleet, APP);
    app.say(
        &mut fleet,
        &json!({"type":"subscription_update","subscriptions":["*"]}),
    );
    app.ack(&mut fleet);
    let mut sent = 0;
    while fleet.is_open(app.peer) && sent < 100 {
        sent += 1;
        let frame = json!({"type":"long","n":sent,"text":"x".repeat(60_000)});
        fleet.say(glasses, frame);
        fleet.rest();
        fleet.advance(20);
        app.read(&mut fleet);
    }
    assert_eq!(fleet.ending(app.peer).cause, Cause::SLOW_CONSUMER);
    assert!(sent > 16, "{sent}: at least max_message_bytes and 128 KiB");
    app.texts(&mut fleet);
    assert!(!app.resume(&mut fleet));
    assert_eq!(reset_count(&mut fleet, ResetReason::Full), 1);
    // The frame that had no room was never sent, so it follows.
    assert_eq!(pressed(&app.texts(&mut fleet)), [sent]);
    let stats = fleet.stats();
    assert_eq!(stats.doubtful, sent - 1, "each loss is counted");
    fleet.charged();
}

#[test]
fn absent_glasses_lose_their_session_when_what_is_kept_is_too_much() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    glasses.texts(&mut fleet);
    glasses.ack(&mut fleet);
    let app = fleet.app("ada", "p.x");
    glasses.texts(&mut fleet);
    glasses.ack(&mut fleet);
    fleet.lose(glasses.peer, "reset");
    for n in 0..11 {
        fleet.say(app, big(n, 100_000));
    }
    fleet.rest();
    assert!(fleet.charged() > 1_100_000);
    assert!(glasses.resume(&mut fleet));
    for _ in 0..11 {
        fleet.rest();
        fleet.advance(10);
        glasses.ack(&mut fleet);
    }
    let all: Vec<u64> = (0..11).collect();
    assert_eq!(shown(&glasses.texts(&mut fleet)), all);
    fleet.lose(glasses.peer, "reset");
    for n in 0..20 {
        fleet.say(app, big(100 + n, 100_000));
    }
    fleet.rest();
    assert!(!glasses.resume(&mut fleet));
    assert_eq!(reset_count(&mut fleet, ResetReason::Full), 1);
    // As for a peer without pulse, the newest frames wait.
    fleet.rest();
    let got = shown(&glasses.texts(&mut fleet));
    assert_eq!(got.last(), Some(&119), "{got:?}");
    let dropped = fleet.stats().dropped.iter().sum::<u64>();
    assert_eq!(dropped + got.len() as u64, 20, "{got:?}");
    fleet.charged();
}

/// The hello promises a time, so the age of a message is no reason to break the promise.
#[test]
fn what_is_kept_for_a_session_does_not_expire_before_it() {
    let mut settings = pulse();
    settings.replay.max_age = Micros::from_secs(20);
    let mut fleet = Fleet::with(settings, None);
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let app = fleet.app("ada", "p.x");
    glasses.texts(&mut fleet);
    glasses.ack(&mut fleet);
    fleet.say(app, display(1));
    fleet.net.received(glasses.peer);
    fleet.lose(glasses.peer, "reset");
    fleet.say(app, display(2));
    fleet.advance(55_000);
    assert!(glasses.resume(&mut fleet));
    assert_eq!(shown(&glasses.texts(&mut fleet)), [1, 2]);
    // Without its session it gets what is young enough, as any peer.
    glasses.ack(&mut fleet);
    fleet.lose(glasses.peer, "reset");
    fleet.say(app, display(3));
    fleet.advance(25_000);
    fleet.say(app, display(4));
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    assert_eq!(shown(&glasses.texts(&mut fleet)), [4]);
    let expired = pulsegate::gateway::DropReason::Expired as usize;
    assert_eq!(fleet.stats().dropped[expired], 1);
    fleet.charged();
}

#[test]
fn a_session_waits_as_long_as_its_slot() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let mut app = PulseClient::open(&mut fleet, APP);
    glasses.ack(&mut fleet);
    app.ack(&mut fleet);
    fleet.lose(app.peer, "reset");
    let mut at = 0;
    while at < 14_000 {
        at += 500;
        glasses.live(&mut fleet, 500);
    }
    assert!(app.resume(&mut fleet));
    app.ack(&mut fleet);
    fleet.lose(app.peer, "reset");
    glasses.live(&mut fleet, 16_000);
    assert!(!app.resume(&mut fleet));
    assert_eq!(reset_count(&mut fleet, ResetReason::Unknown), 1);
    fleet.lose(glasses.peer, "reset");
    app.live(&mut fleet, 50_000);
    assert!(glasses.resume(&mut fleet));
    fleet.lose(glasses.peer, "reset");
    fleet.lose(app.peer, "reset");
    fleet.advance(70_000);
    assert_eq!(fleet.sessions(), 0);
    assert_eq!(fleet.charged(), 0);
    let snapshot = fleet.net.with_io(|gateway, io| gateway.snapshot(io));
    let pulse = snapshot.pulse;
    assert_eq!((pulse.attached, pulse.held, pulse.held_bytes), (0, 0, 0));
}

#[test]
fn a_client_that_has_not_shown_its_token_has_no_session_to_resume() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let app = fleet.app("ada", "p.x");
    glasses.texts(&mut fleet);
    fleet.lose(glasses.peer, "reset");
    fleet.say(app, display(1));
    assert!(!glasses.resume(&mut fleet));
    // Its slot has waited as that of any peer.
    let got = glasses.texts(&mut fleet);
    assert_eq!(texts(&got), ["connection_ack", "display_event"]);
    assert_eq!(fleet.stats().resumes[0], 1);
}

/// Both directions of the change: what was not sent arrives once.
#[test]
fn a_peer_may_come_back_without_pulse_and_with_it() {
    let mut fleet = fleet();
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let app = fleet.app("ada", "p.x");
    glasses.texts(&mut fleet);
    glasses.ack(&mut fleet);
    fleet.lose(glasses.peer, "reset");
    fleet.say(app, display(1));
    let plain = fleet.glasses("ada");
    assert_eq!(
        texts(&fleet.texts(plain)),
        ["connection_ack", "display_event"]
    );
    fleet.lose(plain, "reset");
    fleet.say(app, display(2));
    let mut glasses = PulseClient::open(&mut fleet, GLASSES);
    let got = glasses.texts(&mut fleet);
    assert_eq!(shown(&got), [2]);
    assert_eq!(texts(&got)[0], "connection_ack");
    // A newer connection without pulse takes over.
    glasses.ack(&mut fleet);
    let plain = fleet.glasses("ada");
    glasses.read(&mut fleet);
    assert_eq!(
        glasses.bye.take().map(|bye| bye.why),
        Some("replaced".into())
    );
    fleet.drain(plain);
    fleet.say(app, display(3));
    assert_eq!(shown(&fleet.texts(plain)), [3]);
    assert!(!glasses.resume(&mut fleet), "its session was over");
    fleet.charged();
}

#[test]
fn frames_that_are_never_kept_are_kept_for_a_session() {
    let mut fleet = fleet();
    let glasses = fleet.glasses("ada");
    let mut app = PulseClient::open(&mut fleet, APP);
    app.say(
        &mut fleet,
        &json!({"type":"subscription_update","subscriptions":["*","audio_chunk"]}),
    );
    app.ack(&mut fleet);
    app.texts(&mut fleet);
    fleet.lose(app.peer, "reset");
    fleet.say(glasses, json!({"type":"VAD","n":1}));
    fleet.binary(glasses, b"sound");
    fleet.say(glasses, button(2));
    assert!(app.resume(&mut fleet));
    let got = app.texts(&mut fleet);
    assert_eq!(got.len(), 3, "{got:?}");
    assert_eq!(got[1], "binary 5");
    // After a reset they are skipped as ever, and counted.
    app.ack(&mut fleet);
    fleet.lose(app.peer, "reset");
    fleet.say(glasses, json!({"type":"VAD","n":1}));
    fleet.say(glasses, button(3));
    app.ask_with(&mut fleet, "\u{1}{\"resume\":\"\",\"rx\":0}");
    let got = app.texts(&mut fleet);
    assert_eq!(texts(&got), ["tpa_connection_ack", "data_stream"]);
    let dropped = fleet.stats().dropped;
    assert_eq!(dropped[pulsegate::gateway::DropReason::Skipped as usize], 1);
}
