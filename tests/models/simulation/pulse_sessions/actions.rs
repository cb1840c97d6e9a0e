//! The random actions: clients that connect and speak, services that speak, and time that passes.

use super::ground_truth::{Way, message};
use super::visitor::{Link, request};
use super::world::World;
use pulsegate::Message;
use pulsegate::pulse::{escaped, resume_frame};
use pulsegate::testing::{PeerId, client_frame, frame_of_server};
use pulsegate::time::Micros;
use pulsegate::wire::frame::{BINARY, CLOSE, FIN, PING, TEXT};

/// The most messages of a client that wait for an acknowledgement.
const UNACKNOWLEDGED_MAX: u64 = 400;

/// A service sends no more while so many of its bytes are not read.
const UNREAD_MAX: usize = 400_000;

/// The codes with which services close.
pub const CODES: [(u16, &str); 5] = [
    (1000, "done"),
    (1001, ""),
    (1011, "a fault"),
    (3500, "own"),
    (1005, ""),
];

impl World {
    pub fn act(&mut self) -> Result<(), String> {
        let visitor = self.rng.usize(0..self.visitors.len());
        match self.rng.u8(0..100) {
            0..=19 => self.client_sends(visitor),
            20..=39 => self.service_sends(visitor),
            40..=59 => {
                let ms = self.rng.u64(1..1_500);
                self.pass(ms)?;
            }
            60..=61 => {
                let ms = self.rng.u64(1_500..40_000);
                self.pass(ms)?;
            }
            62..=75 => self.cut(visitor)?,
            76..=79 => self.change_pace(visitor),
            80..=82 => self.say(visitor),
            83 => self.leave(visitor),
            84 => self.service_ends(visitor),
            85..=88 => self.misbehave(visitor)?,
            89 => self.operate(visitor)?,
            90 => self.stay_away(visitor)?,
            _ => {}
        }
        self.connect_all();
        Ok(())
    }

    /// Lets every client without a connection connect, some at once and some later.
    fn connect_all(&mut self) {
        for visitor in 0..self.visitors.len() {
            let is_due = self.visitors[visitor].next_try <= self.net.now();
            if self.visitors[visitor].link.is_none() && is_due && self.rng.u8(0..3) > 0 {
                self.connect(visitor);
            }
        }
    }

    pub fn connect(&mut self, visitor: usize) {
        let key = self.attempts.len() as u32;
        self.attempts.push(visitor);
        let of = &self.visitors[visitor];
        let first = of.token.as_ref().map(|token| {
            let session = of.session.map(|at| &self.sessions[at]);
            resume_frame(token, session.map_or(0, |session| session.got_down))
        });
        let lines = match (of.protocol, first.is_some()) {
            (None, _) => String::new(),
            (Some(own), true) => format!("Sec-WebSocket-Protocol: {own}\r\n"),
            (Some(own), false) => format!("Sec-WebSocket-Protocol: {own}, other\r\n"),
        };
        let peer = self.net.open_socket_from(of.address);
        let head = request(of.user, key, first.is_some(), &lines);
        self.net.write(peer, head.as_bytes());
        let link = Link::new(peer, key, first, self.net.now());
        self.visitors[visitor].link = Some(link);
        self.net.settle();
        self.send_first(visitor);
    }

    /// Sends the first frame of a client, when its WebSocket is open.
    pub fn send_first(&mut self, visitor: usize) {
        let Some(link) = &mut self.visitors[visitor].link else {
            return;
        };
        let is_open = self
            .net
            .response(link.peer)
            .is_some_and(|head| head.starts_with("HTTP/1.1 101"));
        if is_open && let Some(first) = link.first.take() {
            let frame = client_frame(FIN | TEXT, first.as_bytes());
            self.net.write(link.peer, &frame);
        }
    }

    /// Lets a client make some messages, and write them.
    fn client_sends(&mut self, visitor: usize) {
        let count = match self.rng.u8(0..12) {
            0 => self.rng.u64(20..150),
            _ => self.rng.u64(1..6),
        };
        self.make_messages(visitor, count);
        self.write_up(visitor);
    }

    pub fn make_messages(&mut self, visitor: usize, count: u64) {
        if let Some(at) = self.visitors[visitor].session {
            let session = &mut self.sessions[at];
            let room = UNACKNOWLEDGED_MAX.saturating_sub(session.made_up - session.acked_up);
            session.made_up += count.min(room);
        }
    }

    /// Writes the messages of a client that are not written on its connection yet.
    pub fn write_up(&mut self, visitor: usize) {
        while let Some((peer, frame)) = self.next_frame(visitor) {
            self.net.write(peer, &frame);
            self.visitors[visitor].written += 1;
        }
    }

    /// Returns the next message of a client as a frame.
    pub fn next_frame(&self, visitor: usize) -> Option<(PeerId, Vec<u8>)> {
        let of = &self.visitors[visitor];
        let link = of.link.as_ref().filter(|link| link.is_up)?;
        let session = &self.sessions[of.session?];
        let is_next = of.written < session.made_up;
        is_next.then(|| {
            let message = message(session.key, Way::Up, of.written);
            (link.peer, as_client(&message))
        })
    }

    /// Lets the service of a client send some messages.
    pub fn service_sends(&mut self, visitor: usize) {
        let count = match self.rng.u8(0..12) {
            0 => self.rng.u64(20..300),
            _ => self.rng.u64(1..6),
        };
        self.send_down(visitor, count);
    }

