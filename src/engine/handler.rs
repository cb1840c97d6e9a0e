//! The embedding API: what a host is told, and what it can do.

use crate::cause::{By, Cause, Code};
use crate::engine::Config;
use crate::engine::conn::Mark;
use crate::engine::core::Core;
use crate::engine::http::{Reply, Request};
use crate::engine::prepared::{Outgoing, Prepared};
use crate::engine::remote::Remote;
use crate::engine::stats::Stats;
use crate::engine::timers::Purpose;
use crate::engine::view::{ConnView, Outlook, Traffic};
use crate::health::{HealthChange, Policy, Rtt, State};
use crate::id::ConnId;
use crate::time::Micros;
use std::net::SocketAddr;
use tungstenite::http::header::{HeaderName, HeaderValue};

pub use tungstenite::Message;

/// A kind of peer: the index of its policy in [`Config::classes`](crate::engine::Config::classes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class(pub u8);

/// What a host does with connections. Everything happens on the loop's thread, one call at a time; what a call does to
/// other connections takes effect after it has returned. A call that is slow makes everybody wait.
pub trait Handler {
    /// The first bytes of a connection have come. A host behind a proxy that speaks the PROXY protocol reads from them who the
    /// client is, and says how many bytes that took. Asked again with more bytes after [`Preamble::Partial`].
    fn on_preamble(&mut self, _peer_addr: SocketAddr, _bytes: &[u8]) -> Preamble {
        Preamble::None
    }

    /// A request that is not for `/healthz` has come in whole.
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict;

    /// The upgrade was answered; messages may be sent.
    fn on_open(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// A text or binary message, which owns its bytes. A host whose work on it grows with the message does some of it, and leaves
    /// the rest for [`on_continue`](Handler::on_continue).
    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message);

