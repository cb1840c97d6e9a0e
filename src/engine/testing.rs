//! A network on virtual time: an engine, its host, and peers that are scripts. No sockets, no clock, no threads.
//!
//! ```
//! use pulsegate::engine::testing::Net;
//! use pulsegate::cause::Cause;
//! # use pulsegate::engine::*; use pulsegate::ConnId;
//! # struct Echo;
//! # impl Handler for Echo {
//! #     fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict { Verdict::upgrade(Class(0)) }
//! #     fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, m: Message) { io.send(id, m); }
//! # }
//! let mut net = Net::new(Config::default(), Echo);
//! let a = net.connect("/");
//! net.advance(300_000);
//! assert!(net.is_open(a), "it answers every ping");
//! net.mute(a);
//! net.advance(50_000);
//! net.expect_closed(a, Cause::Stale);
//! ```

use crate::cause::Cause;
use crate::engine::conn::{Conn, Mark, Middle, Phase};
use crate::engine::ending::Ending;
use crate::engine::handler::Handler;
use crate::engine::http::Request;
use crate::engine::io::Io;
use crate::engine::message::{Message, Pong};
use crate::engine::scan::Header;
use crate::engine::verdict::{Preamble, Verdict};
use crate::engine::wheel::TICK;
use crate::engine::{Config, Engine, Flushed, Intake, Kernel};
use crate::health::{HealthChange, State};
use crate::id::{ConnId, TimerId};
use crate::time::{Micros, Stalls};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;

/// A network with one server.
pub struct Net<H> {
    engine: Engine<Recorder<H>>,
    raw: Micros,
    stalls: Stalls,
    asked: Micros,
    peers: Vec<Peer>,
    /// The peer that is read from first.
    first: usize,
    /// The last turn has left input for the next one.
    more: bool,
}

/// A peer of a [`Net`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub usize);

/// What a peer received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A data message.
    Message(Message),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame: code (1005 for none) and reason.
    Close(u16, String),
}

/// Who sits at the other end, and what is on the way.
struct Peer {
    id: ConnId,
    /// On the way to the server, with the time of arrival.
    inbound: VecDeque<(Micros, Vec<u8>)>,
    half_closed: bool,
    reset: bool,
    /// What reading from the peer fails with, if it does.
    unreadable: Option<ErrorKind>,
    latency: Micros,
    muted: bool,
    /// The server gets to read from it only in the last look.
    unread: bool,
    /// How many more bytes it takes; `None`: any number.
    window: Option<usize>,
    /// What writing fails with when the window is used up; `None`: the peer only takes no more.
    breaks: Option<ErrorKind>,
    bytes: Vec<u8>,
    head: Option<String>,
    received: Vec<Received>,
    fin: bool,
    released: Option<bool>,
    /// Bytes that it, or its kernel, has taken.
    taken: u64,
    /// The link between the server and it, if it is slow.
    link: Option<Link>,
    /// When bytes that had to wait reached it while a heartbeat was stuck behind them.
    moved: Vec<Micros>,
    blocked: bool,
    /// When the answers that it gave by itself reached the server.
    answers: Vec<Micros>,
    /// It is in the middle of a frame, and what it will answer after that.
    in_frame: bool,
    held_answers: Vec<Vec<u8>>,
}

/// A link that takes its time: what the server's kernel has taken and the peer's has not acknowledged.
struct Link {
    bytes_per_s: u64,
    /// The most bytes that the server's kernel takes.
    buffer: usize,
    queue: VecDeque<u8>,
    /// Up to when the queue was drained, in µs times bytes a second that are left over.
    at: Micros,
    credit: u64,
    last_ack: Micros,
}

impl Link {
    /// The bytes that have reached the peer by now.
    fn arrive(&mut self, now: Micros) -> Vec<u8> {
        self.credit += (now - self.at).0 * self.bytes_per_s;
        self.at = now;
        let bytes = (self.credit / 1_000_000).min(self.queue.len() as u64);
        self.credit -= bytes * 1_000_000;
        if self.queue.len() as u64 == bytes {
            // An idle link saves nothing up.
            self.credit = 0;
        }
        if bytes > 0 {
            self.last_ack = now;
        }
        self.queue.drain(..bytes as usize).collect()
    }
}

