//! One connection of the swarm: its socket, its phase, and its answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clock::Clock;
use crate::end::End;
use crate::frame::{self, Frame, Frames, Opcode};
use crate::plan::Role;
use crate::rng::Rng;
use crate::tally::Tally;
use crate::upgrade::Upgrade;

/// The state that all connections share. It may be large, because it exists once.
pub struct Commons {
    pub registry: Registry,
    pub clock: Clock,
    pub rng: Rng,
    pub tally: Tally,
    /// The server's connection timeout, in µs.
    pub timeout: u64,
    read: Box<[u8]>,
    replies: Vec<u8>,
}

pub struct Conn {
    stream: TcpStream,
    token: Token,
    phase: Phase,
    role: Role,
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
    frames: Frames,
    unsent: Vec<u8>,
}

/// The phase of a connection.
enum Phase {
    /// The socket is not connected yet. The request waits for it, with the expected answer.
    Connecting(Box<(Upgrade, Vec<u8>)>),
    Upgrading(Box<Upgrade>),
    Open,
    /// A ghost (a peer that pretends to be dead) that has fallen silent.
    Silent,
    /// A ghost that the server has closed; its socket stays open, as with a real ghost.
    Buried,
    /// The swarm has sent its close frame.
    Leaving,
    /// The server has answered the close frame with this code; it closes the socket first (RFC 6455
    /// §7.1.1).
    Left(Option<u16>),
}

/// The most unsent bytes of a connection before it is given up.
const UNSENT_LIMIT: usize = 4 << 20;
/// The number of bytes that a slow reader reads at a time. The next constant is the size of its
/// receive buffer, which the kernel doubles.
const SIP: usize = 512;
const SLOW_RECEIVE_BUFFER: usize = 4 * 1024;

impl Commons {
    pub fn new(registry: Registry, clock: Clock, rng: Rng, timeout: u64) -> Self {
        Commons {
            registry,
            clock,
            rng,
            tally: Tally::new(),
            timeout,
            read: vec![0; 64 * 1024].into(),
            replies: Vec::new(),
        }
    }
}

