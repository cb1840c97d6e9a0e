//! How far a drain or a stop is.

use crate::base::id::TimerId;
use crate::base::spread::Spread;
use crate::base::time::Micros;

/// How far a drain is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Drain {
    /// There is none.
    No,
    /// The health check answers 503; load balancers are given time to notice, and connections are still accepted.
    Announced {
        until: Micros,
        spread: Micros,
        timer: TimerId,
    },
    /// Who waits in the accept queue is taken in once more; then nobody is.
    LastAccept { since: Micros, spread: Micros },
    /// Connections are closed, evenly over the spread; newcomers are told 503, if the listener is still open.
    Closing {
        spread: Spread,
        done: u64,
        cursor: u32,
    },
    /// Everything stops at once: every connection is dropped, and none is admitted.
    Stopped,
}

impl Drain {
    /// Returns whether no connection is admitted any more.
    pub(crate) fn is_leaving(&self) -> bool {
        matches!(self, Drain::Closing { .. } | Drain::Stopped)
    }
}
