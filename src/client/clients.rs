//! Clients on the loop of a host.

use super::core::{ClientAction, ClientCore};
use super::dial_target::prepare;
use super::event::{Attempt, ClientEvent};
use super::options::ClientOptions;
use super::send_error::{ClientSendError, InvalidCloseCode};
use crate::base::id::{ConnId, TimerId};
use crate::base::time::{Micros, time_with_sleep};
use crate::client::connection_end::ConnectionEnd;
use crate::engine::{ConnMap, Dial, Io, Message};
use crate::pulse::ClientCondition;
use std::collections::{HashMap, VecDeque};
use std::fmt;

/// A connection with more unsent bytes gets no further message, so that answers to pings do not
/// wait behind all of them.
const ROOM: usize = 64 << 10;

/// The id of a client; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// One client, and what it has on the loop.
#[derive(Debug)]
pub(super) struct ClientSlot {
    pub(super) core: ClientCore,
    target: Option<Dial>,
    /// The try that waits for the host's address.
    waiting: Option<Attempt>,
    pub(super) conn: Option<ConnId>,
    pub(super) offered: Vec<Box<str>>,
    /// The subprotocol that the server has chosen.
    pub(super) chosen: Option<Box<str>>,
    pub(super) timer: Option<(TimerId, Micros)>,
    /// The memory that is charged to the loop.
    charged: usize,
}

type ClientClock = Box<dyn FnMut(Micros) -> Micros + Send>;

/// Clients of pulse in a [`Handler`](crate::Handler): any number of them share the host's loop.
///
/// The host passes on the calls that concern connections and timers: [`on_response`], [`on_open`],
/// [`on_message`], [`on_writable`], [`on_close`] and [`on_timer`]. Each says whether the connection
/// or timer is one of a client. After each call the host takes the events ([`next_event`]): they
/// are not bounded otherwise.
///
/// A host does not act on a client's connections by itself. Their frames are sent and counted by
/// the client. The clients charge the memory of their messages to the loop
/// ([`Io::charge`](crate::Io::charge)).
///
/// ```
/// use pulsegate::client::{ClientEvent, ClientId, ClientOptions, PulseClients};
/// use pulsegate::{
///     Cause, ConnId, Ending, Handler, Io, Message, Request, Response, ResponseVerdict, TimerId,
///     Verdict,
/// };
///
/// struct Host {
///     clients: PulseClients,
/// }
///
/// impl Host {
///     fn handle_events(&mut self, io: &mut Io<'_>) {
///         while let Some((id, event)) = self.clients.next_event() {
///             if let ClientEvent::Message(message) = event {
///                 // Sends it back. The message is refused if too much waits.
///                 let _ = self.clients.send(io, id, message);
///             }
///         }
///     }
/// }
///
/// impl Handler for Host {
///     fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
///         Verdict::refuse(Cause::BAD_REQUEST, 404, "this host only dials")
///     }
///     fn on_response(
///         &mut self,
///         io: &mut Io<'_>,
///         id: ConnId,
///         response: &Response,
///     ) -> ResponseVerdict {
///         self.clients.on_response(io, id, response).unwrap_or(ResponseVerdict::Open)
///     }
///     fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
///         self.clients.on_open(io, id);
///         self.handle_events(io);
///     }
///     fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
///         self.clients.on_message(io, id, message);
///         self.handle_events(io);
///     }
///     fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
///         self.clients.on_writable(io, id);
///         self.handle_events(io);
///     }
///     fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
///         self.clients.on_close(io, id, end);
///         self.handle_events(io);
///     }
///     fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
///         self.clients.on_timer(io, timer);
///         self.handle_events(io);
///     }
/// }
/// ```
///
/// [`on_response`]: Self::on_response
/// [`on_open`]: Self::on_open
/// [`on_message`]: Self::on_message
/// [`on_writable`]: Self::on_writable
/// [`on_close`]: Self::on_close
/// [`on_timer`]: Self::on_timer
/// [`next_event`]: Self::next_event
pub struct PulseClients {
    pub(super) clients: HashMap<ClientId, ClientSlot>,
    /// The connections of clients; `None`: its client has let go of it.
    pub(super) conns: ConnMap<Option<ClientId>>,
    pub(super) timers: HashMap<TimerId, ClientId>,
    events: VecDeque<(ClientId, ClientEvent)>,
    clock: ClientClock,
    count: u64,
}

impl Default for PulseClients {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PulseClients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PulseClients")
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

impl PulseClients {
    /// Returns a set without clients. Their clock goes on while the machine sleeps:
    /// `CLOCK_BOOTTIME` on Linux and Android, `CLOCK_MONOTONIC` elsewhere.
    pub fn new() -> Self {
        Self::with_clock(|_| time_with_sleep())
    }

    /// Returns a set without clients, with a clock that gets the engine time ([`Io::now`]). It must
    /// not step back. On virtual time the engine time itself is the clock: `|now| now`. A clock
    /// that is ahead of the timers by more than a second tells the clients that the device slept.
    pub fn with_clock(clock: impl FnMut(Micros) -> Micros + Send + 'static) -> Self {
        PulseClients {
            clients: HashMap::new(),
            conns: ConnMap::new(),
            timers: HashMap::new(),
            events: VecDeque::new(),
            clock: Box::new(clock),
            count: 0,
        }
    }

