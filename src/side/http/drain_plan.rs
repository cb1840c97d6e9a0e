//! When the connections of plain HTTP end during a drain.

use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long requests in progress may take beyond the end of a drain.
const PATIENCE: Duration = Duration::from_secs(2);

/// The times of a drain.
#[derive(Debug, Clone, Copy)]
pub(super) struct DrainPlan {
    from: Instant,
    spread: Duration,
}

impl DrainPlan {
    /// Returns when a connection without a request is closed; `part` of the spread, from 0 to 1, is
    /// its turn.
    pub(super) fn close_at(&self, part: f64) -> Instant {
        self.from + self.spread.mul_f64(part)
    }

    /// Returns from when on a connection is closed behind its present answer.
    pub(super) fn last_answer_at(&self) -> Instant {
        self.from
    }

    /// Returns when a request in progress is cut off.
    pub(super) fn cut_at(&self) -> Instant {
        self.from + self.spread + PATIENCE
    }
}

/// Starts the drain of plain HTTP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpDrain(watch::Sender<Option<DrainPlan>>);

impl Default for HttpDrain {
    fn default() -> Self {
        HttpDrain(watch::Sender::new(None))
    }
}

impl HttpDrain {
    /// Starts a drain: after `delay` each answer is the last one of its connection, and connections
    /// without a request are closed evenly over `spread`. Requests that take longer than that are
    /// cut off. A second drain can only end it earlier.
    pub fn start(&self, delay: Duration, spread: Duration) {
        let plan = DrainPlan {
            from: Instant::now() + delay,
            spread,
        };
        self.0.send_if_modified(|before| {
            let is_earlier = before.is_none_or(|before| plan.cut_at() < before.cut_at());
            if is_earlier {
                *before = Some(plan);
            }
            is_earlier
        });
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<DrainPlan>> {
        self.0.subscribe()
    }
}
