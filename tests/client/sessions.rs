//! Sessions: messages, losses, and what is given back.

use pulsegate::client::{ClientEvent, ClientPhase, ClientSendError, FakePulse};
use pulsegate::pulse::{ClientCondition, ClientFrame, NetworkKind};
use pulsegate::testing::OnDial;
use pulsegate::{Class, Message};
use std::io::ErrorKind;

use crate::rig::{Rig, options};

#[test]
fn a_session_opens_and_messages_go_both_ways_as_they_are() {
    let mut rig = Rig::new(options(), FakePulse::new());
    rig.send("early");
    rig.advance(10);
    assert_eq!(rig.gateway().targets, ["/chat?room=1&pulse=1"]);
    for text in ["", "\u{1}", "\u{1}{\"rx\":9}"] {
        rig.send(text);
        rig.serve_text(text);
    }
    rig.client(|clients, io, id| clients.send(io, id, Message::binary(vec![1, 2])))
        .expect("room");
    rig.advance(10);
    let expected = ["early", "", "\u{1}", "\u{1}{\"rx\":9}", "\u{1}\u{2}"];
    assert_eq!(rig.received(), expected);
    assert_eq!(rig.gateway().received[4].1, Message::binary(vec![1, 2]));
    let events = [
        "connecting",
        "opened",
        "message ",
        "message \u{1}",
        "message \u{1}{\"rx\":9}",
    ];
    assert_eq!(rig.names(), events);
    rig.advance(1_100);
    let id = rig.id;
    let client = rig.nets.dialer.host().clients.get(id).expect("the client");
    assert_eq!(
        (client.buffered(), client.protocol()),
        (0, Some("a")),
        "acknowledged"
    );
    let session = rig.gateway().session().expect("a session");
    assert!(
        rig.gateway()
            .pulse(session)
            .expect("held")
            .sent()
            .is_empty()
    );
}

#[test]
fn what_was_under_way_is_sent_again_once() {
    let mut rig = Rig::new(options(), FakePulse::new());
    rig.nets.set_latency(50);
    rig.advance(500);
    rig.send("1");
    rig.serve_text("x");
    rig.nets.cut_after(0, 0);
    rig.send("2");
    rig.serve_text("y");
    rig.advance(2_500);
    assert_eq!(rig.received(), ["1", "2"]);
    let expected = [
        "connecting",
        "opened",
        "suspended Blip",
        "connecting",
        "resumed",
        "message x",
        "message y",
    ];
    assert_eq!(rig.names(), expected);
    assert_eq!(rig.gateway().targets[1], "/chat?room=1&pulse=1&resume=fake");
    assert_eq!(rig.gateway().resumes, 1);
}

#[test]
fn a_session_whose_hold_is_over_is_another_one() {
    let mut gateway = FakePulse::new();
    gateway.hello.hold_ms = 5_000;
    let mut rig = Rig::new(options(), gateway);
    rig.advance(10);
    rig.send("confirmed");
    rig.advance(1_500);
    rig.nets
        .dialer
        .set_on_dial(OnDial::Fail(ErrorKind::TimedOut));
    rig.nets.cut_after(0, 0);
    rig.send("while away");
    rig.advance(6_000);
    assert_eq!(rig.gateway().session(), None, "the hold is over");
    rig.nets.dialer.set_on_dial(OnDial::Accept);
    rig.advance(30_000);
    let events = rig.events();
    let is_reset = |event: &&ClientEvent| matches!(event, ClientEvent::Reset(_));
    let Some(ClientEvent::Reset(left)) = events.iter().find(is_reset) else {
        panic!("{events:?}");
    };
    assert_eq!(
        (&*left.messages, left.sent),
        (&[Message::text("while away")][..], 0)
    );
    rig.send("next");
    rig.advance(10);
    assert_eq!(rig.received(), ["confirmed", "next"]);
}

#[test]
fn a_reset_lists_the_messages_that_were_never_acknowledged() {
    let mut rig = Rig::open();
    rig.send("confirmed");
    rig.advance(1_500);
    rig.nets.silence();
    rig.send("under way");
    rig.gateway().lose_sessions();
    rig.advance(24_600);
    while rig.phase() == ClientPhase::Open {
        rig.advance(10);
    }
    rig.send("waiting");
    rig.advance(2_000);
    let events = rig.events();
    let reset = events.iter().find_map(|event| match event {
        ClientEvent::Reset(left) => Some(left.clone()),
        _ => None,
    });
    let reset = reset.expect("a reset");
    assert_eq!(
        reset.messages,
        [Message::text("under way"), Message::text("waiting")]
    );
    assert_eq!(reset.sent, 1, "the other one was never sent");
    assert_eq!(events.last(), Some(&ClientEvent::Opened));
}