    /// Lets the service of a client send this many messages, while it has room for them.
    pub fn send_down(&mut self, visitor: usize, count: u64) {
        let Some(at) = self.visitors[visitor].session else {
            return;
        };
        for _ in 0..count {
            let session = &mut self.sessions[at];
            let service = session.service;
            let is_done = session.end.is_some() || self.net.ending(service).is_some();
            if is_done || !session.is_open || self.net.unread(service) > UNREAD_MAX {
                return;
            }
            let message = message(session.key, Way::Down, session.made_down);
            session.made_down += 1;
            self.net.write(service, &as_server(&message));
        }
    }

    /// Lets one side take nothing, or a few bytes, or everything again.
    fn change_pace(&mut self, visitor: usize) {
        let window = self.rng.usize(0..3_000);
        let is_client = self.rng.bool();
        if is_client && let Some(link) = &mut self.visitors[visitor].link {
            link.is_slow = !link.is_slow;
            link.unslowed_at = self.net.now();
            let window = link.is_slow.then_some(window);
            self.net.set_window(link.peer, window);
        } else if let Some(at) = self.visitors[visitor].session {
            let session = &mut self.sessions[at];
            session.is_slow = !session.is_slow;
            session.was_slow = true;
            session.unslowed_at = self.net.now();
            let window = session.is_slow.then_some(window);
            self.net.set_window(session.service, window);
        }
    }

    /// Lets a client or a service say something that is no message.
    fn say(&mut self, visitor: usize) {
        let text = match self.rng.u8(0..4) {
            0 => "\u{1}{\"probe\":7}",
            1 => "\u{1}{\"state\":{\"net\":\"wifi\",\"want_ms\":3000}}",
            2 => "\u{1}{\"of_a_later_version\":[1,2]}",
            _ => "",
        };
        if let Some(link) = self.visitors[visitor]
            .link
            .as_ref()
            .filter(|link| link.is_up)
            && !text.is_empty()
        {
            let frame = client_frame(FIN | TEXT, text.as_bytes());
            return self.net.write(link.peer, &frame);
        }
        if let Some(at) = self.visitors[visitor].session
            && self.sessions[at].is_open
            && self.sessions[at].end.is_none()
        {
            self.sessions[at].pings += 1;
            let service = self.sessions[at].service;
            self.net
                .write(service, &frame_of_server(FIN | PING, b"up?"));
        }
    }

    /// Lets a client leave for good.
    pub fn leave(&mut self, visitor: usize) {
        let code = [1000, 3000, 4500][self.rng.usize(0..3)];
        let of = &mut self.visitors[visitor];
        let (Some(link), Some(at)) = (&of.link, of.session) else {
            return;
        };
        if !link.is_up {
            return;
        }
        let peer = link.peer;
        if self.rng.bool() {
            let frame = client_frame(FIN | TEXT, b"\x01{\"farewell\":true}");
            self.net.write(peer, &frame);
        }
        let close = client_frame(FIN | CLOSE, &[&u16::to_be_bytes(code)[..], b"bye"].concat());
        self.net.write(peer, &close);
        let session = &mut self.sessions[at];
        session.left = Some((code, self.visitors[visitor].written));
        session.excuse("the client has left");
        self.forget_session(visitor);
        self.visitors[visitor].link = None;
        self.sessions[at].lost_at = Some(self.net.now());
    }

    /// Lets a client forget its session.
    pub fn forget_session(&mut self, visitor: usize) {
        let of = &mut self.visitors[visitor];
        of.old_tokens.clear();
        of.token = None;
        of.session = None;
        of.written = 0;
    }

    /// Lets a service close, or die.
    fn service_ends(&mut self, visitor: usize) {
        let Some(at) = self.visitors[visitor].session else {
            return;
        };
        let session = &mut self.sessions[at];
        if session.end.is_some() || !session.is_open {
            return;
        }
        let service = session.service;
        match self.rng.u8(0..5) {
            0 => {
                session.excuse("the service has died");
                self.net.reset(service);
            }
            1 => {
                session.excuse("the service has died");
                self.net.half_close(service);
            }
            _ => {
                let (code, reason) = CODES[self.rng.usize(0..CODES.len())];
                session.end = Some((code, reason));
                let payload = match code {
                    1005 => Vec::new(),
                    code => [&code.to_be_bytes()[..], reason.as_bytes()].concat(),
                };
                let frame = frame_of_server(FIN | CLOSE, &payload);
                self.net.write(service, &frame);
            }
        }
    }

    /// Plans when a client tries again.
    pub fn wait(&mut self, visitor: usize) {
        let ms = match self.rng.u8(0..10) {
            0..=5 => 0,
            6..=8 => self.rng.u64(0..5_000),
            _ => self.rng.u64(0..45_000),
        };
        self.visitors[visitor].next_try = self.net.now() + Micros::from_millis(ms);
    }
}

/// Returns a message as a client sends it.
fn as_client(message: &Message) -> Vec<u8> {
    match message {
        Message::Text(text) => client_frame(FIN | TEXT, escaped(text).as_bytes()),
        message => client_frame(FIN | BINARY, &message.clone().into_data()),
    }
}

fn as_server(message: &Message) -> Vec<u8> {
    match message {
        Message::Text(text) => frame_of_server(FIN | TEXT, text.as_bytes()),
        message => frame_of_server(FIN | BINARY, &message.clone().into_data()),
    }
}
