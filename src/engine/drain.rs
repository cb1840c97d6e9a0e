//! The progress of a drain.

use crate::base::id::TimerId;
use crate::base::spread::Spread;
use crate::base::time::Micros;

/// The progress of a drain.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DrainState {
    /// There is no drain.
    Off,
    /// The health check answers 503, so that load balancers notice. Connections are still accepted.
    Announced {
        until: Micros,
        spread: Micros,
        timer: TimerId,
    },
    /// Connections in the accept queue are accepted one last time; after that none is accepted.
    FinalAccept { since: Micros, spread: Micros },
    /// Connections are closed evenly over the spread. New connections are answered 503 if the
    /// listener is still open.
    Closing {
        spread: Spread,
        done: u64,
        cursor: u32,
    },
    /// Everything stops at once: every connection is dropped, and none is admitted.
    Stopped,
}

impl DrainState {
    /// Returns whether new connections are no longer admitted.
    pub(crate) fn is_shutting_down(&self) -> bool {
        matches!(self, DrainState::Closing { .. } | DrainState::Stopped)
    }
}