/// How often bytes leave a link.
const LINK_STEP: Micros = Micros::from_millis(5);

/// Passes on what the host is told, and keeps the endings.
struct Recorder<H> {
    host: H,
    endings: Vec<(ConnId, Ending)>,
}

impl<H: Handler> Net<H> {
    /// A server with this host, and no peers, at engine time zero.
    ///
    /// # Panics
    /// If the configuration is not valid.
    pub fn new(config: Config, host: H) -> Self {
        let recorder = Recorder {
            host,
            endings: Vec::new(),
        };
        let engine = match Engine::new(config, recorder, Box::new(|| {})) {
            Ok(engine) => engine,
            Err(e) => panic!("{e}"),
        };
        Net {
            engine,
            raw: Micros::ZERO,
            stalls: Stalls::default(),
            asked: Micros::ZERO,
            peers: Vec::new(),
            first: 0,
            more: false,
        }
    }

    /// Tells the server how many connections it has room for: see [`Engine::set_max_connections`].
    pub fn set_max_connections(&mut self, most: usize) {
        self.engine.set_max_connections(most);
    }

    // ---- what peers do ----

    /// A peer connects to the server and sends nothing yet.
    pub fn open_socket(&mut self) -> PeerId {
        self.knock(false)
    }

    /// A peer connects to a server that has no room for it, and sends nothing yet.
    pub fn open_socket_beyond_the_cap(&mut self) -> PeerId {
        self.knock(true)
    }

    fn knock(&mut self, refuse: bool) -> PeerId {
        let addr =
            std::net::SocketAddr::from(([127, 0, 0, 1], 10_000 + self.peers.len() as u16 % 50_000));
        let id = self.engine.accept(addr, refuse, self.now());
        self.peers.push(Peer {
            id,
            inbound: VecDeque::new(),
            half_closed: false,
            reset: false,
            unreadable: None,
            latency: Micros::ZERO,
            muted: false,
            unread: false,
            window: None,
            breaks: None,
            bytes: Vec::new(),
            head: None,
            received: Vec::new(),
            fin: false,
            released: None,
            taken: 0,
            link: None,
            moved: Vec::new(),
            blocked: false,
            answers: Vec::new(),
            in_frame: false,
            held_answers: Vec::new(),
        });
        PeerId(self.peers.len() - 1)
    }

    /// A peer connects and asks for a WebSocket at this path. The answer is there when this returns.
    pub fn connect(&mut self, path: &str) -> PeerId {
        let peer = self.open_socket();
        self.write(peer, upgrade_request(path).as_bytes());
        self.settle();
        peer
    }

    /// A peer sends a message, as one frame.
    pub fn send(&mut self, peer: PeerId, message: Message) {
        let (opcode, payload): (u8, Vec<u8>) = match message {
            Message::Text(text) => (0x1, text.as_bytes().to_vec()),
            Message::Binary(bytes) => (0x2, bytes.to_vec()),
            Message::Ping(bytes) => (0x9, bytes.to_vec()),
            Message::Pong(bytes) => (0xA, bytes.to_vec()),
            Message::Close(frame) => (
                0x8,
                frame.map_or_else(Vec::new, |f| {
                    [&u16::from(f.code).to_be_bytes()[..], f.reason.as_bytes()].concat()
                }),
            ),
            Message::Frame(_) => panic!("write() sends frames of any shape"),
        };
        self.write(peer, &client_frame(0x80 | opcode, &payload));
    }

    /// A peer sends bytes of any kind.
    pub fn write(&mut self, peer: PeerId, bytes: &[u8]) {
        let arrival = self.now() + self.peers[peer.0].latency;
        let peer = &mut self.peers[peer.0];
        if !peer.half_closed && !peer.reset {
            peer.inbound.push_back((arrival, bytes.to_vec()));
        }
    }

