//! A session between a client and a service, over connections that are cut at random bytes,
//! compared with plain lists of what was sent.
//!
//! The client is made of the same parts as the gateway's session. A connection is two streams of
//! bytes. A cut keeps a random part of what is in flight, so a frame may arrive whole, in part or
//! not at all.

use pulsegate::pulse::{
    ClientFrame, FrameEffect, GatewayFrame, Hello, LEDGER_MARGIN_BYTES, LedgerEntry, OpaqueToken,
    PulseSession, PulseText, ReceivedCount, ResumeToken, SentMessages, SessionEnd, ShortControl,
    TokenPair, end_frame, escaped, hello_frame, resume_frame,
};
use pulsegate::time::Micros;
use pulsegate::wire::Message;
use std::collections::HashSet;

/// The largest message.
const MESSAGE_MAX: usize = 40_000;

/// A text, or bytes, with its length in front.
const TEXT: u8 = 0;
const BINARY: u8 = 1;
const HEADER: usize = 5;

/// Bytes on their way in one direction.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    /// How many of the bytes have arrived.
    arrived: usize,
}

impl Stream {
    fn put(&mut self, kind: u8, payload: &[u8]) {
        self.bytes.push(kind);
        self.bytes
            .extend_from_slice(&(payload.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(payload);
    }

    fn text(&mut self, text: &str) {
        self.put(TEXT, text.as_bytes());
    }

    fn entry(&mut self, entry: &LedgerEntry) {
        match entry {
            LedgerEntry::Message(Message::Text(text)) => self.text(&escaped(text.as_str())),
            LedgerEntry::Message(message) => self.put(BINARY, &message.clone().into_data()),
            LedgerEntry::End(end) => self.text(&end_frame(end)),
        }
    }

    fn in_flight(&self) -> usize {
        self.bytes.len() - self.arrived
    }

    /// Returns the next frame that has arrived whole.
    fn take(&mut self) -> Option<(u8, Vec<u8>)> {
        let header = self.bytes.get(..HEADER)?;
        let len = u32::from_le_bytes(header[1..].try_into().ok()?) as usize;
        if self.arrived < HEADER + len {
            return None;
        }
        let kind = header[0];
        let frame: Vec<u8> = self.bytes.drain(..HEADER + len).collect();
        self.arrived -= HEADER + len;
        Some((kind, frame[HEADER..].to_vec()))
    }
}

/// A client, as the protocol asks for one.
struct Client {
    token: Option<OpaqueToken>,
    sent: SentMessages,
    received: ReceivedCount,
    /// Whether its connection has had the hello.
    is_open: bool,
}

struct World {
    rng: fastrand::Rng,
    now: Micros,
    client: Client,
    session: PulseSession,
    /// From the client and to it; `None` without a connection.
    link: Option<(Stream, Stream)>,
    /// Whether the gateway waits for the first frame of the connection.
    waits_for_resume: bool,
    tokens: HashSet<ResumeToken>,
    ping: u64,
    /// What each side has sent and got.
    from_client: Vec<Vec<u8>>,
    at_service: usize,
    from_service: Vec<Vec<u8>>,
    at_client: usize,
    is_ended: bool,
    has_end: bool,
    counts: Counts,
}

/// What has happened in a run: a run in which too little happens proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Cuts of a connection.
    pub cuts: u32,
    /// Cuts while the client waited for the acknowledgement of a message.
    pub cuts_with_unacknowledged_up: u32,
    /// Cuts while the gateway waited for the acknowledgement of a message.
    pub cuts_with_unacknowledged_down: u32,
    /// Resumes with the token of a hello that the gateway did not know to have arrived.
    pub resumed: u32,
    /// Messages that arrived.
    pub messages: usize,
}

type Outcome = Result<(), String>;

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let token = ResumeToken::new(rng.u128(..).to_le_bytes());
        World {
            rng,
            now: Micros::from_secs(1),
            client: Client {
                token: None,
                sent: SentMessages::new(MESSAGE_MAX),
                received: ReceivedCount::default(),
                is_open: false,
            },
            session: PulseSession::new(token, MESSAGE_MAX),
            link: None,
            waits_for_resume: false,
            tokens: HashSet::from([token]),
            ping: 0,
            from_client: Vec::new(),
            at_service: 0,
            from_service: Vec::new(),
            at_client: 0,
            is_ended: false,
            has_end: false,
            counts: Counts::default(),
        }
    }

    /// Returns a message: mostly short, sometimes long, sometimes one that looks like a control
    /// frame.
    fn message(&mut self, n: usize) -> Message {
        let len = match self.rng.u8(0..20) {
            0 => self.rng.usize(0..MESSAGE_MAX - 32),
            1..=4 => self.rng.usize(0..2_000),
            _ => self.rng.usize(0..20),
        };
        let fill = self.rng.alphabetic().to_string().repeat(len);
        match self.rng.u8(0..6) {
            0 => Message::text(format!("\u{1}{{\"rx\":{n}}}")),
            1 => Message::text(format!("\u{1}\u{1}{n} {fill}")),
            2 => Message::binary(format!("{n} {fill}").into_bytes()),
            _ => Message::text(format!("{n} {fill}")),
        }
    }

    fn send_up(&mut self) -> Outcome {
        if !self.client.sent.has_room() {
            return Ok(());
        }
        let message = self.message(self.from_client.len());
        self.from_client.push(message.clone().into_data().to_vec());
        let pushed = self.client.sent.push(LedgerEntry::Message(message));
        pushed.map_err(|e| format!("the client has no room although it has room: {e}"))
    }

    fn send_down(&mut self) -> Outcome {
        // The upstream is not read while there is no room.
        if !self.session.sent().has_room() || self.is_ended {
            return Ok(());
        }
        let message = self.message(self.from_service.len());
        self.from_service.push(message.clone().into_data().to_vec());
        let pushed = self.session.queue(LedgerEntry::Message(message));
        pushed.map_err(|e| format!("the session has no room although it has room: {e}"))
    }

    /// Writes what each side may send.
    fn write(&mut self) {
        let Some((up, down)) = &mut self.link else {
            return;
        };
        if self.client.is_open {
            while let Some(entry) = self.client.sent.send_next() {
                up.entry(entry);
            }
            if self
                .client
                .received
                .ack_at()
                .is_some_and(|at| at <= self.now)
            {
                up.text(ShortControl::ack(self.client.received.tell()).as_str());
            }
        }
        if !self.waits_for_resume {
            while let Some(entry) = self.session.send_next() {
                down.entry(entry);
            }
            if let Some(ack) = self.session.ack(self.now) {
                down.text(ack.as_str());
            }
        }
    }

    fn connect(&mut self) {
        let (mut up, mut down) = (Stream::default(), Stream::default());
        match &self.client.token {
            Some(token) => {
                up.text(&resume_frame(token, self.client.received.received()));
                self.waits_for_resume = true;
            }
            None => {
                // Nothing of the session is known to the client yet: the gateway begins anew, as
                // it does for every client without a token.
                let token = self.new_token();
                self.session = PulseSession::new(token, MESSAGE_MAX);
                self.from_service.clear();
                down.text(&hello_frame(&Hello::new("b.1.1", token.into())));
            }
        }
        self.link = Some((up, down));
    }

    fn new_token(&mut self) -> ResumeToken {
        ResumeToken::new(self.rng.u128(..).to_le_bytes())
    }

    /// Cuts the connection. A random part of what is in flight still arrives.
    fn cut(&mut self) -> Outcome {
        let Some((mut up, mut down)) = self.link.take() else {
            return Ok(());
        };
        self.counts.cuts += 1;
        self.counts.cuts_with_unacknowledged_up += u32::from(!self.client.sent.is_empty());
        self.counts.cuts_with_unacknowledged_down += u32::from(!self.session.sent().is_empty());
        up.arrived += self.rng.usize(0..=up.in_flight());
        down.arrived += self.rng.usize(0..=down.in_flight());
        // Which side notices first is not known.
        self.link = Some((up, down));
        self.read_up()?;
        self.read_down()?;
        self.link = None;
        self.client.is_open = false;
        self.waits_for_resume = false;
        self.session.detach();
        Ok(())
    }

    /// Lets some bytes arrive.
    fn arrive(&mut self) -> Outcome {
        let Some((up, down)) = &mut self.link else {
            return Ok(());
        };
        up.arrived += self.rng.usize(0..=up.in_flight());
        down.arrived += self.rng.usize(0..=down.in_flight());
        self.read_up()?;
        self.read_down()
    }

    fn read_up(&mut self) -> Outcome {
        while let Some((up, _)) = &mut self.link
            && let Some((kind, payload)) = up.take()
        {
            self.on_up(kind, payload)?;
        }
        Ok(())
    }

    fn on_up(&mut self, kind: u8, payload: Vec<u8>) -> Outcome {
        let text = String::from_utf8(payload).map_err(|_| "bytes are not text".to_owned())?;
        let control = match PulseText::of(&text) {
            PulseText::Control(json) if kind == TEXT => Some(json),
            _ => None,
        };
        let Some(json) = control else {
            let sent = match PulseText::of(&text) {
                PulseText::Application(sent) if kind == TEXT => sent,
                _ => &text,
            };
            let expected = self.from_client.get(self.at_service);
            if expected.map(Vec::as_slice) != Some(sent.as_bytes()) {
                return Err(format!(
                    "the service gets another message {}",
                    self.at_service
                ));
            }
            self.at_service += 1;
            self.counts.messages += 1;
            self.session.on_message(sent.len(), self.now);
            return Ok(());
        };
        let frame = ClientFrame::parse(json).map_err(|e| format!("{e}: {json}"))?;
        if self.waits_for_resume {
            return self.resume(frame);
        }
        let effect = self.session.on_frame(frame, self.now);
        match effect.map_err(|e| e.to_string())? {
            FrameEffect::Answer(answer) => {
                if let Some((_, down)) = &mut self.link {
                    down.text(answer.as_str());
                }
            }
            FrameEffect::Pong(n) if n > self.ping => return Err("an unknown pong".to_owned()),
            _ => {}
        }
        self.check_tokens()
    }

    fn resume(&mut self, frame: ClientFrame) -> Outcome {
        let ClientFrame::Resume {
            token: Some(token),
            rx,
        } = frame
        else {
            return Err(format!("{frame:?} instead of a resume"));
        };
        let offer = self.new_token();
        let resumed = self.session.resume(token, rx, offer);
        let rx = resumed.map_err(|e| format!("a live session is not resumed: {e}"))?;
        self.counts.resumed += 1;
        self.waits_for_resume = false;
        let offered = self.session.tokens().valid().last();
        let offered = offered.ok_or("no token is valid")?;
        if !self.tokens.insert(offered) {
            return Err("a token is offered twice".to_owned());
        }
        let mut hello = Hello::new("b.1.1", offered.into());
        (hello.resumed, hello.rx) = (true, rx);
        if let Some((_, down)) = &mut self.link {
            down.text(&hello_frame(&hello));
        }
        self.check_tokens()
    }

    fn check_tokens(&self) -> Outcome {
        let tokens: &TokenPair = self.session.tokens();
        let token = self.client.token.as_ref();
        match token.and_then(|token| token.as_str().parse().ok()) {
            Some(token) if !tokens.admits(token) => {
                Err("the client's token is not valid".to_owned())
            }
            _ => Ok(()),
        }
    }

    fn read_down(&mut self) -> Outcome {
        while let Some((_, down)) = &mut self.link
            && let Some((kind, payload)) = down.take()
        {
            self.on_down(kind, payload)?;
        }
        Ok(())
    }

    fn on_down(&mut self, kind: u8, payload: Vec<u8>) -> Outcome {
        let text = String::from_utf8(payload).map_err(|_| "bytes are not text".to_owned())?;
        let (sent, json) = match (kind, PulseText::of(&text)) {
            (TEXT, PulseText::Control(json)) => ("", Some(json)),
            (TEXT, PulseText::Application(sent)) => (sent, None),
            _ => (&*text, None),
        };
        let Some(json) = json else {
            let expected = self.from_service.get(self.at_client);
            if expected.map(Vec::as_slice) != Some(sent.as_bytes()) {
                return Err(format!(
                    "the client gets another message {}",
                    self.at_client
                ));
            }
            self.at_client += 1;
            self.counts.messages += 1;
            self.client.received.count(sent.len(), self.now);
            return Ok(());
        };
        let frame = GatewayFrame::parse(json).map_err(|e| format!("{e}: {json}"))?;
        self.on_gateway_frame(frame)
    }

    fn on_gateway_frame(&mut self, frame: GatewayFrame) -> Outcome {
        let client = &mut self.client;
        let acked = match frame {
            GatewayFrame::Hello(hello) => {
                if client.token.is_some() && !hello.resumed {
                    return Err("the session was lost".to_owned());
                }
                client.token = Some(hello.resume);
                client.is_open = true;
                client.sent.resume(hello.rx)
            }
            GatewayFrame::Ping { number, rx, .. } => {
                let pong = ShortControl::pong(number, client.received.tell());
                if let Some((up, _)) = &mut self.link {
                    up.text(pong.as_str());
                }
                client.sent.acknowledge(rx)
            }
            GatewayFrame::Ack(rx) => client.sent.acknowledge(rx),
            GatewayFrame::End(_) => {
                client.received.count(0, self.now);
                self.has_end = true;
                Ok(())
            }
            other => return Err(format!("unexpected: {other:?}")),
        };
        acked.map_err(|e| format!("an acknowledgement to the client: {e}"))
    }

    fn ping(&mut self) {
        if self.session.is_attached()
            && !self.waits_for_resume
            && let Some((_, down)) = &mut self.link
        {
            self.ping += 1;
            down.text(self.session.ping(self.ping).as_str());
        }
    }

    fn check_bounds(&self) -> Outcome {
        let most = MESSAGE_MAX + LEDGER_MARGIN_BYTES;
        for ledger in [&self.client.sent, self.session.sent()] {
            if ledger.bytes() > most {
                return Err(format!("a ledger has {} bytes", ledger.bytes()));
            }
            if ledger.is_empty() && ledger.allocated() > 0 {
                return Err("an empty ledger owns memory".to_owned());
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Outcome {
        self.now += Micros::from_millis(self.rng.u64(0..400));
        match self.rng.u8(0..100) {
            0..=24 => self.send_up()?,
            // A service has nothing to say before the client's session has begun.
            25..=49 if self.client.token.is_some() => self.send_down()?,
            50..=84 => self.arrive()?,
            85..=89 => self.ping(),
            90..=93 => self.cut()?,
            _ if self.link.is_none() => self.connect(),
            _ => {}
        }
        self.write();
        self.check_bounds()
    }

    /// Lets everything arrive, and ends the session.
    fn settle(&mut self) -> Outcome {
        let end = SessionEnd::new(1000, "done");
        self.is_ended = true;
        let mut has_queued_end = false;
        for _ in 0..20 {
            if self.link.is_none() {
                self.connect();
            }
            if !has_queued_end && self.client.token.is_some() {
                has_queued_end = true;
                let queued = self.session.queue(LedgerEntry::End(end.clone()));
                queued.map_err(|e| e.to_string())?;
            }
            self.now += Micros::from_secs(2);
            self.write();
            if let Some((up, down)) = &mut self.link {
                up.arrived = up.bytes.len();
                down.arrived = down.bytes.len();
            }
            self.read_up()?;
            self.read_down()?;
        }
        let (sent, got) = (self.from_client.len(), self.at_service);
        if sent != got {
            return Err(format!("the service got {got} of {sent} messages"));
        }
        let (sent, got) = (self.from_service.len(), self.at_client);
        if sent != got || !self.has_end {
            return Err(format!(
                "the client got {got} of {sent} messages, or no end"
            ));
        }
        match self.client.sent.is_empty() && self.session.sent().is_empty() {
            true => self.check_bounds(),
            false => Err("not everything is acknowledged after a quiet time".to_owned()),
        }
    }
}

/// Runs a random history. Returns what happened in it.
pub fn run_counted(seed: u64, steps: usize) -> Result<Counts, String> {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.step().map_err(|why| format!("step {step}: {why}"))?;
    }
    world.settle().map_err(|why| format!("at the end: {why}"))?;
    Ok(world.counts)
}

#[cfg(feature = "sabotage")]
pub fn run(seed: u64) -> Result<(), String> {
    run_counted(seed, 600).map(|_| ())
}
