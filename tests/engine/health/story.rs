//! The specification of health: a list of what happened, and what follows from it.

use crate::health::peer::Does;
use fastrand::Rng;
use pulsegate::health::{HealthState, HeartbeatMode, Policy};
use pulsegate::time::Micros;

/// The basis of one peer's health: everything that happened, in order.
pub struct Story {
    pub opened: Micros,
    pub first_ping: Micros,
    pub events: Vec<(Micros, Event)>,
}

/// The specification (design, §5).
impl Story {
    pub fn last(&self, event: Event) -> Option<Micros> {
        let all = self.events.iter().filter(|(_, e)| *e == event);
        all.map(|(t, _)| *t).max()
    }

    pub fn heard(&self) -> Micros {
        self.last(Event::Heard).unwrap_or_default().max(self.opened)
    }

    pub fn since_heard(&self) -> &[(Micros, Event)] {
        let last = self.events.iter().rposition(|(_, e)| *e == Event::Heard);
        &self.events[last.map_or(0, |i| i + 1)..]
    }

    pub fn unanswered(&self) -> u16 {
        let sent = |(_, e): &&(Micros, Event)| matches!(e, Event::Sent(_));
        self.since_heard().iter().filter(sent).count() as u16
    }

    pub fn state(&self) -> HealthState {
        let suspected = |(_, e): &(Micros, Event)| *e == Event::Suspected;
        match self.since_heard().iter().any(suspected) {
            true => HealthState::Suspect,
            false => HealthState::Healthy,
        }
    }

    /// Returns the latest heartbeat and its latest event.
    pub fn heartbeat(&self) -> Option<(Micros, Event)> {
        let of_it = |e| matches!(e, Event::Asked(_) | Event::Sent(_) | Event::Settled);
        self.events.iter().rfind(|(_, e)| of_it(*e)).copied()
    }

    pub fn queued(&self) -> bool {
        matches!(self.heartbeat(), Some((_, Event::Asked(_))))
    }

    pub fn ping_due(&self, policy: &Policy) -> Micros {
        let restart = |(_, e): &(Micros, Event)| match e {
            Event::Asked(next) | Event::Held(next, _) | Event::Changed(next) => Some(*next),
            Event::Sent(next) => *next,
            Event::Heard | Event::Moved | Event::Spared | Event::Suspected | Event::Settled => None,
        };
        let Some(next) = self.events.iter().rev().find_map(restart) else {
            return self.first_ping; // in both modes: it spreads the later ones
        };
        let pinged = self
            .events
            .iter()
            .any(|(_, e)| matches!(e, Event::Asked(_)));
        match policy.mode {
            HeartbeatMode::Idle if pinged => next.max(self.heard() + policy.heartbeat_interval),
            HeartbeatMode::Always | HeartbeatMode::Idle => next,
        }
    }

    pub fn alive(&self) -> Micros {
        let moved = self.last(Event::Moved).unwrap_or_default();
        let spared = self.last(Event::Spared).unwrap_or_default();
        self.heard().max(moved).max(spared)
    }

    pub fn stale_at(&self, policy: &Policy) -> Micros {
        self.alive() + policy.connection_timeout
    }

    /// Returns whether nothing has moved or was heard for an interval.
    pub fn still(&self, policy: &Policy, now: Micros) -> bool {
        now - self.alive() >= policy.heartbeat_interval
    }

    /// Returns the number of intervals in a row that a queued heartbeat has waited in vain.
    pub fn waited(&self) -> u16 {
        if !self.queued() {
            return 0;
        }
        let all = self.events.iter().rev();
        let since = all.take_while(|(_, e)| {
            let anew = Event::Heard == *e || Event::Moved == *e || Event::Spared == *e;
            !anew && !matches!(e, Event::Asked(_))
        });
        since
            .filter(|(_, e)| matches!(e, Event::Held(_, true)))
            .count() as u16
    }

    /// Returns the expected result of a look at `now`, without the numbers of a change.
    pub fn verdict(&self, policy: &Policy, now: Micros) -> Does {
        if now >= self.stale_at(policy) {
            return Does::Stale;
        }
        if now < self.ping_due(policy) {
            return Does::Nothing;
        }
        let still = self.still(policy, now);
        let missed = self.unanswered() + self.waited() + u16::from(self.queued() && still);
        let suspects =
            self.state() == HealthState::Healthy && missed >= policy.suspect_after && still;
        match (self.queued(), suspects) {
            (false, false) => Does::Pings,
            (false, true) => Does::PingsAndSuspects,
            (true, false) => Does::Waits,
            (true, true) => Does::Suspects,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    Heard,
    /// Our waiting bytes were sent.
    Moved,
    /// The policy changed; this is when the next heartbeat is due.
    Changed(Micros),
    /// A change of policy counts as a sign of life at this time.
    Spared,
    /// A heartbeat was requested; the next is not due before this time.
    Asked(Micros),
    /// A heartbeat would have been due, but the one before is not sent yet; whether nothing had
    /// moved for an interval.
    Held(Micros, bool),
    /// The kernel took it; if it had to wait for that, its interval starts only then.
    Sent(Option<Micros>),
    Suspected,
    /// Its pong arrived, or it was given up for an RTT.
    Settled,
}

/// Returns a policy that [`Policy::validate`] accepts: from the shortest times to a minute, both
/// modes, one to three pings.
pub fn some_policy(rng: &mut Rng) -> Policy {
    let interval = match rng.u8(..4) {
        0 => rng.u64(10_000..100_000),
        1 => 15_000_000,
        _ => rng.u64(100_000..60_000_000),
    };
    let policy = Policy {
        heartbeat_interval: Micros(interval),
        connection_timeout: Micros(interval + rng.u64(1..=interval * 5)),
        suspect_after: rng.u16(1..=3),
        mode: if rng.bool() {
            HeartbeatMode::Always
        } else {
            HeartbeatMode::Idle
        },
        ..Policy::default()
    };
    assert_eq!(policy.validate(), Ok(()));
    policy
}

/// Returns how late a ping may be requested so that its interval still counts from the due time.
pub fn punctual(interval: Micros) -> Micros {
    Micros::from_millis(20).min(Micros(interval.0 / 4))
}