    /// Returns whether the peer is in the middle of a frame: then it answers pings only behind it.
    pub fn set_in_frame(&mut self, peer: PeerId, in_frame: bool) {
        let now = self.now();
        self.peers[peer.0].in_frame = in_frame;
        self.peers[peer.0].give_answers(now);
    }

    /// From now on the peer answers nothing, but its socket stays as it is: a ghost.
    pub fn mute(&mut self, peer: PeerId) {
        self.peers[peer.0].muted = true;
    }

    /// The peer sends its FIN.
    pub fn half_close(&mut self, peer: PeerId) {
        self.peers[peer.0].half_closed = true;
    }

    /// The peer's connection is reset; what was on the way is lost.
    pub fn reset(&mut self, peer: PeerId) {
        let peer = &mut self.peers[peer.0];
        peer.reset = true;
        peer.inbound.clear();
    }

    /// Puts a link of so many bytes a second before a peer; what the server's kernel takes beyond that is up to `buffer` bytes. At 0
    /// bytes a second the link is cut: nothing arrives any more, from either side.
    pub fn set_link(&mut self, peer: PeerId, bytes_per_s: u64, buffer: usize) {
        let now = self.now();
        let peer = &mut self.peers[peer.0];
        let link = peer.link.get_or_insert(Link {
            bytes_per_s,
            buffer,
            queue: VecDeque::new(),
            at: now,
            credit: 0,
            last_ack: now,
        });
        (link.bytes_per_s, link.buffer, link.credit) = (bytes_per_s, buffer, 0);
        if bytes_per_s == 0 {
            peer.muted = true;
            peer.inbound.clear();
        }
    }

    /// Reading from the peer fails so, from now on.
    pub fn fail_reading(&mut self, peer: PeerId, kind: ErrorKind) {
        self.peers[peer.0].unreadable = Some(kind);
    }

    /// How many more bytes the peer takes; `None`: any number.
    pub fn set_window(&mut self, peer: PeerId, window: Option<usize>) {
        self.peers[peer.0].window = window;
    }

    /// The peer takes this many more bytes, then writing to it fails.
    pub fn break_after(&mut self, peer: PeerId, bytes: usize) {
        self.fail_writing(peer, bytes, ErrorKind::ConnectionReset);
    }

    /// The peer takes this many more bytes, then writing to it fails so.
    pub fn fail_writing(&mut self, peer: PeerId, bytes: usize, kind: ErrorKind) {
        self.peers[peer.0].window = Some(bytes);
        self.peers[peer.0].breaks = Some(kind);
    }

    /// How long the peer's bytes are on the way, from now on.
    pub fn set_latency(&mut self, peer: PeerId, ms: u64) {
        self.peers[peer.0].latency = Micros::from_millis(ms);
    }

    /// Whether the server overlooks this peer's bytes, as a loop does that has too many events: only the last look finds them.
    pub fn set_unread(&mut self, peer: PeerId, unread: bool) {
        self.peers[peer.0].unread = unread;
    }

    // ---- time ----

    /// Engine time.
    pub fn now(&self) -> Micros {
        self.stalls.engine_time(self.raw)
    }

    /// Time passes, and the server and its peers do what they do. It ends with everything settled.
    pub fn advance(&mut self, ms: u64) {
        let target = self.now() + Micros::from_millis(ms);
        self.settle();
        while self.now() < target {
            let arrival = self
                .peers
                .iter()
                .filter(|p| !p.unread && self.engine.reads_from(p.id))
                .filter_map(|p| p.inbound.front().map(|(at, _)| *at))
                .min();
            let wake = self.engine.sleep(self.now()).map(|s| self.now() + s);
            let is_moving = |p: &Peer| p.link.as_ref().is_some_and(|l| !l.queue.is_empty());
            let link = self.peers.iter().any(is_moving);
            let link = link.then(|| self.now() + LINK_STEP);
            let next = [arrival, wake, link]
                .into_iter()
                .flatten()
                .fold(target, Micros::min)
                .max(self.now() + Micros(1));
            let step = next.min(target) - self.now();
            self.asked = step;
            self.raw += step;
            self.settle();
        }
    }

