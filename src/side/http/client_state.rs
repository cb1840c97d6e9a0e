//! The state of one client's connection, as its stream, its requests and its task share it.

use super::http_settings::HttpSettings;
use super::request_limits::{EndedRequest, RequestLimits};
use crate::engine::{Reply, Request};
use crate::side::lock::lock;
use crate::wire::http::ReplyForm;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The most time without a byte of a request's body when its answer is complete already. A service
/// that has answered may not read the rest.
pub(super) const LEFTOVER_IDLE: Duration = Duration::from_secs(5);

/// Why the stream passes on no more requests.
#[derive(Debug)]
pub(super) enum Stop {
    /// The next request is for the loop.
    ForLoop,
    /// The next request is refused.
    Refused(Reply, ReplyForm),
}

/// The state of one client's connection. At most one request is in progress: the next one is read
/// when the answer is complete.
#[derive(Debug)]
pub(super) struct ClientState {
    inner: Mutex<Inner>,
    /// Told when the body of the last request is read.
    body_end: Notify,
}

#[derive(Debug)]
struct Inner {
    /// The head that hyper was given and has not reported yet.
    head: Option<Box<Request>>,
    /// The request in progress.
    current: Option<CurrentRequest>,
    /// What is still to come of the body of the last request.
    body: BodyRest,
    /// Whether bytes that hyper has written may still be in its buffer.
    is_unflushed: bool,
    /// When a byte last came or went.
    progress: Instant,
    /// Since when a head is awaited that has begun.
    head_since: Option<Instant>,
    /// Wakes the connection's task when the request in progress ends.
    next_read: Option<Waker>,
    stop: Option<Stop>,
}

/// What is still to come of the body of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyRest {
    /// Nothing: it is read.
    Nothing,
    /// All of it has arrived, and it is not read yet.
    Unread,
    /// The client has not sent all of it.
    Unsent,
}

/// A request in progress.
#[derive(Debug)]
struct CurrentRequest {
    /// How much of a reply answers it.
    form: ReplyForm,
    /// Whether the upstream takes more of its body than the client has sent.
    awaits_body: bool,
    /// What is wrong with its body.
    body_fault: Option<String>,
    /// Whether hyper has its answer.
    is_answered: bool,
    /// What may end it early, once an upstream is chosen.
    limits: Option<RequestLimits>,
}

impl ClientState {
    pub(super) fn new() -> Arc<Self> {
        let inner = Inner {
            head: None,
            current: None,
            body: BodyRest::Nothing,
            is_unflushed: false,
            progress: Instant::now(),
            head_since: None,
            next_read: None,
            stop: None,
        };
        Arc::new(ClientState {
            inner: Mutex::new(inner),
            body_end: Notify::new(),
        })
    }

    /// Notes that bytes came from the client.
    pub(super) fn note_read(&self) {
        lock(&self.inner).progress = Instant::now();
    }

    /// Notes that a head has begun and is not complete.
    pub(super) fn begin_head(&self) {
        lock(&self.inner)
            .head_since
            .get_or_insert_with(Instant::now);
    }

    /// Notes a write. hyper may hold bytes back until it flushes.
    pub(super) fn note_write(&self, taken: usize) {
        let mut inner = lock(&self.inner);
        inner.is_unflushed = true;
        if taken > 0 {
            inner.progress = Instant::now();
        }
    }

    /// Notes that hyper has written everything.
    pub(super) fn note_flush(&self) {
        let mut inner = lock(&self.inner);
        if std::mem::take(&mut inner.is_unflushed) && inner.head_since.is_some() {
            // A client that reads slowly has its time for the next head nevertheless.
            inner.head_since = Some(Instant::now());
        }
    }

    /// Notes that hyper is given the head of a request, and then its body.
    pub(super) fn begin_request(&self, request: Box<Request>, body: BodyRest) {
        let mut inner = lock(&self.inner);
        inner.body = body;
        inner.current = Some(CurrentRequest {
            form: request.reply_form(),
            awaits_body: false,
            body_fault: None,
            is_answered: false,
            limits: None,
        });
        inner.head = Some(request);
        inner.head_since = None;
    }

    /// Returns whether a request is in progress. Then `waker` is called when it ends.
    pub(super) fn is_busy(&self, waker: &Waker) -> bool {
        let mut inner = lock(&self.inner);
        let is_busy = inner.current.is_some();
        if is_busy {
            inner.next_read = Some(waker.clone());
        }
        is_busy
    }

    /// Notes that the body of the last request is read.
    pub(super) fn end_body(&self) {
        lock(&self.inner).body = BodyRest::Nothing;
        self.body_end.notify_one();
    }

    /// Waits until the body of a request is read. It may return early.
    pub(super) fn body_ended(&self) -> impl Future<Output = ()> {
        self.body_end.notified()
    }

    /// Returns whether the client has not sent all of the body of the last request.
    pub(super) fn sends_body(&self) -> bool {
        lock(&self.inner).body == BodyRest::Unsent
    }

    /// Notes whether the upstream takes more of the body of the request in progress than the client
    /// has sent.
    pub(super) fn set_awaits_body(&self, awaits: bool) {
        if let Some(current) = &mut lock(&self.inner).current {
            current.awaits_body = awaits;
        }
    }