#[test]
fn a_message_beyond_the_limit_is_refused_and_drained_follows() {
    let mut options = options();
    options.max_buffered_bytes = 10;
    let mut gateway = FakePulse::new();
    gateway.hello.max_message_bytes = 8;
    let mut rig = Rig::new(options, gateway);
    let send = |rig: &mut Rig, text: &str| {
        rig.client(|clients, io, id| clients.send(io, id, Message::text(text)))
    };
    send(&mut rig, "12345678").expect("room");
    let full = ClientSendError::Full {
        bytes: 3,
        buffered: 8,
        most: 10,
    };
    assert_eq!(send(&mut rig, "123"), Err(full));
    send(&mut rig, "12").expect("the refused one was not taken");
    rig.advance(1_100);
    assert_eq!(rig.received(), ["12345678", "12"]);
    assert_eq!(rig.names(), ["connecting", "opened", "drained"]);
    let large = ClientSendError::TooLarge { bytes: 9, most: 8 };
    assert_eq!(send(&mut rig, "123456789"), Err(large));
    let ping = rig.client(|clients, io, id| clients.send(io, id, Message::Ping(Vec::new().into())));
    assert_eq!(ping, Err(ClientSendError::NotData));
}

#[test]
fn a_gateway_that_does_not_speak_pulse_makes_a_plain_client() {
    let mut gateway = FakePulse::new();
    gateway.is_pulse = false;
    gateway.is_echo = true;
    let mut rig = Rig::new(options(), gateway);
    rig.send("\u{1} early");
    rig.advance(1_990);
    assert_eq!(rig.names(), ["connecting"]);
    rig.advance(20);
    assert_eq!(rig.names(), ["opened", "message \u{1} early"]);
    rig.nets.cut_after(0, 0);
    rig.send("while away");
    rig.advance(700);
    assert_eq!(rig.names()[..3], ["suspended Blip", "connecting", "opened"]);
    assert_eq!(rig.received(), ["\u{1} early", "while away"]);
    assert_eq!(
        rig.gateway().targets[1],
        "/chat?room=1",
        "it is not asked again"
    );
}

#[test]
fn a_client_with_a_session_stays_one_when_a_hello_is_late() {
    let mut rig = Rig::open();
    rig.gateway().is_pulse = false;
    rig.nets.cut_after(0, 0);
    rig.advance(600);
    assert_eq!(rig.gateway().targets.len(), 2);
    rig.advance(2_000);
    // A message instead of a hello does not make it a plain client, either.
    while rig.gateway().targets.len() < 3 {
        rig.advance(10);
    }
    rig.serve(|_, io| {
        let conns: Vec<_> = io.connections(Class(0)).collect();
        io.send_many(conns, &Message::text("welcome"));
    });
    rig.gateway().is_pulse = true;
    rig.advance(10_000);
    let names = rig.names();
    assert_eq!(
        names.last().map(String::as_str),
        Some("resumed"),
        "{names:?}"
    );
    let is_session = |name: &String| ["connecting", "resumed", "suspended Blip"].contains(&&**name);
    assert!(names.iter().all(is_session), "{names:?}");
}

#[test]
fn the_gateway_is_told_of_the_surroundings_at_most_once_in_10_s() {
    let mut rig = Rig::open();
    for net in [NetworkKind::Wifi, NetworkKind::Cell, NetworkKind::Wired] {
        let mut condition = ClientCondition::default();
        condition.net = Some(net);
        rig.client(|clients, io, id| clients.set_condition(io, id, condition));
        rig.advance(100);
    }
    let told = |rig: &mut Rig| -> Vec<Option<NetworkKind>> {
        let frames = rig.gateway().frames.iter();
        let states = frames.filter_map(|frame| match frame {
            ClientFrame::State(state) => Some(state.net),
            _ => None,
        });
        states.collect()
    };
    assert_eq!(told(&mut rig), [Some(NetworkKind::Wifi)]);
    rig.advance(10_000);
    assert_eq!(
        told(&mut rig),
        [Some(NetworkKind::Wifi), Some(NetworkKind::Wired)]
    );
}