    /// The server's loop is away for this long: stopped, starved, or held up by its host.
    pub fn stall(&mut self, ms: u64) {
        self.raw += Micros::from_millis(ms);
        self.settle();
    }

    /// Time passes, then the server makes one turn, whatever is left to do: what a busy loop looks like from outside.
    pub fn turn_after(&mut self, ms: u64) {
        self.asked = Micros::from_millis(ms);
        self.raw += self.asked;
        self.turn();
    }

    /// Turns until nothing happens any more at this moment.
    ///
    /// # Panics
    /// If that never comes.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            self.turn();
            let arrived = |p: &Peer| {
                let waits = p.inbound.front().is_some_and(|(at, _)| *at <= self.now());
                waits && !p.unread && self.engine.reads_from(p.id)
            };
            let busy = self.engine.sleep(self.now()) == Some(Micros::ZERO);
            if !busy
                && !self.more
                && !self.engine.wants_last_accept()
                && !self.peers.iter().any(arrived)
            {
                return;
            }
        }
        panic!("the engine finds no rest at {}", self.now());
    }

    /// One turn, as the reactor does it.
    pub fn turn(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        if let Some(stall) = self
            .stalls
            .checkpoint(self.raw, asked, self.engine.shortest_timeout())
        {
            self.engine.on_stall(stall);
        }
        let now = self.now();
        for peer in &mut self.peers {
            if let Some(link) = &mut peer.link {
                let bytes = link.arrive(now);
                peer.taken += bytes.len() as u64;
                peer.bytes.extend(bytes);
                peer.understand(now);
            }
        }
        if self.engine.wants_last_accept() {
            self.engine.accepting_is_over(now);
        }
        // Every peer is asked each turn, so the engine's own list tells nothing new.
        self.engine.take_ready(&mut Vec::new());
        self.engine.take_repolled();
        self.more = false;
        let (first, all) = (self.first, self.peers.len());
        for index in (first..all).chain(0..first) {
            if !self.engine.has_budget() {
                (self.first, self.more) = (index, true);
                break;
            }
            if !self.peers[index].unread {
                self.read_from(index, now);
            }
        }
        self.engine.take_commands(now);
        self.engine.advance(now);
        let mut unanswered = Vec::new();
        self.engine.take_unanswered(&mut unanswered);
        for id in unanswered {
            if let Some(kernel) = self.kernel(id, now) {
                self.engine.observe(id, kernel, now);
            }
        }
        while let Some(id) = self.engine.next_doubtful() {
            if let Some(index) = self
                .peers
                .iter()
                .position(|p| p.id == id && p.released.is_none())
            {
                self.read_from(index, now);
            }
            let kernel = self.kernel(id, now);
            self.engine.judge(id, kernel, now);
        }
        let mut dirty = Vec::new();
        self.engine.take_dirty(&mut dirty);
        // Who was blocked and has room again would be told so by the kernel.
        dirty.extend(
            self.peers
                .iter()
                .filter(|p| p.blocked && p.has_room() && p.released.is_none())
                .map(|p| p.id),
        );
        for id in dirty {
            self.flush_to(id, now);
        }
        let peers = &mut self.peers;
        self.engine.reap(now, &mut |id, reset| {
            for peer in peers
                .iter_mut()
                .filter(|p| p.id == id && p.released.is_none())
            {
                peer.released = Some(reset);
            }
        });
    }

    /// What the server's kernel knows of a connection.
    fn kernel(&self, id: ConnId, now: Micros) -> Option<Kernel> {
        let mut peers = self.peers.iter();
        let peer = peers.find(|p| p.id == id && p.released.is_none())?;
        let link = peer.link.as_ref();
        Some(Kernel {
            acked: peer.taken,
            in_flight: link.map_or(0, |l| u32::from(!l.queue.is_empty())),
            last_ack: now - link.map_or(now, |l| l.last_ack),
        })
    }

    fn read_from(&mut self, index: usize, now: Micros) {
        let id = self.peers[index].id;
        if self.peers[index].released.is_some() {
            return;
        }
        loop {
            let most = match self.engine.intake(id, now) {
                Intake::Read(most) => most,
                Intake::Leftover => {
                    self.engine.on_leftover(id, now);
                    continue;
                }
                Intake::NextTurn => {
                    self.more = true;
                    return;
                }
                // The kernel still says that it was reset.
                Intake::Paused if self.peers[index].reset => break,
                Intake::Paused | Intake::Over => return,
            };
            let peer = &mut self.peers[index];
            let arrived = peer.inbound.front_mut().filter(|(at, _)| *at <= now);
            let Some((_, bytes)) = arrived else {
                self.engine.on_drained(id, now);
                break;
            };
            let rest = bytes.split_off(most.min(bytes.len()));
            let bytes = std::mem::replace(bytes, rest);
            if peer
                .inbound
                .front()
                .is_some_and(|(_, rest)| rest.is_empty())
            {
                peer.inbound.pop_front();
            }
            self.engine.on_bytes(id, &bytes, now);
        }
        let peer = &self.peers[index];
        if peer.reset {
            self.engine.on_error(id, &ErrorKind::ConnectionReset.into());
        } else if let Some(kind) = peer.unreadable {
            self.engine.on_error(id, &kind.into());
        } else if peer.half_closed && peer.inbound.is_empty() {
            self.engine.on_eof(id);
        }
    }

    fn flush_to(&mut self, id: ConnId, now: Micros) {
        let Some(peer) = self
            .peers
            .iter_mut()
            .find(|p| p.id == id && p.released.is_none())
        else {
            return;
        };
        let stuck = self
            .engine
            .core
            .table
            .get(id)
            .is_some_and(|c| c.health.ping_queued());
        let (window, bytes, reset, breaks) =
            (&mut peer.window, &mut peer.bytes, peer.reset, peer.breaks);
        let (link, total) = (&mut peer.link, &mut peer.taken);
        let before = bytes.len();
        let mut socket = |slices: &[IoSlice<'_>]| -> io::Result<usize> {
            if reset {
                return Err(ErrorKind::ConnectionReset.into());
            }
            let offered: usize = slices.iter().map(|s| s.len()).sum();
            let taken = window.map_or(offered, |w| w.min(offered));
            let room = link
                .as_ref()
                .map(|l| l.buffer.saturating_sub(l.queue.len()));
            let taken = room.map_or(taken, |room| room.min(taken));
            if taken == 0
                && let Some(kind) = breaks
            {
                return Err(kind.into());
            }
            if taken == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            let took = slices.iter().flat_map(|s| s.iter()).take(taken);
            match link {
                Some(link) => link.queue.extend(took),
                None => {
                    bytes.extend(took);
                    *total += taken as u64;
                }
            }
            if let Some(w) = window {
                *w -= taken;
            }
            Ok(taken)
        };
        let flushed = self.engine.flush(id, now, &mut socket);
        peer.fin |= flushed == Flushed::Fin;
        let blocked = match flushed {
            Flushed::Later => peer.blocked,
            flushed => flushed == Flushed::Blocked,
        };
        let was_blocked = std::mem::replace(&mut peer.blocked, blocked);
        if peer.bytes.len() > before && was_blocked && stuck {
            peer.moved.push(now);
        }
        peer.understand(now);
    }

    // ---- what came of it ----

    /// What a peer has received since the last call.
    pub fn received(&mut self, peer: PeerId) -> Vec<Received> {
        std::mem::take(&mut self.peers[peer.0].received)
    }

    /// The head (and body, if it was not 101) of the HTTP response.
    pub fn response(&self, peer: PeerId) -> Option<&str> {
        let peer = &self.peers[peer.0];
        peer.head.as_deref().or_else(|| {
            std::str::from_utf8(&peer.bytes)
                .ok()
                .filter(|s| !s.is_empty())
        })
    }

    /// Bytes that a peer received and that are not a whole frame yet.
    pub fn leftover(&self, peer: PeerId) -> &[u8] {
        &self.peers[peer.0].bytes
    }

    /// When bytes that had to wait for the peer's window reached it.
    pub fn moved_at(&self, peer: PeerId) -> &[Micros] {
        &self.peers[peer.0].moved
    }

    /// When pongs and close replies of this peer reached the server.
    pub fn answered_at(&self, peer: PeerId) -> &[Micros] {
        &self.peers[peer.0].answers
    }

    /// When the server opened this peer's WebSocket, while it is there.
    pub fn opened_at(&self, peer: PeerId) -> Option<Micros> {
        self.engine
            .core
            .table
            .get(self.peers[peer.0].id)
            .map(|c| c.since)
    }

    /// The server's name for this peer.
    pub fn id(&self, peer: PeerId) -> ConnId {
        self.peers[peer.0].id
    }

    /// Returns whether the server holds this peer's connection for open.
    pub fn is_open(&self, peer: PeerId) -> bool {
        self.engine
            .core
            .table
            .get(self.peers[peer.0].id)
            .is_some_and(|c| c.is_open())
    }

    /// Returns whether the server has let the socket go; if so, whether with an RST.
    pub fn released(&self, peer: PeerId) -> Option<bool> {
        self.peers[peer.0].released
    }

    /// Returns whether the server has sent its FIN (or let go).
    pub fn fin_received(&self, peer: PeerId) -> bool {
        self.peers[peer.0].fin || self.peers[peer.0].released.is_some()
    }

    /// How this peer's connection ended, as the host was told.
    pub fn ending(&self, peer: PeerId) -> Option<&Ending> {
        let id = self.peers[peer.0].id;
        self.endings()
            .iter()
            .find(|(ended, _)| *ended == id)
            .map(|(_, ending)| ending)
    }

    /// All endings that the host was told, in order.
    pub fn endings(&self) -> &[(ConnId, Ending)] {
        &self.engine.handler().endings
    }

    /// The connection has ended for this cause.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn expect_closed(&self, peer: PeerId, cause: Cause) {
        match self.ending(peer) {
            Some(ending) if ending.cause == cause => {}
            other => panic!("expected {cause:?} at {}, found {other:?}", self.now()),
        }
    }

    /// The host.
    pub fn host(&mut self) -> &mut H {
        &mut self.engine.handler_mut().host
    }

    /// Calls the host with hands to act.
    pub fn with_io<T>(&mut self, f: impl FnOnce(&mut H, &mut Io<'_>) -> T) -> T {
        let now = self.now();
        self.engine
            .with_io(now, |recorder, io| f(&mut recorder.host, io))
    }

    /// The engine, to look at.
    pub fn engine(&self) -> &Engine<impl Handler + use<H>> {
        &self.engine
    }

    /// Ends every connection.
    pub fn shutdown(&mut self) {
        self.engine.shutdown();
        self.turn();
    }

    /// What must hold after each turn.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self) -> Result<(), Broken> {
        self.look_through().map_err(Broken)
    }

    fn look_through(&self) -> Result<(), String> {
        let (core, now) = (&self.engine.core, self.now());
        let (mut pending, mut held, mut suspects, mut counted) = (0, 0, 0, 0);
        let (mut opening, mut closing, mut strangers) = (0, 0, 0);
        for (id, conn) in core.table.ids() {
            pending += conn.charged() as u64;
            counted += u64::from(conn.marks.has(Mark::Counted) && !ended(&conn.phase));
            opening += u64::from(matches!(conn.phase, Phase::Opening(_)));
            if let Phase::Closing(closes) = &conn.phase {
                let is_websocket = conn.marks.has(Mark::Counted);
                closing += u64::from(is_websocket && !closes.end.told);
                opening += u64::from(!is_websocket);
            }
            if let Phase::Opening(Some(head)) = &conn.phase {
                held += head.held;
                if head.held < head.bytes.len() as u64 {
                    return Err(format!("{id} holds more of a head than it is charged"));
                }
            }
            strangers += if conn.is_stranger() { held_of(conn) } else { 0 };
            if let Phase::Open(middle) = &conn.phase {
                suspects += u64::from(conn.health.state() == State::Suspect);
                if let Some(middle) = middle {
                    held += middle.held;
                    check_middle(middle).map_err(|e| format!("{id} {e}"))?;
                }
            }
            let Some(due) = conn.due(core.policy_of(conn), &core.config) else {
                return Err(format!("{id} is dead and was not reaped"));
            };
            if conn.marks.has(Mark::Deferred) {
                continue;
            }
            let Some(armed) = conn.armed() else {
                return Err(format!("{id} has no entry in the wheel"));
            };
            // Whoever was deferred and is heard again is overdue, and looked at with the next tick.
            let next_tick = (now.0 / TICK.0 + 1) as u32;
            if due + TICK <= now && armed != next_tick {
                return Err(format!("{id} was due at {due} and it is {now}"));
            }
        }
        self.engine.check_places()?;
        let stats = &core.stats;
        let told: u64 = (0..Cause::COUNT)
            .map(|c| stats.closed(c) + stats.rejected[c])
            .sum();
        let told_but_here = core.table.ids().filter(|(_, c)| ended(&c.phase)).count() as u64;
        for (what, kept, found) in [
            ("pending bytes", stats.pending_bytes, pending),
            ("held bytes", stats.held_bytes, held),
            ("bytes of strangers", stats.stranger_bytes, strangers),
            ("suspects", stats.suspects(), suspects),
            ("opening", stats.opening(), opening),
            (
                "closing",
                stats.classes.iter().map(|c| c.closing).sum(),
                closing,
            ),
            ("live", stats.live(), counted),
            (
                "accepted less ended",
                stats.accepted - told,
                core.table.len() as u64 - told_but_here,
            ),
        ] {
            if kept != found {
                return Err(format!("{what}: {kept} on the account, {found} found"));
            }
        }
        if core.wheel.entries() > 64 + 8 * (stats.accepted as usize + core.timers.len()) {
            return Err(format!("{} entries in the wheel", core.wheel.entries()));
        }
        Ok(())
    }

    /// Entries in the wheel, dead ones included.
    pub fn wheel_entries(&self) -> usize {
        self.engine.core.wheel.entries()
    }
}

