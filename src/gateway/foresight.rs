//! What late heartbeats say, for operators: of cohorts, and of all connections.

use crate::engine::{CohortView, FleetView, Io, OwnFault};
use crate::health::CohortChange;
use crate::host::{Classes, Identity, LineBudget};
use std::cmp::Reverse;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The most cohorts with an alarm that a [`Snapshot`](super::Snapshot) has; it counts the others.
pub const ALARMED_MAX: usize = 20;

/// What late heartbeats say about cohorts and about all connections, at one moment.
#[derive(Debug, Clone, Default)]
pub struct ForesightSnapshot {
    /// The latest heartbeats of all accepted connections.
    pub fleet: FleetView,
    /// Cohorts, at most 4 096.
    pub cohorts: usize,
    /// Cohorts with an alarm.
    pub cohorts_alarmed: usize,
    /// Of those, the [`ALARMED_MAX`] with the most connections, largest first.
    pub alarmed: Vec<CohortView>,
    /// Alarms that have begun, and alarms that have ended, since the start.
    pub changes: u64,
}

/// A value that differs after an alarm of a cohort has begun or ended, after the fleet has become
/// late or has recovered, and after this process was found at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ForesightMark {
    changes: u64,
    is_fleet_late: bool,
    own_fault: Option<OwnFault>,
}

/// What the gateway keeps of cohorts, beside the engine.
#[derive(Debug, Default)]
pub(super) struct CohortWatch {
    /// Alarms that have begun, and alarms that have ended.
    changes: u64,
    lines: LineBudget,
    /// Seeded at random, so that peers cannot choose identities that count as one.
    hasher: RandomState,
}

impl ForesightSnapshot {
    /// Returns the mark of this moment.
    pub fn mark(&self) -> ForesightMark {
        ForesightMark {
            changes: self.changes,
            is_fleet_late: self.fleet.is_late,
            own_fault: self.fleet.own_fault,
        }
    }
}

impl CohortWatch {
    /// Returns a number for the peer with this identity.
    pub(super) fn peer_number(&self, identity: &Identity) -> u64 {
        self.hasher.hash_one(identity)
    }

    /// Returns what late heartbeats say. Cohorts are looked through only if one has an alarm.
    pub(super) fn snapshot(&self, io: &Io<'_>) -> ForesightSnapshot {
        let cohorts_alarmed = io.cohorts_alarmed();
        let mut alarmed: Vec<CohortView> = Vec::new();
        if cohorts_alarmed > 0 {
            alarmed.extend(io.cohorts().filter(|cohort| cohort.alarmed_for.is_some()));
            alarmed.sort_unstable_by_key(|cohort| Reverse(cohort.connections));
            alarmed.truncate(ALARMED_MAX);
        }
        ForesightSnapshot {
            fleet: io.fleet(),
            cohorts: io.cohorts().len(),
            cohorts_alarmed,
            alarmed,
            changes: self.changes,
        }
    }

    /// Returns the mark of [`snapshot`](Self::snapshot), without looking at cohorts.
    pub(super) fn mark(&self, io: &Io<'_>) -> ForesightMark {
        let fleet = io.fleet();
        ForesightMark {
            changes: self.changes,
            is_fleet_late: fleet.is_late,
            own_fault: fleet.own_fault,
        }
    }

    /// Counts and logs that the peers of a cohort have stopped answering, or answer again.
    pub(super) fn on_cohort(
        &mut self,
        io: &Io<'_>,
        change: CohortChange,
        cohort: &CohortView,
        classes: &Classes,
    ) {
        self.changes += 1;
        let (level, state, effect) = match change {
            CohortChange::Alarmed => (
                log::Level::Warn,
                "late",
                " effect=\"its peers have stopped answering together; none is closed because of \
                 it\"",
            ),
            CohortChange::Cleared => (log::Level::Info, "answers", ""),
        };
        if log::log_enabled!(level) && self.lines.admit(io.now(), "cohort") {
            log::log!(
                level,
                "cohort state={state} class={} block={} connections={} late_peers={} \
                 usual_late_permille={} alarms={}{effect}",
                classes.name(cohort.class),
                cohort.block,
                cohort.connections,
                cohort.late_peers,
                cohort.usual_late_permille,
                io.cohorts_alarmed(),
            );
        }
    }
}
