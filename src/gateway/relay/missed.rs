//! Peers that were waited for in vain, for whoever keeps account of trouble.

use crate::cause::Cause;
use crate::gateway::Identity;
use crate::time::UnixMillis;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// So many wait to be taken out; the oldest go first.
const MISSED_MAX: usize = 10_000;

/// A peer that was lost and did not come back within its grace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// When it was given up.
    pub at: UnixMillis,
    /// Whom.
    pub identity: Identity,
    /// For what its connection had ended.
    pub cause: Cause,
}

/// Where the loop puts them. Cheap to clone; all clones are one box.
#[derive(Debug, Clone, Default)]
pub struct MissedBox(Arc<Mutex<VecDeque<Missed>>>);

impl MissedBox {
    /// Takes out what has come in since the last time, oldest first.
    pub fn take(&self) -> VecDeque<Missed> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The loop's side of the box.
#[derive(Debug, Default)]
pub(super) struct MissedSink {
    shared: MissedBox,
    /// What could not be put into the box yet: somebody was looking into it.
    held_back: VecDeque<Missed>,
}

impl MissedSink {
    pub(super) fn shared(&self) -> MissedBox {
        self.shared.clone()
    }

    /// Keeps a peer that has not come back. Without a cause it was never here: it is not missed.
    pub(super) fn keep(&mut self, identity: &Identity, cause: Option<Cause>) {
        let Some(cause) = cause else { return };
        self.held_back.push_back(Missed {
            at: UnixMillis::now(),
            identity: identity.clone(),
            cause,
        });
        let mut shared = match self.shared.0.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return bound(&mut self.held_back),
        };
        shared.append(&mut self.held_back);
        bound(&mut shared);
    }
}

fn bound(missed: &mut VecDeque<Missed>) {
    while missed.len() > MISSED_MAX {
        missed.pop_front();
    }
}
