//! Clients that break the rules, or try what is not theirs.

use super::visitor::request;
use super::world::World;
use pulsegate::Message;
use pulsegate::pulse::{GatewayFrame, OpaqueToken, PulseText, resume_frame};
use pulsegate::testing::{PeerId, Received, client_frame};
use pulsegate::time::Micros;
use pulsegate::wire::frame::{BINARY, FIN, TEXT};

/// How long it may take until a client that breaks a rule knows.
const PATIENCE: Micros = Micros::from_secs(25);

/// A connection that breaks a rule, or tries what is not its own.
#[derive(Debug)]
pub struct Culprit {
    peer: PeerId,
    /// What it sends first, when its WebSocket is open.
    first: Option<Vec<u8>>,
    /// The close code that it gets; `None`: a session of its own.
    code: Option<u16>,
    /// Whether it may not be read for long, because its service is slow.
    is_unread: bool,
    since: Micros,
}

impl World {
    pub fn misbehave(&mut self, visitor: usize) -> Result<(), String> {
        match self.rng.u8(0..8) {
            0 | 1 => self.steal(visitor),
            2 => {
                let frame = client_frame(FIN | TEXT, b"no resume");
                self.intrude(visitor, frame, Some(1002), "", 0);
            }
            3 => {
                let token = OpaqueToken::new("0123456789abcdef0123456789abcdef");
                self.try_token(visitor, &token, "", 0);
            }
            4 => {
                let old = &self.visitors[visitor].old_tokens;
                if let Some(token) = old.len().checked_sub(2).map(|at| old[at].clone()) {
                    let lines = self.protocol_line(visitor);
                    self.try_token(visitor, &token, &lines, 0);
                }
            }
            5 => self.break_session(visitor, b"\x01{\"rx\":9000000}", 1002),
            6 => {
                let text = [
                    &b"\x01{\"resume\":\"x\",\"rx\":0}"[..],
                    b"\x01{\"pong\":1}",
                    b"\x01no json",
                ];
                let text = text[self.rng.usize(0..3)];
                self.break_session(visitor, text, 1002);
            }
            _ => {
                let long = vec![b'x'; 120_001];
                self.break_session(visitor, &long, 1009);
            }
        }
        Ok(())
    }

    /// Tries the token of another client, as another user, page or application.
    fn steal(&mut self, victim: usize) {
        let of = &self.visitors[victim];
        let Some(token) = of.token.clone() else {
            return;
        };
        let own = self.protocol_line(victim);
        let (lines, user) = match self.rng.u8(0..3) {
            0 => (own, 77),
            1 => (format!("{own}Origin: https://other.example\r\n"), 0),
            _ => ("Sec-WebSocket-Protocol: stolen\r\n".to_owned(), 0),
        };
        self.try_token(victim, &token, &lines, user);
    }

    fn protocol_line(&self, visitor: usize) -> String {
        let own = self.visitors[visitor].protocol;
        own.map_or(String::new(), |own| {
            format!("Sec-WebSocket-Protocol: {own}\r\n")
        })
    }

    fn try_token(&mut self, visitor: usize, token: &OpaqueToken, lines: &str, user: usize) {
        let first = client_frame(FIN | TEXT, resume_frame(token, 0).as_bytes());
        self.intrude(visitor, first, None, lines, user);
    }

    /// Opens a connection that sends this first, as a user, or as that of a client (0).
    fn intrude(
        &mut self,
        visitor: usize,
        first: Vec<u8>,
        code: Option<u16>,
        lines: &str,
        user: usize,
    ) {
        let key = self.attempts.len() as u32;
        let is_unread = self.is_slow(visitor);
        self.attempts.push(usize::MAX);
        let user = match user {
            0 => self.visitors[visitor].user,
            other => other,
        };
        let peer = self.net.open_socket();
        let head = request(user, key, true, lines);
        self.net.write(peer, head.as_bytes());
        self.culprits.push(Culprit {
            peer,
            first: Some(first),
            code,
            is_unread,
            since: self.net.now(),
        });
    }

