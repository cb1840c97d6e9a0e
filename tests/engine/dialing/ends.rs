//! Ends of dialled connections in every phase, each told once.

use crate::dialer::{Dialer, Told, dial, dialed, dialer, told_of};
use crate::nets::{S, check_invariants};
use pulsegate::testing::{Net, OnDial, PeerId, frame_of_server};
use pulsegate::{Cause, Config, ConnId, Message, Micros};
use std::io::ErrorKind;

/// How far a connection gets before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The driver has not begun to connect.
    Asked,
    Connecting,
    Connected,
    /// Part of the head of an answer has arrived.
    InHead,
    /// Part of the body of a refusal has arrived.
    InBody,
    Open,
    /// Part of a message has arrived.
    InMessage,
}

const STAGES: [Stage; 7] = [
    Stage::Asked,
    Stage::Connecting,
    Stage::Connected,
    Stage::InHead,
    Stage::InBody,
    Stage::Open,
    Stage::InMessage,
];

/// Brings a new connection to a stage. Returns its id, and its server once it is there.
fn at_stage(net: &mut Net<Dialer>, stage: Stage) -> (ConnId, Option<PeerId>) {
    net.set_on_dial(match stage {
        Stage::Asked | Stage::Connecting => OnDial::Wait,
        Stage::Connected | Stage::InHead | Stage::InBody => OnDial::Accept,
        Stage::Open | Stage::InMessage => OnDial::Agree,
    });
    let id = dialed(net, dial());
    if stage == Stage::Asked {
        return (id, None);
    }
    net.settle();
    let server = net.take_dialed().pop();
    let peer = server.expect("a server");
    net.mute(peer);
    match stage {
        Stage::InHead => net.write(peer, b"HTTP/1.1 101 Swi"),
        Stage::InBody => net.write(peer, b"HTTP/1.1 404 x\r\n\r\nno such"),
        Stage::InMessage => net.write(peer, &frame_of_server(0x81, b"a text")[..4]),
        Stage::Asked | Stage::Connecting | Stage::Connected | Stage::Open => {}
    }
    net.settle();
    check_invariants(net);
    (id, server)
}

/// Checks that the connection has ended for this cause, and that nothing of it is left.
#[track_caller]
fn check_ended(net: &mut Net<Dialer>, id: ConnId, cause: Cause, what: &dyn std::fmt::Debug) {
    check_invariants(net);
    let told = net.host().told(id);
    let closes = |told: &&Told| matches!(told, Told::Closed(_));
    let ends: Vec<&Told> = told.iter().filter(closes).collect();
    assert_eq!(ends, [&Told::Closed(cause)], "{what:?}");
    assert_eq!(told.last(), Some(&Told::Closed(cause)), "nothing follows");
    assert!(net.host().owed.is_empty() && net.engine().is_empty());
    let stats = net.engine().stats();
    assert_eq!((stats.dialed, stats.dialed_here), (1, 0));
    assert_eq!((stats.held_bytes, stats.pending_bytes), (0, 0));
    let counted: u64 = (0..Cause::COUNT)
        .map(|c| stats.closed(c) + stats.dials_failed[c])
        .sum();
    assert_eq!(counted, 1);
}

#[test]
fn the_host_may_close_in_every_stage() {
    for stage in STAGES {
        let mut net = dialer(Config::default());
        let (id, server) = at_stage(&mut net, stage);
        net.with_io(|_, io| {
            io.close_for(id, Cause::REPLACED, 4_001, "another one");
            io.close(id, 4_002, "a second close changes nothing");
        });
        net.settle();
        if let Some(server) = server {
            net.half_close(server);
        }
        net.advance(20 * S);
        check_ended(&mut net, id, Cause::REPLACED, &stage);
        let end = net.endings().first().map(|(_, end)| end.reason.to_string());
        assert_eq!(end.as_deref(), Some("another one"));
    }
}

