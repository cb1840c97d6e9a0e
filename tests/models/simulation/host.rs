//! The host under the simulation: its records are compared with the shadows.

use super::messages::{answered_number, intact, read_tag};
use super::world::TICK;
use pulsegate::ConnId;
use pulsegate::cause::Cause;
use pulsegate::engine::{
    Class, Ending, Handler, Io, Message, Request, SendError, SendOutcome, SilenceEvidence, TimerId,
    Verdict,
};
use pulsegate::health::{HealthChange, HealthState};
use pulsegate::time::Micros;
use std::collections::{HashMap, HashSet};

/// A message of this size makes the host close the connection at once.
pub(super) const FAREWELL: usize = 21;

/// The host under the simulation: its records are compared with the shadow.
#[derive(Default)]
pub(super) struct Host {
    pub(super) peers: HashMap<ConnId, u32>,
    pub(super) open: HashSet<ConnId>,
    pub(super) owed: HashSet<ConnId>,
    pub(super) told: HashMap<ConnId, (Cause, Micros)>,
    pub(super) received: HashMap<ConnId, u32>,
    /// How many more times each asks to continue with its last message.
    pub(super) unfinished: HashMap<ConnId, u32>,
    pub(super) deferred: Vec<ConnId>,
    pub(super) timers: HashMap<TimerId, Micros>,
    pub(super) farewells: HashSet<ConnId>,
    /// When each connection was told late, suspect or healthy, and by how long a wait.
    pub(super) told_health: HashMap<ConnId, Vec<HealthNews>>,
    pub(super) wrong: Vec<String>,
}

/// What the host was told of a peer's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HealthNews {
    Late { at: Micros, sent: Micros },
    Suspect { at: Micros },
}

impl Handler for Host {
    fn on_request(&mut self, _: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let mut parts = request.path().trim_start_matches('/').split('/');
        let (class, peer) = (
            parts.next().unwrap_or(""),
            parts.next().and_then(|p| p.parse().ok()),
        );
        self.peers.insert(id, peer.unwrap_or(u32::MAX));
        match class {
            "0" | "1" | "2" => {
                self.owed.insert(id);
                Verdict::upgrade(Class(class.as_bytes()[0] - b'0'))
            }
            "defer" => {
                self.owed.insert(id);
                self.deferred.push(id);
                Verdict::Defer
            }
            _ => Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path"),
        }
    }

    fn on_open(&mut self, _: &mut Io<'_>, id: ConnId) {
        if !self.owed.contains(&id) || !self.open.insert(id) {
            self.wrong.push(format!("{id} opened out of turn"));
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        if let Message::Text(text) = &message {
            match answered_number(text) {
                Some(number) => drop(io.heartbeat_answered(id, number)),
                None => self.wrong.push(format!("{id} said {text:?}")),
            }
            return;
        }
        let data = message.into_data();
        let expected = self.received.entry(id).or_default();
        let (tag, seq) = read_tag(&data);
        if !self.open.contains(&id) {
            self.wrong.push(format!("{id} speaks without being open"));
        } else if Some(&tag) != self.peers.get(&id) || seq != *expected || !intact(&data) {
            self.wrong
                .push(format!("{id} said {tag}/{seq}, expected /{expected}"));
        }
        *expected += 1;
        if self.unfinished.contains_key(&id) {
            self.wrong
                .push(format!("{id}: {seq} before its last message was finished"));
        }
        // Some messages are processed in steps.
        if seq.is_multiple_of(5) {
            self.unfinished.insert(id, seq % 3 + 1);
            io.set_unfinished(id, data.len());
        }
        // Some messages are expensive.
        if seq.is_multiple_of(37) {
            io.spend(150);
        }
        if self.farewells.contains(&id) {
            self.wrong.push(format!("{id} was closed and speaks"));
        }
        if data.len() == FAREWELL {
            self.farewells.insert(id);
            io.close(id, 4001, "farewell");
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        let left = self.unfinished.remove(&id).unwrap_or_default();
        match left {
            0 => self.wrong.push(format!("{id} goes on with nothing")),
            1 => {}
            _ => {
                self.unfinished.insert(id, left - 1);
                io.set_unfinished(id, 100 * left as usize);
                io.spend(60);
            }
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.unfinished.remove(&id);
        if !self.owed.remove(&id) {
            self.wrong.push(format!(
                "{id} was reported as closed, but no such report is owed"
            ));
        }
        self.open.remove(&id);
        self.told.insert(id, (end.cause, io.now()));
        let sent = io.send(id, Message::text("x"));
        if !matches!(
            sent,
            SendOutcome::Refused(SendError::Gone | SendError::Closing)
        ) {
            self.wrong
                .push(format!("{id} takes messages after its end"));
        }
    }

    fn on_reject(&mut self, _: &mut Io<'_>, id: ConnId, _: &Ending) {
        if self.owed.contains(&id) {
            self.wrong.push(format!("{id} is rejected after a verdict"));
        }
    }

    fn on_late(&mut self, io: &mut Io<'_>, id: ConnId, evidence: &SilenceEvidence) {
        let (at, sent) = (io.now(), io.now() - evidence.waited);
        let news = self.told_health.entry(id).or_default();
        news.push(HealthNews::Late { at, sent });
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        if change.state == HealthState::Suspect {
            let news = self.told_health.entry(id).or_default();
            news.push(HealthNews::Suspect { at: io.now() });
        }
        // Some peers are closed when they become healthy again.
        if id.generation().is_multiple_of(5) && change.state == HealthState::Healthy {
            self.farewells.insert(id);
            io.close(id, 4001, "farewell");
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        match self.timers.remove(&timer) {
            // A timer that is due at once waits for the next tick.
            Some(due) if due <= io.now() && io.now() <= due + TICK => {}
            other => self
                .wrong
                .push(format!("a timer due at {other:?} ran out at {}", io.now())),
        }
    }
}
