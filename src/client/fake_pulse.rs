//! A small gateway for tests of clients, with a service behind it that the test plays.

use crate::base::cause::Cause;
use crate::base::id::{Class, ConnId, TimerId};
use crate::base::time::Micros;
use crate::engine::{ConnMap, Ending, Handler, Io, Message, Reply, Request, Upgrade, Verdict};
use crate::pulse::{
    BIG_BYTES, Bye, ClientFrame, FrameEffect, Hello, LedgerEntry, LedgerFull, LinkRisk,
    OpaqueToken, PulseSession, PulseText, Refused, ResumeToken, SessionEnd, SessionLoss,
    ShortControl, bye_frame, end_frame, escaped, hello_frame, refused_frame,
};

/// How often the gateway looks at its sessions.
const TICK: Micros = Micros::from_millis(10);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FakeLeg {
    /// The client does not ask for pulse, or the gateway does not speak it.
    Plain,
    /// It begins a session when it is open.
    New,
    /// Its first frame says which session it resumes.
    Resuming,
    /// It is refused when it is open.
    Refused(Refused),
    /// It belongs to the session with this number.
    Of(usize),
}

#[derive(Debug)]
struct FakeSession {
    pulse: PulseSession,
    conn: Option<ConnId>,
    ping_at: Micros,
    pings: u64,
    /// What the next ping says of the risk of a loss.
    risk: Option<LinkRisk>,
    /// The end of the hold, while there is no connection.
    held_until: Option<Micros>,
}

/// A small gateway for tests of clients: a [`Handler`], on virtual time
/// ([`Net`](crate::testing::Net)) or on a real loop. It keeps sessions like a gateway. The test
/// plays the service behind it.
///
/// It has the feature `testing`, and no limits: it is not for production.
#[derive(Debug)]
pub struct FakePulse {
    /// The values of each hello; `conn`, `resume`, `resumed` and `rx` are set by the gateway.
    pub hello: Hello,
    /// Whether the gateway speaks pulse. Otherwise it is a plain service.
    pub is_pulse: bool,
    /// Whether the service sends every message back.
    pub is_echo: bool,
    /// What clients are refused with, after the upgrade.
    pub refusal: Option<Refused>,
    /// What the upgrade is refused with.
    pub reply: Option<Reply>,
    /// What the service has received: the number of the session, from 0, and the message. On plain
    /// connections the number is `usize::MAX`.
    pub received: Vec<(usize, Message)>,
    /// The states, reports and farewells of clients.
    pub frames: Vec<ClientFrame>,
    /// The targets of all requests.
    pub targets: Vec<String>,
    /// How many sessions were resumed.
    pub resumes: u64,
    legs: ConnMap<FakeLeg>,
    /// By number; `None`: it is over.
    sessions: Vec<Option<FakeSession>>,
    tokens: u64,
    tick: Option<TimerId>,
}

impl Default for FakePulse {
    fn default() -> Self {
        Self::new()
    }
}

impl FakePulse {
    /// Returns a gateway that pings every 15 s and holds sessions for 60 s.
    pub fn new() -> Self {
        let mut hello = Hello::new("", OpaqueToken::new(""));
        hello.ping_ms = 15_000;
        hello.grace_ms = 10_000;
        hello.timeout_ms = 45_000;
        hello.hold_ms = 60_000;
        hello.max_message_bytes = 1 << 20;
        hello.retry.max_ms = 30_000;
        FakePulse {
            hello,
            is_pulse: true,
            is_echo: false,
            refusal: None,
            reply: None,
            received: Vec::new(),
            frames: Vec::new(),
            targets: Vec::new(),
            resumes: 0,
            legs: ConnMap::new(),
            sessions: Vec::new(),
            tokens: 0,
            tick: None,
        }
    }

    /// Returns the number of the last session that is not over.
    pub fn session(&self) -> Option<usize> {
        self.sessions.iter().rposition(Option::is_some)
    }

    /// Returns a session's ledgers, while it is not over.
    pub fn pulse(&self, session: usize) -> Option<&PulseSession> {
        let session = self.sessions.get(session)?.as_ref()?;
        Some(&session.pulse)
    }

    /// Returns the connection of a session, if it has one. With it a test sends frames that no
    /// gateway sends.
    pub fn conn(&self, session: usize) -> Option<ConnId> {
        self.sessions.get(session)?.as_ref()?.conn
    }

    /// The service sends a message, which waits while the session has no connection. Nothing
    /// happens if the session is over.
    ///
    /// # Errors
    /// The client has not acknowledged too much; the message was not taken.
    pub fn send(
        &mut self,
        io: &mut Io<'_>,
        session: usize,
        message: Message,
    ) -> Result<(), LedgerFull> {
        self.queue(io, session, LedgerEntry::Message(message))
    }

    /// The service closes a session.
    pub fn end(&mut self, io: &mut Io<'_>, session: usize, code: u16, reason: &str) {
        // An end is always taken.
        let _ = self.queue(io, session, LedgerEntry::End(SessionEnd::new(code, reason)));
    }

