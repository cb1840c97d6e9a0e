//! Closes that are not answered, silent peers, and new policies.

use crate::echo::{Told, check_all_ended, end_of, scripted, server, told_of};
use crate::nets::S;
use pulsegate::cause::{Cause, EndCode, EndedBy};
use pulsegate::engine::wheel::TICK;
use pulsegate::engine::{Config, Handler, Io, Message, Request, Verdict};
use pulsegate::health::{HealthChange, HealthState, Policy};
use pulsegate::testing::{Net, Received, client_frame};
use pulsegate::{Class, ConnId, Micros};

#[test]
fn a_close_that_is_not_answered_is_over_after_close_timeout() {
    for answers in [false, true] {
        let mut net = server(Config::default());
        let peer = net.connect("/");
        let id = net.id(peer);
        if !answers {
            net.mute(peer);
        }
        net.with_io(|_, io| io.close(id, 4_321, "go"));
        net.settle();
        assert_eq!(
            net.received(peer),
            [Received::Close(4_321, "go".to_owned())]
        );
        assert_eq!(net.ending(peer).is_some(), answers);
        net.send(peer, Message::text("too late to be delivered"));
        net.advance(2 * S - 1);
        assert_eq!(net.ending(peer).is_some(), answers);
        net.advance(11);
        let end = (
            Cause::KICKED,
            EndCode::Close(4_321),
            "go".to_owned(),
            answers,
        );
        assert_eq!(end_of(&net, peer), Some(end));
        assert_eq!(net.released(peer), Some(false));
        assert_eq!(told_of(&mut net, peer), [Told::Opened, Told::Closed]);
        check_all_ended(&mut net);
    }
}

#[test]
fn a_ghost_is_told_at_once_and_dropped_with_a_reset_later() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    net.advance(45 * S - 1);
    assert!(
        net.is_open(peer) && told_of(&mut net, peer).contains(&Told::Health(HealthState::Suspect))
    );
    net.advance(11);
    let end = net.ending(peer).expect("told at once").clone();
    assert_eq!(
        (end.cause, end.by, end.code, end.clean),
        (Cause::STALE, EndedBy::Server, EndCode::Close(3008), false)
    );
    assert!(end.silence >= Micros::from_secs(45) && end.silence <= Micros::from_secs(45) + TICK);
    let Some(Received::Close(3008, reason)) = net.received(peer).pop() else {
        panic!("no close frame");
    };
    let unanswered = end.unanswered;
    assert!((2..=3).contains(&unanswered));
    assert_eq!(
        reason,
        format!(
            "nothing heard for {}, {unanswered} pings unanswered",
            end.silence
        )
    );
    assert!(
        net.fin_received(peer),
        "a FIN stands behind the close frame"
    );
    assert_eq!(net.released(peer), None);
    // A message after that is too late.
    net.send(peer, Message::text("I am back"));
    net.advance(2 * S - 30);
    assert_eq!(net.released(peer), None);
    net.advance(40);
    assert_eq!(
        net.released(peer),
        Some(true),
        "nothing of a ghost stays in the kernel"
    );
    check_all_ended(&mut net);
}

#[test]
fn a_new_policy_gives_each_connection_one_of_its_timeouts() {
    let mut net = server(Config::default());
    let peer = scripted(&mut net, "/");
    let id = net.id(peer);
    net.advance(5 * S);
    let ms = Micros::from_millis;
    let strict = Policy {
        heartbeat_interval: ms(500),
        connection_timeout: ms(1_000),
        ..Policy::default()
    };
    net.with_io(|_, io| {
        assert!(io.set_policy(Class(9), strict).is_err());
        assert!(
            io.set_policy(
                Class(0),
                Policy {
                    suspect_after: 0,
                    ..strict
                }
            )
            .is_err()
        );
        io.set_policy(Class(0), strict).expect("a valid policy");
    });
    net.settle();
    net.advance(990);
    assert!(
        net.is_open(peer),
        "it was silent before, and had a right to"
    );
    let unanswered = net.with_io(|_, io| io.health(id)).expect("open").unanswered;
    assert!((1..=2).contains(&unanswered), "{unanswered} pings since");
    net.advance(20);
    net.expect_closed(peer, Cause::STALE);
    let newcomer = scripted(&mut net, "/");
    net.advance(1_010);
    net.expect_closed(newcomer, Cause::STALE);
}

#[test]
fn a_close_when_health_returns_stands_although_half_a_frame_came_with_it() {
    struct Unforgiving(Vec<Message>);
    impl Handler for Unforgiving {
        fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
            Verdict::upgrade(Class(0))
        }
        fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, message: Message) {
            self.0.push(message);
        }
        fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
            if change.state == HealthState::Healthy {
                io.close(id, 4000, "too late");
            }
        }
    }
    let mut net = Net::new(Config::default(), Unforgiving(Vec::new()));
    let peer = net.connect("/");
    net.mute(peer);
    net.advance(35_000);
    let message = client_frame(0x81, b"do not hear me");
    net.write(
        peer,
        &[&client_frame(0x8A, b"pong")[..], &message[..8]].concat(),
    );
    net.settle();
    net.write(peer, &message[8..]);
    net.settle();
    assert!(net.host().0.is_empty());
    net.advance(2_500);
    net.expect_closed(peer, Cause::KICKED);
}