    /// Lets a client send what its session does not allow. It may come back with a token at once.
    fn break_session(&mut self, visitor: usize, text: &[u8], code: u16) {
        let is_slow = self.is_slow(visitor);
        let owner = &mut self.visitors[visitor];
        let Some(link) = owner.link.take_if(|link| link.is_up) else {
            return;
        };
        // The gateway may have closed it, and the client does not know yet.
        let is_unread = is_slow || !self.net.is_open(link.peer);
        let session = owner.session.map(|at| &self.sessions[at]);
        let has_ended = session.is_some_and(|session| session.end.is_some());
        let kind = if code == 1009 { BINARY } else { TEXT };
        self.net.write(link.peer, &client_frame(FIN | kind, text));
        let tokens: Vec<_> = owner
            .old_tokens
            .pop()
            .into_iter()
            .chain(owner.token.clone())
            .collect();
        let rx = owner.session.map_or(0, |at| self.sessions[at].got_down);
        if let Some(at) = owner.session {
            self.sessions[at].excuse("it has broken a rule");
            self.sessions[at].lost_at = Some(self.net.now());
        }
        self.culprits.push(Culprit {
            peer: link.peer,
            first: None,
            code: (!link.is_slow && !has_ended).then_some(code),
            is_unread,
            since: self.net.now(),
        });
        self.forget_session(visitor);
        if self.rng.bool() && !tokens.is_empty() {
            let token = tokens[self.rng.usize(0..tokens.len())].clone();
            let first = client_frame(FIN | TEXT, resume_frame(&token, rx).as_bytes());
            let lines = self.protocol_line(visitor);
            self.net.settle();
            self.intrude(visitor, first, None, &lines, 0);
            if let Some(culprit) = self.culprits.last_mut() {
                culprit.is_unread = is_unread;
            }
        }
    }

    /// Checks what becomes of those that break a rule.
    pub fn watch_culprits(&mut self) -> Result<(), String> {
        for mut culprit in std::mem::take(&mut self.culprits) {
            let peer = culprit.peer;
            let head = self.net.response(peer);
            if head.is_some_and(|head| head.starts_with("HTTP/1.1 101"))
                && let Some(first) = culprit.first.take()
            {
                self.net.write(peer, &first);
            }
            if !self.is_done(&culprit)? {
                if self.net.now() - culprit.since > PATIENCE && !culprit.is_unread {
                    return Err(format!("nothing becomes of {culprit:?}"));
                }
                self.culprits.push(culprit);
            }
        }
        Ok(())
    }

    fn is_done(&mut self, culprit: &Culprit) -> Result<bool, String> {
        let (peer, mut is_refused) = (culprit.peer, false);
        for received in self.net.received(peer) {
            let frame = match &received {
                Received::Message(Message::Text(text)) => match PulseText::of(text) {
                    PulseText::Control(json) => GatewayFrame::parse(json).ok(),
                    PulseText::Application(_) => None,
                },
                Received::Close(code, reason) => {
                    let is_other = culprit.code.is_some_and(|expected| expected != *code);
                    let is_planned = [1012, 4000, 3008, 1013].contains(code) || *code > 4_000;
                    // Its service may have closed, or was lost, before it was read.
                    let is_planned = is_planned || culprit.is_unread;
                    return match is_other && !is_planned {
                        true => Err(format!("{culprit:?} is closed with {code} {reason}")),
                        false => Ok(true),
                    };
                }
                _ => None,
            };
            match frame {
                Some(GatewayFrame::Hello(hello)) if culprit.first.is_none() => {
                    if hello.resumed && !culprit.is_unread {
                        return Err(format!("{culprit:?} has got a session"));
                    }
                    self.net.reset(peer);
                    return Ok(true);
                }
                Some(GatewayFrame::Refused(_)) => is_refused = true,
                _ => {}
            }
        }
        let is_over = self.net.ending(peer).is_some() || self.net.released(peer).is_some();
        Ok(is_refused || is_over)
    }

    /// Returns whether the client of a service that takes nothing may not be read.
    fn is_slow(&self, visitor: usize) -> bool {
        let session = self.visitors[visitor].session;
        session.is_some_and(|at| self.sessions[at].was_slow)
    }
}
