//! What clients hear, and what they answer.

use super::ground_truth::{Way, message};
use super::world::{CLIENT_TIMEOUT, World};
use pulsegate::Message;
use pulsegate::pulse::{
    ACK_MESSAGES, BIG_BYTES, GatewayFrame, Hello, PulseText, SessionEnd, ShortControl,
};
use pulsegate::testing::{Received, client_frame};
use pulsegate::time::Micros;
use pulsegate::wire::frame::{FIN, TEXT};

/// The reasons of closes that a bye announces.
const PLANNED: [&str; 2] = ["service restart", "planned age reached"];

/// How long after the last message it is acknowledged.
const QUIET: Micros = Micros::from_secs(1);

impl World {
    /// Lets every client take some of what has arrived, most often all of it.
    pub fn hear_clients(&mut self) -> Result<(), String> {
        for visitor in 0..self.visitors.len() {
            self.send_first(visitor);
            self.hear(visitor)
                .map_err(|e| format!("client {visitor}: {e}"))?;
            self.acknowledge(visitor);
            self.write_up(visitor);
        }
        self.watch_culprits()
    }

    fn hear(&mut self, visitor: usize) -> Result<(), String> {
        let Some(link) = &mut self.visitors[visitor].link else {
            return Ok(());
        };
        link.inbox.extend(self.net.received(link.peer));
        if self.net.ending(link.peer).is_some()
            && let Some(at) = self.visitors[visitor].session
        {
            self.sessions[at].lost_at.get_or_insert(self.net.now());
        }
        let is_up = self.visitors[visitor]
            .link
            .as_ref()
            .is_some_and(|link| link.is_up);
        let mut left = match self.rng.u8(0..6) {
            // A hello that has not arrived may be lost with its connection.
            0 | 1 if !is_up => 0,
            0 => self.rng.usize(0..10),
            _ => usize::MAX,
        };
        while left > 0
            && let Some(link) = &mut self.visitors[visitor].link
            && let Some(received) = link.inbox.pop_front()
        {
            left -= 1;
            self.on_client(visitor, received)?;
        }
        // It has ended without a close frame.
        if let Some(link) = &self.visitors[visitor].link
            && link.inbox.is_empty()
            && self.net.released(link.peer).is_some()
        {
            self.lose(visitor);
        }
        Ok(())
    }

    /// Handles the end of a client's connection.
    fn lose(&mut self, visitor: usize) {
        self.visitors[visitor].link = None;
        if let Some(at) = self.visitors[visitor].session {
            self.sessions[at].lost_at.get_or_insert(self.net.now());
            if self.sessions[at].excuse == Some("over") {
                self.forget_session(visitor);
            }
        }
        self.wait(visitor);
    }

    fn on_client(&mut self, visitor: usize, received: Received) -> Result<(), String> {
        let Some(link) = &self.visitors[visitor].link else {
            return Ok(());
        };
        let has_big = link.big.is_some();
        match received {
            Received::Message(Message::Text(text)) => match PulseText::of(&text) {
                PulseText::Control(json) => {
                    let frame = GatewayFrame::parse(json).map_err(|e| format!("{e}: {json}"))?;
                    if has_big {
                        return Err(format!("{frame:?} comes after big"));
                    }
                    self.on_frame(visitor, frame)
                }
                PulseText::Application(own) => {
                    self.on_message(visitor, Message::text(own.to_owned()), text.len())
                }
            },
            Received::Message(message) => {
                let len = message.len();
                self.on_message(visitor, message, len)
            }
            Received::Close(code, reason) => self.on_close(visitor, code, &reason),
            Received::Pong(_) => Ok(()),
            Received::Ping(_) => Err("a ping that a page does not see".to_owned()),
            Received::Fragment(first, _) => Err(format!("a fragment {first:#x}")),
        }
    }