    /// Returns whether the upstream takes more of the body of the request in progress than the
    /// client has sent.
    pub(super) fn awaits_body(&self) -> bool {
        let inner = lock(&self.inner);
        let current = inner.current.as_ref();
        current.is_some_and(|current| current.awaits_body)
    }

    /// Notes what is wrong with the body of the request in progress.
    pub(super) fn fail_body(&self, why: String) {
        if let Some(current) = &mut lock(&self.inner).current {
            current.body_fault.get_or_insert(why);
        }
    }

    /// Returns what is wrong with the body of the request in progress.
    pub(super) fn body_fault(&self) -> Option<String> {
        lock(&self.inner).current.as_ref()?.body_fault.clone()
    }

    /// Takes the head of the request that hyper reports.
    pub(super) fn take_head(&self) -> Option<Box<Request>> {
        lock(&self.inner).head.take()
    }

    /// Sets what may end the request in progress early.
    pub(super) fn set_limits(&self, limits: RequestLimits) {
        if let Some(current) = &mut lock(&self.inner).current {
            current.limits = Some(limits);
        }
    }

    /// Returns how the request in progress ends early, if it does now. The task is woken when an
    /// operator ends it.
    pub(super) fn poll_end(&self, cx: &mut Context<'_>) -> Option<EndedRequest> {
        let mut inner = lock(&self.inner);
        let is_unflushed = inner.is_unflushed;
        let current = inner.current.as_mut()?;
        let cause = current.limits.as_ref()?.poll_end(cx)?;
        // Nothing can be said behind a part of an answer, be it the one before.
        let is_silent = current.is_answered || is_unflushed;
        Some(EndedRequest {
            route: current.limits.take()?.route,
            cause,
            form: (!is_silent).then_some(current.form),
        })
    }

    /// Returns when the token of the request in progress expires.
    pub(super) fn expiry(&self) -> Option<Instant> {
        lock(&self.inner).current.as_ref()?.limits.as_ref()?.expires
    }

    /// Notes that hyper gets the answer to the request in progress.
    pub(super) fn begin_answer(&self) {
        let mut inner = lock(&self.inner);
        inner.progress = Instant::now();
        if let Some(current) = &mut inner.current {
            current.is_answered = true;
        }
    }

    /// Notes that the answer to the request in progress is complete, or given up.
    fn end_request(&self) {
        let mut inner = lock(&self.inner);
        inner.current = None;
        inner.progress = Instant::now();
        if let Some(waker) = inner.next_read.take() {
            waker.wake();
        }
    }

    /// Returns when a byte last came or went, while the body of the request in progress is not
    /// complete; otherwise `None`.
    pub(super) fn body_progress(&self) -> Option<Instant> {
        let inner = lock(&self.inner);
        let is_open = inner.current.is_some() && inner.body != BodyRest::Nothing;
        is_open.then_some(inner.progress)
    }

    /// Stops at the next request.
    pub(super) fn stop(&self, why: Stop) {
        lock(&self.inner).stop.get_or_insert(why);
    }

    /// Returns why no further request is served, once all earlier answers are sent: the next one is
    /// not for hyper, or the body of the present one cannot be read and nothing was answered.
    pub(super) fn take_stop(&self) -> Option<Stop> {
        let mut inner = lock(&self.inner);
        if inner.is_unflushed {
            return None;
        }
        match &mut inner.current {
            None => inner.stop.take(),
            Some(current) if current.is_answered => None,
            Some(current) => {
                let why = current.body_fault.take()?;
                Some(Stop::Refused(Reply::error(400, &why), current.form))
            }
        }
    }

    /// Returns whether no request is in progress, and no head has begun.
    pub(super) fn is_idle(&self) -> bool {
        let inner = lock(&self.inner);
        inner.current.is_none() && inner.head_since.is_none()
    }

    /// Returns when the connection is given up unless a byte comes or goes; `None` while an answer
    /// is awaited: that has limits of its own, and ends with an answer. Without a request the
    /// connection is kept for `keep_alive`.
    pub(super) fn due(&self, settings: &HttpSettings, keep_alive: Duration) -> Option<Instant> {
        let inner = lock(&self.inner);
        let has_body = inner.body != BodyRest::Nothing;
        match (&inner.current, inner.head_since) {
            (Some(current), _) if !current.is_answered && current.body_fault.is_none() => None,
            (Some(_), _) => Some(inner.progress + settings.body_idle),
            (None, _) if inner.is_unflushed => Some(inner.progress + settings.body_idle),
            (None, _) if has_body => Some(inner.progress + settings.body_idle.min(LEFTOVER_IDLE)),
            (None, Some(since)) => Some(since + settings.head_timeout),
            (None, None) => Some(inner.progress + keep_alive),
        }
    }

    /// Returns whether a head has begun and is not complete, and nothing else is under way.
    pub(super) fn is_in_head(&self) -> bool {
        let inner = lock(&self.inner);
        inner.current.is_none() && !inner.is_unflushed && inner.head_since.is_some()
    }
}

/// A request in progress; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RequestGuard(pub(super) Arc<ClientState>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.0.end_request();
    }
}
