//! The jobs that the gateway gives to its side threads, and their results.

use super::start::Fleet;
use pulsegate::Micros;
use pulsegate::gateway::{Job, StartOutcome, StateJob, WebhookJob};

/// Users and packages.
pub type Noted = Vec<(String, String)>;

impl Fleet {
    fn jobs(&mut self, pick: impl Fn(&Job) -> Option<u64>) -> Vec<u64> {
        self.taken.extend(self.jobs.take());
        let picked: Vec<u64> = self.taken.iter().filter_map(&pick).collect();
        self.taken.retain(|job| pick(job).is_none());
        picked
    }

    /// Returns the numbers of starts requested since the last call.
    pub fn starts(&mut self) -> Vec<u64> {
        self.jobs(|job| match job {
            Job::Webhook(WebhookJob::Start { number, .. }) => Some(*number),
            _ => None,
        })
    }

    /// Returns the numbers of starts cancelled since the last call.
    pub fn cancelled(&mut self) -> Vec<u64> {
        self.jobs(|job| match job {
            Job::Webhook(WebhookJob::Cancel { number }) => Some(*number),
            _ => None,
        })
    }

    /// Returns the number of stops requested since the last call.
    pub fn stops(&mut self) -> usize {
        self.jobs(|job| matches!(job, Job::Webhook(WebhookJob::Stop { .. })).then_some(0))
            .len()
    }

    /// Returns what the state file should remember and forget, since the last call.
    pub fn noted(&mut self) -> (Noted, Noted) {
        self.taken.extend(self.jobs.take());
        let mut noted = (Vec::new(), Vec::new());
        for job in std::mem::take(&mut self.taken) {
            match job {
                Job::State(StateJob::Remember { user, package }) => {
                    noted.0.push((user.into(), package.into()))
                }
                Job::State(StateJob::Forget { user, package }) => {
                    noted.1.push((user.into(), package.into()))
                }
                _ => {}
            }
        }
        noted
    }

    /// Returns what the state file should remember, since the last call.
    pub fn remembered(&mut self) -> Vec<(String, String)> {
        self.noted().0
    }

    pub fn answer(&mut self, number: u64) {
        self.done(number, StartOutcome::Answered);
    }

    pub fn fail(&mut self, number: u64, why: &str) {
        self.done(number, StartOutcome::Failed(why.into()));
    }

    /// Reports that the server failed, and is asked again after this many ms.
    pub fn again(&mut self, number: u64, ms: u64) {
        let after = Micros::from_millis(ms);
        self.done(number, StartOutcome::Again { after });
    }

    pub fn done(&mut self, number: u64, outcome: StartOutcome) {
        self.net
            .with_io(|gateway, io| gateway.finish_start(io, number, &outcome));
        self.net.settle();
    }
}
