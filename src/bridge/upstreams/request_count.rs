//! The plain HTTP requests that are in progress at one address. They end outside the loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many plain HTTP requests are in progress at one address.
#[derive(Debug, Default)]
pub(in crate::bridge) struct RequestCount(Arc<AtomicU64>);

/// A request in progress, which counts until it is dropped.
#[derive(Debug)]
pub(in crate::bridge) struct InFlight(Arc<AtomicU64>);

impl RequestCount {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts a request, until the returned value is dropped.
    pub(in crate::bridge) fn begin(&self) -> InFlight {
        self.0.fetch_add(1, Ordering::Relaxed);
        InFlight(self.0.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
