//! An optional backlog: the frames that are kept for a peer, if there are any.

use super::backlog_queue::BacklogQueue;

/// Frames that are kept for a peer until it has received them. If empty, it allocates no memory.
#[derive(Debug, Default)]
pub(in crate::relay) struct Backlog(Option<Box<BacklogQueue>>);

impl Backlog {
    /// Returns whether no frames are kept.
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the number of frames, and their bytes.
    pub(in crate::relay) fn count(&self) -> (usize, usize) {
        let queue = self.0.as_ref();
        queue.map_or((0, 0), |queue| (queue.len(), queue.bytes()))
    }

    /// Returns how many frames wait to be sent, without those that were sent but not confirmed.
    pub(super) fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.waiting())
    }

    /// Returns the bytes of memory of the kept frames.
    pub(super) fn allocated(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.allocated())
    }

    /// Changes the backlog: creates one if there is none, and frees it if it is empty afterwards.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut BacklogQueue)) {
        let queue = self.0.get_or_insert_default();
        change(queue);
        if queue.is_empty() {
            self.0 = None;
        }
    }
}
