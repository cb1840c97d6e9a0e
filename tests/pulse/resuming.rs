//! A client that comes back.

use crate::rig::{Rig, S, control};
use pulsegate::gateway::{HoldEnd, KickOutcome, NotHeld, ResetReason, SessionLimits};
use pulsegate::{Micros, testing::PeerId};

#[test]
fn what_was_not_acknowledged_is_sent_again_and_nothing_else() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    for text in ["one", "two", "three"] {
        rig.text(pair.service, text);
    }
    assert_eq!(rig.heard(pair.client), ["one", "two", "three"]);
    rig.say(pair.client, r#"{"rx":1}"#);
    rig.text(pair.client, "up");
    rig.cut(pair.client);
    rig.text(pair.service, "four");
    // The client has had the second one, too.
    let client = rig.resume(&pair.hello, 2);
    let heard = rig.heard(client);
    assert!(heard[0].contains(r#""resumed":true,"rx":1,"#), "{heard:?}");
    assert_eq!(heard[1..], ["three", "four"]);
    assert_eq!(rig.heard(pair.service), ["up"]);
    rig.text(client, "more");
    assert_eq!(rig.heard(pair.service), ["more"]);
    let counts = rig.counts();
    assert_eq!((counts.opened, counts.attached, counts.held), (1, 1, 0));
    assert_eq!((counts.losses, counts.losses_unacknowledged), (1, 1));
    assert_eq!(counts.holds_ended[HoldEnd::Resumed as usize], 1);
    assert_eq!(counts.sent_again, 1);
}

#[test]
fn the_service_notices_nothing_but_silence() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.cut(pair.client);
    rig.pass(50 * S);
    rig.net
        .send(pair.service, pulsegate::Message::Ping("up?".into()));
    rig.pass(S);
    let heard = rig.heard(pair.service);
    let (pings, others): (Vec<_>, Vec<_>) = heard.iter().partition(|line| *line == "ping");
    assert_eq!(others, ["pong up?"]);
    assert_eq!(pings.len(), 1, "every 30 s");
    assert!(rig.net.is_open(pair.service));
    assert_eq!(rig.net.take_dialed(), []);
}

#[test]
fn a_new_connection_takes_over_and_the_old_one_is_not_read_any_more() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.text(pair.client, "first");
    rig.net.set_latency(pair.client, 2_000);
    rig.text(pair.client, "late");
    let client = rig.resume(&pair.hello, 0);
    let heard = rig.heard(client);
    assert!(heard[0].contains(r#""resumed":true,"rx":1,"#), "{heard:?}");
    assert_eq!(
        rig.heard(pair.client),
        [
            control(r#"{"bye":{"why":"replaced","retry_ms":0,"spread_ms":0}}"#),
            "close 4003 the session is resumed elsewhere".to_owned(),
        ]
    );
    rig.text(client, "late");
    rig.pass(5 * S);
    assert_eq!(rig.heard(pair.service), ["first", "late"]);
    assert_eq!(rig.counts().taken_over, 1);
    assert!(rig.net.is_open(client));
}

#[test]
fn each_hello_has_a_token_and_the_older_one_is_valid_until_it_has_arrived() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.cut(pair.client);
    // This hello is lost with its connection, and so is the next.
    for _ in 0..2 {
        let lost = rig.resume(&pair.hello, 0);
        assert_ne!(rig.hello(lost).resume, pair.hello.resume);
        rig.cut(lost);
    }
    let client = rig.resume(&pair.hello, 0);
    let hello = rig.hello(client);
    assert!(hello.resumed);
    rig.say(client, r#"{"rx":0}"#);
    rig.cut(client);
    // Now it has arrived.
    let late = rig.resume(&pair.hello, 0);
    assert_begins_anew(&mut rig, late, ResetReason::Unknown);
    let client = rig.resume(&hello, 0);
    assert!(rig.hello(client).resumed);
}

/// Asserts that a client gets a new session, for this reason.
#[track_caller]
fn assert_begins_anew(rig: &mut Rig, client: PeerId, why: ResetReason) {
    let service = rig.dialed();
    rig.net.agree(service, "");
    rig.net.settle();
    let hello = rig.hello(client);
    assert!(!hello.resumed && hello.rx == 0, "{hello:?}");
    let resets = rig.counts().resets;
    assert_eq!(resets[why as usize], 1, "{why}: {resets:?}");
    assert_eq!(resets.iter().sum::<u64>(), 1, "{resets:?}");
}

#[test]
fn a_token_is_worth_nothing_to_another_client() {
    let page = "Origin: https://a.example\r\n";
    for (target, lines) in [
        ("/?user=eve&pulse=1&resume=0", page),
        ("/?pulse=1&resume=0", page),
        (
            "/?user=ada&pulse=1&resume=0",
            "Origin: https://b.example\r\n",
        ),
        ("/?user=ada&pulse=1&resume=0", ""),
    ] {
        let mut rig = Rig::new();
        let pair = rig.open_as("/?user=ada&pulse=1", page);
        rig.say(pair.client, r#"{"rx":0}"#);
        let thief = rig.resume_as(target, lines, &pair.hello, 0);
        assert_begins_anew(&mut rig, thief, ResetReason::Foreign);
        // Its owner has it still.
        assert!(rig.net.is_open(pair.client), "{target}");
        rig.cut(pair.client);
        let target = "/?user=ada&pulse=1&resume=0";
        let owner = rig.resume_as(target, page, &pair.hello, 0);
        assert!(rig.hello(owner).resumed);
    }
}

#[test]
fn a_session_that_is_not_here_begins_anew() {
    let mut rig = Rig::with(SessionLimits {
        session_max: Micros::from_secs(30),
        ..SessionLimits::default()
    });
    let pair = rig.proved();
    rig.text(pair.service, "one");
    rig.cut(pair.client);
    // The client says that it has more than was sent to it.
    let wrong = rig.resume(&pair.hello, 2);
    assert_begins_anew(&mut rig, wrong, ResetReason::Mismatch);
    let mut rig = Rig::new();
    let client = rig.ask("/?pulse=1&resume=0", "");
    rig.say(client, r#"{"resume":"of another gateway","rx":7}"#);
    assert_begins_anew(&mut rig, client, ResetReason::NoToken);
    let client = rig.ask("/?pulse=1&resume=0", "");
    rig.say(
        client,
        r#"{"resume":"00000000000000000000000000000000","rx":7}"#,
    );
    let service = rig.dialed();
    // Nothing is read from it before the hello.
    rig.text(client, "too early");
    rig.pass(S);
    rig.net.agree(service, "");
    rig.net.settle();
    assert!(!rig.hello(client).resumed);
    assert_eq!(rig.heard(service), ["too early"]);
}

#[test]
fn an_old_session_is_not_resumed() {
    let mut rig = Rig::with(SessionLimits {
        session_max: Micros::from_secs(30),
        ..SessionLimits::default()
    });
    let pair = rig.proved();
    rig.pass(31 * S);
    let client = rig.resume(&pair.hello, 0);
    assert_begins_anew(&mut rig, client, ResetReason::TooOld);
    rig.cut(pair.client);
    assert_eq!(rig.counts().not_held[NotHeld::TooOld as usize], 1);
}

#[test]
fn the_first_message_must_name_the_session() {
    let mut rig = Rig::new();
    for first in [
        "a text",
        "\u{1}{\"rx\":1}",
        "\u{1}no json",
        "\u{1}{\"resume\":\"x\"}",
    ] {
        let client = rig.ask("/?pulse=1&resume=0", "");
        rig.text(client, first);
        let heard = rig.heard(client);
        let why = "close 1002 the first message does not name a session to resume";
        assert_eq!(heard, [why], "{first}");
    }
    let silent = rig.ask("/?pulse=1&resume=0", "");
    rig.pass(11 * S);
    assert_eq!(
        rig.heard(silent),
        ["close 3008 no first message within 10000 ms"]
    );
    assert_eq!(rig.net.take_dialed(), []);
    rig.assert_empty();
}

#[test]
fn a_frame_that_contradicts_the_session_ends_it() {
    for (frame, why) in [
        (r#"{"rx":1}"#, "the peer acknowledges 1 messages"),
        (r#"{"resume":"0","rx":0}"#, "resume is not the first frame"),
        (r#"{"pong":1}"#, ""),
        ("no json", ""),
    ] {
        let mut rig = Rig::new();
        let pair = rig.proved();
        rig.say(pair.client, frame);
        let heard = rig.heard(pair.client);
        assert!(
            heard[0].starts_with(&format!("close 1002 {why}")),
            "{heard:?}"
        );
        // It is over at once, although the connection is still closing.
        let client = rig.resume(&pair.hello, 0);
        assert_begins_anew(&mut rig, client, ResetReason::Unknown);
        rig.pass(5 * S);
        let heard = rig.heard(pair.service);
        assert!(
            heard[0].starts_with("close 1001 client closed"),
            "{heard:?}"
        );
        rig.close(client, 1000, "");
        rig.assert_empty();
    }
}

/// The contradiction also proves that the last hello has arrived, so its token replaces the one
/// that the other connection brings at the same time.
#[test]
fn a_contradiction_and_an_older_token_at_once_leave_nothing() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    rig.cut(pair.client);
    let client = rig.resume(&pair.hello, 0);
    let second = rig.hello(client);
    let third = rig.ask("/?pulse=1&resume=0", "");
    for (peer, frame) in [
        (client, r#"{"rx":9}"#.to_owned()),
        (
            third,
            format!(r#"{{"resume":"{}","rx":0}}"#, pair.hello.resume.as_str()),
        ),
    ] {
        rig.net
            .send(peer, pulsegate::Message::text(control(&frame)));
    }
    rig.net.settle();
    assert_begins_anew(&mut rig, third, ResetReason::Unknown);
    let fourth = rig.resume(&second, 0);
    rig.net.settle();
    let service = rig.dialed();
    rig.net.agree(service, "");
    rig.net.settle();
    assert!(!rig.hello(fourth).resumed);
    rig.close(third, 1000, "");
    rig.close(fourth, 1000, "");
    rig.assert_empty();
}

#[test]
fn a_client_that_was_kicked_does_not_keep_its_session_by_being_quick() {
    let mut rig = Rig::new();
    let pair = rig.proved();
    let id = rig.net.id(pair.client);
    // It does not answer the close.
    rig.net.mute(pair.client);
    let kicked = rig
        .net
        .with_io(|gateway, io| gateway.kick(io, id, "enough", Micros::ZERO));
    assert!(matches!(kicked, KickOutcome::Done { .. }));
    let client = rig.resume(&pair.hello, 0);
    assert_begins_anew(&mut rig, client, ResetReason::Unknown);
    rig.pass(5 * S);
    assert_eq!(rig.heard(pair.service), ["close 1001 enough"]);
}

#[test]
fn a_block_ends_the_holds_of_its_identity() {
    let mut rig = Rig::new();
    let [first, second] = [(); 2].map(|()| {
        let pair = rig.open_as("/?user=ada&pulse=1", "");
        rig.say(pair.client, r#"{"rx":0}"#);
        pair
    });
    rig.cut(first.client);
    assert_eq!(rig.counts().held, 1);
    let id = rig.net.id(second.client);
    let block = Micros::from_secs(60);
    rig.net
        .with_io(|gateway, io| gateway.kick(io, id, "abuse", block));
    rig.pass(S);
    assert_eq!(rig.counts().held, 0);
    let heard = rig.heard(first.service);
    assert!(
        heard[0].starts_with("close 1001 client lost: blocked"),
        "{heard:?}"
    );
    assert_eq!(rig.heard(second.service), ["close 1001 abuse"]);
    let client = rig.ask("/?user=ada&pulse=1&resume=0", "");
    let heard = rig.heard(client);
    assert_eq!(
        heard[0],
        control(r#"{"refused":{"status":403,"retry_ms":59000}}"#)
    );
    assert!(heard[1].starts_with("close 4403"), "{heard:?}");
    rig.assert_empty();
}