    /// Goes on with a message after [`Io::unfinished`]: called once after that, when it is this connection's turn again and
    /// before anything behind that message is looked at; while its reading is paused, after that. When the connection begins to close it
    /// is called at once, for the last time.
    fn on_continue(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// The peer became suspect, or healthy again.
    fn on_health(&mut self, _io: &mut Io<'_>, _id: ConnId, _change: HealthChange) {}

    /// The peer answered its latest heartbeat. Told only of connections that are [watched](Io::watch).
    fn on_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, _pong: Pong) {}

    /// A pong came that is no echo of a heartbeat, while one is waited for: the client changes payloads, as some do that take them for C
    /// strings. It counts as life, and yields no round-trip time.
    fn on_mangled_pong(&mut self, _io: &mut Io<'_>, _id: ConnId, _payload: &[u8]) {}

    /// After a send was [`Sent::Pending`]: nothing waits for this peer any more.
    fn on_writable(&mut self, _io: &mut Io<'_>, _id: ConnId) {}

    /// The peer has sent more than its share of the loop's work, and its input has waited for `waited` while others had their turn.
    /// Told when it goes on, and each second until then; the waits add up.
    fn on_throttled(&mut self, _io: &mut Io<'_>, _id: ConnId, _waited: Micros) {}

    /// The connection is over: exactly once for each [`Verdict::Upgrade`] and [`Verdict::Defer`] that was given, even if
    /// it never opened. A stale one is told at once, others when their socket is let go. The id takes no messages any more.
    fn on_close(&mut self, _io: &mut Io<'_>, _id: ConnId, _end: &Ending) {}

    /// A connection is over for which no upgrade was ever granted: a bad or plain request, a probe.
    fn on_reject(&mut self, _io: &mut Io<'_>, _id: ConnId, _end: &Ending) {}

    /// A timer has run out.
    fn on_timer(&mut self, _io: &mut Io<'_>, _timer: TimerId) {}

    /// Another thread called [`Remote::wake`].
    fn on_wake(&mut self, _io: &mut Io<'_>) {}
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preamble {
    /// The request: there is no preamble.
    None,
    /// The beginning of one. It is waited for within the handshake timeout, for 8 KiB at most.
    Partial,
    /// A preamble of this many bytes.
    Whole {
        /// Its length in bytes; not more than there are.
        len: usize,
        /// The client's address, if it names one: from now on this is the connection's.
        client: Option<SocketAddr>,
    },
    /// None, or a broken one, where one is required: the connection is answered 400 with this text.
    Invalid(&'static str),
}

/// What is to become of a request.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// Make it a WebSocket. A request that is no valid upgrade is answered 426 or 400 instead.
    Upgrade(Upgrade),
    /// Answer it, and close.
    Reply(Reply),
    /// The host will call [`Io::answer`], within the handshake timeout.
    Defer,
}

/// How a WebSocket is opened.
#[derive(Debug, Clone)]
pub struct Upgrade {
    /// The class, whose policy holds.
    pub class: Class,
    /// The subprotocol; it is sent only if the client offered it.
    pub protocol: Option<String>,
    /// More header fields of the response. Names are sent in their usual spelling, such as `X-Request-ID`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A policy of its own, instead of the class's. An invalid one is answered 500.
    pub policy: Option<Policy>,
    /// The request has said what the first message would: [`Policy::first_message_timeout`] does not hold.
    pub introduced: bool,
}

impl Verdict {
    /// A plain upgrade to this class.
    pub fn upgrade(class: Class) -> Self {
        Verdict::Upgrade(Upgrade::to(class))
    }

    /// A refusal with this HTTP status; the message goes into the JSON body.
    pub fn refuse(status: u16, message: &str) -> Self {
        Verdict::Reply(Reply::error(status, message))
    }
}

impl Upgrade {
    /// A plain one to this class.
    pub fn to(class: Class) -> Self {
        Upgrade {
            class,
            protocol: None,
            headers: Vec::new(),
            policy: None,
            introduced: false,
        }
    }
}

/// An answered heartbeat, and what it proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// How long the answer took.
    pub rtt: Micros,
    /// How many of the messages that were sent to this peer had gone out before the heartbeat did: it has got all of them, for
    /// it answers in order. Counted as [`Io::messages_sent`] counts; at most one less than `u32::MAX`.
    pub received: u32,
}

/// What became of a send. Nothing is dropped silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It goes out at the end of this turn.
    Flowing,
    /// It waits behind bytes that the peer has not taken; [`Handler::on_writable`] will be called.
    Pending,
    /// It was not taken.
    Refused(Refused),
}

/// Why a send was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no such connection, or it is not open yet.
    Gone,
    /// It is closing.
    Closing,
    /// A ping or pong with more than 125 bytes, which RFC 6455 §5.5 forbids, or a close as a raw frame.
    Illegal,
    /// More would wait than is allowed: twice `max_pending_bytes`, or memory is short. The connection is closed (1013), for its
    /// stream has a gap now.
    OverLimit,
}

/// How a connection ended.
#[derive(Debug, Clone)]
pub struct Ending {
    /// Why.
    pub cause: Cause,
    /// Who ended it.
    pub by: By,
    /// What the peer was told, or told us; [`Code::None`] if our close frame never left.
    pub code: Code,
    /// The close reason that went with the code; at most 123 bytes.
    pub reason: Box<str>,
    /// Whether the closing handshake was completed.
    pub clean: bool,
    /// Its class, if it was a WebSocket.
    pub class: Option<Class>,
    /// The peer.
    pub peer_addr: SocketAddr,
    /// Time since it opened (or was accepted, if it never opened).
    pub age: Micros,
    /// Time since something was last heard.
    pub silence: Micros,
    /// Pings that went unanswered.
    pub unanswered: u16,
    /// Round-trip time.
    pub rtt: Rtt,
    /// What went through it.
    pub traffic: Traffic,
    /// Messages that were sent to it and of which not a byte went out: the last so many.
    pub unsent: u32,
}

/// A timer of the host; never reused for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// The health of a connection at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthView {
    /// Whether it answers.
    pub state: State,
    /// How long nothing was heard.
    pub silence: Micros,
    /// Pings that went out and unanswered.
    pub unanswered: u16,
    /// Whether a ping waits to go out.
    pub ping_waits: bool,
    /// Round-trip time.
    pub rtt: Rtt,
    /// When the next ping goes out if nothing is heard before.
    pub next_ping: Micros,
    /// When it will be stale if nothing is heard before.
    pub deadline: Micros,
}

/// The host's hands: valid during one call of the handler.
pub struct Io<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) now: Micros,
}

impl Io<'_> {
    /// Engine time: monotonic, less the loop's own stalls.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Sends a message at the end of this turn. A `Close` is as [`close`](Io::close), a `Frame` goes as it is.
    pub fn send(&mut self, id: ConnId, message: Message) -> Sent {
        self.core.send(id, message, self.now)
    }

    /// Sends one message to many; the frame is built once and shared. Returns how many took it.
    pub fn send_many(&mut self, ids: impl IntoIterator<Item = ConnId>, message: &Message) -> usize {
        self.core.send_many(ids, message, self.now)
    }

    /// Sends a message whose frame was built before.
    pub fn send_prepared(&mut self, id: ConnId, message: &Prepared) -> Sent {
        self.core.send_frame(id, message.clone().into(), self.now)
    }

    /// How many messages have been sent to a peer, those that wait included; ends at `u32::MAX`. 0 for one that is gone.
    pub fn messages_sent(&self, id: ConnId) -> u32 {
        let conn = self.core.table.get(id);
        conn.map_or(0, |c| c.traffic.messages_out)
    }

    /// Takes back every message to a peer of which nothing has gone out yet, the last ones that were sent. Returns how many.
    pub fn take_back(&mut self, id: ConnId) -> u32 {
        self.core.take_back(id)
    }

    /// Sends one message to every connection of a class that is open now, over some turns: 1 024 slots in each. The frame is
    /// built once and shared. Returns whether it will be sent: not a control frame that is not legal, and no more than 64
    /// broadcasts may be under way.
    pub fn broadcast(&mut self, class: Class, message: &Message) -> bool {
        match Outgoing::of(message) {
            Ok(frame) => self.core.broadcast(class, frame),
            Err(_) => false,
        }
    }

    /// Stops reading from an open connection. Until [`resume_reading`](Io::resume_reading) it is not pinged, its silence does not
    /// count, and what it has sent stays in the kernel. For a peer whose messages have one destination that is behind.
    pub fn pause_reading(&mut self, id: ConnId) {
        self.core.set_paused(id, true, self.now);
    }

    /// Reads from a connection again. Its timeout begins anew.
    pub fn resume_reading(&mut self, id: ConnId) {
        self.core.set_paused(id, false, self.now);
    }

    /// Closes a connection in the host's name ([`Cause::Kicked`]), with this close code (RFC 6455 §7.4) and reason (cut to
    /// 123 bytes). A code that may not be sent becomes 1011. What was sent before goes out first, unless the peer is behind: then
    /// the messages of which nothing has gone out are taken back ([`Ending::unsent`]), so that it learns of the close.
    pub fn close(&mut self, id: ConnId, code: u16, reason: &str) {
        self.core.close(id, Cause::Kicked, code, reason, self.now);
    }

    /// Closes a connection for a cause that the host knows better than [`Cause::Kicked`].
    pub fn close_for(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str) {
        self.core.close(id, cause, code, reason, self.now);
    }

    /// Refuses a request for a cause that its status does not tell. To be called while it waits for its verdict, also from
    /// within [`Handler::on_request`], whose own verdict then does not count.
    pub fn refuse_for(&mut self, id: ConnId, cause: Cause, reply: Reply) {
        self.core.reply(id, &reply, false, cause, self.now);
    }

    /// Gives the verdict that was deferred. A second [`Verdict::Defer`] changes nothing.
    pub fn answer(&mut self, id: ConnId, verdict: Verdict) {
        self.core.answers.push_back((id, verdict));
    }

    /// Has [`Handler::on_timer`] called once, `after` from now or up to 5 ms later.
    pub fn timer(&mut self, after: Micros) -> TimerId {
        self.core
            .start_timer(Purpose::Host, self.now + after, self.now)
    }

    /// Stops a timer. One that has run out, or was stopped, is left alone.
    pub fn cancel(&mut self, timer: TimerId) {
        self.core.timers.cancel(timer);
    }

    /// Changes a class's policy: for who comes from now on, and within a few turns for who is here. Nobody is closed who answers:
    /// each is pinged within one new interval of that, and not stale sooner than it would have been or one new timeout
    /// later, whichever is first. A first message is missed by the new limit since the opening.
    ///
    /// # Errors
    /// What is wrong with the policy, or that there is no such class. Nothing has changed then.
    pub fn set_policy(&mut self, class: Class, policy: Policy) -> Result<(), String> {
        self.core.set_policy(class, policy)
    }

    /// The policy of a class.
    pub fn policy(&self, class: Class) -> Option<&Policy> {
        self.core.policies.classes().get(usize::from(class.0))
    }

    /// Takes new limits, and policies by class, as [`set_policy`](Io::set_policy) does; the classes' names stay. No connection
    /// is touched: what one holds already it may keep, and a message that has begun is measured by the limit that it met.
    ///
    /// # Errors
    /// Every fault of the configuration, or that it has another number of classes. Nothing has changed then.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), String> {
        self.core.reconfigure(config)
    }

    /// Changes how many connections are held at once; nobody is closed if there are more. Takes effect with the end of the turn.
    pub fn set_max_connections(&mut self, most: usize) {
        self.core.new_cap = Some(most);
    }

    /// Counts `units` of the host's own work against the budget of the turn and the share of the connection whose call
    /// this is. The engine counts one unit for each frame, each delivery and each 4 KiB of input by itself; a unit is about a
    /// microsecond of CPU. A host calls this for work that grows with what a peer sends: list entries, rows, searches.
    pub fn spend(&mut self, units: u32) {
        self.core.spend(units);
    }

    /// Says that the host has not finished with the message of this connection that it was given last. What the peer has sent behind it is
    /// not looked at, and counts as heard; [`Handler::on_continue`] is called within the connection's shares of the loop's work. A step
    /// between two calls delays every other connection, so it should cost no more than some 100 units.
    ///
    /// `bytes` is the memory that the host keeps for the rest of the message. The connection holds it until `on_continue` is called
    /// next: the host must not [`charge`](Io::charge) it as well. When the connection begins to close, it holds nothing any more; in the
    /// last `on_continue` the host gives that memory up, or charges it.
    pub fn unfinished(&mut self, id: ConnId, bytes: usize) {
        self.core.set_unfinished(id, bytes);
    }

    /// Counts `bytes` that the host keeps on behalf of its peers against
    /// [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes), until [`release`](Io::release). Charge what is
    /// allocated: capacities and the overhead of each entry, not lengths.
    pub fn charge(&mut self, bytes: usize) {
        self.core.stats.host_bytes += bytes as u64;
    }

    /// Takes back a [`charge`](Io::charge).
    pub fn release(&mut self, bytes: usize) {
        self.core.stats.host_bytes = self.core.stats.host_bytes.saturating_sub(bytes as u64);
    }

    /// Returns whether the host may keep `bytes` more within [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes).
    pub fn has_room(&self, bytes: usize) -> bool {
        let most = self.core.config.max_buffered_bytes as u64;
        self.core.stats.buffered_bytes() + bytes as u64 <= most
    }

    /// Says that the client is somewhere else than the socket's other end: a trusted proxy has named it. An unknown port is 0.
    /// Acknowledgements are the proxy's then, and count for one timeout at most.
    pub fn set_peer_addr(&mut self, id: ConnId, addr: SocketAddr) {
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.set_peer_addr(addr);
            conn.marks.set(Mark::Proxied);
        }
    }

