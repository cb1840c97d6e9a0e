//! Listeners, sockets, and a host that turns the loop itself.

use crate::sockets::{Client, Controls, Event, Host, PATIENCE, config, eventually, policy};
use pulsegate::cause::Cause;
use pulsegate::reactor::{Reactor, listen};
use pulsegate::{ConnId, Handler, Io, Message, Micros, Request, Verdict};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn two_listeners_share_a_port() {
    let first = listen(([127, 0, 0, 1], 0).into(), true).expect("a listener");
    let addr = first.local_addr().expect("an address");
    let error = listen(addr, false).expect_err("the port is taken");
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let second = listen(addr, true).expect("the same port again");
    let hosts = [first, second].map(|l| Host::start_on(config(), 10_000, l));
    let controls = Controls::start(addr);
    let mut clients: Vec<_> = (0..100)
        .map(|i| Client::open(addr, &format!("/shared/{i}")))
        .collect();
    clients.iter_mut().for_each(|c| c.expect_echo("served"));
    controls.finish();
    drop(clients);
    let served = hosts.map(|h| h.stop().opened());
    assert_eq!(served.iter().sum::<u64>(), 150);
    assert!(served.iter().all(|n| *n > 0), "{served:?}");
}

#[test]
fn accepted_sockets_do_not_delay() {
    let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
    let same = listener.try_clone().expect("another descriptor of it");
    let (addr, _) = (same.local_addr().expect("an address"), ());
    let reactor = Reactor::new(config(), listener, 10, Nothing).expect("a reactor");
    // The reactor does not turn, so we remove one from its queue.
    let _client = Client::connect(addr);
    let (accepted, _) = eventually("somebody to accept", || same.accept().ok());
    assert!(accepted.nodelay().expect("TCP_NODELAY"));
    drop(reactor);
}

struct Nothing;

impl Handler for Nothing {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::refuse(Cause::BAD_REQUEST, 404, "nothing is here")
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {}
}

/// Runs a host's own loop over the reactor's descriptor, until `done`. Returns the number of turns.
fn turn_until(
    reactor: &mut Reactor<crate::sockets::Scribe>,
    mut done: impl FnMut(&mut Reactor<crate::sockets::Scribe>) -> bool,
) -> u64 {
    let mut poll = mio::Poll::new().expect("epoll");
    let fd = reactor.as_raw_fd();
    let mut source = mio::unix::SourceFd(&fd);
    poll.registry()
        .register(&mut source, mio::Token(0), mio::Interest::READABLE)
        .expect("registered");
    let mut events = mio::Events::with_capacity(8);
    let deadline = Instant::now() + PATIENCE;
    let mut turns = 0;
    while !done(reactor) {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(
            !left.is_zero(),
            "not done within {PATIENCE:?} and {turns} turns"
        );
        let wait = reactor.next_due().map_or(left, |due| due.min(left));
        match poll.poll(&mut events, Some(wait)) {
            Err(e) if e.kind() != std::io::ErrorKind::Interrupted => panic!("{e}"),
            _ => {}
        }
        reactor.run_turn(Some(Duration::ZERO)).expect("a turn");
        turns += 1;
    }
    turns
}

#[test]
fn a_host_turns_the_loop_itself() {
    let (mut reactor, seen) = crate::sockets::turned(config());
    let addr = reactor.local_addr();
    let remote = reactor.remote();
    let clients = std::thread::spawn(move || {
        let controls = Controls::start(addr);
        let mut ghost = Client::open(addr, "/ghost");
        let mut client = Client::open(addr, "/guest");
        client.expect_echo("served");
        drop(client);
        controls.await_pings(2);
        let (pings, event) = ghost.next_mute();
        assert!(
            pings >= 1 && matches!(event, Event::Close(3008, _)),
            "{event:?}"
        );
        controls.finish();
        FINISHED.store(true, SeqCst);
        remote.wake();
    });
    static FINISHED: AtomicBool = AtomicBool::new(false);
    let turns = turn_until(&mut reactor, |_| FINISHED.load(SeqCst));
    clients.join().expect("all went well");
    assert_eq!(crate::sockets::guest(&seen(), "/ghost"), Some(Cause::STALE));
    assert_eq!(
        crate::sockets::guest(&seen(), "/guest"),
        Some(Cause::PEER_EOF)
    );
    let stats = reactor.engine().stats();
    let done = stats.pings() + stats.pongs() + stats.accepted * 4 + stats.messages_in;
    println!("host: {turns} turns for {done} things to do");
    assert!(
        turns < 20 * done + 1_000,
        "{turns} turns for {done} things: the loop did not sleep"
    );
    assert_eq!(turns, stats.turns, "each was asked for by the host");
}

/// Without control clients: their events would wake the host, but the leftover events must wake it.
#[test]
fn a_host_is_told_of_more_events_than_one_turn_takes() {
    /// A turn takes 1 024 events.
    const MANY: usize = 1_500;
    let quiet = pulsegate::Policy {
        heartbeat_interval: Micros::from_secs(1_000),
        connection_timeout: Micros::from_secs(3_000),
        ..policy()
    };
    let mut config = config();
    config.classes.iter_mut().for_each(|c| c.policy = quiet);
    let (mut reactor, _) = crate::sockets::turned(config);
    let addr = reactor.local_addr();
    static FINISHED: AtomicBool = AtomicBool::new(false);
    let remote = reactor.remote();
    let clients = std::thread::spawn(move || -> Vec<Client> {
        let open = |i| Client::open(addr, &format!("/mute/{i}"));
        let clients = (0..MANY).map(open).collect();
        FINISHED.store(true, SeqCst);
        remote.wake();
        clients
    });
    turn_until(&mut reactor, |_| FINISHED.load(SeqCst));
    let mut clients = clients.join().expect("all are open");
    for client in &mut clients {
        client.send_text("all at once");
    }
    turn_until(&mut reactor, |reactor| {
        reactor.engine().stats().messages_in == MANY as u64
    });
}
