//! An optional backlog: the frames that are kept for a peer, if there are any.

use super::backlog::Backlog;

/// Frames that are kept for a peer until it has received them. If empty, it allocates no memory.
#[derive(Debug, Default)]
pub(in crate::relay) struct Kept(Option<Box<Backlog>>);

impl Kept {
    /// Returns whether no frames are kept.
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Returns the number of frames, and their bytes.
    pub(in crate::relay) fn count(&self) -> (usize, usize) {
        let backlog = self.0.as_ref();
        backlog.map_or((0, 0), |backlog| (backlog.len(), backlog.bytes()))
    }

    /// Returns how many frames wait to be sent, without those that were sent but not confirmed.
    pub(super) fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |backlog| backlog.waiting())
    }

    /// Returns the bytes of memory of the kept frames.
    pub(super) fn allocated(&self) -> usize {
        self.0.as_ref().map_or(0, |backlog| backlog.allocated())
    }

    /// Changes the backlog: creates one if there is none, and frees it if it is empty afterwards.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Backlog)) {
        let backlog = self.0.get_or_insert_default();
        change(backlog);
        if backlog.is_empty() {
            self.0 = None;
        }
    }
}
