//! Peers that were waited for in vain, for whoever keeps account of trouble.

use crate::cause::Cause;
use crate::host::{Handover, Identity, Sink};
use crate::time::Moment;

/// So many wait to be taken out; the oldest go first.
const MISSED_MAX: usize = 10_000;

/// A peer that was lost and did not come back within its grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// When it was given up.
    pub at: Moment,
    /// Whom.
    pub identity: Identity,
    /// For what its connection had ended.
    pub cause: Cause,
    /// Its connection was lost: neither side wanted it to end.
    pub lost: bool,
}

/// Where the loop puts them.
pub type MissedBox = Handover<Missed>;

/// The loop's side of the box.
pub(crate) type MissedSink = Sink<Missed, MISSED_MAX>;

impl MissedSink {
    /// Keeps a peer that has not come back. Without a cause it was never here: it is not missed.
    pub(in crate::relay) fn keep(&mut self, identity: &Identity, cause: Option<Cause>, lost: bool) {
        let Some(cause) = cause else { return };
        self.put(Missed {
            at: Moment::now(),
            identity: identity.clone(),
            cause,
            lost,
        });
    }
}
