//! Late heartbeats, and how long the peer had been silent before an unanswered one.

use super::Health;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::heartbeat::Heartbeat;
use crate::health::policy::Policy;

/// A heartbeat is not late before this time, unless half of the interval is shorter. A lost segment
/// of a fast connection is sent again within it, several times.
const LATE_MIN: Micros = Micros::from_secs(2);

impl Health {
    /// Returns how long the heartbeat that was just sent may be unanswered before it is late: the
    /// time that answers of this peer take, with four times its variation, as RFC 6298 §2 has it
    /// for segments, but at least 2 s and at most half of the interval.
    pub fn late_after(&self, policy: &Policy) -> Micros {
        let early = Micros::from_millis(300 * u64::from(sabotage::on(Bug::LateEarly)));
        let half = Micros(policy.heartbeat_interval.0 / 2);
        self.late_limit().min(half) - early
    }

    pub(super) fn late_limit(&self) -> Micros {
        self.rtt.usual_at_most().max(LATE_MIN)
    }

    /// Returns whether the latest heartbeat was sent at this time (µs, cut to 32 bits), is not
    /// answered, and was not found late before. A peer that was heard since is not late.
    pub fn may_be_late(&self, sent: u32) -> bool {
        self.unanswered > 0 && self.ping_sent == sent && self.heartbeat.is_unjudged()
    }

    /// Records that the latest heartbeat is late. Returns how long it has been unanswered; `None`
    /// if the peer was heard since, or if it was found late before.
    pub fn mark_late(&mut self, now: Micros) -> Option<Micros> {
        if self.unanswered == 0 || !self.heartbeat.is_unjudged() {
            return None;
        }
        self.heartbeat = match self.heartbeat {
            _ if sabotage::on(Bug::LateTwice) => self.heartbeat,
            Heartbeat::Sent => Heartbeat::Late,
            _ => Heartbeat::None,
        };
        Some(self.waited(now))
    }

    /// Returns how long nothing had been heard when the only unanswered heartbeat was sent; `None`
    /// if none or several are unanswered.
    pub fn idle_before(&self) -> Option<Micros> {
        let is_only = self.unanswered == 1 && !self.is_ping_queued();
        let gap = self.ping_sent.wrapping_sub(self.heard.0 as u32);
        is_only.then_some(Micros(gap.into()))
    }

    /// Returns the time since the latest heartbeat was sent.
    pub(super) fn waited(&self, now: Micros) -> Micros {
        Micros(u64::from((now.0 as u32).wrapping_sub(self.ping_sent)))
    }
}