    fn on_message(&mut self, visitor: usize, got: Message, len: usize) -> Result<(), String> {
        let now = self.net.now();
        let of = &mut self.visitors[visitor];
        let (Some(link), Some(at)) = (&mut of.link, of.session) else {
            return Err("a message without a session".to_owned());
        };
        if !link.is_up {
            return Err("a message before the hello".to_owned());
        }
        let announced = (len > BIG_BYTES).then_some(len as u64);
        if link.big.take() != announced {
            return Err(format!("a message of {len} bytes is not announced so"));
        }
        let session = &mut self.sessions[at];
        let n = session.got_down;
        if n >= session.made_down || got != message(session.key, Way::Down, n) {
            let text = format!("{got:?}");
            let start: String = text.chars().take(60).collect();
            let (key, made) = (session.key, session.made_down);
            return Err(format!(
                "gets {start} as message {n} of {made} of session {key}"
            ));
        }
        session.got_down += 1;
        of.last_got = now;
        self.tally.messages += 1;
        Ok(())
    }

    fn on_frame(&mut self, visitor: usize, frame: GatewayFrame) -> Result<(), String> {
        let of = &mut self.visitors[visitor];
        let Some(link) = &mut of.link else {
            return Ok(());
        };
        match frame {
            GatewayFrame::Hello(hello) => return self.on_hello(visitor, &hello),
            GatewayFrame::Refused(refused) => {
                link.refused = Some(refused.status);
                return self.check_refusal(visitor, refused.status);
            }
            GatewayFrame::Bye(bye) => link.bye = Some(bye.why.to_string()),
            // It knows nothing of the session yet.
            _ if !link.is_up => {}
            GatewayFrame::Ping { number, rx, .. } => {
                self.on_ack(visitor, rx)?;
                let pong = ShortControl::pong(number, self.tell(visitor));
                self.send_control(visitor, pong.as_str());
            }
            GatewayFrame::Ack(rx) | GatewayFrame::Probe { rx, .. } => self.on_ack(visitor, rx)?,
            GatewayFrame::Big(len) => link.big = Some(len),
            GatewayFrame::End(end) => return self.on_end(visitor, &end),
            _ => {}
        }
        Ok(())
    }

    fn on_hello(&mut self, visitor: usize, hello: &Hello) -> Result<(), String> {
        if !self.offered.insert(hello.resume.as_str().to_owned()) {
            return Err("a token is offered twice".to_owned());
        }
        let of = &mut self.visitors[visitor];
        let Some(link) = &mut of.link else {
            return Ok(());
        };
        if link.is_up || (hello.resumed && !link.resumes) {
            return Err("a hello that was not asked for".to_owned());
        }
        let is_drained = self.draining.is_some() && link.since > self.draining_since;
        let is_old = self.draining.is_some() && !is_drained;
        if (hello.hold_ms == 0) != is_drained && !is_old {
            return Err(format!("a hold of {} ms is promised", hello.hold_ms));
        }
        link.is_up = true;
        let (key, resumes) = (link.key, link.resumes);
        let before = of.session.filter(|_| resumes);
        if let Some(old) = of.token.replace(hello.resume.clone()) {
            of.old_tokens.push(old);
        }
        if let Some(at) = before.filter(|_| hello.resumed) {
            let session = &mut self.sessions[at];
            if hello.rx < session.acked_up || hello.rx > session.made_up {
                let (acked, made) = (session.acked_up, session.made_up);
                return Err(format!(
                    "the hello has rx {}, of {acked} to {made}",
                    hello.rx
                ));
            }
            session.acked_up = hello.rx;
            session.lost_at = None;
            session.prove();
            self.visitors[visitor].written = hello.rx;
            self.tally.resumed += 1;
            return Ok(());
        }
        if let Some(old) = before {
            self.tally.reset += 1;
            self.check_reset(old)?;
        }
        let new = self.sessions.iter().position(|s| s.key == key && s.is_open);
        let new = new.ok_or("a hello without a service")?;
        self.sessions[new].lost_at = None;
        let of = &mut self.visitors[visitor];
        (of.session, of.written) = (Some(new), 0);
        of.old_tokens.clear();
        if hello.rx != 0 {
            return Err("a new session has received messages".to_owned());
        }
        Ok(())
    }

    fn on_ack(&mut self, visitor: usize, rx: u64) -> Result<(), String> {
        let Some(at) = self.visitors[visitor].session else {
            return Ok(());
        };
        let session = &mut self.sessions[at];
        if rx < session.acked_up || rx > session.made_up {
            let (acked, made) = (session.acked_up, session.made_up);
            let said = format!("{rx} is acknowledged, of {acked} to {made}");
            return Err(format!(
                "{said}: {:?}, {session:?}",
                self.visitors[visitor].link
            ));
        }
        session.acked_up = rx;
        if rx > 0 {
            session.prove();
        }
        Ok(())
    }

