//! The public access to the relay's errands.

use super::gateway::Gateway;
use crate::engine::Io;
use crate::relay::{Errand, ErrandBox, Outcome};

/// Work units for handling an outcome: the app may be removed from its session, and its glasses
/// told.
const OUTCOME_UNITS: u32 = 5;

impl Gateway {
    /// Returns the errands thread's end of the queue.
    pub fn errands(&self) -> ErrandBox {
        self.relay.errands.shared()
    }

    /// Queues an errand: work for the errands thread. Returns `false` if the queue is full and the
    /// errand is lost.
    pub fn send_on(&mut self, errand: Errand) -> bool {
        self.relay.errands.push(errand)
    }

    /// Handles the outcome of a webhook that starts an app.
    pub fn errand_done(&mut self, io: &mut Io<'_>, number: u64, outcome: &Outcome) {
        io.spend(OUTCOME_UNITS);
        self.relay.errand_done(io, number, outcome);
    }
}
