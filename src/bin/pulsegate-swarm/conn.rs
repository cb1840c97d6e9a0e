//! One connection of the swarm: its socket, its phase, and its answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::SwarmClock;
use crate::conn_end::ConnEnd;
use crate::frame::{self, FrameReader, Opcode, ServerFrame};
use crate::handshake::ClientHandshake;
use crate::measurements::Measurements;
use crate::plan::Behavior;
use crate::rng::Rng;

/// The state that all connections share. It may be large, because it exists once.
pub struct SharedState {
    pub registry: Registry,
    pub clock: SwarmClock,
    pub rng: Rng,
    pub measurements: Measurements,
    /// The server's connection timeout, in µs.
    pub timeout: u64,
    read: Box<[u8]>,
    replies: Vec<u8>,
}

pub struct SwarmConn {
    stream: TcpStream,
    token: Token,
    phase: SwarmPhase,
    behavior: Behavior,
    /// The time of the connect call.
    started: u64,
    /// The time just before the last bytes were written. The server cannot have received them
    /// earlier, so a close that counts as late by this time really is late.
    last_sent: u64,
    /// The time of the last ping; 0: none yet.
    last_ping: u64,
    /// When the oldest unanswered JSON ping was sent; 0: none.
    asked: u64,
    pings: u32,
    frames: FrameReader,
    unsent: Vec<u8>,
}

/// The phase of a connection.
enum SwarmPhase {
    /// The socket is not connected yet. The request waits for it, with the expected answer.
    Connecting(Box<(ClientHandshake, Vec<u8>)>),
    Handshaking(Box<ClientHandshake>),
    Open,
    /// A ghost (a peer that pretends to be dead) that has fallen silent.
    Silent,
    /// A ghost that the server has closed; its socket stays open, as with a real ghost.
    Closed,
    /// The swarm has sent its close frame.
    Closing,
    /// The server has answered the close frame with this code; it closes the socket first (RFC 6455
    /// §7.1.1).
    CloseAnswered(Option<u16>),
}

/// The most unsent bytes of a connection before it is given up.
const UNSENT_LIMIT: usize = 4 << 20;
/// The number of bytes that a slow reader reads at a time. The next constant is the size of its
/// receive buffer, which the kernel doubles.
const SLOW_READ_BYTES: usize = 512;
const SLOW_RECEIVE_BUFFER: usize = 4 * 1024;

impl SharedState {
    pub fn new(registry: Registry, clock: SwarmClock, rng: Rng, timeout: u64) -> Self {
        SharedState {
            registry,
            clock,
            rng,
            measurements: Measurements::new(),
            timeout,
            read: vec![0; 64 * 1024].into(),
            replies: Vec::new(),
        }
    }
}

