//! The state of one client's connection, as its stream, its requests and its task share it.

use super::http_settings::HttpSettings;
use crate::engine::{Reply, Request};
use crate::side::lock::lock;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

/// Why the stream passes on no more requests.
#[derive(Debug)]
pub(super) enum Stop {
    /// The next request is for the loop.
    ForLoop,
    /// The next request is refused. The flag says whether it is a HEAD request.
    Refused(Reply, bool),
}

/// The state of one client's connection.
#[derive(Debug)]
pub(super) struct ClientState(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// The heads that hyper was given and has not reported yet.
    heads: VecDeque<Box<Request>>,
    /// Requests that hyper was given and whose answers are not complete.
    exchanges: usize,
    /// Whether bytes that hyper has written may still be in its buffer.
    is_unflushed: bool,
    /// When a byte last came or went.
    progress: Instant,
    /// When the first byte of the present head came, while it is not complete.
    head_since: Option<Instant>,
    /// Whether the body of the present request is not complete.
    has_open_body: bool,
    /// Whether the present answer has begun.
    is_answering: bool,
    /// Whether a byte of it was written.
    is_answer_written: bool,
    /// What is wrong with the present body.
    body_fault: Option<String>,
    stop: Option<Stop>,
}

impl ClientState {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(ClientState(Mutex::new(Inner {
            heads: VecDeque::new(),
            exchanges: 0,
            is_unflushed: false,
            progress: Instant::now(),
            head_since: None,
            has_open_body: false,
            is_answering: false,
            is_answer_written: false,
            body_fault: None,
            stop: None,
        })))
    }

    /// Notes that bytes came from the client.
    pub(super) fn note_read(&self) {
        lock(&self.0).progress = Instant::now();
    }

    /// Notes that a head has begun and is not complete.
    pub(super) fn begin_head(&self) {
        lock(&self.0).head_since.get_or_insert_with(Instant::now);
    }

    /// Notes a write. hyper may hold bytes back until it flushes.
    pub(super) fn note_write(&self, taken: usize) {
        let mut inner = lock(&self.0);
        inner.is_unflushed = true;
        if taken > 0 {
            inner.progress = Instant::now();
            inner.is_answer_written |= inner.is_answering;
        }
    }

    /// Notes that hyper has written everything.
    pub(super) fn note_flush(&self) {
        lock(&self.0).is_unflushed = false;
    }

    /// Notes that hyper is given the head of a request, and then its body.
    pub(super) fn begin_exchange(&self, request: Box<Request>, has_body: bool) {
        let mut inner = lock(&self.0);
        inner.heads.push_back(request);
        inner.exchanges += 1;
        inner.head_since = None;
        inner.has_open_body = has_body;
    }

    /// Notes that the body of the present request is complete.
    pub(super) fn end_body(&self) {
        lock(&self.0).has_open_body = false;
    }

    /// Notes what is wrong with the body of the present request.
    pub(super) fn fail_body(&self, why: String) {
        lock(&self.0).body_fault = Some(why);
    }

    /// Returns what is wrong with the body of the present request.
    pub(super) fn body_fault(&self) -> Option<String> {
        lock(&self.0).body_fault.clone()
    }

    /// Returns what is wrong with the body of the present request, if no byte of an answer to it
    /// was written.
    pub(super) fn unanswered_fault(&self) -> Option<String> {
        let inner = lock(&self.0);
        inner
            .body_fault
            .clone()
            .filter(|_| !inner.is_answer_written)
    }

    /// Takes the head of the request that hyper reports.
    pub(super) fn take_head(&self) -> Option<Box<Request>> {
        lock(&self.0).heads.pop_front()
    }

    /// Notes that the answer to the present request begins.
    pub(super) fn begin_answer(&self) {
        let mut inner = lock(&self.0);
        inner.is_answering = true;
        inner.is_answer_written = false;
        inner.progress = Instant::now();
    }

    /// Notes that the answer to the present request is complete, or given up.
    fn end_exchange(&self) {
        let mut inner = lock(&self.0);
        inner.exchanges -= 1;
        inner.is_answering = false;
        inner.progress = Instant::now();
    }

    /// Returns when a byte last came or went, while the request's body is not complete; otherwise
    /// `None`.
    pub(super) fn body_progress(&self) -> Option<Instant> {
        let inner = lock(&self.0);
        inner.has_open_body.then_some(inner.progress)
    }

    /// Stops at the next request.
    pub(super) fn stop(&self, why: Stop) {
        lock(&self.0).stop.get_or_insert(why);
    }

    /// Returns why the stream has stopped, once all earlier answers are sent.
    pub(super) fn take_stop(&self) -> Option<Stop> {
        let mut inner = lock(&self.0);
        if inner.exchanges > 0 || inner.is_unflushed {
            return None;
        }
        inner.stop.take()
    }

    /// Returns whether no request is in progress.
    pub(super) fn is_idle(&self) -> bool {
        lock(&self.0).exchanges == 0
    }

    /// Returns when the connection is given up unless a byte comes or goes; `None` while only the
    /// upstream's answer is awaited, which has its own limit.
    pub(super) fn due(&self, settings: &HttpSettings) -> Option<Instant> {
        let inner = lock(&self.0);
        match (inner.exchanges, inner.head_since) {
            (0, Some(since)) => Some(since + settings.head_timeout),
            (0, None) => Some(inner.progress + settings.keep_alive),
            _ if inner.is_answering || inner.has_open_body => {
                Some(inner.progress + settings.body_idle)
            }
            _ => None,
        }
    }

    /// Returns whether a head has begun and is not complete.
    pub(super) fn is_in_head(&self) -> bool {
        let inner = lock(&self.0);
        inner.exchanges == 0 && inner.head_since.is_some()
    }
}

/// A request in progress; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct ExchangeGuard(pub(super) Arc<ClientState>);

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.0.end_exchange();
    }
}