#[test]
fn a_shutdown_ends_it_in_every_stage() {
    for stage in STAGES {
        let mut net = dialer(Config::default());
        let (id, _) = at_stage(&mut net, stage);
        net.shutdown();
        net.settle();
        check_ended(&mut net, id, Cause::SHUTDOWN, &stage);
        assert!(net.engine().is_over());
    }
}

#[test]
fn a_drain_ends_it_in_every_stage() {
    for stage in STAGES {
        let mut net = dialer(Config::default());
        let (id, server) = at_stage(&mut net, stage);
        net.with_io(|_, io| io.drain(Micros::ZERO, Micros::from_secs(2)));
        net.advance(2_100);
        if let Some(server) = server {
            net.half_close(server);
        }
        net.advance(20 * S);
        check_ended(&mut net, id, Cause::DRAINING, &stage);
        assert!(net.engine().is_over());
    }
}

/// A connection that is dialled behind the cursor of a drain is closed, too.
#[test]
fn a_drain_ends_what_is_dialled_while_it_closes() {
    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Agree);
    for _ in 0..10 {
        dialed(&mut net, dial());
    }
    net.settle();
    let spread = Micros::from_secs(2);
    net.with_io(|_, io| io.drain(Micros::ZERO, spread));
    net.advance(1_900);
    let late = dialed(&mut net, dial());
    net.advance(20 * S);
    assert_eq!(
        net.host().told(late).last(),
        Some(&Told::Closed(Cause::DRAINING))
    );
    assert!(net.engine().is_over());
}

#[test]
fn the_end_of_the_servers_stream_is_told_in_every_stage() {
    for stage in STAGES.into_iter().skip(2) {
        let mut net = dialer(Config::default());
        let (id, server) = at_stage(&mut net, stage);
        net.half_close(server.expect("a server"));
        net.advance(S);
        let cause = match stage {
            // The body of a response without a length ends there.
            Stage::InBody => Cause::NOT_UPGRADED,
            _ => Cause::PEER_EOF,
        };
        check_ended(&mut net, id, cause, &stage);
        let is_lost = net.endings()[0].1.lost;
        let was_open = matches!(stage, Stage::Open | Stage::InMessage);
        assert_eq!(is_lost, was_open, "{stage:?}");
    }
}

#[test]
fn a_reset_is_told_in_every_stage() {
    for stage in STAGES.into_iter().skip(2) {
        let mut net = dialer(Config::default());
        let (id, server) = at_stage(&mut net, stage);
        net.reset(server.expect("a server"));
        net.advance(S);
        check_ended(&mut net, id, Cause::PEER_RESET, &stage);
    }
}

#[test]
fn a_server_that_does_not_take_the_request_is_given_up() {
    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Wait);
    let id = dialed(&mut net, dial());
    net.settle();
    let server = net.take_dialed().pop().expect("a server");
    net.set_window(server, Some(20));
    net.complete_connect(server);
    net.advance(9_900);
    assert_eq!(net.leftover(server).len(), 20);
    check_invariants(&net);
    net.advance(200);
    check_ended(&mut net, id, Cause::ANSWER_TIMEOUT, &"a full window");

    let mut net = dialer(Config::default());
    net.set_on_dial(OnDial::Wait);
    let id = dialed(&mut net, dial());
    net.settle();
    let server = net.take_dialed().pop().expect("a server");
    net.fail_writing(server, 20, ErrorKind::ConnectionReset);
    net.complete_connect(server);
    net.advance(S);
    check_ended(&mut net, id, Cause::PEER_RESET, &"a reset while writing");
}

#[test]
fn nothing_can_be_sent_before_it_opens() {
    for stage in STAGES.into_iter().take(5) {
        let mut net = dialer(Config::default());
        let (id, server) = at_stage(&mut net, stage);
        let sent = net.with_io(|_, io| io.send(id, Message::text("early")));
        use pulsegate::{SendError, SendOutcome};
        assert_eq!(sent, SendOutcome::Refused(SendError::Gone), "{stage:?}");
        net.settle();
        check_invariants(&net);
        if let Some(server) = server {
            assert!(net.received(server).is_empty());
            assert_eq!(told_of(&mut net, server), []);
        }
    }
}