impl SwarmConn {
    /// Starts to connect, from `source` if given. The request follows once the socket is connected.
    pub fn start(
        token: Token,
        behavior: Behavior,
        addr: SocketAddr,
        source: Option<IpAddr>,
        request: (ClientHandshake, Vec<u8>),
        shared: &mut SharedState,
    ) -> Result<SwarmConn, ConnEnd> {
        let started = shared.clock.now();
        let socket = Socket::new(
            Domain::for_address(addr),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        if behavior == Behavior::Slow {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER)?;
        }
        if let Some(ip) = source {
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        match socket.connect(&addr.into()) {
            Err(error) if !is_under_way(&error) => return Err(error.into()),
            Err(_) | Ok(()) => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        shared
            .registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(SwarmConn {
            stream,
            token,
            phase: SwarmPhase::Connecting(Box::new(request)),
            behavior,
            started,
            last_sent: started,
            last_ping: 0,
            asked: 0,
            pings: 0,
            frames: FrameReader::default(),
            unsent: Vec::new(),
        })
    }

    pub fn behavior(&self) -> Behavior {
        self.behavior
    }

    pub fn pings(&self) -> u64 {
        self.pings.into()
    }

    /// Returns whether the handshake is not finished.
    pub fn is_opening(&self) -> bool {
        matches!(
            self.phase,
            SwarmPhase::Connecting(_) | SwarmPhase::Handshaking(_)
        )
    }

    /// Returns whether the connection is open and answers.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, SwarmPhase::Open)
    }

    /// Returns whether the connection is a silent ghost that the server has not closed.
    pub fn is_silent(&self) -> bool {
        matches!(self.phase, SwarmPhase::Silent)
    }

    /// Counts the end of a connection that will be dropped.
    pub fn count_end(&self, end: &ConnEnd, shared: &mut SharedState) {
        let late = self.late(shared.clock.now(), shared.timeout);
        let measurements = &mut shared.measurements;
        match &self.phase {
            SwarmPhase::Connecting(_) | SwarmPhase::Handshaking(_) => {
                measurements.count_failure(end.kind())
            }
            SwarmPhase::Open => measurements.count_unexpected(end),
            SwarmPhase::Silent => measurements.ghosts.count_found(end, late),
            SwarmPhase::Closed => measurements.ghosts.dropped += 1,
            SwarmPhase::Closing => measurements.count_farewell(end),
            SwarmPhase::CloseAnswered(code) => measurements.count_farewell(&ConnEnd::Closed(*code)),
        }
        if matches!(
            self.phase,
            SwarmPhase::Open
                | SwarmPhase::Silent
                | SwarmPhase::Closing
                | SwarmPhase::CloseAnswered(_)
        ) {
            measurements.open -= 1;
        }
    }

    /// Handles an event of the socket.
    pub fn on_event(&mut self, event: &Event, shared: &mut SharedState) -> Result<(), ConnEnd> {
        if matches!(self.phase, SwarmPhase::Connecting(_)) && !self.send_request(shared)? {
            return Ok(());
        }
        if event.is_writable() {
            self.flush(shared)?;
        }
        let ended = event.is_read_closed() || event.is_error();
        if self.behavior == Behavior::Slow && self.is_open() && !event.is_error() {
            return Ok(());
        }
        if event.is_readable() || ended {
            self.receive(ended, usize::MAX, shared)?;
        }
        Ok(())
    }

    /// Makes a ghost silent. Returns whether it was open.
    pub fn fall_silent(&mut self) -> bool {
        let was_open = self.is_open();
        if was_open {
            self.phase = SwarmPhase::Silent;
        }
        was_open
    }

    /// Reads a little, for a slow reader.
    pub fn read_slowly(&mut self, shared: &mut SharedState) -> Result<(), ConnEnd> {
        self.receive(false, SLOW_READ_BYTES, shared)
    }

    /// Sends the message of a talker (a connection with that role), which the server should answer.
    pub fn talk(&mut self, message: &[u8], shared: &mut SharedState) -> Result<(), ConnEnd> {
        frame::put(
            &mut shared.replies,
            Opcode::Text,
            message,
            shared.rng.mask(),
        );
        shared.measurements.asked += 1;
        if self.asked == 0 {
            self.asked = shared.clock.now();
        }
        self.reply(shared)
    }

    /// Sends a close frame with code 1000.
    pub fn close(&mut self, shared: &mut SharedState) -> Result<(), ConnEnd> {
        self.phase = SwarmPhase::Closing;
        frame::put(
            &mut shared.replies,
            Opcode::Close,
            &1000u16.to_be_bytes(),
            shared.rng.mask(),
        );
        self.reply(shared)
    }

    /// Sends the request once the socket is connected, which a writable event does not guarantee.
    /// Returns whether it is connected.
    fn send_request(&mut self, shared: &mut SharedState) -> Result<bool, ConnEnd> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error.into());
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if let SwarmPhase::Connecting(request) =
            std::mem::replace(&mut self.phase, SwarmPhase::Open)
        {
            let (handshake, head) = *request;
            self.phase = SwarmPhase::Handshaking(Box::new(handshake));
            self.send(&head, shared)?;
        }
        Ok(true)
    }

    /// Reads until a short read shows that there is nothing more, or only once if `most` limits it.
    ///
    /// `to_the_end`: a FIN or an error came with the data and is not reported again, so read until
    /// it appears.
    fn receive(
        &mut self,
        to_the_end: bool,
        most: usize,
        shared: &mut SharedState,
    ) -> Result<(), ConnEnd> {
        let mut buffer = std::mem::take(&mut shared.read);
        let room = buffer.len().min(most);
        let outcome = loop {
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => break self.on_eof(),
                Ok(count) => {
                    shared.measurements.bytes_in += count as u64;
                    let now = shared.clock.now();
                    if let Err(end) = self.take(&buffer[..count], now, shared) {
                        break Err(end);
                    }
                    if (count < room || room == most) && !to_the_end {
                        break Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error.into()),
            }
        };
        shared.read = buffer;
        // Answers are sent even if the connection ends here, in particular the echo of a close
        // frame.
        let replied = self.reply(shared);
        outcome.and(replied)
    }

    fn on_eof(&self) -> Result<(), ConnEnd> {
        match self.phase {
            SwarmPhase::Closed => Ok(()),
            _ => Err(ConnEnd::Eof),
        }
    }

    fn take(&mut self, bytes: &[u8], now: u64, shared: &mut SharedState) -> Result<(), ConnEnd> {
        let SwarmPhase::Handshaking(handshake) = &mut self.phase else {
            return self.take_frames(bytes, now, shared);
        };
        let Some(rest) = handshake.advance(bytes).map_err(ConnEnd::Refused)? else {
            return Ok(());
        };
        self.phase = SwarmPhase::Open;
        shared.measurements.connected += 1;
        shared.measurements.open += 1;
        shared.measurements.handshakes.add(now - self.started);
        shared
            .registry
            .reregister(&mut self.stream, self.token, Interest::READABLE)?;
        self.take_frames(&rest, now, shared)
    }

    fn take_frames(
        &mut self,
        mut bytes: &[u8],
        now: u64,
        shared: &mut SharedState,
    ) -> Result<(), ConnEnd> {
        while let Some(frame) = self
            .frames
            .next(&mut bytes)
            .map_err(|_| ConnEnd::Refused("violation".into()))?
        {
            self.on_frame(&frame, now, shared)?;
        }
        Ok(())
    }

    fn on_frame(
        &mut self,
        frame: &ServerFrame,
        now: u64,
        shared: &mut SharedState,
    ) -> Result<(), ConnEnd> {
        match frame.opcode {
            Opcode::Ping => self.on_ping(frame, now, shared),
            Opcode::Close => return self.on_close(frame, now, shared),
            Opcode::Text if self.asked > 0 && is_answer(frame.prefix()) => {
                shared.measurements.round_trips.add(now - self.asked);
                self.asked = 0;
            }
            Opcode::Text | Opcode::Binary | Opcode::Continue | Opcode::Pong => {}
        }
        Ok(())
    }

    fn on_ping(&mut self, frame: &ServerFrame, now: u64, shared: &mut SharedState) {
        if !matches!(self.phase, SwarmPhase::Open | SwarmPhase::Silent) {
            return;
        }
        shared.measurements.pings += 1;
        self.pings += 1;
        if self.last_ping > 0 {
            shared.measurements.ping_intervals.add(now - self.last_ping);
        }
        self.last_ping = now;
        if self.is_open() {
            frame::put(
                &mut shared.replies,
                Opcode::Pong,
                frame.prefix(),
                shared.rng.mask(),
            );
        }
    }

    fn on_close(
        &mut self,
        frame: &ServerFrame,
        now: u64,
        shared: &mut SharedState,
    ) -> Result<(), ConnEnd> {
        let code = frame.close_code();
        match self.phase {
            SwarmPhase::Silent => {
                let late = self.late(now, shared.timeout);
                shared
                    .measurements
                    .ghosts
                    .count_found(&ConnEnd::Closed(code), late);
                shared.measurements.open -= 1;
                self.phase = SwarmPhase::Closed;
            }
            SwarmPhase::Closing => self.phase = SwarmPhase::CloseAnswered(code),
            SwarmPhase::Closed | SwarmPhase::CloseAnswered(_) => {}
            SwarmPhase::Connecting(_) | SwarmPhase::Handshaking(_) | SwarmPhase::Open => {
                let payload = frame.prefix();
                let echo = &payload[..payload.len().min(2)];
                frame::put(&mut shared.replies, Opcode::Close, echo, shared.rng.mask());
                return Err(ConnEnd::Closed(code));
            }
        }
        Ok(())
    }

    /// Returns the time since the timeout, which is counted from the last bytes sent.
    fn late(&self, now: u64, timeout: u64) -> i64 {
        now as i64 - self.last_sent as i64 - timeout as i64
    }

    /// Sends the replies that were collected: one write for all frames.
    fn reply(&mut self, shared: &mut SharedState) -> Result<(), ConnEnd> {
        if shared.replies.is_empty() {
            return Ok(());
        }
        let mut replies = std::mem::take(&mut shared.replies);
        let sent = self.send(&replies, shared);
        replies.clear();
        shared.replies = replies;
        sent
    }

    fn send(&mut self, bytes: &[u8], shared: &mut SharedState) -> Result<(), ConnEnd> {
        if !self.unsent.is_empty() {
            if self.unsent.len() + bytes.len() > UNSENT_LIMIT {
                return Err(ConnEnd::Stuck);
            }
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = self.write(bytes, shared)?;
        if taken < bytes.len() {
            self.unsent.extend_from_slice(&bytes[taken..]);
            let both = Interest::READABLE | Interest::WRITABLE;
            shared
                .registry
                .reregister(&mut self.stream, self.token, both)?;
        }
        Ok(())
    }

    fn flush(&mut self, shared: &mut SharedState) -> Result<(), ConnEnd> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let mut unsent = std::mem::take(&mut self.unsent);
        let taken = self.write(&unsent, shared)?;
        if taken < unsent.len() {
            unsent.drain(..taken);
            self.unsent = unsent;
        } else if !self.is_opening() {
            shared
                .registry
                .reregister(&mut self.stream, self.token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Writes as much as the kernel accepts.
    fn write(&mut self, bytes: &[u8], shared: &mut SharedState) -> Result<usize, ConnEnd> {
        let mut taken = 0;
        while taken < bytes.len() {
            let now = shared.clock.now();
            match self.stream.write(&bytes[taken..]) {
                Ok(count) => {
                    taken += count;
                    self.last_sent = now;
                    shared.measurements.bytes_out += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }
}

/// Returns whether a connect continues in the background (EINPROGRESS).
fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(115)
}

/// Returns whether a message answers a JSON ping: `{"type":"pong"}`, or the ping itself from a
/// server that echoes.
fn is_answer(message: &[u8]) -> bool {
    message.starts_with(br#"{"type":"pong""#) || message.starts_with(br#"{"type":"ping""#)
}
