//! How apps of the newer SDK introduce themselves: the headers of their request name them, their first message may be
//! `reconnect`, and the answer to that depends on whether their glasses are here.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Request, TimerId};
use crate::host::{KEY_MAX, NAME_MAX};
use crate::relay::protocol;
use crate::relay::session::PlaceView;
use std::collections::HashMap;

/// What the headers of a request cost besides what they say: their entry among those.
const ENTRY: usize = 96;

/// How an app has introduced itself.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::relay) struct Greeting {
    /// Its SDK is a newer one, which comes back whatever code it is closed with: only `app_stopped` keeps it away.
    pub(in crate::relay) insists: bool,
    /// It has said `reconnect`.
    pub(in crate::relay) reconnects: bool,
}

impl Greeting {
    /// How long the glasses are waited for still, if an app that has said so waits for them, too.
    pub(in crate::relay) fn waits_for(self, glasses: PlaceView, now: Micros) -> Option<Micros> {
        let absence = glasses.absence().filter(|_| self.reconnects)?;
        Some(absence.due.at.max(now) - now)
    }

    /// The first message to an app that is let in; `left` is how long it waits for its glasses at most.
    pub(in crate::relay) fn answer(
        self,
        user: &str,
        package: &str,
        left: Option<Micros>,
    ) -> String {
        match left {
            Some(left) => protocol::reconnect_deferred(left.as_millis()),
            None if self.reconnects => protocol::reconnect_ack(user, package),
            None => protocol::app_ack(user, package),
        }
    }
}

/// What the headers of a request say of an app. The key is checked with the first message.
pub(in crate::relay) struct Headers {
    pub(in crate::relay) user: Box<str>,
    pub(in crate::relay) package: Box<str>,
    pub(in crate::relay) key: Box<str>,
}

impl Headers {
    /// Those of a request, if it has all of them and none is too long.
    pub(in crate::relay) fn of(request: &Request) -> Option<Self> {
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
    pub(in crate::relay) fn allocated(&self) -> usize {
        ENTRY + self.user.len() + self.package.len() + self.key.len()
    }
}

/// Apps that have not introduced themselves yet.
#[derive(Default)]
pub(in crate::relay) struct Introductions {
    /// What their requests said.
    pub(in crate::relay) headers: HashMap<ConnId, Headers>,
    /// How an app has just introduced itself, until it takes its place.
    greeting: Option<(ConnId, Greeting)>,
    /// Those whose `reconnect` was rejected, with the timer that ends our patience, ...
    pub(in crate::relay) awaited: HashMap<ConnId, TimerId>,
    /// ... and the other way round.
    pub(in crate::relay) timers: HashMap<TimerId, ConnId>,
}

impl Introductions {
    /// Keeps how an app has introduced itself until it takes its place, in the same call of the loop.
    pub(in crate::relay) fn keep_greeting(&mut self, id: ConnId, greeting: Greeting) {
        self.greeting = Some((id, greeting));
    }

    /// Takes how this app has introduced itself; the default, if its request did.
    pub(in crate::relay) fn take_greeting(&mut self, id: ConnId) -> Greeting {
        let kept = self.greeting.take().filter(|(of, _)| *of == id);
        kept.map_or_else(Greeting::default, |(_, greeting)| greeting)
    }

    /// What the request of this connection said.
    pub(in crate::relay) fn headers(&self, id: ConnId) -> Option<&Headers> {
        self.headers.get(&id)
    }

    /// As far as the request has said how its app introduces itself.
    pub(in crate::relay) fn greeting(&self, id: ConnId) -> Greeting {
        Greeting {
            insists: self.headers.contains_key(&id),
            reconnects: false,
        }
    }

    /// Returns whether the `reconnect` of this connection was rejected.
    pub(in crate::relay) fn is_awaited(&self, id: ConnId) -> bool {
        self.awaited.contains_key(&id)
    }

    /// What they are charged with together.
    pub(in crate::relay) fn charged(&self) -> usize {
        self.headers.values().map(Headers::allocated).sum()
    }
}
