//! The queue of peers that did not come back in time, read by the thread that raises alerts.

use crate::base::cause::Cause;
use crate::base::time::Timestamp;
use crate::host::Identity;
use crate::mail::{self, Limits, LoopSender, Overflow, QueueItem, Receiver};
use crate::relay::role::Role;
use crate::relay::session::Parting;

/// The limits of the queue; the oldest entries are dropped first.
const LIMITS: Limits = Limits {
    count: 10_000,
    bytes: 16 << 20,
};

/// A peer that was lost and did not come back within its grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// When the gateway stopped waiting for the peer.
    pub at: Timestamp,
    /// The peer.
    pub identity: Identity,
    /// The cause for which its last connection ended.
    pub cause: Cause,
    /// Whether the peer's last connection was lost: neither side closed it on purpose.
    pub lost: bool,
}

impl QueueItem for Missed {
    fn bytes(&self) -> usize {
        let package = match Role::of(&self.identity) {
            Role::Glasses => 0,
            Role::App(package) => package.len(),
        };
        size_of::<Self>() + self.identity.user.len() + package
    }
}

/// The reader's end of the queue, for another thread.
pub type MissedBox = Receiver<Missed>;

/// The loop's end of the queue.
pub(crate) struct MissedSink(LoopSender<Missed>);

impl Default for MissedSink {
    fn default() -> Self {
        MissedSink(mail::from_loop(LIMITS, Overflow::DropOldest).0)
    }
}

impl MissedSink {
    pub(crate) fn shared(&self) -> MissedBox {
        self.0.receiver()
    }

    /// Queues a peer that has not come back. A place that never had a connection is not reported.
    pub(in crate::relay) fn keep(&mut self, identity: &Identity, parting: Option<Parting>) {
        let Some(parting) = parting else { return };
        // The newest entry always finds room: the oldest ones are dropped.
        let _ = self.0.send(Missed {
            at: Timestamp::now(),
            identity: identity.clone(),
            cause: parting.cause,
            lost: parting.lost,
        });
    }
}
