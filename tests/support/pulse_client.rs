//! A client that speaks pulse, for tests on virtual time: glasses or an app of a fleet.

#![allow(dead_code)] // each test binary uses a part of it

use crate::fleet::Fleet;
use pulsegate::Message;
use pulsegate::pulse::{
    Bye, GatewayFrame, Hello, PulseText, Refused, SessionEnd, ShortControl, escaped, resume_frame,
};
use pulsegate::testing::{PeerId, Received, client_frame};
use serde_json::Value;
use std::collections::VecDeque;

pub struct PulseClient {
    path: String,
    pub peer: PeerId,
    /// The last hello.
    pub hello: Option<Hello>,
    /// The messages that it has received in the session.
    pub rx: u64,
    pub bye: Option<Bye>,
    pub refused: Option<Refused>,
    pub end: Option<SessionEnd>,
    /// The lengths that the gateway has announced.
    pub big: Vec<u64>,
    /// The numbers of the pings that it has answered.
    pub pings: Vec<u64>,
    /// The answers to its probes.
    pub probes: Vec<(u64, u64)>,
    /// The acknowledgements that came alone.
    pub acks: Vec<u64>,
    /// The texts of the application that were not looked at.
    inbox: Vec<String>,
    /// What it has sent, from the oldest that is not acknowledged.
    outbox: VecDeque<Message>,
    acknowledged: u64,
    /// A connection on which it has said nothing yet.
    prepared: Option<PeerId>,
}

impl PulseClient {
    /// Connects with this path, and begins a session.
    #[track_caller]
    pub fn open(fleet: &mut Fleet, path: &str) -> Self {
        let mut client = Self::connect(fleet, path);
        let hello = client.read(fleet).hello.as_ref().expect("a hello");
        assert!(!hello.resumed);
        client
    }

    /// Connects with this path; the gateway may refuse it.
    pub fn connect(fleet: &mut Fleet, path: &str) -> Self {
        let peer = fleet.net.connect(&with(path, "pulse=1"));
        let mut client = PulseClient {
            path: path.to_owned(),
            peer,
            hello: None,
            rx: 0,
            bye: None,
            refused: None,
            end: None,
            big: Vec::new(),
            pings: Vec::new(),
            probes: Vec::new(),
            acks: Vec::new(),
            inbox: Vec::new(),
            outbox: VecDeque::new(),
            acknowledged: 0,
            prepared: None,
        };
        client.read(fleet);
        client
    }

    /// Opens another connection, and asks for the session with this token and count.
    pub fn ask_with(&mut self, fleet: &mut Fleet, first: &str) {
        self.peer = match self.prepared.take() {
            Some(peer) => peer,
            None => self.connect_again(fleet),
        };
        (self.hello, self.bye) = (None, None);
        self.control(fleet, first);
    }

    /// Opens another connection, on which it says nothing yet.
    pub fn prepare(&mut self, fleet: &mut Fleet) {
        self.prepared = Some(self.connect_again(fleet));
    }

    fn connect_again(&self, fleet: &mut Fleet) -> PeerId {
        let path = with(&self.path, "pulse=1&resume=1a2b3c4d");
        fleet.net.connect(&path)
    }

    /// Opens another connection, and asks for its session back. Sends again what the gateway has
    /// not received. Returns whether it has its session; if not, what was not acknowledged is lost.
    #[track_caller]
    pub fn resume(&mut self, fleet: &mut Fleet) -> bool {
        let token = &self.hello.as_ref().expect("a session").resume;
        let first = resume_frame(token, self.rx);
        self.ask_with(fleet, &first);
        let hello = self.hello.clone().expect("a hello");
        if hello.resumed {
            self.forget_to(hello.rx);
            for message in self.outbox.clone() {
                fleet.net.send(self.peer, message);
            }
            fleet.net.settle();
        } else {
            self.outbox.clear();
            self.acknowledged = 0;
        }
        self.read(fleet);
        hello.resumed
    }

