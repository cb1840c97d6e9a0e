//! Connects, and the time for them and for the answer.

use crate::dialer::{Dialer, Told, dial, dialed, dialer, only_server};
use crate::nets::check_invariants;
use pulsegate::engine::{Dial, DialError, DialRequest, PhaseView};
use pulsegate::http::{HeaderValue, header};
use pulsegate::testing::{Net, OnDial};
use pulsegate::{Cause, Class, Config, ConnId, Micros, Policy};

/// The latest that a deadline may be handled, in ms: the next tick.
const TICK_MS: u64 = 5;

fn ended(net: &mut Net<Dialer>, id: ConnId) -> Option<Cause> {
    net.host().told(id).iter().find_map(|told| match told {
        Told::Closed(cause) => Some(*cause),
        _ => None,
    })
}

/// Returns a dial with these times, in ms.
fn timed_dial(connect: u64, answer: u64) -> Dial {
    let mut dial = dial();
    dial.connect_timeout = Micros::from_millis(connect);
    dial.answer_timeout = Micros::from_millis(answer);
    dial
}

#[test]
fn a_connect_that_does_not_complete_ends_on_time() {
    for on_dial in [OnDial::Wait, OnDial::Busy] {
        for ms in [1, 20, 3_000, 60_000] {
            let mut net = dialer(Config::default());
            net.advance(123);
            net.set_on_dial(on_dial);
            let id = dialed(&mut net, timed_dial(ms, 10));
            net.advance(ms - 1);
            let view = net.with_io(|_, io| io.view(id)).expect("it is there");
            assert_eq!(view.phase, PhaseView::Dialing { connected: false });
            assert!(view.dialed);
            check_invariants(&net);
            net.advance(1 + TICK_MS);
            assert_eq!(ended(&mut net, id), Some(Cause::CONNECT_TIMEOUT), "{ms}");
            assert!(net.engine().is_empty());
        }
    }
}

#[test]
fn the_time_for_the_answer_begins_with_the_connect() {
    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Wait);
    let id = dialed(&mut net, timed_dial(3_000, 700));
    net.advance(2_500);
    let server = only_server(&mut net);
    assert_eq!(net.request(server), None, "nothing is sent before");
    net.complete_connect(server);
    net.settle();
    assert!(net.request(server).is_some());
    let view = net.with_io(|_, io| io.view(id)).expect("it is there");
    assert_eq!(view.phase, PhaseView::Dialing { connected: true });
    // What arrives meanwhile gives it no more time.
    net.write(server, b"HTTP/1.1 404 Not Found\r\n");
    net.advance(699);
    net.write(server, b"Content-Length: 5\r\n\r\nabcd");
    net.settle();
    assert_eq!(ended(&mut net, id), None);
    check_invariants(&net);
    net.advance(1 + TICK_MS);
    assert_eq!(ended(&mut net, id), Some(Cause::ANSWER_TIMEOUT));
    let reason = net.ending(server).map(|end| end.reason.to_string());
    assert_eq!(reason.as_deref(), Some("no answer within 700 ms"));
}

#[test]
fn the_outlook_of_a_dial_is_what_happens() {
    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Wait);
    let id = dialed(&mut net, timed_dial(3_000, 700));
    net.advance(1_000);
    let outlook = |net: &mut Net<Dialer>| {
        let outlook = net.with_io(|_, io| io.outlook(id)).expect("it is there");
        assert_eq!((outlook.next_ping, outlook.suspect_at), (None, None));
        (outlook.ends_at, outlook.ends_for)
    };
    let connect = (Micros::from_secs(3), Cause::CONNECT_TIMEOUT);
    assert_eq!(outlook(&mut net), connect);
    let server = only_server(&mut net);
    net.complete_connect(server);
    let answer = (Micros::from_millis(1_700), Cause::ANSWER_TIMEOUT);
    assert_eq!(outlook(&mut net), answer);
}