/// The engine's books do not agree with its connections: a bug of the engine, not of the host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Broken(String);

impl From<Broken> for String {
    fn from(broken: Broken) -> String {
        broken.0
    }
}

fn held_of(conn: &Conn) -> u64 {
    match &conn.phase {
        Phase::Opening(Some(head)) => head.held,
        Phase::Open(Some(middle)) => middle.held,
        _ => 0,
    }
}

/// What must hold of a connection that is in the middle of something.
fn check_middle(middle: &Middle) -> Result<(), String> {
    if middle.at_rest() {
        return Err("is at rest and not parked".to_owned());
    }
    // One that is in the middle of its share is busy, and waits for nothing.
    let waits = middle.throttled_since.is_some();
    if waits && !middle.is_held() || middle.is_held() && !middle.is_busy() && !waits {
        return Err("waits for its share and is not counted, or the other way round".to_owned());
    }
    let frame = middle.frame.as_ref().map_or(0, |f| f.control.len());
    let message = middle.message.as_ref().map_or(0, |m| m.len());
    let own = (middle.leftover.len() + frame + message) as u64;
    let least = own + middle.unfinished.unwrap_or_default();
    if middle.held < least {
        return Err(format!(
            "holds {least} bytes, {} on the account",
            middle.held
        ));
    }
    Ok(())
}

