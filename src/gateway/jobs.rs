//! The relay's jobs, as other threads reach them.

use super::gateway::Gateway;
use crate::engine::Io;
use crate::relay::{Job, JobReceiver, StartOutcome};

/// Work units for handling an outcome: the app may be removed from its session, and its glasses
/// told.
const OUTCOME_UNITS: u32 = 5;

impl Gateway {
    /// Returns the receiving end of the queue of jobs.
    pub fn jobs(&self) -> JobReceiver {
        self.products.relay.jobs.shared()
    }

    /// Queues a job for the thread `jobs`. Returns `false` if the queue is full and the job is
    /// lost.
    pub fn queue_job(&mut self, job: Job) -> bool {
        self.products.relay.jobs.push(job)
    }

    /// Handles the outcome of a webhook that starts an app.
    pub fn finish_start(&mut self, io: &mut Io<'_>, number: u64, outcome: &StartOutcome) {
        io.spend(OUTCOME_UNITS);
        self.products.relay.start_done(io, number, outcome);
    }
}
