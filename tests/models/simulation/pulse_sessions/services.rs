//! The services: unchanged ones, that know nothing of pulse.

use super::ground_truth::{Truth, Way, message};
use super::world::World;
use pulsegate::testing::{PeerId, Received};
use pulsegate::time::Micros;

/// How long a loss that the gateway has noticed may not be seen here.
pub const UNSEEN: Micros = Micros::from_millis(500);

impl World {
    /// Lets services answer the requests that have reached them.
    pub fn meet_services(&mut self) {
        self.dialing.extend(self.net.take_dialed());
        for service in std::mem::take(&mut self.dialing) {
            let Some(head) = self.net.request(service).map(str::to_owned) else {
                if self.net.ending(service).is_none() {
                    self.dialing.push(service);
                }
                continue;
            };
            self.answer(service, &head);
        }
    }

    fn answer(&mut self, service: PeerId, head: &str) {
        for wrong in ["pulse=", "resume=", "sec-websocket-extensions"] {
            let has = head.to_ascii_lowercase().contains(wrong);
            assert!(!has, "a service has got {wrong}: {head}");
        }
        let key: u32 = head
            .split_once("k=")
            .and_then(|(_, rest)| rest.split([' ', '&']).next()?.parse().ok())
            .expect("the number of the attempt");
        let visitor = self.attempts[key as usize];
        let now = self.net.now();
        self.by_service.insert(service, self.sessions.len());
        let mut session = Truth::new(key, visitor, service, now);
        if now <= self.drained_until {
            session.excuse = Some("a class is drained");
        }
        match self.rng.u8(0..24) {
            0 => self.refuse(service, "401 Unauthorized"),
            1 => self.refuse(service, "503 Service Unavailable"),
            2 => self.net.half_close(service),
            _ => {
                let offers = head
                    .to_ascii_lowercase()
                    .contains("sec-websocket-protocol:");
                let line = if offers {
                    "Sec-WebSocket-Protocol: chat\r\n"
                } else {
                    ""
                };
                self.net.agree(service, line);
                session.is_open = true;
            }
        }
        self.sessions.push(session);
    }

    fn refuse(&mut self, service: PeerId, status: &str) {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        self.net.write(service, answer.as_bytes());
        self.net.half_close(service);
    }

    /// Checks what each service has got.
    pub fn hear_services(&mut self) -> Result<(), String> {
        for at in 0..self.sessions.len() {
            if self.sessions[at].closed.is_some() {
                continue;
            }
            for received in self.net.received(self.sessions[at].service) {
                self.on_service(at, received)
                    .map_err(|e| format!("session {}: {e}", self.sessions[at].key))?;
            }
        }
        Ok(())
    }

    fn on_service(&mut self, at: usize, received: Received) -> Result<(), String> {
        let session = &mut self.sessions[at];
        match received {
            Received::Message(got) => {
                let n = session.got_up;
                if n >= session.made_up || got != message(session.key, Way::Up, n) {
                    let made = session.made_up;
                    let text = format!("{got:?}");
                    let start: String = text.chars().take(60).collect();
                    return Err(format!("the service gets {start} as message {n} of {made}"));
                }
                session.got_up += 1;
                session.prove();
                self.tally.messages += 1;
                Ok(())
            }
            Received::Pong(_) => {
                session.pongs += 1;
                Ok(())
            }
            Received::Ping(_) => Ok(()),
            Received::Close(code, reason) => {
                session.closed = Some((code, reason.clone()));
                self.check_close(at, code, &reason)
            }
            Received::Fragment(first, _) => Err(format!("a fragment {first:#x}")),
        }
    }

    /// Checks that a service is closed for a reason that the documentation names, and not too
    /// early.
    fn check_close(&mut self, at: usize, code: u16, reason: &str) -> Result<(), String> {
        let now = self.net.now();
        let session = &self.sessions[at];
        // A service that takes nothing is closed in the end, and what waits for it is lost.
        let is_judged = code == 3008 || reason.contains("unsent");
        // A drain ends a slow service, too, even if its client has left before.
        let is_ended = session.end.is_some() && session.left.is_none();
        let is_planned = session.excuse.is_some() || is_ended;
        let is_overdue = session.was_slow && (is_judged || is_planned);
        if session.acked_up > session.got_up && !is_overdue {
            return Err(format!(
                "{} messages were acknowledged, the service has {}: {code} {reason}, {session:?}",
                session.acked_up, session.got_up
            ));
        }
        if session.end.is_some() {
            return Ok(());
        }
        if let Some((left, written)) = session.left
            && left == code
        {
            return match session.got_up == written {
                true => Ok(()),
                false => Err(format!("it has {} of {written} messages", session.got_up)),
            };
        }
        if is_overdue {
            return Ok(());
        }
        if code != 1001 {
            return Err(format!("it is closed with {code} {reason}"));
        }
        let away = session.lost_at.map_or(Micros::ZERO, |since| now - since);
        let is_culprit = session.visitor == usize::MAX;
        let too_early = |least: Micros| match away + UNSEEN >= least {
            true => Ok(()),
            false => Err(format!("its hold ends after {away}: {reason}")),
        };
        let Some(why) = reason.strip_prefix("client lost: ") else {
            return self.check_planned(at, reason);
        };
        match why.split_once(" after ").map_or(why, |(why, _)| why) {
            _ if is_culprit => Ok(()),
            "expired" => {
                self.tally.holds_expired += 1;
                too_early(self.limits.hold)
            }
            "hold_full" => {
                self.tally.holds_full += 1;
                too_early(super::world::FULL_TIME)
            }
            crowded @ ("crowded" | "shed") => {
                self.tally.holds_crowded += u64::from(crowded == "crowded");
                self.tally.holds_shed += u64::from(crowded == "shed");
                match self.is_narrow() {
                    true => Ok(()),
                    false => Err("its hold gives way".to_owned()),
                }
            }
            "draining" if self.is_old(at) => Ok(()),
            _ => self.check_planned(at, reason),
        }
    }

    /// Returns whether a session may have reached its planned age: that is up to a tenth less.
    pub fn is_old(&self, at: usize) -> bool {
        let age = self.net.now() - self.sessions[at].began;
        self.max_age
            .is_some_and(|most| age >= Micros(most.0 / 10 * 9))
    }

    /// Checks that a session which was not held has a reason for that.
    fn check_planned(&mut self, at: usize, reason: &str) -> Result<(), String> {
        let session = &self.sessions[at];
        if reason == "planned age reached" && self.is_old(at) {
            return Ok(());
        }
        if session.excuse.is_some() || self.is_narrow() || self.draining.is_some() {
            return Ok(());
        }
        Err(format!(
            "it is closed although its client may come back: {reason}"
        ))
    }
}
