//! What answered and late heartbeats say about a connection, its cohort, and all connections.
//!
//! Nothing is closed because of it.

use super::conn::Conn;
use super::core::Core;
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use crate::base::id::ConnId;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::engine::cohorts::{CohortNews, Cohorts};
use crate::engine::fleet_watch::FleetWatch;
use crate::engine::stats::ClassStats;
use crate::health::Risk;
use std::collections::VecDeque;

/// The most calls about cohorts in one turn.
const TOLD_PER_TURN: usize = 64;

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
    pub(crate) fn on_answer(&mut self, conn: &Conn, now: Micros) {
        let number = conn.health.heartbeat_number();
        self.fleet.count_answer(conn.role());
        if self.cohorts.wants_answer(conn.cohort, number) {
            let news = self.cohorts.on_answered(conn.cohort, number, now);
            self.news.extend(news);
        }
    }
}

impl<H: Handler> Engine<H> {
    /// Judges the heartbeats of the last second, if it is over.
    #[inline]
    pub(super) fn watch_fleet(&mut self, now: Micros) {
        if self.core.foresight.fleet.is_second_over(now) {
            self.core.end_second(now);
        }
    }

    /// Tells the host which cohorts have stopped to answer, or answer again: at most 64 in one turn.
    #[inline]
    pub(super) fn tell_cohorts(&mut self, now: Micros) {
        for _ in 0..TOLD_PER_TURN {
            let Some((change, view)) = self.core.foresight.news.pop_front() else {
                return;
            };
            self.call(now, |handler, io| handler.on_cohort(io, change, &view));
        }
    }

    /// Records that the latest heartbeat of a connection is late.
    pub(super) fn note_late(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        self.core.foresight.fleet.count_late(conn.role());
        if self.core.foresight.fleet.own_fault(now).is_some() {
            self.core.stats.lates_excused += 1;
            return;
        }
        let before = conn.lates.risk();
        conn.lates.on_late();
        let class = &mut self.core.stats.classes[usize::from(conn.class.0)];
        class.change_risk(before, conn.lates.risk());
        let cohort = conn.cohort;
        let peer = self.handler.peer_key(id);
        let peer = peer.unwrap_or(u64::from(id.generation()) << 32 | u64::from(id.slot_u32()));
        let news = self.core.foresight.cohorts.on_late(cohort, fold(peer), now);
        self.core.foresight.news.extend(news);
        if self.core.config.cadence.is_some() {
            self.core.choose_pace(id, now);
        }
    }
}

impl Core {
    /// Makes an open connection a member of its cohort. Dialled ones have none: their partners are
    /// servers that operators know.
    pub(crate) fn join_cohort(&mut self, id: ConnId, now: Micros) {
        if let Some(conn) = self.table.get_mut(id)
            && !conn.flags.has(Flag::Dialed)
        {
            let block = NetworkBlock::of(conn.peer_addr().ip());
            conn.cohort = self.foresight.cohorts.join(conn.class, block, now);
        }
    }

    fn end_second(&mut self, now: Micros) {
        let Foresight {
            cohorts,
            fleet,
            is_at_fault,
            ..
        } = &mut self.foresight;
        fleet.end_second(&self.stats.lateness, cohorts, now);
        let had_fault = std::mem::replace(is_at_fault, fleet.own_fault(now).is_some());
        // What was late before the fault was noticed is probably late because of it.
        let news = match *is_at_fault && !had_fault {
            true => cohorts.acquit(now),
            false => cohorts.expire(now),
        };
        self.foresight.news.extend(news);
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
/// of five peers have the same short key once in 430 million alarms.
fn fold(key: u64) -> u32 {
    let key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    (key >> 32) as u32
}
