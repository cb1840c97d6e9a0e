//! An optional backlog: the frames that are kept for a peer, if there are any.

use super::backlog_queue::BacklogQueue;
use crate::relay::pulse::PulseKey;

/// Frames that are kept for a peer until it has received them. If empty, it allocates no memory.
#[derive(Debug, Default)]
pub(in crate::relay) struct Backlog(Option<Box<Content>>);

/// What a backlog consists of.
#[derive(Debug)]
enum Content {
    /// The frames themselves.
    Frames(BacklogQueue),
    /// The peer speaks pulse: its pulse session keeps the frames.
    Pulse(PulseKey),
}

impl Default for Content {
    fn default() -> Self {
        Content::Frames(BacklogQueue::default())
    }
}

impl Backlog {
    fn queue(&self) -> Option<&BacklogQueue> {
        match self.0.as_deref()? {
            Content::Frames(queue) => Some(queue),
            Content::Pulse(_) => None,
        }
    }

    /// Returns whether no frames are kept here.
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.queue().is_none()
    }

    /// Returns the pulse session that keeps the frames.
    pub(in crate::relay) fn pulse(&self) -> Option<PulseKey> {
        match self.0.as_deref()? {
            Content::Frames(_) => None,
            Content::Pulse(key) => Some(*key),
        }
    }

    /// Lets a pulse session keep the frames from now on. Returns those that were kept here.
    pub(super) fn bind(&mut self, key: PulseKey) -> BacklogQueue {
        match self.0.replace(Box::new(Content::Pulse(key))) {
            Some(content) => match *content {
                Content::Frames(queue) => queue,
                Content::Pulse(_) => BacklogQueue::default(),
            },
            None => BacklogQueue::default(),
        }
    }

    /// Forgets the pulse session: frames are kept here from now on.
    pub(super) fn unbind(&mut self) {
        if self.pulse().is_some() {
            self.0 = None;
        }
    }

    /// Returns the number of frames, and their bytes.
    pub(in crate::relay) fn count(&self) -> (usize, usize) {
        self.queue()
            .map_or((0, 0), |queue| (queue.len(), queue.bytes()))
    }

    /// Returns how many frames wait to be sent, without those that were sent but not confirmed.
    pub(super) fn waiting(&self) -> usize {
        self.queue().map_or(0, BacklogQueue::waiting)
    }

    /// Returns the bytes of memory of the kept frames.
    pub(super) fn allocated(&self) -> usize {
        match self.0.as_deref() {
            None => 0,
            Some(Content::Frames(queue)) => queue.allocated(),
            Some(Content::Pulse(_)) => size_of::<Content>(),
        }
    }

    /// Changes the backlog: creates one if there is none, and frees it if it is empty afterwards.
    /// The frames of a pulse session are not changed here.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut BacklogQueue)) {
        let Content::Frames(queue) = &mut **self.0.get_or_insert_default() else {
            debug_assert!(false, "a pulse session keeps the frames");
            return;
        };
        change(queue);
        if queue.is_empty() {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_without_pulse_needs_no_more_memory() {
        assert_eq!(size_of::<Backlog>(), size_of::<usize>());
        assert_eq!(size_of::<Content>(), size_of::<BacklogQueue>());
    }
}