#[test]
fn a_connect_that_fails_ends_with_its_error() {
    use std::io::ErrorKind;
    for (kind, cause) in [
        (ErrorKind::ConnectionRefused, Cause::CONNECT_FAILED),
        (ErrorKind::NetworkUnreachable, Cause::CONNECT_FAILED),
        (ErrorKind::TimedOut, Cause::CONNECT_TIMEOUT),
    ] {
        let mut net = dialer(Config::default());
        net.set_on_dial(OnDial::Fail(kind));
        let id = dialed(&mut net, dial());
        net.settle();
        assert_eq!(net.host().told(id), [Told::Closed(cause)]);
        let server = only_server(&mut net);
        let end = net.ending(server).expect("an end");
        assert_eq!(&*end.reason, kind.to_string());
        assert_eq!((end.class, end.lost), (Some(Class(0)), false));
        assert_eq!(net.engine().stats().dials_failed[cause.index()], 1);
        check_invariants(&net);
    }
}

#[test]
fn a_server_without_room_is_tried_again_every_10_ms_in_the_order_of_the_dials() {
    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Busy);
    let first: Vec<ConnId> = (0..300).map(|_| dialed(&mut net, dial())).collect();
    net.advance(1_000);
    check_invariants(&net);
    assert!(net.take_dialed().is_empty());
    assert!(net.wheel_entries() < 900, "{}", net.wheel_entries());
    let closed = first[17];
    net.with_io(|_, io| io.close(closed, 1000, "no longer wanted"));
    // In the same turn as the others are tried again.
    net.set_on_dial(OnDial::Agree);
    net.advance(5);
    let last = dialed(&mut net, dial());
    net.advance(10 + TICK_MS);
    let servers = net.take_dialed();
    let ids: Vec<ConnId> = servers.iter().map(|s| net.id(*s)).collect();
    assert_eq!(ids.len(), 300, "all but the one that was closed");
    let waited: Vec<ConnId> = first.into_iter().filter(|id| *id != closed).collect();
    let place = ids.iter().position(|id| *id == last);
    let in_order: Vec<ConnId> = ids.iter().copied().filter(|id| *id != last).collect();
    assert_eq!(in_order, waited);
    assert!(place.is_some());
    assert!(servers.iter().all(|s| net.is_open(*s)));
    check_invariants(&net);
}

#[test]
fn a_turn_begins_at_most_256_connects() {
    let mut net = dialer(Config::default());
    for _ in 0..600 {
        dialed(&mut net, dial());
    }
    for expected in [256, 256, 88, 0] {
        net.run_turn();
        assert_eq!(net.take_dialed().len(), expected);
    }
}

#[test]
fn a_dial_that_cannot_be_made_is_refused_and_has_no_end() {
    let mut net = dialer(Config::default());
    let mut wrong = dial();
    wrong.class = Class(1);
    let error = net.with_io(|_, io| io.dial(wrong));
    let no_class = DialError::NoSuchClass {
        class: Class(1),
        classes: 1,
    };
    assert_eq!(error, Err(no_class));
    let mut wrong = dial();
    wrong.policy = Some(Policy {
        connection_timeout: Micros::ZERO,
        ..Policy::default()
    });
    let error = net.with_io(|_, io| io.dial(wrong));
    assert!(matches!(error, Err(DialError::Policy(_))), "{error:?}");
    let mut wrong = dial();
    let host = HeaderValue::from_static("server");
    wrong.request = DialRequest::new("/", host.clone()).with_header(header::HOST, host);
    let error = net.with_io(|_, io| io.dial(wrong));
    assert!(matches!(error, Err(DialError::Request(_))), "{error:?}");
    net.shutdown();
    let error = net.with_io(|_, io| io.dial(dial()));
    assert_eq!(error, Err(DialError::Stopped));
    net.settle();
    assert_eq!(net.host().diary, []);
    assert_eq!(net.engine().stats().dialed, 0);
    assert!(net.take_dialed().is_empty());
}

#[test]
fn a_dialled_connection_has_the_policy_that_its_dial_gives() {
    let mut net = dialer(Config::default());
    let mut own = dial();
    own.policy = Some(Policy {
        heartbeat_interval: Micros::from_secs(2),
        connection_timeout: Micros::from_secs(5),
        ..Policy::default()
    });
    let id = dialed(&mut net, own);
    net.settle();
    let server = only_server(&mut net);
    net.mute(server);
    net.advance(4_900);
    assert!(net.is_open(server));
    net.advance(200);
    assert_eq!(ended(&mut net, id), Some(Cause::STALE));
}