fn ended(phase: &Phase) -> bool {
    match phase {
        Phase::Closing(closing) => closing.end.told,
        Phase::Dead(end) => end.told,
        Phase::Opening(_) | Phase::Open(_) => false,
    }
}

impl Peer {
    /// Returns whether the server's kernel takes bytes for it.
    fn has_room(&self) -> bool {
        let link = self.link.as_ref();
        self.window != Some(0) && link.is_none_or(|l| l.queue.len() < l.buffer)
    }

    /// Sends its answers, unless it is in the middle of a frame.
    fn give_answers(&mut self, now: Micros) {
        if !self.in_frame {
            for frame in self.held_answers.drain(..) {
                self.inbound.push_back((now + self.latency, frame));
                self.answers.push(now + self.latency);
            }
        }
    }

    /// Takes apart what has come, and answers as a client does.
    fn understand(&mut self, now: Micros) {
        if self.head.is_none() {
            let Some(end) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                return;
            };
            if !self.bytes.starts_with(b"HTTP/1.1 101") {
                return;
            }
            let rest = self.bytes.split_off(end + 4);
            self.head = Some(String::from_utf8_lossy(&self.bytes).into_owned());
            self.bytes = rest;
        }
        while let Some((first, payload, len)) = server_frame(&self.bytes) {
            let payload = payload.to_vec();
            self.bytes.drain(..len);
            let received = match first {
                0x81 => Received::Message(Message::Text(
                    String::from_utf8_lossy(&payload).into_owned().into(),
                )),
                0x82 => Received::Message(Message::Binary(payload.clone().into())),
                0x88 => match payload.split_first_chunk() {
                    Some((code, reason)) => Received::Close(
                        u16::from_be_bytes(*code),
                        String::from_utf8_lossy(reason).into_owned(),
                    ),
                    None => Received::Close(1005, String::new()),
                },
                0x89 => Received::Ping(payload.clone()),
                0x8A => Received::Pong(payload.clone()),
                other => panic!("a server does not send frames that begin with {other:#x}"),
            };
            let answer = match received {
                Received::Ping(_) => Some(0x8A),
                Received::Close(..) => Some(0x88),
                Received::Message(_) | Received::Pong(_) => None,
            };
            if let Some(opcode) = answer.filter(|_| !self.muted && !self.half_closed && !self.reset)
            {
                self.held_answers.push(client_frame(opcode, &payload));
                self.give_answers(now);
            }
            self.received.push(received);
        }
    }
}

