//! The memory that the relay holds on behalf of peers, as it is charged with [`Io::charge`]: frames that are kept, sets of
//! subscriptions, places without a connection, and frames on their way whose connection is gone.
//!
//! Charged is what is allocated. A place with a connection is not charged: there are no more of them than connections.

use super::session::{App, Place, Session};
use crate::engine::Io;
use crate::gateway::Gateway;

/// What a place without a connection costs besides names: its entry in the session, its absence, its entry among those that
/// are waited for or asked, and its errand.
const PLACE: usize = 192;

/// How often the names of a place are held: by the session, and by the one of those lists that the place is in.
const NAMES: usize = 2;

/// Places of apps that have no connection, of all sessions.
#[derive(Debug, Default)]
pub(super) struct Vacancies {
    /// All of them.
    pub(super) apps: usize,
    /// Those whose app has never connected: a user has started it.
    pub(super) started: usize,
}

impl Vacancies {
    /// A place without a connection was made for this app, or its connection is over.
    pub(super) fn add(&mut self, io: &mut Io<'_>, user: &str, app: &App) {
        self.apps += 1;
        self.started += usize::from(app.missed.is_none());
        io.charge(place_bytes(user, &app.package));
    }

    /// A place without a connection is taken, or given up.
    pub(super) fn remove(&mut self, io: &mut Io<'_>, user: &str, app: &App) {
        self.apps -= 1;
        self.started -= usize::from(app.missed.is_none());
        io.release(place_bytes(user, &app.package));
    }
}

/// What a place without a connection is charged with. Glasses have no package.
pub(super) fn place_bytes(user: &str, package: &str) -> usize {
    PLACE + NAMES * (user.len() + package.len())
}

/// What was allocated has changed.
pub(super) fn moved(io: &mut Io<'_>, before: usize, after: usize) {
    if after >= before {
        io.charge(after - before);
    } else {
        io.release(before - after);
    }
}

impl Place {
    /// Bytes of memory that are kept for the peer.
    pub(super) fn allocated(&self) -> usize {
        self.backlog.as_ref().map_or(0, |b| b.allocated())
    }
}

impl App {
    /// All that an app of this user is charged with.
    pub(super) fn charged(&self, user: &str) -> usize {
        let place = match self.place.conn {
            Some(_) => 0,
            None => place_bytes(user, &self.package),
        };
        place + self.place.allocated() + self.subscriptions.allocated()
    }
}

impl Session {
    /// All that the session of this user is charged with.
    fn charged(&self, user: &str) -> usize {
        let glasses = match self.glasses.absence {
            Some(_) => place_bytes(user, ""),
            None => 0,
        };
        let apps = self.apps.iter().map(|app| app.charged(user));
        glasses + self.glasses.allocated() + apps.sum::<usize>() + self.fan_outs.charged()
    }
}

impl Gateway {
    /// What the relay keeps of messages that are not finished, added up anew: their connections hold it
    /// ([`Stats::held_bytes`](crate::engine::Stats::held_bytes)). For tests: it walks over everything.
    pub fn recount_held(&self) -> u64 {
        let sessions = self.relay.sessions.after(None);
        let frames = sessions.map(|(_, session)| session.fan_outs.held());
        (frames.sum::<usize>() + self.relay.readings.held()) as u64
    }

    /// What the relay has charged ([`Stats::host_bytes`](crate::engine::Stats::host_bytes)), added up anew over all sessions.
    /// For tests: it walks over everything.
    pub fn recount(&self) -> u64 {
        let sessions = self.relay.sessions.after(None);
        let sessions = sessions.map(|(user, session)| session.charged(user));
        let others = self.relay.chores.charged() + self.relay.introductions.charged();
        (sessions.sum::<usize>() + others) as u64
    }
}