    /// Reads what has come, and answers pings.
    pub fn read(&mut self, fleet: &mut Fleet) -> &mut Self {
        for received in fleet.net.received(self.peer) {
            let Received::Message(Message::Text(text)) = received else {
                if let Received::Message(Message::Binary(bytes)) = received {
                    self.rx += 1;
                    self.inbox.push(format!("binary {}", bytes.len()));
                }
                continue;
            };
            match PulseText::of(&text) {
                PulseText::Application(own) => {
                    self.rx += 1;
                    self.inbox.push(own.to_owned());
                }
                PulseText::Control(json) => {
                    let frame = GatewayFrame::parse(json).expect("a frame of the gateway");
                    self.handle(fleet, frame);
                }
            }
        }
        self
    }

    fn handle(&mut self, fleet: &mut Fleet, frame: GatewayFrame) {
        match frame {
            GatewayFrame::Hello(hello) => {
                if !hello.resumed {
                    self.rx = 0;
                }
                self.hello = Some(*hello);
            }
            GatewayFrame::Ping { number, rx, .. } => {
                self.forget_to(rx);
                self.pings.push(number);
                let pong = ShortControl::pong(number, self.rx);
                self.control(fleet, pong.as_str());
            }
            GatewayFrame::Probe { number, rx } => {
                self.forget_to(rx);
                self.probes.push((number, rx));
            }
            GatewayFrame::Ack(rx) => {
                self.forget_to(rx);
                self.acks.push(rx);
            }
            GatewayFrame::Bye(bye) => self.bye = Some(bye),
            GatewayFrame::Refused(refused) => self.refused = Some(refused),
            GatewayFrame::Big(len) => self.big.push(len),
            GatewayFrame::End(end) => {
                self.rx += 1;
                self.end = Some(end);
            }
            other => panic!("{other:?}"),
        }
    }

    fn forget_to(&mut self, rx: u64) {
        assert!(rx >= self.acknowledged, "an acknowledgement is taken back");
        let count = (rx - self.acknowledged) as usize;
        assert!(count <= self.outbox.len(), "more than was sent");
        self.outbox.drain(..count);
        self.acknowledged = rx;
    }

    /// Returns how many messages the gateway has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outbox.len()
    }

    /// Returns the texts of the application since the last call.
    pub fn texts(&mut self, fleet: &mut Fleet) -> Vec<String> {
        self.read(fleet);
        std::mem::take(&mut self.inbox)
    }

    /// Acknowledges what has come.
    pub fn ack(&mut self, fleet: &mut Fleet) {
        self.read(fleet);
        let ack = ShortControl::ack(self.rx);
        self.control(fleet, ack.as_str());
    }

    /// Lets time pass, and answers pings meanwhile.
    pub fn live(&mut self, fleet: &mut Fleet, ms: u64) {
        for _ in 0..ms.div_ceil(500) {
            fleet.advance(500);
            self.read(fleet);
        }
    }

    /// Sends a control frame.
    pub fn control(&mut self, fleet: &mut Fleet, text: &str) {
        fleet.net.send(self.peer, Message::text(text.to_owned()));
        fleet.net.settle();
        // Pings are answered by the caller of this.
        if !text.contains("pong") {
            self.read(fleet);
        }
    }

    /// Sends a message of the application.
    pub fn say(&mut self, fleet: &mut Fleet, frame: &Value) {
        self.begin_to_say(fleet, frame);
        fleet.net.settle();
    }

    /// Sends a message of the application. The loop has not turned since.
    pub fn begin_to_say(&mut self, fleet: &mut Fleet, frame: &Value) {
        let message = Message::text(escaped(&frame.to_string()).into_owned());
        self.outbox.push_back(message.clone());
        fleet.net.send(self.peer, message);
    }

    /// Sends at most so many bytes of a message of the application.
    pub fn say_part(&mut self, fleet: &mut Fleet, frame: &Value, bytes: usize) {
        let text = escaped(&frame.to_string()).into_owned();
        let frame = client_frame(0x81, text.as_bytes());
        self.outbox.push_back(Message::text(text));
        fleet.net.write(self.peer, &frame[..bytes.min(frame.len())]);
    }
}

fn with(path: &str, query: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}{query}")
}
