//! What is promised, and checked after each step and at the end.

use super::ground_truth::Tally;
use super::services::UNSEEN;
use super::world::{CLIENT_TIMEOUT, CLIENTS, FULL_TIME, World};
use pulsegate::engine::ConnView;
use pulsegate::gateway::{HoldEnd, SessionCounts};
use pulsegate::pulse::LEDGER_MARGIN_BYTES;
use pulsegate::time::Micros;

/// How much later than planned a service may hear that its client is lost.
const LATE: Micros = Micros::from_secs(4);

impl World {
    pub fn check(&mut self) -> Result<(), String> {
        if self.tally.steps.is_multiple_of(16) {
            self.net.check().map_err(String::from)?;
        }
        self.check_counts()?;
        self.check_services()
    }

    fn counts(&mut self) -> SessionCounts {
        let bridge = self.net.host().bridge().expect("a bridge");
        bridge.session_counts().clone()
    }

    fn check_counts(&mut self) -> Result<(), String> {
        let counts = self.counts();
        if counts.held as usize > self.limits.holds_max {
            return Err(format!("{} sessions wait", counts.held));
        }
        if self.draining.is_some_and(|before| counts.held > before) {
            return Err("a session waits since the drain has begun".to_owned());
        }
        // Intruders have an address of their own, or that of all others.
        let is_one_address = self.limits.holds_max != 2;
        if is_one_address && counts.held as usize > self.holds_per_address {
            return Err(format!("{} sessions of one address wait", counts.held));
        }
        if counts.held_bytes > self.limits.hold_bytes_max as u64 {
            return Err(format!("{} bytes are held", counts.held_bytes));
        }
        if (counts.held == 0) != (counts.held_bytes == 0) {
            let (held, bytes) = (counts.held, counts.held_bytes);
            return Err(format!("{held} sessions wait, with {bytes} bytes"));
        }
        let ended: u64 = counts.holds_ended.iter().sum();
        let not_held: u64 = counts.not_held.iter().sum();
        let begun = ended + counts.held;
        if counts.losses < counts.taken_over + begun + not_held {
            return Err(format!("more holds than losses: {counts:?}"));
        }
        self.tally.taken_over = counts.taken_over;
        self.tally.not_held = not_held;
        Ok(())
    }

    /// Checks that no service is kept for a client that does not come back.
    fn check_services(&mut self) -> Result<(), String> {
        let now = self.net.now();
        let longest = CLIENT_TIMEOUT + self.limits.hold + LATE;
        for session in &self.sessions {
            let is_alive = session.is_open && session.closed.is_none() && session.end.is_none();
            // A client is not read while its service takes nothing.
            let from = |since: Micros| now - since.max(session.unslowed_at);
            let away = session.lost_at.map_or(Micros::ZERO, from);
            if is_alive
                && !session.is_slow
                && away > longest
                && self.net.ending(session.service).is_none()
            {
                let why = format!("session {} is kept for {away}: {session:?}", session.key);
                return Err(format!("{why}, clients: {:?}", self.client_views()));
            }
        }
        Ok(())
    }

    /// Returns what the gateway knows of its clients, for the message about a fault.
    fn client_views(&mut self) -> Vec<ConnView> {
        self.net.with_io(|_, io| {
            let clients = io.connections(CLIENTS);
            clients.filter_map(|id| io.view(id)).collect()
        })
    }

    /// Checks that a session which is gone may be gone.
    pub fn check_reset(&mut self, at: usize) -> Result<(), String> {
        let resets = self.counts().resets;
        let (now, session) = (self.net.now(), &self.sessions[at]);
        let away = session.lost_at.map_or(Micros::ZERO, |since| now - since);
        let is_full = away >= FULL_TIME && session.bytes_down() > LEDGER_MARGIN_BYTES;
        let is_closed = session.closed.is_some();
        let ending = self.net.ending(session.service);
        let is_lost = ending.is_some() && session.end.is_none();
        let is_planned = self.is_narrow() || self.draining.is_some();
        let may_be = session.excuse.is_some()
            || self.is_old(at)
            || is_planned
            || is_closed && session.end.is_none()
            || is_lost
            || away + UNSEEN >= self.limits.hold
            || is_full;
        match may_be {
            true => Ok(()),
            false => Err(format!(
                "session {} is gone after {away}, resets {resets:?}, {ending:?}: {session:?}",
                session.key
            )),
        }
    }

    /// Checks that a client is refused for what has happened.
    pub fn check_refusal(&self, visitor: usize, status: u16) -> Result<(), String> {
        let of = &self.visitors[visitor];
        let link = of.link.as_ref().ok_or("no connection")?;
        let service = self.sessions.iter().find(|s| s.key == link.key);
        let is_answer = service.is_some_and(|service| !service.is_open);
        let is_blocked = self.blocked.contains_key(&of.user);
        let is_known = match status {
            403 => is_blocked,
            401 | 502 => is_answer,
            // The client may hear of it later.
            503 => is_answer || self.was_upstream_drained || self.draining.is_some(),
            _ => false,
        };
        match is_known {
            true => Ok(()),
            false => Err(format!("it is refused with {status}")),
        }
    }