    fn on_end(&mut self, visitor: usize, end: &SessionEnd) -> Result<(), String> {
        let at = self.visitors[visitor].session.ok_or("an end of nothing")?;
        let session = &mut self.sessions[at];
        let said = Some((end.code, &*end.reason));
        if session.end != said {
            return Err(format!("the end is {end:?}, not {:?}", session.end));
        }
        if session.got_down != session.made_down {
            let (got, made) = (session.got_down, session.made_down);
            return Err(format!("the end comes after {got} of {made} messages"));
        }
        session.excuse = Some("over");
        self.tally.ends += 1;
        let ack = ShortControl::ack(self.tell(visitor));
        self.send_control(visitor, ack.as_str());
        Ok(())
    }

    fn on_close(&mut self, visitor: usize, code: u16, reason: &str) -> Result<(), String> {
        let now = self.net.now();
        let of = &self.visitors[visitor];
        let Some(link) = &of.link else {
            return Ok(());
        };
        let session = of.session.map(|at| &self.sessions[at]);
        let is_excused = session.is_none_or(|session| session.excuse.is_some());
        let is_over = session.is_none_or(|session| session.excuse == Some("over"));
        let end = session.and_then(|session| session.end);
        // What it hears now was decided while it took nothing, or had just begun.
        let is_new = now - link.since.max(link.unslowed_at) < CLIENT_TIMEOUT;
        let is_slow = link.is_slow || is_new;
        let is_expected = match (link.refused, code) {
            (Some(status), code) => code == 4_000 + status,
            (None, 1012) if PLANNED.contains(&reason) => {
                // What waits for a client that takes nothing goes with its connection.
                link.bye.as_deref() == Some("restart") || !link.is_up || is_slow
            }
            (None, 1012) => is_excused || self.service_is_lost(visitor),
            (None, 1011 | 1013) => is_slow || self.service_is_lost(visitor),
            (None, 3008) => is_slow,
            (None, 4000) => is_excused,
            (None, code) if !is_over => {
                return Err(format!("{code} {reason} comes before the end"));
            }
            (None, code) => match end {
                Some((1005, _)) => code == 1000,
                Some((end, _)) => code == end,
                None => false,
            },
        };
        if !is_expected {
            let bye = &link.bye;
            let closed = format!("it is closed with {code} {reason}, bye {bye:?}");
            return Err(format!("{closed}: {link:?}, {session:?}"));
        }
        if link.refused.is_some() {
            self.tally.refused += 1;
        }
        self.lose(visitor);
        Ok(())
    }

    /// Returns whether the connection to the service of a client has ended on its own.
    fn service_is_lost(&self, visitor: usize) -> bool {
        let session = self.visitors[visitor].session;
        session.is_none_or(|at| self.net.ending(self.sessions[at].service).is_some())
    }

    /// Returns how many messages a client has got in its session, for a frame to the gateway.
    fn tell(&mut self, visitor: usize) -> u64 {
        let Some(at) = self.visitors[visitor].session else {
            return 0;
        };
        let session = &mut self.sessions[at];
        session.told_down = session.got_down;
        session.got_down + u64::from(session.excuse == Some("over"))
    }

    fn acknowledge(&mut self, visitor: usize) {
        let of = &self.visitors[visitor];
        let Some(at) = of
            .session
            .filter(|_| of.link.as_ref().is_some_and(|l| l.is_up))
        else {
            return;
        };
        let untold = self.sessions[at].got_down - self.sessions[at].told_down;
        let is_quiet = untold > 0 && self.net.now() - of.last_got >= QUIET;
        if is_quiet || untold >= u64::from(ACK_MESSAGES) {
            let ack = ShortControl::ack(self.tell(visitor));
            self.send_control(visitor, ack.as_str());
        }
    }

    fn send_control(&mut self, visitor: usize, text: &str) {
        if let Some(link) = &self.visitors[visitor].link {
            let frame = client_frame(FIN | TEXT, text.as_bytes());
            self.net.write(link.peer, &frame);
        }
    }
}
