//! The public access to the relay's errands.

use super::gateway::Gateway;
use crate::engine::Io;
use crate::relay::{Job, JobReceiver, StartOutcome};

/// Work units for handling an outcome: the app may be removed from its session, and its glasses
/// told.
const OUTCOME_UNITS: u32 = 5;

impl Gateway {
    /// Returns the errands thread's end of the queue.
    pub fn errands(&self) -> JobReceiver {
        self.relay.jobs.shared()
    }

    /// Queues an errand: work for the errands thread. Returns `false` if the queue is full and the
    /// errand is lost.
    pub fn send_on(&mut self, errand: Job) -> bool {
        self.relay.jobs.push(errand)
    }

    /// Handles the outcome of a webhook that starts an app.
    pub fn errand_done(&mut self, io: &mut Io<'_>, number: u64, outcome: &StartOutcome) {
        io.spend(OUTCOME_UNITS);
        self.relay.start_done(io, number, outcome);
    }
}
