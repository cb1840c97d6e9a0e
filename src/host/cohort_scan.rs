//! Listing cohorts, in slices that do not delay the loop.

use crate::base::time::Micros;
use crate::engine::{Class, CohortView, FleetView, Io, NetworkBlock};
use crate::query::SliceCost;
use ipnet::IpNet;

/// CPU time to look at a cohort and to copy it, in ns.
const COHORT_NS: u32 = 100;

/// A filter of cohorts. The default excludes none.
#[derive(Debug, Clone, Copy, Default)]
pub struct CohortFilter {
    /// Only cohorts of this class.
    pub class: Option<Class>,
    /// Only cohorts whose block has an address in this one.
    pub block: Option<IpNet>,
    /// Only cohorts with an alarm.
    pub alarmed: bool,
    /// Only cohorts whose score is at least this, in percent.
    pub least_score_percent: u32,
}

/// The cohorts that match a filter, in no order.
#[derive(Debug, Clone, Default)]
pub struct CohortPage {
    /// The engine time at the end of the scan.
    pub now: Micros,
    /// How many cohorts there are, whether they match or not.
    pub total: usize,
    /// How many of all cohorts have an alarm.
    pub alarmed: usize,
    /// The latest heartbeats of all connections together.
    pub fleet: FleetView,
    /// The cohorts that match. Each was copied at some moment of the scan.
    pub cohorts: Vec<CohortView>,
}

/// A scan of all cohorts in progress.
#[derive(Debug, Default)]
pub struct CohortScan {
    filter: CohortFilter,
    /// The place in the engine's table at which the next slice begins.
    next: usize,
    found: Vec<CohortView>,
}

impl CohortScan {
    /// Starts a scan.
    pub fn new(filter: CohortFilter) -> Self {
        CohortScan {
            filter,
            ..CohortScan::default()
        }
    }

    /// Runs one slice. Returns the cohorts once all were looked at.
    pub fn step(&mut self, io: &mut Io<'_>) -> Option<CohortPage> {
        let mut slice_cost = SliceCost::default();
        let mut rest = io.cohorts_from(self.next);
        let is_complete = loop {
            if slice_cost.is_spent() {
                break false;
            }
            let Some(view) = rest.next() else { break true };
            slice_cost.add(COHORT_NS);
            self.next += 1;
            if self.filter.admits(&view) {
                self.found.push(view);
            }
        };
        drop(rest);
        slice_cost.spend(io);
        is_complete.then(|| CohortPage {
            now: io.now(),
            total: self.next,
            alarmed: io.cohorts_alarmed(),
            fleet: io.fleet(),
            cohorts: std::mem::take(&mut self.found),
        })
    }
}

impl CohortFilter {
    fn admits(&self, view: &CohortView) -> bool {
        self.class.is_none_or(|class| class == view.class)
            && (!self.alarmed || view.alarmed_for.is_some())
            && view.score_percent >= self.least_score_percent
            && self.block.is_none_or(|block| {
                let first = view.block.first_address();
                // One of the two contains the other, or they have no address in common.
                block.contains(&first) || NetworkBlock::of(block.addr()) == view.block
            })
    }
}
