//! The calls that a handler received, which a test on another thread waits for.

use super::PATIENCE;
use std::fmt::Debug;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The calls that a handler received, in order.
pub struct Calls<T> {
    list: Mutex<Vec<T>>,
    changed: Condvar,
}

/// The most calls that the message of a failed wait shows.
const SHOWN_MAX: usize = 50;

impl<T> Default for Calls<T> {
    fn default() -> Calls<T> {
        Calls {
            list: Mutex::default(),
            changed: Condvar::new(),
        }
    }
}

impl<T: Debug> Calls<T> {
    /// Returns the calls so far. The handler waits until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a call.
    pub fn add(&self, call: T) {
        self.lock().push(call);
        self.changed.notify_all();
    }

    /// Waits until `find` finds something in the calls.
    #[track_caller]
    pub fn wait_for<R>(&self, what: &str, mut find: impl FnMut(&[T]) -> Option<R>) -> R {
        let deadline = Instant::now() + PATIENCE;
        let mut list = self.lock();
        loop {
            if let Some(found) = find(&list) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let latest = &list[list.len().saturating_sub(SHOWN_MAX)..];
            assert!(
                !left.is_zero(),
                "{what}: not within {PATIENCE:?}: {latest:?}"
            );
            let waited = self.changed.wait_timeout(list, left);
            list = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
