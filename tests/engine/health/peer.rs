//! A peer that connected at zero, with times in seconds, and the result of a look at it.

use pulsegate::health::{Health, HealthAction, HealthState, Policy};
use pulsegate::time::Micros;

/// The result of a look at a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Nothing,
    Pings,
    PingsAndSuspects,
    /// An interval is over, but the ping before is not sent yet.
    Waits,
    /// The same, and the peer becomes suspect.
    Suspects,
    Stale,
}

impl Does {
    pub fn what(due: HealthAction) -> Self {
        match due {
            HealthAction::None => Does::Nothing,
            HealthAction::Heartbeat { ping, change } => match (ping, change) {
                (true, None) => Does::Pings,
                (true, Some(_)) => Does::PingsAndSuspects,
                (false, None) => Does::Waits,
                (false, Some(_)) => Does::Suspects,
            },
            HealthAction::Stale => Does::Stale,
        }
    }
}

/// A peer that connected at zero, with times in seconds.
#[derive(Clone)]
pub struct Peer {
    pub health: Health,
    pub policy: Policy,
}

impl Peer {
    pub fn new() -> Self {
        Peer::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::default();
        change(&mut policy);
        Peer::with_seed(policy, 0)
    }

    pub fn with_seed(policy: Policy, seed: u64) -> Self {
        assert_eq!(policy.validate(), Ok(()));
        Peer {
            health: Health::new(&policy, Micros::ZERO, seed),
            policy,
        }
    }

    pub fn due(&self) -> Micros {
        self.health.due(&self.policy)
    }

    /// Asserts the result of a look at this time; a requested ping is sent at once.
    pub fn looks(&mut self, s: f64, expected: Does) {
        let does = Does::what(self.health.on_due(&self.policy, at(s)));
        assert_eq!(does, expected, "at {s} s");
        if matches!(does, Does::Pings | Does::PingsAndSuspects) {
            self.health.on_ping_sent(&self.policy, at(s), false);
        }
    }

    /// Asserts that a look requests a ping, which is not sent yet.
    pub fn asks(&mut self, s: f64) {
        let does = Does::what(self.health.on_due(&self.policy, at(s)));
        assert_eq!(does, Does::Pings, "at {s} s");
    }

    /// Sends the ping that had to wait.
    pub fn leaves(&mut self, s: f64) {
        self.health.on_ping_sent(&self.policy, at(s), true);
    }

    /// Delivers the pong of the latest ping.
    pub fn answers(&mut self, s: f64, rtt: f64) {
        self.health.on_heard(at(s));
        let payload = self.health.ping_payload();
        assert_eq!(
            self.health.on_pong(&payload, at(s)),
            Some(at(rtt)),
            "at {s} s"
        );
    }

    /// Sets another interval and timeout, in seconds.
    pub fn changes(&mut self, s: f64, interval: f64, timeout: f64) {
        let policy = Policy {
            heartbeat_interval: at(interval),
            connection_timeout: at(timeout),
            ..self.policy
        };
        self.health.change_policy(&self.policy, &policy, at(s), 0);
        self.policy = policy;
    }

    pub fn is(&self, s: f64, state: HealthState, unanswered: u16, due: f64) {
        let found = (self.health.state(), self.health.unanswered(), self.due());
        assert_eq!(found, (state, unanswered, at(due)), "at {s} s");
    }
}

/// Returns a virtual time from seconds (to the microsecond).
pub fn at(s: f64) -> Micros {
    Micros((s * 1e6).round() as u64)
}

pub fn seconds(point: Micros) -> f64 {
    point.0 as f64 / 1e6
}
