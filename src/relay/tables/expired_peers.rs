//! The queue of peers that did not come back in time, read by the thread that raises alerts.

use crate::base::cause::Cause;
use crate::base::time::Timestamp;
use crate::host::Identity;
use crate::mail::{self, Limits, LoopSender, Overflow, QueueItem, Receiver};
use crate::relay::role::PeerRole;
use crate::relay::session::LastEnding;

/// The limits of the queue; the oldest entries are dropped first.
const LIMITS: Limits = Limits {
    count: 10_000,
    bytes: 16 << 20,
};

/// A peer that was lost and did not come back within its grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredPeer {
    /// When the gateway stopped waiting for the peer.
    pub at: Timestamp,
    /// The peer.
    pub identity: Identity,
    /// The cause for which its last connection ended.
    pub cause: Cause,
    /// Whether the peer's last connection was lost: neither side closed it on purpose.
    pub lost: bool,
}

impl QueueItem for ExpiredPeer {
    fn bytes(&self) -> usize {
        let package = match PeerRole::of(&self.identity) {
            PeerRole::Glasses => 0,
            PeerRole::App(package) => package.len(),
        };
        size_of::<Self>() + self.identity.user.len() + package
    }
}

/// The reader's end of the queue of peers that did not come back in time, for another thread.
pub type ExpiredReceiver = Receiver<ExpiredPeer>;

/// The loop's end of the queue of peers that did not come back in time.
pub(crate) struct ExpiredSender(LoopSender<ExpiredPeer>);

impl Default for ExpiredSender {
    fn default() -> Self {
        ExpiredSender(mail::from_loop(LIMITS, Overflow::DropOldest).0)
    }
}

impl ExpiredSender {
    pub(crate) fn shared(&self) -> ExpiredReceiver {
        self.0.receiver()
    }

    /// Queues a peer that has not come back. A slot that never had a connection is not reported.
    pub(in crate::relay) fn record(
        &mut self,
        identity: &Identity,
        last_ending: Option<LastEnding>,
    ) {
        let Some(last_ending) = last_ending else {
            return;
        };
        // The newest entry always finds room: the oldest ones are dropped.
        let _ = self.0.send(ExpiredPeer {
            at: Timestamp::now(),
            identity: identity.clone(),
            cause: last_ending.cause,
            lost: last_ending.lost,
        });
    }
}
