//! What an outlook predicts is what then happens.

use crate::nets::timed;
use crate::outlook::notes::{LATE, Notes, came_true, net, outlook, pings};
use fastrand::Rng;
use pulsegate::testing::{Net, PeerId, client_frame};
use pulsegate::{Cause, Class, ConnId, HeartbeatMode, Message, Micros, Outlook, PhaseView, Policy};

/// A connection of a random policy, silent from a random moment on, and what it was when its
/// outlook was asked for.
struct SilentLife {
    net: Net<Notes>,
    peer: PeerId,
    id: ConnId,
    policy: Policy,
    round: u32,
    asked: u32,
}

impl SilentLife {
    fn begin(rng: &mut Rng, round: u32) -> Self {
        let interval = rng.u64(20..3_000);
        let policy = random_policy(rng, interval);
        let mut net = net(policy);
        let peer = net.connect("/");
        let id = net.id(peer);
        net.set_latency(peer, rng.u64(0..interval / 2));
        // At any point of the connection's life, perhaps in the middle of a frame.
        net.advance(rng.u64(0..5 * interval));
        net.mute(peer);
        // It may have stopped reading, too, with much queued for it.
        if rng.u8(0..3) == 0 {
            net.set_window(peer, Some(rng.usize(0..100_000)));
            net.with_io(|_, io| io.send(id, Message::binary(vec![0; 100_000])));
        }
        // Everything that was on its way has arrived by then.
        net.advance(interval + rng.u64(0..interval));
        if net.is_open(peer) && rng.u8(0..4) == 0 {
            net.write(peer, &client_frame(0x82, &[0; 100])[..50]);
        }
        if net.is_open(peer) && rng.u8(0..3) == 0 {
            let other = timed(rng.u64(1..5), 5 + rng.u64(0..20));
            let other = Policy {
                mode: policy.mode,
                ..other
            };
            net.with_io(|_, io| io.set_policy(Class(0), other))
                .expect("a good policy");
            net.settle();
        }
        SilentLife {
            net,
            peer,
            id,
            policy,
            round,
            asked: 0,
        }
    }

    /// Asks for the outlook, advances to the next predicted event and not further, and asserts that
    /// it happens then.
    fn ask_and_see(&mut self) {
        let told = outlook(&mut self.net, self.peer);
        let (now, pinged) = (self.net.now(), pings(&self.net));
        let suspects = self.net.host().suspect_at.len();
        self.asked += 1;
        let context = format!(
            "round {}, asked {} at {now}: {:?} {told:?}",
            self.round, self.asked, self.policy
        );
        let next = [told.next_ping, told.suspect_at, Some(told.ends_at)];
        let next = next.into_iter().flatten().min().expect("it ends");
        assert!(next + LATE >= now, "{context}");
        let before = (next - now).as_millis();
        if before > 1 {
            self.net.advance(before - 1);
            let found = (pings(&self.net), self.net.host().suspect_at.len());
            assert_eq!(found, (pinged, suspects), "too early; {context}");
            assert!(self.net.is_open(self.peer), "too early; {context}");
        }
        self.net.advance(20 + 1);
        if told.next_ping.is_some_and(|at| at == next) {
            assert_eq!(pings(&self.net), pinged + 1, "{context}");
        }
        if told.suspect_at == Some(next) {
            let found = self.net.host().suspect_at.get(suspects).copied();
            let (of, at) = found.unwrap_or_else(|| panic!("not suspect; {context}"));
            assert!(of == self.id && came_true(next, at), "{at}; {context}");
        }
        if told.ends_at <= next + Micros::from_millis(5) {
            self.assert_ended_as(&told, &context);
        }
    }

    fn assert_ended_as(&mut self, told: &Outlook, context: &str) {
        let id = self.id;
        let view = self.net.with_io(|_, io| io.view(id));
        match (view.map(|v| v.phase), self.net.host().closed.last()) {
            // Reported at once.
            (None, Some((of, at, cause))) => {
                let on_time = came_true(told.ends_at, *at);
                assert!(*of == id && on_time, "{at}; {context}");
                assert_eq!(*cause, told.ends_for, "{context}");
            }
            // It was open a moment before.
            (Some(PhaseView::Closing { cause, .. }), _) => {
                assert_eq!(cause, told.ends_for, "{context}");
            }
            other => panic!("{other:?}; {context}"),
        }
    }
}

