//! Holds a place's backlog. An empty one is given up.

use super::backlog::Backlog;

/// Frames that are kept for a peer until it has got them. Empty, it owns no memory.
#[derive(Debug, Default)]
pub(in crate::relay) struct Kept(Option<Box<Backlog>>);

impl Kept {
    /// Returns whether there is nothing.
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Frames, and their bytes.
    pub(in crate::relay) fn count(&self) -> (usize, usize) {
        let backlog = self.0.as_ref();
        backlog.map_or((0, 0), |backlog| (backlog.len(), backlog.bytes()))
    }

    /// Frames that wait to be sent, those that were sent and not confirmed excepted.
    pub(super) fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |backlog| backlog.waiting())
    }

    /// Bytes of memory that it holds.
    pub(super) fn allocated(&self) -> usize {
        self.0.as_ref().map_or(0, |backlog| backlog.allocated())
    }

    /// Changes the backlog, which is made if there is none; an empty one is given up.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Backlog)) {
        let backlog = self.0.get_or_insert_default();
        change(backlog);
        if backlog.is_empty() {
            self.0 = None;
        }
    }
}
