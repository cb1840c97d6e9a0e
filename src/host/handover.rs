//! Records that the loop hands to another thread: it only puts them down, and never waits for whoever takes them up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

/// Where another thread takes records up. Cheap to clone; all clones are one.
#[derive(Debug)]
pub struct Handover<T>(Arc<Mutex<VecDeque<T>>>);

impl<T> Clone for Handover<T> {
    fn clone(&self) -> Self {
        Handover(self.0.clone())
    }
}

impl<T> Default for Handover<T> {
    fn default() -> Self {
        Handover(Arc::default())
    }
}

impl<T> Handover<T> {
    /// Takes out what has come in since the last time, oldest first.
    pub fn take(&self) -> VecDeque<T> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The loop's side, which puts records down. At most `MOST` of them wait; the oldest go first.
#[derive(Debug)]
pub(crate) struct Sink<T, const MOST: usize> {
    shared: Handover<T>,
    /// What could not be put down yet: somebody was taking.
    held_back: VecDeque<T>,
}

impl<T, const MOST: usize> Default for Sink<T, MOST> {
    fn default() -> Self {
        Sink {
            shared: Handover::default(),
            held_back: VecDeque::new(),
        }
    }
}

impl<T, const MOST: usize> Sink<T, MOST> {
    pub(crate) fn shared(&self) -> Handover<T> {
        self.shared.clone()
    }

    pub(crate) fn put(&mut self, record: T) {
        self.held_back.push_back(record);
        self.settle();
    }

    /// Puts down what was held back, unless somebody is taking again.
    pub(crate) fn settle(&mut self) {
        if self.held_back.is_empty() {
            return;
        }
        let mut shared = match self.shared.0.try_lock() {
            Ok(shared) => shared,
            Err(TryLockError::Poisoned(e)) => e.into_inner(),
            Err(TryLockError::WouldBlock) => return bound(&mut self.held_back, MOST),
        };
        shared.append(&mut self.held_back);
        bound(&mut shared, MOST);
    }
}

fn bound<T>(records: &mut VecDeque<T>, most: usize) {
    let surplus = records.len().saturating_sub(most);
    records.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_in_order_and_the_oldest_go_first() {
        let mut sink: Sink<u32, 3> = Sink::default();
        let taker = sink.shared();
        (1..=5).for_each(|n| sink.put(n));
        assert_eq!(taker.take(), [3, 4, 5]);
        assert!(taker.take().is_empty());
    }

    #[test]
    fn nothing_is_lost_and_nobody_waits_while_somebody_takes() {
        let mut sink: Sink<u32, 3> = Sink::default();
        let taker = sink.shared();
        let lock = taker.0.lock().expect("no panic");
        (1..=4).for_each(|n| sink.put(n));
        drop(lock);
        assert!(taker.take().is_empty(), "they are held back");
        sink.settle();
        assert_eq!(taker.take(), [2, 3, 4]);
    }
}
