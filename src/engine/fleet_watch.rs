//! The heartbeats of all connections together, and whether this process itself is the reason for
//! those that are late.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::cohort_view::{FleetView, OwnFault};
use crate::engine::cohorts::Cohorts;
use crate::engine::stats::Histogram;
use crate::wire::frame::Role;
use std::collections::VecDeque;

/// The number of latest heartbeats that are judged together.
const WINDOW: u64 = 1_000;

/// The least number of latest heartbeats of dialled connections that are judged together.
const DIALED_WINDOW: u64 = 20;

/// The most seconds that are kept. A fleet with fewer than 1 000 heartbeats in this time is too
/// small to be judged.
const SECONDS_MAX: usize = 600;

/// How long late heartbeats do not count after a fault of our own. A heartbeat that was sent within
/// a stall is found late after about this time.
const AFTER_FAULT: Micros = Micros::from_secs(5);

/// A deadline is handled too late if it is so by 2^17 µs, 0.13 s.
const LATENESS_POWER: u32 = 17;

const SECOND: Micros = Micros::from_secs(1);

/// Heartbeats of accepted connections, and of dialled ones.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    answered: [u64; 2],
    late: [u64; 2],
}

/// What was counted in one second, or in a longer time in which the loop slept.
#[derive(Debug, Clone, Copy)]
struct Second {
    begun: Micros,
    counts: Counts,
}

/// The latest heartbeats of all connections.
#[derive(Debug, Default)]
pub(crate) struct FleetWatch {
    current: Counts,
    seconds: VecDeque<Second>,
    /// The sum over `seconds`.
    sum: Counts,
    begun: Micros,
    /// The deadlines that were handled when the second began, and those that were so in time.
    handled: u64,
    in_time: u64,
    is_late: bool,
    /// A fault of our own, and until when late heartbeats do not count.
    own_fault: Option<(OwnFault, Micros)>,
}

impl FleetWatch {
    /// Counts an answered heartbeat of a connection of which this side has this role.
    #[inline]
    pub(crate) fn count_answer(&mut self, role: Role) {
        self.current.answered[usize::from(role == Role::Client)] += 1;
    }

    /// Counts a late heartbeat of a connection of which this side has this role.
    pub(crate) fn count_late(&mut self, role: Role) {
        self.current.late[usize::from(role == Role::Client)] += 1;
    }

    /// Records that the loop did not run for a while.
    pub(crate) fn on_stall(&mut self, now: Micros) {
        if !sabotage::on(Bug::OwnStallBlamed) {
            self.own_fault = Some((OwnFault::Stall, now + AFTER_FAULT));
        }
    }

    /// Returns why late heartbeats do not count now.
    pub(crate) fn own_fault(&self, now: Micros) -> Option<OwnFault> {
        let (fault, until) = self.own_fault?;
        (now < until).then_some(fault)
    }

    /// Returns when the second ends.
    pub(crate) fn second_end(&self) -> Micros {
        self.begun + SECOND
    }

    /// Returns whether [`end_second`](FleetWatch::end_second) must be called.
    #[inline]
    pub(crate) fn is_second_over(&self, now: Micros) -> bool {
        now >= self.second_end()
    }

    /// Judges the heartbeats up to now.
    pub(crate) fn end_second(&mut self, lateness: &Histogram, cohorts: &Cohorts, now: Micros) {
        let counts = std::mem::take(&mut self.current);
        self.seconds.push_back(Second {
            begun: self.begun,
            counts,
        });
        self.sum = self.sum.plus(counts);
        self.begun = now;
        while let Some(oldest) = self.seconds.front()
            && (self.seconds.len() > SECONDS_MAX
                || self.sum.minus(oldest.counts).judged(Role::Server) >= WINDOW)
        {
            self.sum = self.sum.minus(oldest.counts);
            self.seconds.pop_front();
        }
        if self.is_unpunctual(lateness) {
            self.own_fault = Some((OwnFault::Lateness, now + AFTER_FAULT));
        }
        let is_late =
            self.sum.judged(Role::Server) >= WINDOW && self.sum.is_mostly_late(Role::Server);
        if is_late
            && self.sum.judged(Role::Client) >= DIALED_WINDOW
            && self.sum.is_mostly_late(Role::Client)
        {
            self.own_fault = Some((OwnFault::Upstreams, now + AFTER_FAULT));
        }
        let since = self.seconds.front().map_or(now, |oldest| oldest.begun);
        self.is_late =
            is_late && self.own_fault(now).is_none() && cohorts.late_blocks_since(since, 2) == 2;
    }

    /// Returns a snapshot.
    pub(crate) fn view(&self, now: Micros) -> FleetView {
        FleetView {
            judged: self.sum.judged(Role::Server),
            late: self.sum.late[0],
            is_late: self.is_late,
            own_fault: self.own_fault(now),
        }
    }

    /// Returns whether one of a hundred deadlines of the last second was handled too late.
    fn is_unpunctual(&mut self, lateness: &Histogram) -> bool {
        let (handled, in_time) = (lateness.count(), lateness.below_power(LATENESS_POWER));
        let late = (handled - in_time) - (self.handled - self.in_time);
        let all = handled - self.handled;
        (self.handled, self.in_time) = (handled, in_time);
        late > 0 && late * 100 >= all
    }
}

impl Counts {
    fn judged(&self, role: Role) -> u64 {
        let side = usize::from(role == Role::Client);
        self.answered[side] + self.late[side]
    }

    /// Returns whether more than 30 % are late.
    fn is_mostly_late(&self, role: Role) -> bool {
        let side = usize::from(role == Role::Client);
        self.late[side] * 10 > self.judged(role) * 3
    }

    fn plus(self, other: Counts) -> Counts {
        self.with(other, |a, b| a + b)
    }

    fn minus(self, other: Counts) -> Counts {
        self.with(other, |a, b| a - b)
    }

    fn with(self, other: Counts, join: impl Fn(u64, u64) -> u64) -> Counts {
        let both = |a: [u64; 2], b: [u64; 2]| [join(a[0], b[0]), join(a[1], b[1])];
        Counts {
            answered: both(self.answered, other.answered),
            late: both(self.late, other.late),
        }
    }
}

#[cfg(test)]
mod tests;
