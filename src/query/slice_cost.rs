//! The cost of one slice of work.

use super::queue::SLICE_UNITS;
use crate::engine::Io;

/// Sums the cost of one slice, in ns of CPU as measured by `benches/micro/operator.rs` for the
/// steps of each walk.
#[derive(Debug, Default)]
pub(crate) struct SliceCost {
    ns: u32,
}

impl SliceCost {
    /// Adds a step of this many ns to the cost of the slice.
    pub(crate) fn add(&mut self, ns: u32) {
        self.ns = self.ns.saturating_add(ns);
    }

    /// Returns whether the slice is used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.units() >= SLICE_UNITS
    }

    /// Returns whether a step of this many ns would exceed the slice.
    pub(crate) fn is_exceeded_by(&self, ns: u32) -> bool {
        self.ns.saturating_add(ns) > SLICE_UNITS * 1_000
    }

    /// Charges the slice to the budget of the turn.
    pub(crate) fn spend(self, io: &mut Io<'_>) {
        io.spend(self.units());
    }

    fn units(&self) -> u32 {
        self.ns.div_ceil(1_000)
    }
}