    /// The gateway says goodbye on all connections, closes them, and forgets all sessions.
    pub fn bye(&mut self, io: &mut Io<'_>, bye: &Bye, code: u16) {
        for session in self.sessions.iter().flatten() {
            if let Some(conn) = session.conn {
                io.send(conn, Message::text(bye_frame(bye)));
                io.close(conn, code, &bye.why);
            }
        }
        self.lose_sessions();
    }

    /// The gateway forgets all sessions. Their connections stay open, and what comes from them is
    /// ignored.
    pub fn lose_sessions(&mut self) {
        self.sessions.iter_mut().for_each(|session| *session = None);
    }

    /// Lets the next ping of a session say how likely a loss of the connection is.
    pub fn hint(&mut self, session: usize, risk: LinkRisk) {
        if let Some(Some(session)) = self.sessions.get_mut(session) {
            session.risk = Some(risk);
        }
    }

    fn queue(
        &mut self,
        io: &mut Io<'_>,
        session: usize,
        entry: LedgerEntry,
    ) -> Result<(), LedgerFull> {
        if let Some(Some(session)) = self.sessions.get_mut(session) {
            session.pulse.queue(entry)?;
            session.flush(io);
        }
        Ok(())
    }

    fn offer(&mut self) -> ResumeToken {
        self.tokens += 1;
        ResumeToken::new(u128::from(self.tokens).to_be_bytes())
    }

    /// Begins a session on a connection.
    fn begin(&mut self, io: &mut Io<'_>, conn: ConnId) {
        let offer = self.offer();
        let number = self.sessions.len();
        let most = usize::try_from(self.hello.max_message_bytes).unwrap_or(usize::MAX);
        self.sessions.push(Some(FakeSession {
            pulse: PulseSession::new(offer, most),
            conn: None,
            ping_at: Micros::ZERO,
            pings: 0,
            risk: None,
            held_until: None,
        }));
        self.attach(io, conn, number, offer, None);
    }

    /// Resumes the session that a client asks for, or begins another one.
    fn resume(&mut self, io: &mut Io<'_>, conn: ConnId, token: Option<ResumeToken>, rx: u64) {
        let offer = self.offer();
        let admits =
            |session: &FakeSession| token.is_some_and(|token| session.pulse.tokens().admits(token));
        let known = |session: &Option<FakeSession>| session.as_ref().is_some_and(admits);
        let number = self.sessions.iter().position(known);
        let (Some(number), Some(token)) = (number, token) else {
            return self.begin(io, conn);
        };
        let Some(session) = &mut self.sessions[number] else {
            return;
        };
        if let Some(old) = session.conn.take() {
            self.legs.remove(old);
            io.close(old, 1000, "resumed elsewhere");
            session.pulse.detach();
        }
        match session.pulse.resume(token, rx, offer) {
            Ok(received) => {
                self.resumes += 1;
                self.attach(io, conn, number, offer, Some(received));
            }
            Err(_) => self.begin(io, conn),
        }
    }

    /// Says hello on the new connection of a session; `received` if it is resumed.
    fn attach(
        &mut self,
        io: &mut Io<'_>,
        conn: ConnId,
        number: usize,
        offer: ResumeToken,
        received: Option<u64>,
    ) {
        let mut hello = self.hello.clone();
        hello.conn = format!("fake.{number}.{}", self.tokens).into();
        hello.resume = offer.into();
        hello.resumed = received.is_some();
        hello.rx = received.unwrap_or(0);
        io.send(conn, Message::text(hello_frame(&hello)));
        self.legs.insert(conn, FakeLeg::Of(number));
        if let Some(session) = &mut self.sessions[number] {
            session.conn = Some(conn);
            session.held_until = None;
            session.ping_at = io.now() + Micros::from_millis(hello.ping_ms);
            session.flush(io);
        }
        if self.tick.is_none() {
            self.tick = Some(io.start_timer(TICK));
        }
    }

    fn on_control(&mut self, io: &mut Io<'_>, conn: ConnId, json: &str) {
        let leg = self.legs.get(conn).copied();
        let Ok(frame) = ClientFrame::parse(json) else {
            return io.close(conn, 1002, "an invalid control frame");
        };
        match (leg, frame) {
            (Some(FakeLeg::Resuming), ClientFrame::Resume { token, rx }) => {
                self.resume(io, conn, token, rx);
            }
            (Some(FakeLeg::Of(number)), frame) => self.on_frame(io, conn, number, frame),
            _ => io.close(conn, 1002, "a frame out of order"),
        }
    }

    fn on_frame(&mut self, io: &mut Io<'_>, conn: ConnId, number: usize, frame: ClientFrame) {
        let Some(Some(session)) = self.sessions.get_mut(number) else {
            return;
        };
        match session.pulse.on_frame(frame, io.now()) {
            Ok(FrameEffect::Answer(answer)) => {
                io.send(conn, Message::text(answer.as_str()));
            }
            Ok(FrameEffect::Told(told)) => self.frames.push(told),
            Ok(FrameEffect::Farewell) => self.frames.push(ClientFrame::Farewell),
            Ok(FrameEffect::Nothing | FrameEffect::Pong(_) | FrameEffect::Ignored(_)) => {}
            Err(fault) => io.close(conn, 1002, &fault.to_string()),
        }
    }

