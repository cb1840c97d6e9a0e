//! How apps of the newer SDK introduce themselves: the headers of their request name them, their first message may be
//! `reconnect`, and the answer to that depends on whether their glasses are here.

use super::Relay;
use super::routing::answer;
use super::session::Place;
use crate::cause::Cause;
use crate::engine::{Io, Request, TimerId};
use crate::gateway::protocol;
use crate::gateway::{KEY_MAX, NAME_MAX};
use crate::id::ConnId;
use crate::time::Micros;
use std::collections::HashMap;

/// How long an app whose `reconnect` was rejected may take to introduce itself anew.
const ANEW: Micros = Micros::from_secs(10);

/// What the headers of a request cost besides what they say: their entry among those.
const ENTRY: usize = 96;

/// How an app has introduced itself.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::gateway) struct Greeting {
    /// Its SDK is a newer one, which comes back whatever code it is closed with: only `app_stopped` keeps it away.
    pub(super) insists: bool,
    /// It has said `reconnect`.
    pub(super) reconnects: bool,
}

impl Greeting {
    /// How long the glasses are waited for still, if an app that has said so waits for them, too.
    pub(super) fn waits_for(self, glasses: &Place, now: Micros) -> Option<Micros> {
        let absence = glasses.absence.as_ref().filter(|_| self.reconnects)?;
        Some(absence.due.at.max(now) - now)
    }

    /// The first message to an app that is let in; `left` is how long it waits for its glasses at most.
    pub(super) fn answer(self, user: &str, package: &str, left: Option<Micros>) -> String {
        match left {
            Some(left) => protocol::reconnect_deferred(left.as_millis()),
            None if self.reconnects => protocol::reconnect_ack(user, package),
            None => protocol::app_ack(user, package),
        }
    }
}

/// What the headers of a request say of an app. The key is checked with the first message.
pub(super) struct Headers {
    pub(super) user: Box<str>,
    pub(super) package: Box<str>,
    pub(super) key: Box<str>,
}

impl Headers {
    /// Those of a request, if it has all of them and none is too long.
    fn of(request: &Request) -> Option<Self> {
        let field = |name: &str, most: usize| {
            let value = request.headers().get(name)?.as_bytes();
            let value = (value.len() <= most).then(|| std::str::from_utf8(value).ok())?;
            value.map(Box::<str>::from)
        };
        let package = field("x-package-name", NAME_MAX)?;
        let user = field("x-user-id", NAME_MAX).or_else(|| {
            let session = field("x-session-id", 2 * NAME_MAX + 1)?;
            protocol::user_of(&session, &package).map(Box::from)
        });
        Some(Headers {
            user: user?,
            key: field("x-api-key", KEY_MAX)?,
            package,
        })
    }

    /// Bytes of memory that they are charged with.
    fn allocated(&self) -> usize {
        ENTRY + self.user.len() + self.package.len() + self.key.len()
    }
}

/// Apps that have not introduced themselves yet.
#[derive(Default)]
pub(super) struct Introductions {
    /// What their requests said.
    headers: HashMap<ConnId, Headers>,
    /// Those whose `reconnect` was rejected, with the timer that ends our patience, ...
    awaited: HashMap<ConnId, TimerId>,
    /// ... and the other way round.
    timers: HashMap<TimerId, ConnId>,
}

impl Introductions {
    /// What the request of this connection said.
    pub(super) fn headers(&self, id: ConnId) -> Option<&Headers> {
        self.headers.get(&id)
    }

    /// As far as the request has said how its app introduces itself.
    pub(super) fn greeting(&self, id: ConnId) -> Greeting {
        Greeting {
            insists: self.headers.contains_key(&id),
            reconnects: false,
        }
    }

    /// Returns whether the `reconnect` of this connection was rejected.
    pub(super) fn is_awaited(&self, id: ConnId) -> bool {
        self.awaited.contains_key(&id)
    }

    /// What they are charged with together.
    pub(super) fn charged(&self) -> usize {
        self.headers.values().map(Headers::allocated).sum()
    }
}

impl Relay {
    /// Keeps what the headers of an app's request say until its first message is here.
    pub(in crate::gateway) fn note_headers(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
    ) {
        if let Some(headers) = Headers::of(request) {
            io.charge(headers.allocated());
            self.introductions.headers.insert(id, headers);
        }
    }

    /// The `reconnect` of this app was rejected: it is given some time to introduce itself anew.
    pub(super) fn await_init(&mut self, io: &mut Io<'_>, id: ConnId) {
        let timer = io.timer(ANEW);
        self.introductions.awaited.insert(id, timer);
        self.introductions.timers.insert(timer, id);
    }

    /// Returns whether the timer was that of an app that was to introduce itself anew, and has not: it is closed.
    pub(super) fn on_unsaid(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let Some(id) = self.introductions.timers.remove(&timer) else {
            return false;
        };
        self.introductions.awaited.remove(&id);
        let reason = format!("no introduction within {ANEW} of the rejected one");
        io.close_for(id, Cause::INIT_TIMEOUT, 3008, &reason);
        true
    }

    /// An app has introduced itself, or its connection is over.
    pub(in crate::gateway) fn forget_introduction(&mut self, io: &mut Io<'_>, id: ConnId) {
        if !self.introductions.headers.is_empty()
            && let Some(headers) = self.introductions.headers.remove(&id)
        {
            io.release(headers.allocated());
        }
        if !self.introductions.awaited.is_empty()
            && let Some(timer) = self.introductions.awaited.remove(&id)
        {
            self.introductions.timers.remove(&timer);
            io.cancel(timer);
        }
    }

    /// The glasses of an app are here that it waited for.
    pub(super) fn acknowledge(&mut self, io: &mut Io<'_>, user: &str, package: &str) {
        let Some(app) = self.sessions.app_mut(user, package) else {
            return;
        };
        app.deferred = false;
        if let Some(conn) = app.place.conn {
            answer(io, conn, protocol::reconnect_ack(user, package));
        }
    }
}
