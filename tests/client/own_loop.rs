//! The client with a loop of its own, on real sockets.

use pulsegate::client::{ClientEvent, ClientOptions, ClientPhase, FakePulse, PulseSocket};
use pulsegate::http::HeaderValue;
use pulsegate::reactor::listen;
use pulsegate::{Class, Config, Dial, DialAddress, DialRequest, Message, Reactor, Remote};
use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A gateway on a thread of its own.
struct Gateway {
    addr: SocketAddr,
    remote: Remote,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Gateway {
    fn start() -> Self {
        let mut gateway = FakePulse::new();
        gateway.is_echo = true;
        let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a port");
        let mut reactor = Reactor::new(Config::default(), listener, 10, gateway).expect("a loop");
        let (addr, remote) = (reactor.local_addr(), reactor.remote());
        let thread = Some(thread::spawn(move || reactor.run()));
        Gateway {
            addr,
            remote,
            thread,
        }
    }

    fn open(&self) -> PulseSocket {
        let address = DialAddress::Tcp(self.addr);
        let socket = PulseSocket::open(ClientOptions::default(), move |_| {
            let request = DialRequest::new("/", HeaderValue::from_static("service"));
            Ok(Dial::new(address.clone(), request, Class(0)))
        });
        socket.expect("a loop")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.remote.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic").expect("no error");
        }
    }
}

/// Returns the next event, which must come.
fn next(socket: &mut PulseSocket) -> ClientEvent {
    let event = socket.next_event(Some(Duration::from_secs(20)));
    event.expect("no error").expect("an event")
}

/// Returns the next message, whatever happens before it.
fn next_message(socket: &mut PulseSocket) -> Message {
    loop {
        if let ClientEvent::Message(message) = next(socket) {
            return message;
        }
    }
}

#[test]
fn messages_go_both_ways_over_a_connection_that_is_replaced() {
    let gateway = Gateway::start();
    let mut socket = gateway.open();
    socket.send(Message::text("early")).expect("room");
    assert_eq!(next_message(&mut socket), Message::text("early"));
    socket.send(Message::text("under way")).expect("room");
    socket.reconnect();
    assert_eq!(next_message(&mut socket), Message::text("under way"));
    let quality = socket.client().expect("a client").quality();
    assert_eq!((quality.losses, quality.resets), (1, 0));
    socket.close(1_000, "done").expect("a valid code");
    loop {
        if let ClientEvent::Closed { end, unconfirmed } = next(&mut socket) {
            assert_eq!((end.code, end.is_clean), (1_000, true));
            assert!(unconfirmed.messages.len() <= 2, "not acknowledged yet");
            break;
        }
    }
    let after = socket.next_event(None).expect("no error");
    assert_eq!((after, socket.state()), (None, ClientPhase::Closed));
}

#[test]
fn a_client_whose_address_is_not_known_tries_again() {
    let mut count = 0;
    let socket = PulseSocket::open(ClientOptions::default(), move |attempt| {
        assert_eq!(attempt.n, count);
        count += 1;
        Err(io::Error::other("no address"))
    });
    let mut socket = socket.expect("a loop");
    for n in 0..2 {
        match next(&mut socket) {
            ClientEvent::Connecting(attempt) => assert_eq!(attempt.n, n),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn another_thread_interrupts_the_wait() {
    let gateway = Gateway::start();
    let mut socket = gateway.open();
    while !matches!(next(&mut socket), ClientEvent::Opened) {}
    let remote = socket.remote();
    let waiting = thread::spawn(move || socket.next_event(None));
    remote.wake();
    let woken = waiting.join().expect("no panic");
    assert_eq!(woken.expect("no error"), None);
}
