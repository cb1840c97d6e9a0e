//! How apps of the newer SDK introduce themselves: the headers of their request name them, and
//! their first message may be `reconnect`. The answer to `reconnect` depends on whether their
//! glasses are connected.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Request, TimerId};
use crate::host::{KEY_MAX, NAME_MAX};
use crate::relay::protocol;
use crate::relay::session::SlotView;
use std::collections::HashMap;

/// Bytes that the headers of one request cost besides their text: the entry in the map.
const ENTRY: usize = 96;

/// How an app has introduced itself.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::relay) struct Introduction {
    /// The app has the newer SDK, which reconnects after any close code: only `app_stopped` stops
    /// it.
    pub(in crate::relay) has_newer_sdk: bool,
    /// The app's first message was `reconnect`.
    pub(in crate::relay) is_reconnect: bool,
}

impl Introduction {
    /// Returns how long the app must wait for its glasses at most, if it has sent `reconnect` and
    /// they are lost; `None` if it need not wait.
    pub(in crate::relay) fn wait_left(self, glasses: SlotView, now: Micros) -> Option<Micros> {
        let absence = glasses.absence().filter(|_| self.is_reconnect)?;
        Some(absence.deadline.at.max(now) - now)
    }

    /// Returns the first message to an admitted app; `left` is the longest time that it waits for
    /// its glasses.
    pub(in crate::relay) fn ack(self, user: &str, package: &str, left: Option<Micros>) -> String {
        match left {
            Some(left) => protocol::reconnect_deferred(left.as_millis()),
            None if self.is_reconnect => protocol::reconnect_ack(user, package),
            None => protocol::app_ack(user, package),
        }
    }
}

/// The app that the headers of a request name. The key is checked with the first message.
pub(in crate::relay) struct AppHeaders {
    pub(in crate::relay) user: Box<str>,
    pub(in crate::relay) package: Box<str>,
    pub(in crate::relay) key: Box<str>,
}

impl AppHeaders {
    /// Reads the headers of a request; `None` if one is missing or too long.
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
        Some(AppHeaders {
            user: user?,
            key: field("x-api-key", KEY_MAX)?,
            package,
        })
    }

    /// Returns the bytes of memory that the headers account for.
    pub(in crate::relay) fn allocated(&self) -> usize {
        ENTRY + self.user.len() + self.package.len() + self.key.len()
    }
}

/// The connections of apps that have not sent their first message yet.
#[derive(Default)]
pub(in crate::relay) struct PendingIntroductions {
    /// The headers of the requests of these apps.
    pub(in crate::relay) headers: HashMap<ConnId, AppHeaders>,
    /// How an app has just introduced itself, until it takes its slot.
    introduction: Option<(ConnId, Introduction)>,
    /// Apps whose `reconnect` was rejected, with the timer that closes them.
    pub(in crate::relay) awaited: HashMap<ConnId, TimerId>,
    /// The connections in `awaited`, by timer.
    pub(in crate::relay) timers: HashMap<TimerId, ConnId>,
}

impl PendingIntroductions {
    /// Keeps how an app has introduced itself until it takes its slot, in the same call of the
    /// loop.
    pub(in crate::relay) fn keep_introduction(&mut self, id: ConnId, introduction: Introduction) {
        self.introduction = Some((id, introduction));
    }

    /// Takes the record of how this app has introduced itself; the default if its request named it
    /// already.
    pub(in crate::relay) fn take_introduction(&mut self, id: ConnId) -> Introduction {
        let kept = self.introduction.take().filter(|(of, _)| *of == id);
        kept.map_or_else(Introduction::default, |(_, introduction)| introduction)
    }

    /// Returns the headers of this connection's request.
    pub(in crate::relay) fn headers(&self, id: ConnId) -> Option<&AppHeaders> {
        self.headers.get(&id)
    }

    /// Returns what the request tells about how its app introduces itself.
    pub(in crate::relay) fn introduction_of(&self, id: ConnId) -> Introduction {
        Introduction {
            has_newer_sdk: self.headers.contains_key(&id),
            is_reconnect: false,
        }
    }

    /// Returns whether the `reconnect` of this connection was rejected and its init message is
    /// awaited.
    pub(in crate::relay) fn is_awaited(&self, id: ConnId) -> bool {
        self.awaited.contains_key(&id)
    }

    /// Returns the total bytes that the headers are charged with.
    pub(in crate::relay) fn charged(&self) -> usize {
        self.headers.values().map(AppHeaders::allocated).sum()
    }
}