fn random_policy(rng: &mut Rng, interval: u64) -> Policy {
    Policy {
        heartbeat_interval: Micros::from_millis(interval),
        connection_timeout: Micros::from_millis(interval + rng.u64(1..8 * interval)),
        suspect_after: rng.u16(1..4),
        first_message_timeout: rng.bool().then(|| Micros::from_millis(rng.u64(10..20_000))),
        mode: if rng.bool() {
            HeartbeatMode::Always
        } else {
            HeartbeatMode::Idle
        },
        ..Policy::default()
    }
}

#[test]
fn a_silent_peer_meets_the_fate_that_was_foretold() {
    let mut rng = Rng::with_seed(4);
    let mut all = 0;
    for round in 0..1_000 {
        let mut life = SilentLife::begin(&mut rng, round);
        while life.net.is_open(life.peer) {
            life.ask_and_see();
        }
        all += life.asked;
    }
    assert!(all > 1_000, "only {all} outlooks were put to the test");
}

#[test]
fn a_frozen_peer_is_foretold_no_pings_and_is_suspect_before_it_dies() {
    for suspect_after in 1..4 {
        let mut net = net(Policy {
            suspect_after,
            ..timed(1, 8)
        });
        let peer = net.connect("/");
        net.advance(5_000);
        let id = net.id(peer);
        net.set_window(peer, Some(16_384));
        net.with_io(|_, io| io.send(id, Message::binary(vec![0; 2 << 20])));
        net.settle();
        let (told, pinged, now) = (outlook(&mut net, peer), pings(&net), net.now());
        assert_eq!(told.next_ping, None);
        let suspect_at = told.suspect_at.expect("before it dies");
        assert!(suspect_at <= now + Micros::from_secs(u64::from(suspect_after) + 2));
        assert_eq!(told.ends_for, Cause::STALE);
        while net.is_open(peer) {
            let later = outlook(&mut net, peer);
            assert_eq!((later.next_ping, later.ends_at), (None, told.ends_at));
            let expected = Some(suspect_at).filter(|_| net.host().suspect_at.is_empty());
            assert_eq!(later.suspect_at, expected, "at {}", net.now());
            net.advance(250);
        }
        assert_eq!(pings(&net), pinged);
        let (suspected, closed) = (net.host().suspect_at[0], net.host().closed[0]);
        assert!(came_true(suspect_at, suspected.1), "{}", suspected.1);
        assert!(came_true(told.ends_at, closed.1) && closed.2 == Cause::STALE);
    }
}

#[test]
fn a_request_that_never_ends_and_a_closing_one_have_an_outlook_too() {
    let mut net = net(Policy::default());
    let slow = net.open_socket();
    net.write(slow, b"GET / HTTP/1.1\r\n");
    net.settle();
    let told = outlook(&mut net, slow);
    assert_eq!(told.ends_for, Cause::HANDSHAKE_TIMEOUT);
    assert_eq!((told.next_ping, told.suspect_at), (None, None));
    net.advance((told.ends_at - net.now()).as_millis() - 1);
    assert!(net.response(slow).is_none());
    net.advance(20);
    assert!(
        net.response(slow)
            .is_some_and(|r| r.starts_with("HTTP/1.1 408"))
    );

    // A connection that has sent nothing is closed without an answer.
    let silent = net.open_socket();
    net.settle();
    let told = outlook(&mut net, silent);
    assert_eq!(told.ends_for, Cause::PROBE);
    net.advance((told.ends_at - net.now()).as_millis() - 1);
    assert!(net.ending(silent).is_none());
    net.advance(20);
    assert_eq!(net.ending(silent).map(|end| end.cause), Some(Cause::PROBE));

    let kicked = net.connect("/");
    let id = net.id(kicked);
    net.mute(kicked);
    net.with_io(|_, io| io.close(id, 4000, "out"));
    net.settle();
    let (view, told) = net.with_io(|_, io| (io.view(id), io.outlook(id)));
    let (view, told) = (view.expect("it is here"), told.expect("it is here"));
    assert!(
        matches!(
            view.phase,
            PhaseView::Closing { cause, .. } if cause == Cause::KICKED
        ),
        "{view:?}"
    );
    net.advance((told.ends_at - net.now()).as_millis() - 1);
    assert_eq!(net.host().closed, []);
    net.advance(20);
    let (of, at, cause) = net.host().closed[0];
    assert!(of == id && cause == Cause::KICKED && came_true(told.ends_at, at));
    assert!(net.with_io(|_, io| io.view(id)).is_none());
}
