//! The loop's errands, from outside.

use super::gateway::Gateway;
use crate::engine::Io;
use crate::relay::{Errand, ErrandBox, Outcome};

/// What it costs to take an outcome in: an app may be taken out of its session, and its glasses told.
const OUTCOME_UNITS: u32 = 5;

impl Gateway {
    /// Where the errands thread finds its errands.
    pub fn errands(&self) -> ErrandBox {
        self.relay.errands.shared()
    }

    /// Has the errands thread do something. `false`: it will not, too many errands wait.
    pub fn send_on(&mut self, errand: Errand) -> bool {
        self.relay.errands.push(errand)
    }

    /// The outcome of a start.
    pub fn errand_done(&mut self, io: &mut Io<'_>, number: u64, outcome: &Outcome) {
        io.spend(OUTCOME_UNITS);
        self.relay.errand_done(io, number, outcome);
    }
}