    /// Has [`Handler::on_pong`] called for each answered heartbeat of this connection, or not any more. An answer to a
    /// heartbeat from before proves nothing of messages.
    pub fn watch(&mut self, id: ConnId, on: bool) {
        if let Some(conn) = self.core.table.get_mut(id) {
            if on {
                if !conn.marks.has(Mark::Watched) {
                    conn.marks.set(Mark::Watched);
                    self.core.receipts.note(id, 0);
                }
            } else {
                conn.marks.take(Mark::Watched);
            }
        }
    }

    /// A connection as it is now, whatever its phase; `None` once its end was told.
    pub fn view(&self, id: ConnId) -> Option<ConnView> {
        self.core.view(id, self.now)
    }

    /// What will become of a connection if nothing more happens.
    pub fn outlook(&self, id: ConnId) -> Option<Outlook> {
        self.core.outlook(id)
    }

    /// No connection is in a slot at or above this. With [`in_slot`](Io::in_slot) a host looks at all connections, some at a
    /// time: at 100 000 connections all at once would hold everybody up.
    pub fn slots(&self) -> u32 {
        self.core.table.bound()
    }

    /// The connection in a slot, in whatever phase.
    pub fn in_slot(&self, slot: u32) -> Option<ConnId> {
        self.core.table.id_in(slot)
    }

