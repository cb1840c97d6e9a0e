//! A client with a loop of its own, for programs that are no hosts.

use super::clients::{ClientId, PulseClients};
use super::core::ClientCore;
use super::event::{Attempt, ClientEvent, ClientPhase};
use super::options::ClientOptions;
use super::send_error::{ClientSendError, InvalidCloseCode};
use crate::base::cause::Cause;
use crate::base::id::{ConnId, TimerId};
use crate::base::time::Clock;
use crate::engine::{
    Config, Dial, Ending, Handler, Io, Message, Remote, Request, Response, ResponseVerdict, Verdict,
};
use crate::pulse::ClientCondition;
use crate::reactor::Reactor;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// While this many events wait, only [`PulseSocket::next_event`] turns the loop.
const EVENTS_MAX: usize = 256;

type Target = Box<dyn FnMut(&Attempt) -> io::Result<Dial> + Send>;

/// A client of pulse with a loop of its own.
///
/// There is no thread: the loop turns in [`next_event`](Self::next_event), so a pong proves to the
/// gateway that the program handles its messages. Call it at least every few seconds, from one
/// thread. Other threads interrupt its wait with [`remote`](Self::remote).
///
/// ```no_run
/// use pulsegate::client::{ClientEvent, ClientOptions, PulseSocket};
/// use pulsegate::http::HeaderValue;
/// use pulsegate::{Class, Dial, DialAddress, DialRequest, Message};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut socket = PulseSocket::open(ClientOptions::default(), |_attempt| {
///     // The place to look up a name, and to fetch a token after `FailureClass::Rejected`.
///     let address = DialAddress::Tcp(([127, 0, 0, 1], 8080).into());
///     let request = DialRequest::new("/chat", HeaderValue::from_static("chat.example"));
///     Ok(Dial::new(address, request, Class(0)))
/// })?;
/// socket.send(Message::text("hello"))?;
/// while let Some(event) = socket.next_event(None)? {
///     match event {
///         ClientEvent::Message(message) => println!("{message}"),
///         ClientEvent::Closed { end, .. } => println!("closed: {}", end.code),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct PulseSocket {
    reactor: Reactor<SocketHost>,
    id: ClientId,
    clock: Clock,
}