impl<H: Handler> Handler for Recorder<H> {
    fn on_preamble(&mut self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        self.host.on_preamble(peer_addr, bytes)
    }

    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, pong: Pong) {
        self.host.on_pong(io, id, pong);
    }

    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        self.host.on_request(io, id, request)
    }

    fn on_unserved(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        self.host.on_unserved(io, id, request);
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.host.on_open(io, id);
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        self.host.on_message(io, id, message);
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.host.on_continue(io, id);
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.host.on_health(io, id, change);
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.host.on_writable(io, id);
    }

    fn on_mangled_pong(&mut self, io: &mut Io<'_>, id: ConnId, payload: &[u8]) {
        self.host.on_mangled_pong(io, id, payload);
    }

    fn on_throttled(&mut self, io: &mut Io<'_>, id: ConnId, waited: Micros) {
        self.host.on_throttled(io, id, waited);
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.endings.push((id, end.clone()));
        self.host.on_close(io, id, end);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.endings.push((id, end.clone()));
        self.host.on_reject(io, id, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        self.host.on_timer(io, timer);
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.host.on_wake(io);
    }
}

/// How many whole frames `data` begins with, by their headers, for benchmarks.
pub fn count_frames(mut data: &[u8]) -> u32 {
    let mut frames = 0;
    while let Some(rest) = Header::parse(data).and_then(|h| data.get(h.frame_len()..)) {
        data = rest;
        frames += 1;
    }
    frames
}

/// A request for a WebSocket.
pub fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A frame as clients send it, masked; `first` is the byte with FIN and opcode. The mask depends on the payload only.
pub fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..=125 => frame.push(0x80 | short as u8),
        medium @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    let mask = [0x37, 0xFA, 0x21, payload.len() as u8];
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    frame
}

/// The first frame of a server's stream, if it is whole: its first byte, payload, and length in all.
///
/// # Panics
/// If it is masked, which a server's frames must not be.
pub fn server_frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (&first, &second) = (bytes.first()?, bytes.get(1)?);
    assert!(second & 0x80 == 0, "a masked frame from the server");
    let (head, len) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize,
        ),
        short => (2, usize::from(short)),
    };
    Some((first, bytes.get(head..head + len)?, head + len))
}
