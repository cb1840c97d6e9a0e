//! What answered and late heartbeats say about a connection, its cohort, and all connections.
//!
//! Nothing is closed because of it.

use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::engine::cohorts::{CohortNews, Cohorts};
use crate::engine::conn::Conn;
use crate::engine::flags::Flag;
use crate::engine::fleet_watch::FleetWatch;
use crate::engine::stats::{ClassStats, Histogram};
use crate::health::{Pace, Risk};
use std::collections::VecDeque;

/// What heartbeats say about cohorts and about all connections.
#[derive(Default)]
pub(crate) struct Foresight {
    pub(crate) cohorts: Cohorts,
    pub(crate) fleet: FleetWatch,
    /// Whether this process was at fault when the latest second ended.
    is_at_fault: bool,
    /// What has changed of cohorts, and the host is not told yet.
    news: VecDeque<CohortNews>,
}

impl Foresight {
    /// Returns when late heartbeats must be forgotten, even if no connection has a deadline.
    pub(crate) fn due(&self) -> Option<Micros> {
        let quiet_at = self.cohorts.quiet_at()?;
        Some(quiet_at.max(self.fleet.second_end()))
    }

    /// Returns whether the host must still be told of changes.
    pub(crate) fn has_news(&self) -> bool {
        !self.news.is_empty()
    }

    /// Records that the latest heartbeat of a connection was answered.
    #[inline]
    pub(crate) fn on_answer(&mut self, conn: &mut Conn, now: Micros) {
        let number = conn.health.heartbeat_number();
        self.fleet.count_answer(conn.role());
        if self.cohorts.wants_answer(conn.cohort, number) {
            self.rejoin(conn, now);
            let news = self.cohorts.on_answered(conn.cohort, number, now);
            self.news.extend(news);
        }
    }

    /// Makes a connection that has opened a member of its cohort. Dialled ones have none: their
    /// partners are servers that operators know.
    pub(crate) fn join(&mut self, conn: &mut Conn, now: Micros) {
        if !conn.flags.has(Flag::Dialed) {
            let block = NetworkBlock::of(conn.peer_addr().ip());
            conn.cohort = self.cohorts.join(conn.class, block, now);
        }
    }

    /// Makes a connection a member again, if its cohort had to make room. One that is not at the
    /// configured pace comes back to that first.
    fn rejoin(&mut self, conn: &mut Conn, now: Micros) {
        let is_at_pace = conn.policy.pace() == Pace::Configured;
        if is_at_pace && self.cohorts.is_gone(conn.cohort) {
            self.join(conn, now);
        }
    }

    /// Records that the latest heartbeat of a connection is late. Returns whether that says
    /// something about its peer: it does not while this process is at fault.
    pub(crate) fn on_late(
        &mut self,
        conn: &mut Conn,
        class: &mut ClassStats,
        peer: u64,
        now: Micros,
    ) -> bool {
        self.fleet.count_late(conn.role());
        if self.fleet.own_fault(now).is_some() {
            return false;
        }
        let before = conn.lates.risk();
        conn.lates.on_late();
        class.change_risk(before, conn.lates.risk());
        self.rejoin(conn, now);
        let news = self.cohorts.on_late(conn.cohort, fold(peer), now);
        self.news.extend(news);
        true
    }

    /// Judges the heartbeats of the last second, if it is over.
    #[inline]
    pub(crate) fn end_second(&mut self, lateness: &Histogram, now: Micros) {
        if self.fleet.is_second_over(now) {
            self.judge_second(lateness, now);
        }
    }

    fn judge_second(&mut self, lateness: &Histogram, now: Micros) {
        self.fleet.end_second(lateness, &self.cohorts, now);
        let is_at_fault = self.fleet.own_fault(now).is_some();
        let had_fault = std::mem::replace(&mut self.is_at_fault, is_at_fault);
        // What was late before the fault was noticed is probably late because of it.
        let news = match is_at_fault && !had_fault {
            true => self.cohorts.acquit(now),
            false => self.cohorts.expire(now),
        };
        self.news.extend(news);
    }

    /// Takes a change that the host must be told of.
    pub(crate) fn take_news(&mut self) -> Option<CohortNews> {
        self.news.pop_front()
    }
}

impl Conn {
    /// Records that a heartbeat was sent.
    #[inline]
    pub(crate) fn note_sent(&mut self, class: &mut ClassStats) {
        if !self.lates.is_clear() {
            let before = self.lates.risk();
            self.lates.on_sent();
            class.change_risk(before, self.lates.risk());
        }
    }

    /// Records that the connection is no longer open.
    pub(crate) fn note_left(&mut self, class: &mut ClassStats) {
        class.change_risk(self.lates.risk(), Risk::Low);
    }
}

impl ClassStats {
    fn change_risk(&mut self, before: Risk, after: Risk) {
        if before == after {
            return;
        }
        if let Some(count) = self.at_risk_mut(before) {
            *count -= 1;
        }
        if let Some(count) = self.at_risk_mut(after) {
            *count += 1;
        }
    }

    fn at_risk_mut(&mut self, risk: Risk) -> Option<&mut u64> {
        match risk {
            Risk::Low => None,
            Risk::Raised => Some(&mut self.risk_raised),
            Risk::High => Some(&mut self.risk_high),
        }
    }
}

/// Shortens a key to 32 bits (the finalizer of SplitMix64, G. L. Steele et al., OOPSLA 2014). Two
/// of eight peers have the same short key once in 150 million alarms.
fn fold(key: u64) -> u32 {
    let key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    (key >> 32) as u32
}
