//! Requests of one route that wait until an upstream has room for another one.

use super::pending::PendingRequest;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::DialRequest;
use crate::wire::http::{HeaderName, HeaderValue};
use std::collections::VecDeque;

/// The most requests of one route that wait.
const WAITING_MAX: usize = 1_000;

/// A request that waits.
pub(super) struct QueuedRequest {
    pub(super) pending: Box<PendingRequest>,
    pub(super) request: DialRequest,
    /// When it has waited long enough.
    pub(super) until: Micros,
}

impl QueuedRequest {
    /// Returns how many bytes the request takes.
    pub(super) fn allocated(&self) -> usize {
        let request = &self.request;
        let values = request.headers.iter().map(|(_, value)| value.len());
        let field = size_of::<(HeaderName, HeaderValue)>();
        size_of::<Self>()
            + size_of::<PendingRequest>()
            + request.target.capacity()
            + request.headers.capacity() * field
            + values.sum::<usize>()
    }
}

/// The requests of one route that wait, the oldest first.
#[derive(Default)]
pub(super) struct RequestQueue(VecDeque<QueuedRequest>);

impl RequestQueue {
    /// Adds a request. It is given back if too many wait already.
    pub(super) fn push(&mut self, queued: QueuedRequest) -> Result<(), QueuedRequest> {
        if self.0.len() >= WAITING_MAX {
            return Err(queued);
        }
        self.0.push_back(queued);
        Ok(())
    }

    /// Takes the newest request.
    pub(super) fn pop_newest(&mut self) -> Option<QueuedRequest> {
        self.0.pop_back()
    }

    /// Puts requests back that are older than all others, the oldest first.
    pub(super) fn put_first(&mut self, requests: Vec<QueuedRequest>) {
        for queued in requests.into_iter().rev() {
            self.0.push_front(queued);
        }
    }

    /// Takes the oldest request.
    pub(super) fn pop(&mut self) -> Option<QueuedRequest> {
        self.0.pop_front()
    }

    /// Takes the oldest request, if it has waited long enough.
    pub(super) fn pop_expired(&mut self, now: Micros) -> Option<QueuedRequest> {
        let is_expired = self.0.front().is_some_and(|queued| queued.until <= now);
        is_expired.then(|| self.0.pop_front())?
    }

    /// Removes the request of a client that has left.
    pub(super) fn remove(&mut self, client: ConnId) {
        self.0.retain(|queued| queued.pending.client != client);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl std::fmt::Debug for RequestQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} requests", self.0.len())
    }
}