impl std::fmt::Debug for PulseSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PulseSocket")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl PulseSocket {
    /// Opens a client. `target` is called for each try, and gives the server and the request; it
    /// may block, and an error fails the try. Messages may be sent at once.
    ///
    /// # Errors
    /// The system has no descriptor for the loop.
    pub fn open(
        options: ClientOptions,
        target: impl FnMut(&Attempt) -> io::Result<Dial> + Send + 'static,
    ) -> io::Result<Self> {
        Self::open_with(Config::default(), options, target)
    }

    /// Opens a client on a loop with this configuration: for the largest message that it receives,
    /// and the policies of its classes.
    ///
    /// # Errors
    /// `InvalidInput` for an invalid configuration; else as for [`open`](Self::open).
    pub fn open_with(
        config: Config,
        options: ClientOptions,
        target: impl FnMut(&Attempt) -> io::Result<Dial> + Send + 'static,
    ) -> io::Result<Self> {
        let mut clients = PulseClients::new();
        let id = clients.add(options, None);
        let host = SocketHost {
            clients,
            id,
            target: Box::new(target),
            events: VecDeque::new(),
            is_woken: false,
        };
        let mut reactor = Reactor::without_listener(config, host)?;
        reactor.with_io(SocketHost::open);
        let clock = Clock::start();
        Ok(PulseSocket { reactor, id, clock })
    }

    /// Turns the loop until something happens, and returns it. Returns `None` after `max_wait`, or
    /// if another thread has called [`Remote::wake`], or when the client has closed for good and
    /// its events were taken.
    ///
    /// # Errors
    /// The system's error when waiting for events; never an error of one connection.
    pub fn next_event(&mut self, max_wait: Option<Duration>) -> io::Result<Option<ClientEvent>> {
        let started = self.clock.raw();
        loop {
            if let Some(event) = self.take_event() {
                return Ok(Some(event));
            }
            let host = self.reactor.engine().handler();
            let is_over = self.reactor.is_over() || self.state() == ClientPhase::Closed;
            if is_over || host.is_woken {
                self.reactor.with_io(|host, _| host.is_woken = false);
                return Ok(None);
            }
            let spent = (self.clock.raw() - started).as_duration();
            let left = max_wait.map(|most| most.saturating_sub(spent));
            self.reactor.run_turn(left)?;
            let is_late = left == Some(Duration::ZERO);
            if is_late && self.reactor.engine().handler().events.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Sends a text or binary message, or keeps it until it can be sent. It is sent again after a
    /// loss, unless it is known to have arrived.
    ///
    /// # Errors
    /// The message was not taken: see [`ClientSendError`].
    pub fn send(&mut self, message: Message) -> Result<(), ClientSendError> {
        let sent = self
            .reactor
            .with_io(|host, io| host.act(io, |clients, io, id| clients.send(io, id, message)));
        self.turn();
        sent
    }

    /// Closes for good: the gateway does not hold the session. Messages that were taken are sent
    /// before. Call [`next_event`](Self::next_event) until [`ClientEvent::Closed`], within 3 s.
    ///
    /// # Errors
    /// The code is not 1000, and not one of 3000 to 4999. Nothing has happened then.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), InvalidCloseCode> {
        let closed = self.reactor.with_io(|host, io| {
            host.act(io, |clients, io, id| clients.close(io, id, code, reason))
        });
        self.turn();
        closed
    }

    /// Opens the client again, or replaces its present connection. The session goes on if it can.
    pub fn reconnect(&mut self) {
        self.reactor
            .with_io(|host, io| host.act(io, |clients, io, id| clients.reconnect(io, id)));
        self.turn();
    }

    /// Notes that the device woke up or that its network changed: see [`PulseClients::wake`].
    pub fn wake(&mut self) {
        self.reactor
            .with_io(|host, io| host.act(io, |clients, io, id| clients.wake(io, id)));
        self.turn();
    }

    /// Notes whether the device has a network: see [`PulseClients::set_online`].
    pub fn set_online(&mut self, is_online: bool) {
        self.reactor.with_io(|host, io| {
            host.act(io, |clients, io, id| clients.set_online(io, id, is_online));
        });
        self.turn();
    }

    /// Notes what the program knows of the surroundings. The gateway is told.
    pub fn set_condition(&mut self, condition: ClientCondition) {
        self.reactor.with_io(|host, io| {
            host.act(io, |clients, io, id| {
                clients.set_condition(io, id, condition);
            });
        });
        self.turn();
    }

    /// Returns the client, to ask for its state.
    pub fn client(&self) -> Option<&ClientCore> {
        self.reactor.engine().handler().clients.get(self.id)
    }

    /// Returns what the client does.
    pub fn state(&self) -> ClientPhase {
        self.client().map_or(ClientPhase::Closed, ClientCore::state)
    }

    /// Returns a handle with which another thread interrupts the wait in
    /// [`next_event`](Self::next_event): [`Remote::wake`]. Keep what it has to say in a queue of
    /// the program's own.
    pub fn remote(&self) -> Remote {
        self.reactor.remote()
    }

    fn take_event(&mut self) -> Option<ClientEvent> {
        self.reactor.with_io(|host, _| host.events.pop_front())
    }

    /// Sends what was queued, without waiting. An error occurs again in
    /// [`next_event`](Self::next_event), which returns it.
    fn turn(&mut self) {
        if self.reactor.engine().handler().events.len() < EVENTS_MAX {
            let _ = self.reactor.run_turn(Some(Duration::ZERO));
        }
    }
}

/// The host of the only client.
struct SocketHost {
    clients: PulseClients,
    id: ClientId,
    target: Target,
    events: VecDeque<ClientEvent>,
    is_woken: bool,
}

impl SocketHost {
    fn open(&mut self, io: &mut Io<'_>) {
        self.act(io, |clients, io, id| clients.reconnect(io, id));
    }

    /// Calls the client, and takes its events.
    fn act<T>(
        &mut self,
        io: &mut Io<'_>,
        call: impl FnOnce(&mut PulseClients, &mut Io<'_>, ClientId) -> T,
    ) -> T {
        let result = call(&mut self.clients, io, self.id);
        while let Some((id, event)) = self.clients.next_event() {
            if let ClientEvent::Connecting(attempt) = &event {
                match (self.target)(attempt) {
                    Ok(dial) => self.clients.connect(io, id, dial),
                    Err(error) => self.clients.fail(io, id, &error.to_string()),
                }
            }
            self.events.push_back(event);
        }
        result
    }
}

impl Handler for SocketHost {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        // Never called: there is no listener.
        Verdict::refuse(Cause::BAD_REQUEST, 404, "this program only dials")
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        self.act(io, |clients, io, _| clients.on_response(io, id, response))
            .unwrap_or(ResponseVerdict::Open)
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.act(io, |clients, io, _| clients.on_open(io, id));
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        self.act(io, |clients, io, _| clients.on_message(io, id, message));
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.act(io, |clients, io, _| clients.on_writable(io, id));
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.act(io, |clients, io, _| clients.on_close(io, id, end));
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        self.act(io, |clients, io, _| clients.on_timer(io, timer));
    }

    fn on_wake(&mut self, _io: &mut Io<'_>) {
        self.is_woken = true;
    }
}