    /// The health of an open connection.
    pub fn health(&self, id: ConnId) -> Option<HealthView> {
        self.core.health(id, self.now)
    }

    /// Bytes that wait for this peer; 0 for one that is gone.
    pub fn pending(&self, id: ConnId) -> usize {
        self.core.table.get(id).map_or(0, |c| c.pending())
    }

    /// Whether more waits for this peer than [`Config::max_pending_bytes`](crate::Config::max_pending_bytes): it is closed
    /// unless it reads within [`Config::slow_after`](crate::Config::slow_after).
    pub fn is_over_limit(&self, id: ConnId) -> bool {
        self.pending(id) > self.core.config.max_pending_bytes
    }

    /// Where a connection comes from.
    pub fn peer_addr(&self, id: ConnId) -> Option<SocketAddr> {
        self.core.table.get(id).map(|c| c.peer_addr())
    }

    /// The class of an open connection.
    pub fn class(&self, id: ConnId) -> Option<Class> {
        self.core
            .table
            .get(id)
            .filter(|c| c.is_open())
            .map(|c| c.class)
    }

    /// The open connections of a class, by slot. Looks at every slot.
    pub fn connections(&self, class: Class) -> impl Iterator<Item = ConnId> {
        self.core
            .table
            .ids()
            .filter(move |(_, c)| c.is_open() && c.class == class)
            .map(|(id, _)| id)
    }

    /// What the loop has counted.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// Returns whether the gateway is going away.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
    }

    /// If the gateway is going away: the time until it stops accepting, and the time after that by which everybody is told to
    /// leave.
    pub fn drain_left(&self) -> Option<(Micros, Micros)> {
        self.core.drain_left(self.now)
    }

    /// The delay and the spread that will hold if a drain with these is asked for now: the shorter ones, if one is going on.
    pub fn drain_with(&self, delay: Micros, spread: Micros) -> (Micros, Micros) {
        let (until, left) = self.drain_left().unwrap_or((delay, spread));
        (delay.min(until), spread.min(left))
    }

    /// As [`Remote::drain`], at once: when this returns, `/healthz` answers 503. Returns the delay and the spread that hold.
    pub fn drain(&mut self, delay: Micros, spread: Micros) -> (Micros, Micros) {
        let holds = self.drain_with(delay, spread);
        self.core.announce_drain(delay, spread, self.now);
        holds
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }
}
