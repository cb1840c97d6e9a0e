//! Whether the loop turns, for the probe that ends a process which hangs.

use crate::gateway::GatewayQueries;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// The time from one step to the next.
const STEP: Duration = Duration::from_secs(1);

/// After this many steps without an answer the loop hangs. It turns many times in a millisecond,
/// and no stall of a machine that is merely slow takes so long.
const HUNG_STEPS: u32 = 10;

/// Whether the loop has answered lately.
///
/// Steps are counted, and not time: while the whole process stands still, there are none, and the
/// loop is not blamed for it.
#[derive(Debug, Default)]
pub(super) struct LoopLiveness {
    /// Whether a question waits for its answer.
    is_asked: AtomicBool,
    /// Steps since the last answer.
    missed: AtomicU32,
}

impl LoopLiveness {
    /// Counts a step. Returns whether the loop is to be asked now.
    fn step(&self) -> bool {
        let is_waiting = self.is_asked.swap(true, Ordering::Relaxed);
        if is_waiting {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
        !is_waiting
    }

    /// Notes that the loop could not be asked, because too many questions wait already.
    fn not_asked(&self) {
        self.missed.fetch_add(1, Ordering::Relaxed);
        self.is_asked.store(false, Ordering::Relaxed);
    }

    /// Notes that the loop has answered.
    fn answered(&self) {
        self.missed.store(0, Ordering::Relaxed);
        self.is_asked.store(false, Ordering::Relaxed);
    }

    /// Returns whether the loop has not turned for ten seconds.
    pub(super) fn is_hung(&self) -> bool {
        self.missed.load(Ordering::Relaxed) >= HUNG_STEPS
    }
}

/// Asks the loop once a step, until the process ends.
pub(super) async fn run(liveness: Arc<LoopLiveness>, queries: GatewayQueries) {
    loop {
        tokio::time::sleep(STEP).await;
        if liveness.step() {
            let asked = liveness.clone();
            if queries.send(move |_, _| asked.answered()).is_err() {
                liveness.not_asked();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_steps_without_an_answer_are_a_loop_that_hangs() {
        let liveness = LoopLiveness::default();
        for _ in 0..100 {
            assert!(liveness.step(), "it is asked again after each answer");
            liveness.answered();
        }
        assert!(liveness.step());
        for missed in 1..=20 {
            assert!(!liveness.step(), "one question waits");
            assert_eq!(liveness.is_hung(), missed >= 10, "{missed}");
        }
        liveness.answered();
        assert!(!liveness.is_hung());
        // The queue of questions is full because nothing takes them, or for a moment.
        for missed in 1..=20 {
            assert!(liveness.step());
            liveness.not_asked();
            assert_eq!(liveness.is_hung(), missed >= 10, "{missed}");
        }
        assert!(liveness.step());
        liveness.answered();
        assert!(!liveness.is_hung());
    }
}