impl Conn {
    /// Starts to connect, from `source` if given. The request follows once the socket is connected.
    pub fn start(
        token: Token,
        role: Role,
        addr: SocketAddr,
        source: Option<IpAddr>,
        request: (Upgrade, Vec<u8>),
        commons: &mut Commons,
    ) -> Result<Conn, End> {
        let started = commons.clock.now();
        let socket = Socket::new(
            Domain::for_address(addr),
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        socket.set_tcp_nodelay(true)?;
        if role == Role::Slow {
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
        commons
            .registry
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Conn {
            stream,
            token,
            phase: Phase::Connecting(Box::new(request)),
            role,
            started,
            last_sent: started,
            last_ping: 0,
            asked: 0,
            pings: 0,
            frames: Frames::default(),
            unsent: Vec::new(),
        })
    }

    pub fn role(&self) -> Role {
        self.role
    }

    pub fn pings(&self) -> u64 {
        self.pings.into()
    }

    /// Returns whether the handshake is not finished.
    pub fn is_opening(&self) -> bool {
        matches!(self.phase, Phase::Connecting(_) | Phase::Upgrading(_))
    }

    /// Returns whether the connection is open and answers.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Returns whether the connection is a silent ghost that the server has not closed.
    pub fn is_silent(&self) -> bool {
        matches!(self.phase, Phase::Silent)
    }

    /// Counts the end of a connection that will be dropped.
    pub fn count_end(&self, end: &End, commons: &mut Commons) {
        let late = self.late(commons.clock.now(), commons.timeout);
        let tally = &mut commons.tally;
        match &self.phase {
            Phase::Connecting(_) | Phase::Upgrading(_) => tally.failed(end.kind()),
            Phase::Open => tally.unexpected(end),
            Phase::Silent => tally.ghosts.found(end, late),
            Phase::Buried => tally.ghosts.dropped += 1,
            Phase::Leaving => tally.farewell(end),
            Phase::Left(code) => tally.farewell(&End::Closed(*code)),
        }
        if matches!(
            self.phase,
            Phase::Open | Phase::Silent | Phase::Leaving | Phase::Left(_)
        ) {
            tally.open -= 1;
        }
    }

    /// Handles an event of the socket.
    pub fn ready(&mut self, event: &Event, commons: &mut Commons) -> Result<(), End> {
        if matches!(self.phase, Phase::Connecting(_)) && !self.send_request(commons)? {
            return Ok(());
        }
        if event.is_writable() {
            self.flush(commons)?;
        }
        let ended = event.is_read_closed() || event.is_error();
        if self.role == Role::Slow && self.is_open() && !event.is_error() {
            return Ok(());
        }
        if event.is_readable() || ended {
            self.receive(ended, usize::MAX, commons)?;
        }
        Ok(())
    }

    /// Makes a ghost silent. Returns whether it was open.
    pub fn fall_silent(&mut self) -> bool {
        let was_open = self.is_open();
        if was_open {
            self.phase = Phase::Silent;
        }
        was_open
    }

    /// Reads a little, for a slow reader.
    pub fn sip(&mut self, commons: &mut Commons) -> Result<(), End> {
        self.receive(false, SIP, commons)
    }

    /// Sends the message of a talker (a connection with that role), which the server should answer.
    pub fn talk(&mut self, message: &[u8], commons: &mut Commons) -> Result<(), End> {
        frame::put(
            &mut commons.replies,
            Opcode::Text,
            message,
            commons.rng.mask(),
        );
        commons.tally.asked += 1;
        if self.asked == 0 {
            self.asked = commons.clock.now();
        }
        self.reply(commons)
    }

    /// Sends a close frame with code 1000.
    pub fn leave(&mut self, commons: &mut Commons) -> Result<(), End> {
        self.phase = Phase::Leaving;
        frame::put(
            &mut commons.replies,
            Opcode::Close,
            &1000u16.to_be_bytes(),
            commons.rng.mask(),
        );
        self.reply(commons)
    }

    /// Sends the request once the socket is connected, which a writable event does not guarantee.
    /// Returns whether it is connected.
    fn send_request(&mut self, commons: &mut Commons) -> Result<bool, End> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error.into());
        }
        match self.stream.peer_addr() {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        if let Phase::Connecting(request) = std::mem::replace(&mut self.phase, Phase::Open) {
            let (upgrade, head) = *request;
            self.phase = Phase::Upgrading(Box::new(upgrade));
            self.send(&head, commons)?;
        }
        Ok(true)
    }

    /// Reads until a short read shows that there is nothing more, or only once if `most` limits it.
    ///
    /// `to_the_end`: a FIN or an error came with the data and is not reported again, so read until
    /// it appears.
    fn receive(&mut self, to_the_end: bool, most: usize, commons: &mut Commons) -> Result<(), End> {
        let mut buffer = std::mem::take(&mut commons.read);
        let room = buffer.len().min(most);
        let outcome = loop {
            match self.stream.read(&mut buffer[..room]) {
                Ok(0) => break self.on_eof(),
                Ok(count) => {
                    commons.tally.bytes_in += count as u64;
                    let now = commons.clock.now();
                    if let Err(end) = self.take(&buffer[..count], now, commons) {
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
        commons.read = buffer;
        // Answers are sent even if the connection ends here, in particular the echo of a close
        // frame.
        let replied = self.reply(commons);
        outcome.and(replied)
    }

    fn on_eof(&self) -> Result<(), End> {
        match self.phase {
            Phase::Buried => Ok(()),
            _ => Err(End::Eof),
        }
    }

    fn take(&mut self, bytes: &[u8], now: u64, commons: &mut Commons) -> Result<(), End> {
        let Phase::Upgrading(upgrade) = &mut self.phase else {
            return self.take_frames(bytes, now, commons);
        };
        let Some(rest) = upgrade.go_on(bytes).map_err(End::Refused)? else {
            return Ok(());
        };
        self.phase = Phase::Open;
        commons.tally.connected += 1;
        commons.tally.open += 1;
        commons.tally.handshakes.add(now - self.started);
        commons
            .registry
            .reregister(&mut self.stream, self.token, Interest::READABLE)?;
        self.take_frames(&rest, now, commons)
    }

    fn take_frames(
        &mut self,
        mut bytes: &[u8],
        now: u64,
        commons: &mut Commons,
    ) -> Result<(), End> {
        while let Some(frame) = self
            .frames
            .next(&mut bytes)
            .map_err(|_| End::Refused("violation".into()))?
        {
            self.on_frame(&frame, now, commons)?;
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: &Frame, now: u64, commons: &mut Commons) -> Result<(), End> {
        match frame.opcode {
            Opcode::Ping => self.on_ping(frame, now, commons),
            Opcode::Close => return self.on_close(frame, now, commons),
            Opcode::Text if self.asked > 0 && is_answer(frame.prefix()) => {
                commons.tally.round_trips.add(now - self.asked);
                self.asked = 0;
            }
            Opcode::Text | Opcode::Binary | Opcode::Continue | Opcode::Pong => {}
        }
        Ok(())
    }

    fn on_ping(&mut self, frame: &Frame, now: u64, commons: &mut Commons) {
        if !matches!(self.phase, Phase::Open | Phase::Silent) {
            return;
        }
        commons.tally.pings += 1;
        self.pings += 1;
        if self.last_ping > 0 {
            commons.tally.ping_intervals.add(now - self.last_ping);
        }
        self.last_ping = now;
        if self.is_open() {
            frame::put(
                &mut commons.replies,
                Opcode::Pong,
                frame.prefix(),
                commons.rng.mask(),
            );
        }
    }

    fn on_close(&mut self, frame: &Frame, now: u64, commons: &mut Commons) -> Result<(), End> {
        let code = frame.close_code();
        match self.phase {
            Phase::Silent => {
                let late = self.late(now, commons.timeout);
                commons.tally.ghosts.found(&End::Closed(code), late);
                commons.tally.open -= 1;
                self.phase = Phase::Buried;
            }
            Phase::Leaving => self.phase = Phase::Left(code),
            Phase::Buried | Phase::Left(_) => {}
            Phase::Connecting(_) | Phase::Upgrading(_) | Phase::Open => {
                let payload = frame.prefix();
                let echo = &payload[..payload.len().min(2)];
                frame::put(
                    &mut commons.replies,
                    Opcode::Close,
                    echo,
                    commons.rng.mask(),
                );
                return Err(End::Closed(code));
            }
        }
        Ok(())
    }

    /// Returns the time since the timeout, which is counted from the last bytes sent.
    fn late(&self, now: u64, timeout: u64) -> i64 {
        now as i64 - self.last_sent as i64 - timeout as i64
    }

    /// Sends the replies that were collected: one write for all frames.
    fn reply(&mut self, commons: &mut Commons) -> Result<(), End> {
        if commons.replies.is_empty() {
            return Ok(());
        }
        let mut replies = std::mem::take(&mut commons.replies);
        let sent = self.send(&replies, commons);
        replies.clear();
        commons.replies = replies;
        sent
    }

    fn send(&mut self, bytes: &[u8], commons: &mut Commons) -> Result<(), End> {
        if !self.unsent.is_empty() {
            if self.unsent.len() + bytes.len() > UNSENT_LIMIT {
                return Err(End::Stuck);
            }
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let taken = self.write(bytes, commons)?;
        if taken < bytes.len() {
            self.unsent.extend_from_slice(&bytes[taken..]);
            let both = Interest::READABLE | Interest::WRITABLE;
            commons
                .registry
                .reregister(&mut self.stream, self.token, both)?;
        }
        Ok(())
    }

    fn flush(&mut self, commons: &mut Commons) -> Result<(), End> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let mut unsent = std::mem::take(&mut self.unsent);
        let taken = self.write(&unsent, commons)?;
        if taken < unsent.len() {
            unsent.drain(..taken);
            self.unsent = unsent;
        } else if !self.is_opening() {
            commons
                .registry
                .reregister(&mut self.stream, self.token, Interest::READABLE)?;
        }
        Ok(())
    }

    /// Writes as much as the kernel accepts.
    fn write(&mut self, bytes: &[u8], commons: &mut Commons) -> Result<usize, End> {
        let mut taken = 0;
        while taken < bytes.len() {
            let now = commons.clock.now();
            match self.stream.write(&bytes[taken..]) {
                Ok(count) => {
                    taken += count;
                    self.last_sent = now;
                    commons.tally.bytes_out += count as u64;
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
