//! Ends that the gateway, the service or the application wants.

use pulsegate::client::{ClientEvent, ClientPhase, FakePulse, Reconnect, ReconnectRule};
use pulsegate::pulse::{ClientFrame, FailureClass, GatewayFrame, PulseText, Refused};
use pulsegate::{Message, Micros, Reply};

use crate::rig::{Rig, options, target};

/// Returns a frame of a gateway as a test writes it down.
fn frame(json: &str) -> GatewayFrame {
    let text = format!("\u{1}{json}");
    match PulseText::of(&text) {
        PulseText::Control(json) => GatewayFrame::parse(json).expect("a valid frame"),
        PulseText::Application(_) => panic!("{json}"),
    }
}

fn refused(json: &str) -> Refused {
    match frame(json) {
        GatewayFrame::Refused(refused) => refused,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_restart_with_a_bye_is_waited_for() {
    let mut rig = Rig::open();
    let GatewayFrame::Bye(bye) =
        frame(r#"{"bye":{"why":"restart","retry_ms":1200,"spread_ms":3000}}"#)
    else {
        panic!("a bye");
    };
    rig.send("never acknowledged");
    rig.serve(|gateway, io| gateway.bye(io, &bye, 1012));
    rig.advance(1_190);
    assert_eq!(rig.names(), ["suspended Told"]);
    rig.advance(3_020);
    let events = rig.events();
    let Some(ClientEvent::Reset(left)) = events.get(1) else {
        panic!("{events:?}");
    };
    assert_eq!((left.messages.len(), left.sent), (1, 1));
    assert_eq!(events.last(), Some(&ClientEvent::Opened));
}

#[test]
fn a_client_that_is_refused_fetches_credentials_once() {
    let mut gateway = FakePulse::new();
    gateway.refusal = Some(refused(r#"{"refused":{"status":401}}"#));
    let mut rig = Rig::with_target(options(), gateway, None);
    let why = |rig: &mut Rig| {
        rig.events().into_iter().find_map(|event| match event {
            ClientEvent::Connecting(attempt) => Some(attempt.why),
            _ => None,
        })
    };
    rig.advance(10);
    assert_eq!(why(&mut rig), Some(None));
    rig.client(|clients, io, id| clients.connect(io, id, target()));
    rig.advance(10);
    assert_eq!(why(&mut rig), Some(Some(FailureClass::Rejected)));
    rig.client(|clients, io, id| clients.connect(io, id, target()));
    rig.advance(10);
    assert_eq!(rig.names(), ["closed Rejected"]);
    rig.gateway().refusal = None;
    rig.client(|clients, io, id| clients.reconnect(io, id));
    rig.advance(10);
    rig.client(|clients, io, id| clients.connect(io, id, target()));
    rig.advance(10);
    assert_eq!(rig.phase(), ClientPhase::Open);
}

#[test]
fn a_host_that_gives_no_address_fails_the_try() {
    let mut rig = Rig::with_target(options(), FakePulse::new(), None);
    rig.advance(9_900);
    assert_eq!(rig.names(), ["connecting"]);
    rig.advance(1_200);
    assert_eq!(rig.names(), ["connecting"], "after 10 s, another one");
    rig.client(|clients, io, id| clients.fail(io, id, "no address"));
    rig.advance(2_010);
    assert_eq!(rig.names(), ["connecting"]);
}

#[test]
fn an_upgrade_that_is_refused_says_when_to_come_back() {
    let mut gateway = FakePulse::new();
    gateway.reply = Some(Reply::error(503, "no room").with_retry_after(7));
    let mut rig = Rig::new(options(), gateway);
    rig.advance(10);
    rig.gateway().reply = None;
    rig.advance(6_900);
    assert_eq!(rig.gateway().targets.len(), 1);
    rig.advance(150);
    assert_eq!(rig.phase(), ClientPhase::Open);
}

#[test]
fn a_refused_upgrade_does_not_look_like_an_idle_cut() {
    let mut rig = Rig::open();
    rig.gateway().reply = Some(Reply::error(502, "no upstream"));
    rig.advance(300_000);
    rig.nets.cut_after(0, 0);
    rig.advance(100_000);
    let events = rig.events();
    let mut classes = events.iter().filter_map(|event| match event {
        ClientEvent::Connecting(attempt) => attempt.why,
        _ => None,
    });
    assert!(classes.clone().count() > 4, "{events:?}");
    assert!(
        classes.all(|class| class == FailureClass::Blip),
        "{events:?}"
    );
}

#[test]
fn close_says_farewell_and_is_final() {
    let mut rig = Rig::open();
    rig.send("last");
    let closed = rig.client(|clients, io, id| clients.close(io, id, 4_002, "bye"));
    closed.expect("a valid code");
    rig.advance(100_000);
    assert_eq!(rig.received(), ["last"]);
    assert_eq!(rig.gateway().frames, [ClientFrame::Farewell]);
    assert_eq!(rig.gateway().session(), None, "it is not held");
    let events = rig.events();
    let Some(ClientEvent::Closed { end, .. }) = events.last() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (end.code, end.is_clean, end.class),
        (4_002, true, FailureClass::Over)
    );
    assert_eq!(rig.gateway().targets.len(), 1);
    let sent = rig.client(|clients, io, id| clients.send(io, id, Message::text("late")));
    assert!(sent.is_err());
}

#[test]
fn close_takes_the_codes_that_a_websocket_takes() {
    let mut rig = Rig::open();
    for code in [0, 999, 1_001, 2_999, 5_000] {
        assert!(
            rig.client(|clients, io, id| clients.close(io, id, code, ""))
                .is_err()
        );
    }
    assert_eq!(rig.phase(), ClientPhase::Open);
}

#[test]
fn close_in_a_black_hole_ends_within_3_s() {
    let mut rig = Rig::open();
    rig.nets.silence();
    rig.client(|clients, io, id| clients.close(io, id, 1_000, ""))
        .expect("a valid code");
    rig.advance(3_010);
    assert_eq!(rig.names(), ["closed Over"]);
}

#[test]
fn the_end_of_the_service_is_final_for_1000_and_begins_another_session_otherwise() {
    let mut rig = Rig::open();
    rig.serve_text("before");
    rig.serve(|gateway, io| {
        let session = gateway.session().expect("a session");
        gateway.end(io, session, 1_001, "moved");
    });
    rig.advance(3_000);
    let expected = [
        "message before",
        "reset",
        "suspended Blip",
        "connecting",
        "opened",
    ];
    assert_eq!(rig.names(), expected);
    rig.nets.cut_after(0, 0);
    rig.serve_text("kept");
    rig.serve(|gateway, io| {
        let session = gateway.session().expect("a session");
        gateway.end(io, session, 1_000, "done");
    });
    rig.advance(3_000);
    let expected = [
        "suspended Blip",
        "connecting",
        "resumed",
        "message kept",
        "closed Over",
    ];
    assert_eq!(rig.names(), expected);
}

#[test]
fn a_rule_of_the_host_overrules_the_class() {
    let mut options = options();
    options.reconnect_rule = Some(ReconnectRule::new(|end| match end.class {
        FailureClass::Over => Reconnect::After(Micros::from_millis(700)),
        _ => Reconnect::Stop,
    }));
    let mut rig = Rig::new(options, FakePulse::new());
    rig.advance(10);
    rig.serve(|gateway, io| {
        let session = gateway.session().expect("a session");
        gateway.end(io, session, 1_000, "done");
    });
    rig.advance(1_000);
    assert_eq!(rig.phase(), ClientPhase::Open);
    rig.nets.cut_after(0, 0);
    rig.advance(10);
    assert_eq!(rig.phase(), ClientPhase::Closed);
}

#[test]
fn reconnect_replaces_the_connection_at_most_ten_times_a_minute() {
    let mut rig = Rig::open();
    rig.client(|clients, io, id| clients.reconnect(io, id));
    rig.advance(10);
    assert_eq!(rig.names(), ["suspended", "connecting", "resumed"]);
    for _ in 0..20 {
        rig.client(|clients, io, id| clients.reconnect(io, id));
        rig.advance(10);
    }
    assert_eq!(rig.gateway().targets.len(), 10);
    rig.advance(60_000);
    assert_eq!(rig.phase(), ClientPhase::Open);
}

#[test]
fn a_gateway_that_breaks_the_protocol_is_a_fault() {
    let invalid = [
        // Acknowledges what was never sent.
        r#"{"rx":1}"#,
        r#"{"ping":1,"rx":1}"#,
        r#"{"ping":1}"#,
        "[]",
        "",
    ];
    for json in invalid {
        let mut rig = Rig::open();
        rig.serve(|gateway, io| {
            let conn = gateway.session().and_then(|session| gateway.conn(session));
            let text = Message::text(format!("\u{1}{json}"));
            io.send(conn.expect("a connection"), text);
        });
        rig.advance(29_900);
        assert_eq!(rig.names(), ["suspended Fault"], "{json}");
        rig.advance(200);
        let names = rig.names();
        assert_eq!(
            names,
            ["connecting", "reset", "opened"],
            "{json}: not the same session"
        );
    }
}
