//! The plain HTTP requests at one address: those in progress, and how many were answered. They end
//! outside the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the plain HTTP requests at one address.
#[derive(Debug, Default)]
pub(in crate::bridge) struct RequestCount(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    running: AtomicU64,
    answered: AtomicU64,
}

/// A request in progress, which counts until it is dropped.
#[derive(Debug)]
pub(in crate::bridge) struct InFlight(Arc<Counts>);

impl RequestCount {
    /// Returns how many requests are in progress.
    pub(super) fn running(&self) -> u64 {
        self.0.running.load(Ordering::Relaxed)
    }

    /// Returns how many requests were answered since the start.
    pub(in crate::bridge) fn answered(&self) -> u64 {
        self.0.answered.load(Ordering::Relaxed)
    }

    /// Counts a request, until the returned value is dropped.
    pub(in crate::bridge) fn begin(&self) -> InFlight {
        self.0.running.fetch_add(1, Ordering::Relaxed);
        InFlight(self.0.clone())
    }
}

impl InFlight {
    /// Notes that the request was answered.
    pub(in crate::bridge) fn answered(&self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
