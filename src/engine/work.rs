//! The work budget of a turn: how much work peers may cause before the loop checks its deadlines
//! again.
//!
//! Work is counted in units, not in time: the engine reads no clock, and the same input costs the
//! same everywhere. A unit is about a microsecond of CPU. Connections share a turn by deficit round
//! robin (Shreedhar and Varghese, 1995). Each gets its share; if the last frame of a connection
//! exceeds it, the connection pays the difference in its next turns.

use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::engine::stats::Stats;

/// The units of work that the input of all connections may cost in one turn. A unit is about a
/// microsecond of CPU.
pub const TURN_UNITS: u32 = 2_000;

/// One connection's share: the units of work that its input may cost in one turn. Its last frame
/// may exceed it.
pub const SHARE_UNITS: u32 = 200;

/// The part of a turn's units reserved for final checks at connections that seem stale.
const FINAL_CHECK_UNITS: u32 = 200;

/// The part of a turn's units reserved for connections whose input exceeded their last share.
const HEAVY_UNITS: u32 = 600;

/// The most final checks, and so stale closes, in one turn.
pub(crate) const FINAL_CHECKS_PER_TURN: usize = 64;

/// The work on heartbeats that may be late in one turn: 1 for each that was answered, and
/// [`LATE_JUDGEMENT`] more for each other one, whose socket is read and whose kernel is asked.
pub(crate) const LATE_PER_TURN: usize = 2_048;

pub(crate) const LATE_JUDGEMENT: usize = 31;

/// The units of work that a request head costs: parsing it, the verdict, the answer.
pub(crate) const REQUEST_UNITS: u32 = 32;

/// The units of work that the end of a stream costs. It causes work in the last step of the turn:
/// the host is told and the socket is closed.
pub(crate) const END_UNITS: u32 = 16;

/// The most connections released in one turn; closing a socket is the most expensive system call.
/// The rest wait for the next turn.
pub(crate) const ENDS_PER_TURN: usize = 128;

/// The most timers and deadlines that fire in one turn, at one unit each. The rest follow in the
/// next turn, in order.
pub(crate) const DEADLINES_PER_TURN: u32 = 2_048;

/// Bytes of input that cost one unit.
const BYTES_PER_UNIT: usize = 4 * 1024;

/// The smallest debt that is recorded for a connection at rest. Recording it takes memory.
const DEBT_MIN: u32 = 16;

/// The units spent in this turn, and the connection that spends them.
#[derive(Debug, Default)]
pub(crate) struct WorkBudget {
    /// Units spent on input in this turn.
    turn: u32,
    /// The connection whose input is being processed.
    current: Option<ConnId>,
    /// The units that this connection may spend in this turn, and the units that it has spent.
    allowed: u32,
    spent: u32,
    /// Bytes of input that are not counted yet, because they are less than one unit.
    bytes: usize,
    /// The units spent when the final checks of this turn began.
    final_checks_from: Option<u32>,
}

impl WorkBudget {
    /// Counts `units` of work of any kind.
    pub(crate) fn spend(&mut self, units: u32, stats: &mut Stats) {
        stats.work_units += u64::from(units);
        if self.current.is_some() {
            self.turn = self.turn.saturating_add(units);
            self.spent = self.spent.saturating_add(units);
        }
    }

    /// Counts the work for an answered heartbeat. It is not charged to the connection's share.
    pub(crate) fn spend_on_pong(&mut self, stats: &mut Stats) {
        stats.work_units += 1;
        self.turn = self.turn.saturating_add(1);
    }

    /// Counts the work for the end of a connection. It is not charged to a share.
    pub(crate) fn spend_on_end(&mut self, units: u32, stats: &mut Stats) {
        stats.work_units += u64::from(units);
        self.turn = self.turn.saturating_add(units);
    }

    /// Counts the work for this many bytes of input.
    pub(crate) fn spend_bytes(&mut self, bytes: usize, stats: &mut Stats) {
        self.bytes += bytes;
        let units = self.bytes / BYTES_PER_UNIT;
        self.bytes %= BYTES_PER_UNIT;
        self.spend(u32::try_from(units).unwrap_or(u32::MAX), stats);
    }

    /// Returns whether this is the connection whose input is being processed now.
    pub(crate) fn is_current(&self, id: ConnId) -> bool {
        self.current == Some(id)
    }