    // ---- what the host does

    /// Adds a client, which does nothing before [`reconnect`](Self::reconnect). `target` is the
    /// server and the request of each try. Without it, the host answers each
    /// [`Connecting`](ClientEvent::Connecting) with [`connect`](Self::connect): to look up a name,
    /// or to fetch credentials.
    ///
    /// The client adds `pulse=1` to the query of the request, and `resume`. It offers no
    /// extensions.
    pub fn add(&mut self, options: ClientOptions, target: Option<Dial>) -> ClientId {
        self.count += 1;
        let id = ClientId(self.count);
        let slot = ClientSlot {
            core: ClientCore::new(options),
            target,
            waiting: None,
            conn: None,
            offered: Vec::new(),
            chosen: None,
            timer: None,
            charged: 0,
        };
        self.clients.insert(id, slot);
        id
    }

    /// Removes a client, and returns it. An open connection is closed, without a farewell: a
    /// gateway holds the session until its hold is over.
    pub fn remove(&mut self, io: &mut Io<'_>, id: ClientId) -> Option<ClientCore> {
        let slot = self.clients.remove(&id)?;
        if let Some(conn) = slot.conn {
            self.conns.insert(conn, None);
            io.close(conn, 1000, "");
        }
        if let Some((timer, _)) = slot.timer {
            self.timers.remove(&timer);
            io.cancel_timer(timer);
        }
        io.release(slot.charged);
        self.events.retain(|(of, _)| *of != id);
        Some(slot.core)
    }

    /// Returns a client, to ask for its state.
    pub fn get(&self, id: ClientId) -> Option<&ClientCore> {
        self.clients.get(&id).map(|slot| &slot.core)
    }

    /// Returns the next event, and the client that it is about.
    pub fn next_event(&mut self) -> Option<(ClientId, ClientEvent)> {
        self.events.pop_front()
    }

    /// Opens a client, or replaces its present connection. The session goes on if it can.
    pub fn reconnect(&mut self, io: &mut Io<'_>, id: ClientId) {
        self.with(io, id, |core, _, now| core.reconnect(now));
    }

    /// Connects a client that waits for it after [`Connecting`](ClientEvent::Connecting). Without
    /// effect for others: the try may have been given up.
    pub fn connect(&mut self, io: &mut Io<'_>, id: ClientId, target: Dial) {
        let slot = self.clients.get_mut(&id);
        if let Some(attempt) = slot.and_then(|slot| slot.waiting.take()) {
            self.dial(io, id, target, &attempt);
            self.drive(io, id);
        }
    }

    /// Gives up the try of a client that waits for an address after
    /// [`Connecting`](ClientEvent::Connecting). It tries again like after any other failure.
    /// Without effect for others.
    pub fn fail(&mut self, io: &mut Io<'_>, id: ClientId, reason: &str) {
        let slot = self.clients.get_mut(&id);
        if slot.and_then(|slot| slot.waiting.take()).is_none() {
            return;
        }
        let end = ConnectionEnd {
            reason: reason.into(),
            ..ConnectionEnd::lost()
        };
        self.with(io, id, |core, _, now| core.on_end(end, now));
    }

    /// Sends a text or binary message, or keeps it until it can be sent. It is sent again after a
    /// loss, unless it is known to have arrived.
    ///
    /// # Errors
    /// The message was not taken: see [`ClientSendError`].
    pub fn send(
        &mut self,
        io: &mut Io<'_>,
        id: ClientId,
        message: Message,
    ) -> Result<(), ClientSendError> {
        let sent = self.with(io, id, |core, _, _| core.send(message));
        sent.unwrap_or(Err(ClientSendError::Closed))
    }

    /// Closes a client for good: the gateway does not hold its session.
    /// [`Closed`](ClientEvent::Closed) follows within 3 s.
    ///
    /// # Errors
    /// The code is not 1000, and not one of 3000 to 4999. Nothing has happened then.
    pub fn close(
        &mut self,
        io: &mut Io<'_>,
        id: ClientId,
        code: u16,
        reason: &str,
    ) -> Result<(), InvalidCloseCode> {
        let closed = self.with(io, id, |core, _, now| core.close(code, reason, now));
        closed.unwrap_or(Ok(()))
    }

    /// Notes that the device woke up or that its network changed. The client asks whether the
    /// gateway is still there, and gives the connection up after 3 s without an answer.
    pub fn wake(&mut self, io: &mut Io<'_>, id: ClientId) {
        self.with(io, id, |core, buffered, now| core.wake(buffered, now));
    }

    /// Notes whether the device has a network. Without one, the client tries once a minute; when
    /// one comes, within 300 ms.
    pub fn set_online(&mut self, io: &mut Io<'_>, id: ClientId, is_online: bool) {
        self.with(io, id, |core, buffered, now| {
            core.set_online(is_online, buffered, now);
        });
    }

