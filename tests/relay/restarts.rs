//! Restarts and drains of the gateway.

use crate::fleet::{Fleet, texts};
use pulsegate::gateway::{Admission, RelaySettings};
use pulsegate::{Cause, Micros};
use serde_json::json;

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