    /// Begins the share of a connection that owes `debt` units. Returns the remaining debt after
    /// this turn; if it is above zero, the connection gets no units now.
    pub(crate) fn begin_share(&mut self, id: ConnId, debt: u32) -> u32 {
        self.current = Some(id);
        self.spent = 0;
        self.allowed = SHARE_UNITS.saturating_sub(debt);
        debt.saturating_sub(SHARE_UNITS)
    }

    /// Ends the share of the current connection. Returns the connection and the units that it owes.
    pub(crate) fn end_share(&mut self) -> Option<(ConnId, u32)> {
        let id = self.current.take()?;
        let debt = self.spent.saturating_sub(self.allowed);
        Some((id, if debt < DEBT_MIN { 0 } else { debt }))
    }

    /// Returns whether the current connection may spend more in this turn.
    pub(crate) fn can_continue(&self) -> bool {
        self.spent < self.allowed && self.turn_has_room() || sabotage::on(Bug::BudgetIgnored)
    }

    /// Returns whether any connection may spend more in this turn.
    pub(crate) fn turn_has_room(&self) -> bool {
        let most = self
            .final_checks_from
            .unwrap_or(TURN_UNITS - 2 * FINAL_CHECK_UNITS)
            + FINAL_CHECK_UNITS;
        self.turn < most || sabotage::on(Bug::BudgetIgnored)
    }

    /// Returns whether connections that stayed within their last share may spend more in this turn.
    pub(crate) fn turn_has_light_room(&self) -> bool {
        self.turn < TURN_UNITS - FINAL_CHECK_UNITS - HEAVY_UNITS || sabotage::on(Bug::BudgetIgnored)
    }

    /// Begins the final checks of this turn. They have their own units, even if reading has
    /// overshot.
    pub(crate) fn begin_final_checks(&mut self) {
        self.final_checks_from.get_or_insert(self.turn);
    }

    /// Returns whether another heartbeat may be judged in this turn, for which input is read. The
    /// judgements have half of the units of the final checks, which follow.
    pub(crate) fn late_has_room(&mut self) -> bool {
        let from = *self.final_checks_from.get_or_insert(self.turn);
        self.turn < from + FINAL_CHECK_UNITS / 2
    }

    /// Returns the units spent by the current connection so far.
    pub(crate) fn spent(&self) -> u32 {
        self.spent
    }

    /// Ends the turn and adds its units to the statistics.
    pub(crate) fn end_turn(&mut self, stats: &mut Stats) {
        stats.turn_units_max = stats.turn_units_max.max(self.turn);
        self.turn = 0;
        self.final_checks_from = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cause::CauseTable;

    #[test]
    fn a_share_is_paid_back_by_the_turn() {
        let (mut work, mut stats) = (WorkBudget::default(), Stats::new(1, CauseTable::with(&[])));
        let id = ConnId::new(3, 1);
        assert_eq!(work.begin_share(id, 0), 0);
        work.spend(SHARE_UNITS - 1, &mut stats);
        assert!(work.can_continue());
        work.spend(2 * SHARE_UNITS + 1, &mut stats);
        assert!(!work.can_continue());
        let (_, debt) = work.end_share().expect("a share");
        assert_eq!(debt, 2 * SHARE_UNITS);
        let debt = work.begin_share(id, debt);
        assert!(debt == SHARE_UNITS && !work.can_continue());
        let debt = work.begin_share(id, debt);
        assert!(debt == 0 && !work.can_continue());
        assert!(work.begin_share(id, debt) == 0 && work.can_continue());
    }

    #[test]
    fn bytes_add_up_over_calls() {
        let (mut work, mut stats) = (WorkBudget::default(), Stats::new(1, CauseTable::with(&[])));
        work.begin_share(ConnId::new(0, 1), 0);
        for _ in 0..8 {
            work.spend_bytes(1_024, &mut stats);
        }
        assert_eq!((work.spent(), stats.work_units), (2, 2));
    }

    #[test]
    fn a_turn_ends_for_all_when_its_units_are_spent() {
        let (mut work, mut stats) = (WorkBudget::default(), Stats::new(1, CauseTable::with(&[])));
        for slot in 0..TURN_UNITS / SHARE_UNITS {
            if !work.turn_has_room() {
                work.begin_final_checks();
            }
            assert!(work.turn_has_room());
            work.begin_share(ConnId::new(slot, 1), 0);
            work.spend(SHARE_UNITS, &mut stats);
            work.end_share();
        }
        assert!(!work.turn_has_room());
        work.end_turn(&mut stats);
        assert!(work.turn_has_room());
        assert_eq!(stats.turn_units_max, TURN_UNITS);
    }
}