    /// Notes what the host knows of the surroundings. The gateway is told.
    pub fn set_condition(&mut self, io: &mut Io<'_>, id: ClientId, condition: ClientCondition) {
        self.with(io, id, |core, _, now| core.set_condition(condition, now));
    }

    /// Returns whether a connection is one of a client. It is until its
    /// [`on_close`](Self::on_close).
    pub fn owns(&self, conn: ConnId) -> bool {
        self.conns.get(conn).is_some()
    }

    // ---- inside

    /// Calls a client with the unsent bytes of its connection and the time, and does what it asks.
    pub(super) fn with<T>(
        &mut self,
        io: &mut Io<'_>,
        id: ClientId,
        call: impl FnOnce(&mut ClientCore, usize, Micros) -> T,
    ) -> Option<T> {
        let now = (self.clock)(io.now());
        let slot = self.clients.get_mut(&id)?;
        let buffered = slot.conn.map_or(0, |conn| io.pending(conn));
        let result = call(&mut slot.core, buffered, now);
        self.drive(io, id);
        Some(result)
    }

    /// Calls the client of a connection. Returns whether the connection is one of a client.
    pub(super) fn with_conn(
        &mut self,
        io: &mut Io<'_>,
        conn: ConnId,
        call: impl FnOnce(&mut ClientSlot, Micros),
    ) -> bool {
        let Some(owner) = self.conns.get(conn) else {
            return false;
        };
        let Some(id) = *owner else {
            return true;
        };
        let now = (self.clock)(io.now());
        if let Some(slot) = self.clients.get_mut(&id) {
            call(slot, now);
            self.drive(io, id);
        }
        true
    }

    /// Does what a client asks, sends what its connection has room for, and sets its timer.
    pub(super) fn drive(&mut self, io: &mut Io<'_>, id: ClientId) {
        let now = (self.clock)(io.now());
        while let Some(slot) = self.clients.get_mut(&id) {
            if let Some(action) = slot.core.next_action() {
                self.act(io, id, action);
                continue;
            }
            let Some(conn) = slot.conn.filter(|conn| io.pending(*conn) < ROOM) else {
                break;
            };
            let Some(message) = slot.core.next_message(now) else {
                break;
            };
            // What is refused is sent again on another connection: this one is about to end.
            io.send(conn, message);
        }
        self.charge(io, id);
        self.set_timer(io, id, now);
    }

    fn act(&mut self, io: &mut Io<'_>, id: ClientId, action: ClientAction) {
        let Some(slot) = self.clients.get_mut(&id) else {
            return;
        };
        match action {
            ClientAction::Connect(attempt) => {
                let target = slot.target.clone();
                slot.waiting = Some(attempt.clone());
                let event = ClientEvent::Connecting(attempt.clone());
                self.events.push_back((id, event));
                if let Some(target) = target {
                    self.dial(io, id, target, &attempt);
                }
            }
            ClientAction::Send(message) => {
                if let Some(conn) = slot.conn {
                    io.send(conn, message);
                }
            }
            ClientAction::Close(code, reason) => {
                if let Some(conn) = slot.conn {
                    io.close(conn, code, &reason);
                }
            }
            ClientAction::Drop(code) => {
                slot.waiting = None;
                if let Some(conn) = slot.conn.take() {
                    self.conns.insert(conn, None);
                    io.close(conn, code, "");
                }
            }
            ClientAction::Tell(event) => self.events.push_back((id, event)),
        }
    }

    fn dial(&mut self, io: &mut Io<'_>, id: ClientId, target: Dial, attempt: &Attempt) {
        let Some(slot) = self.clients.get_mut(&id) else {
            return;
        };
        slot.waiting = None;
        let prepared = prepare(target, attempt, !slot.core.is_plain());
        slot.offered = prepared.offered;
        slot.chosen = None;
        match io.dial(prepared.dial) {
            Ok(conn) => {
                slot.conn = Some(conn);
                self.conns.insert(conn, Some(id));
            }
            Err(error) => {
                let now = (self.clock)(io.now());
                let end = ConnectionEnd {
                    reason: error.to_string().into(),
                    ..ConnectionEnd::lost()
                };
                slot.core.on_end(end, now);
            }
        }
    }

    /// Charges the memory of a client's messages to the loop.
    fn charge(&mut self, io: &mut Io<'_>, id: ClientId) {
        let Some(slot) = self.clients.get_mut(&id) else {
            return;
        };
        let allocated = slot.core.allocated();
        io.charge(allocated.saturating_sub(slot.charged));
        io.release(slot.charged.saturating_sub(allocated));
        slot.charged = allocated;
    }

    /// Sets the timer of a client, if none is set for an earlier time.
    fn set_timer(&mut self, io: &mut Io<'_>, id: ClientId, now: Micros) {
        let Some(slot) = self.clients.get_mut(&id) else {
            return;
        };
        let Some(deadline) = slot.core.deadline() else {
            return;
        };
        if let Some((timer, at)) = slot.timer {
            if at <= deadline {
                return;
            }
            self.timers.remove(&timer);
            io.cancel_timer(timer);
        }
        let timer = io.start_timer(deadline - now);
        slot.timer = Some((timer, deadline));
        self.timers.insert(timer, id);
    }
}