    /// Lets everything arrive, then lets all leave; then nothing may be left.
    pub fn finish(mut self) -> Result<Tally, String> {
        if self.rng.u8(0..4) == 0 {
            self.drain_all()?;
        } else {
            self.heal()?;
            self.check_whole()?;
            self.leave_all()?;
        }
        self.pass(40_000)?;
        self.check_empty()?;
        Ok(self.tally)
    }

    fn heal(&mut self) -> Result<(), String> {
        for session in &mut self.sessions {
            session.is_slow = false;
            session.unslowed_at = self.net.now();
            self.net.set_window(session.service, None);
        }
        for visitor in &mut self.visitors {
            visitor.next_try = Micros::ZERO;
            if let Some(link) = &mut visitor.link {
                self.net.set_window(link.peer, None);
            }
        }
        if self.is_upstream_drained {
            self.operate_upstream_back();
        }
        for _ in 0..80 {
            for visitor in 0..self.visitors.len() {
                self.visitors[visitor].next_try = Micros::ZERO;
                if self.visitors[visitor].link.is_none() {
                    self.connect(visitor);
                }
            }
            self.pass(250)?;
            self.check()?;
        }
        Ok(())
    }

    /// Checks that after a quiet time each side has everything.
    fn check_whole(&self) -> Result<(), String> {
        for visitor in &self.visitors {
            let is_up = visitor.link.as_ref().is_some_and(|link| link.is_up);
            let Some(session) = visitor.session.map(|at| &self.sessions[at]) else {
                continue;
            };
            let is_alive = self.net.ending(session.service).is_none() && session.end.is_none();
            if !is_up || !is_alive || session.excuse.is_some() {
                continue;
            }
            let up = (session.made_up, session.got_up, session.acked_up);
            let down = (session.made_down, session.got_down, session.told_down);
            for (made, got, acked) in [up, down] {
                if made != got || made != acked {
                    return Err(format!("after a quiet time: {session:?}"));
                }
            }
            if session.pings != session.pongs {
                return Err(format!(
                    "session {}: {} of {} pings are answered",
                    session.key, session.pongs, session.pings
                ));
            }
        }
        Ok(())
    }

    fn leave_all(&mut self) -> Result<(), String> {
        for visitor in 0..self.visitors.len() {
            self.leave(visitor);
            self.visitors[visitor].next_try = Micros(u64::MAX);
            if let Some(link) = self.visitors[visitor].link.take() {
                self.net.reset(link.peer);
            }
        }
        for culprit in std::mem::take(&mut self.abandoned) {
            if self.net.ending(culprit).is_none() {
                self.net.reset(culprit);
            }
        }
        Ok(())
    }

    /// Drains the whole gateway: no session begins to wait.
    fn drain_all(&mut self) -> Result<(), String> {
        for session in &mut self.sessions {
            session.is_slow = false;
            session.unslowed_at = self.net.now();
            self.net.set_window(session.service, None);
        }
        self.draining = Some(self.counts().held);
        self.draining_since = self.net.now();
        let (delay, spread) = (self.rng.u64(0..3_000), self.rng.u64(0..3_000));
        let times = [delay, spread].map(Micros::from_millis);
        self.net.with_io(|_, io| io.drain(times[0], times[1]));
        for _ in 0..30 {
            let visitor = self.rng.usize(0..self.visitors.len());
            self.cut(visitor)?;
            self.pass(300)?;
            self.check()?;
        }
        for visitor in 0..self.visitors.len() {
            self.visitors[visitor].next_try = Micros(u64::MAX);
        }
        Ok(())
    }

    fn check_empty(&mut self) -> Result<(), String> {
        self.net.check().map_err(String::from)?;
        let kept = self.net.host().bridge().expect("a bridge").kept();
        let charged = self.net.engine().stats().host_bytes;
        let counts = self.counts();
        if kept != (0, 0) || charged != 0 {
            return Err(format!("{kept:?} is kept, {charged} bytes: {counts:?}"));
        }
        if (counts.held, counts.held_bytes, counts.attached) != (0, 0, 0) {
            return Err(format!("something is counted: {counts:?}"));
        }
        for session in self.sessions.iter().filter(|session| session.is_open) {
            // What waits for a service that closes, and takes nothing, is lost with it.
            let has_closed = session.end.is_some() && session.closed.is_some();
            if has_closed && !session.was_slow && session.acked_up > session.got_up {
                return Err(format!("more is acknowledged than was given: {session:?}"));
            }
            if self.net.released(session.service).is_none() {
                return Err(format!("the service of session {} is kept", session.key));
            }
        }
        // The names of the counters are those of the metrics.
        let of = |end: HoldEnd| counts.holds_ended[end as usize];
        let resumed = of(HoldEnd::Resumed) + counts.taken_over;
        if resumed < self.tally.resumed {
            let seen = self.tally.resumed;
            return Err(format!("{seen} resumes are seen, {resumed} counted"));
        }
        Ok(())
    }
}
