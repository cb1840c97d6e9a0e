//! Apps of the newer SDK: the headers of their requests, and the wait for an init message after a
//! rejected `reconnect`.

use super::relay::Relay;
use super::tables::AppHeaders;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, Request, TimerId};

/// How long an app may take to send an init message after its `reconnect` was rejected.
const INIT_TIMEOUT: Micros = Micros::from_secs(10);

impl Relay {
    /// Keeps the headers of an app's request until its first message arrives.
    pub(super) fn keep_headers(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        if let Some(headers) = AppHeaders::of(request) {
            io.charge(headers.allocated());
            self.pending_introductions.headers.insert(id, headers);
        }
    }

    /// Starts the timer for the init message of an app whose `reconnect` was rejected.
    pub(super) fn await_init(&mut self, io: &mut Io<'_>, id: ConnId) {
        if self.pending_introductions.is_awaited(id) {
            return;
        }
        let timer = io.start_timer(INIT_TIMEOUT);
        self.pending_introductions.awaited.insert(id, timer);
        self.pending_introductions.timers.insert(timer, id);
    }

    /// Handles a timer that has expired. Returns whether it was that of an app that has not sent
    /// its init message in time; the app is then closed.
    pub(super) fn on_init_timeout(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let Some(id) = self.pending_introductions.timers.remove(&timer) else {
            return false;
        };
        self.pending_introductions.awaited.remove(&id);
        let reason = format!(
            "no tpa_connection_init within {INIT_TIMEOUT} after the reconnect was rejected"
        );
        io.close_for(id, Cause::INIT_TIMEOUT, 3008, &reason);
        true
    }

    /// Forgets the headers and the timer of an app that has introduced itself, or whose connection
    /// has ended.
    pub(super) fn forget_introduction(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.pending_introductions.take_introduction(id);
        if !self.pending_introductions.headers.is_empty()
            && let Some(headers) = self.pending_introductions.headers.remove(&id)
        {
            io.release(headers.allocated());
        }
        if !self.pending_introductions.awaited.is_empty()
            && let Some(timer) = self.pending_introductions.awaited.remove(&id)
        {
            self.pending_introductions.timers.remove(&timer);
            io.cancel_timer(timer);
        }
    }
}