    fn on_application(&mut self, io: &mut Io<'_>, conn: ConnId, message: Message) {
        let number = match self.legs.get(conn) {
            Some(FakeLeg::Of(number)) => *number,
            Some(FakeLeg::Plain) => {
                if self.is_echo {
                    io.send(conn, message.clone());
                }
                return self.received.push((usize::MAX, message));
            }
            _ => return,
        };
        let Some(Some(session)) = self.sessions.get_mut(number) else {
            return;
        };
        session.pulse.on_message(message.len(), io.now());
        self.received.push((number, message.clone()));
        if self.is_echo {
            // A client that acknowledges nothing gets no further echo.
            let _ = self.send(io, number, message);
        }
    }

    /// Pings, acknowledges, and ends holds.
    fn on_tick(&mut self, io: &mut Io<'_>) {
        let now = io.now();
        let interval = Micros::from_millis(self.hello.ping_ms);
        for slot in &mut self.sessions {
            let Some(session) = slot else { continue };
            if session.held_until.is_some_and(|until| until <= now) {
                *slot = None;
                continue;
            }
            let Some(conn) = session.conn else { continue };
            if let Some(ack) = session.pulse.ack(now) {
                io.send(conn, Message::text(ack.as_str()));
            }
            if session.ping_at <= now {
                session.ping_at = now + interval;
                session.pings += 1;
                let ping = match session.risk.take() {
                    Some(risk) => session.pulse.ping_with_risk(session.pings, risk),
                    None => session.pulse.ping(session.pings),
                };
                io.send(conn, Message::text(ping.as_str()));
            }
        }
        let is_needed = self.sessions.iter().any(Option::is_some);
        self.tick = is_needed.then(|| io.start_timer(TICK));
    }
}

impl FakeSession {
    /// Sends what was not sent on the present connection.
    fn flush(&mut self, io: &mut Io<'_>) {
        let Some(conn) = self.conn else { return };
        let mut end = None;
        while let Some(entry) = self.pulse.send_next() {
            let text = match entry {
                LedgerEntry::Message(message) => {
                    if message.len() > BIG_BYTES {
                        let big = ShortControl::big(message.len());
                        io.send(conn, Message::text(big.as_str()));
                    }
                    match message {
                        Message::Text(text) => Message::text(escaped(text.as_str()).into_owned()),
                        message => message.clone(),
                    }
                }
                LedgerEntry::End(last) => {
                    end = Some(last.clone());
                    Message::text(end_frame(last))
                }
            };
            io.send(conn, text);
        }
        if let Some(end) = end {
            io.close(conn, end.code, &end.reason);
        }
    }
}

impl Handler for FakePulse {
    fn on_request(&mut self, _io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let query = request.query().unwrap_or_default();
        let has = |name: &str| query.split('&').any(|field| field.starts_with(name));
        let leg = match self.refusal {
            _ if !self.is_pulse || !has("pulse=1") => FakeLeg::Plain,
            Some(refused) => FakeLeg::Refused(refused),
            None if has("resume=") => FakeLeg::Resuming,
            None => FakeLeg::New,
        };
        self.targets.push(format!("{}?{query}", request.path()));
        if let Some(reply) = self.reply.clone() {
            let cause = Cause::AT_CAPACITY;
            return Verdict::Reply { reply, cause };
        }
        self.legs.insert(id, leg);
        let offered = request.header("sec-websocket-protocol").unwrap_or_default();
        let first = offered
            .split(',')
            .map(str::trim)
            .find(|name| !name.is_empty());
        Verdict::Upgrade(Upgrade {
            protocol: first.map(str::to_owned),
            ..Upgrade::to(Class(0))
        })
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        match self.legs.get(id) {
            Some(FakeLeg::New) => self.begin(io, id),
            Some(FakeLeg::Refused(refused)) => {
                io.send(id, Message::text(refused_frame(*refused)));
                io.close(id, 4_000 + refused.status, "refused");
            }
            _ => {}
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let is_plain = self.legs.get(id) == Some(&FakeLeg::Plain);
        match &message {
            Message::Text(text) if !is_plain => match PulseText::of(text.as_str()) {
                PulseText::Control(json) => self.on_control(io, id, json),
                PulseText::Application(text) => {
                    let text = Message::text(text);
                    self.on_application(io, id, text);
                }
            },
            _ => self.on_application(io, id, message),
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if self.tick == Some(timer) {
            self.on_tick(io);
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, _end: &Ending) {
        let Some(FakeLeg::Of(number)) = self.legs.remove(id) else {
            return;
        };
        let Some(session) = &mut self.sessions[number] else {
            return;
        };
        session.conn = None;
        let hold = Micros::from_millis(self.hello.hold_ms);
        match session.pulse.detach() {
            SessionLoss::Held => session.held_until = Some(io.now() + hold),
            _ => self.sessions[number] = None,
        }
    }
}
