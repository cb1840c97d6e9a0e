//! Peers that were waited for in vain, for whoever keeps account of trouble.

use crate::base::cause::Cause;
use crate::base::time::Moment;
use crate::host::Identity;
use crate::mail::{self, Limits, LoopSender, Mail, Overflow, Receiver};
use crate::relay::role::Role;
use crate::relay::session::Parting;

/// The most that wait to be taken out; the oldest go first.
const LIMITS: Limits = Limits {
    count: 10_000,
    bytes: 16 << 20,
};

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

impl Mail for Missed {
    fn bytes(&self) -> usize {
        let package = match Role::of(&self.identity) {
            Role::Glasses => 0,
            Role::App(package) => package.len(),
        };
        size_of::<Self>() + self.identity.user.len() + package
    }
}

/// Where another thread takes them out.
pub type MissedBox = Receiver<Missed>;

/// The loop's end of it.
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

    /// Keeps a peer that has not come back. Without a parting it was never here: it is not missed.
    pub(in crate::relay) fn keep(&mut self, identity: &Identity, parting: Option<Parting>) {
        let Some(parting) = parting else { return };
        // The newest finds room always, and the oldest are lost.
        let _ = self.0.post(Missed {
            at: Moment::now(),
            identity: identity.clone(),
            cause: parting.cause,
            lost: parting.lost,
        });
    }
}
