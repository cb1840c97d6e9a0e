//! The memory that the relay holds on behalf of peers, as it is charged with [`Io::charge`]: frames that are kept, sets of
//! subscriptions, places without a connection, and frames on their way whose connection is gone.
//!
//! Charged is what is allocated. A place with a connection is not charged: there are no more of them than connections.

use super::app::App;
use super::charge::place_bytes;
use super::place::Place;
use super::session::Session;
use crate::engine::Io;

/// Places of apps that have no connection, of all sessions.
#[derive(Debug, Default)]
pub(in crate::relay) struct Vacancies {
    /// All of them.
    pub(in crate::relay) apps: usize,
    /// Those whose app has never connected: a user has started it.
    pub(in crate::relay) started: usize,
}

impl Vacancies {
    /// A place without a connection was made for this app, or its connection is over.
    pub(in crate::relay) fn add(&mut self, io: &mut Io<'_>, user: &str, app: &App) {
        self.apps += 1;
        self.started += usize::from(app.missed.is_none());
        io.charge(place_bytes(user, &app.package));
    }

    /// A place without a connection is taken, or given up.
    pub(in crate::relay) fn remove(&mut self, io: &mut Io<'_>, user: &str, app: &App) {
        self.apps -= 1;
        self.started -= usize::from(app.missed.is_none());
        io.release(place_bytes(user, &app.package));
    }
}

impl Place {
    /// Bytes of memory that are kept for the peer.
    pub(in crate::relay) fn allocated(&self) -> usize {
        self.backlog.as_ref().map_or(0, |b| b.allocated())
    }
}

impl App {
    /// All that an app of this user is charged with.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        let place = match self.place.conn {
            Some(_) => 0,
            None => place_bytes(user, &self.package),
        };
        place + self.place.allocated() + self.subscriptions.allocated()
    }
}

impl Session {
    /// All that the session of this user is charged with.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        let glasses = match self.glasses.absence {
            Some(_) => place_bytes(user, ""),
            None => 0,
        };
        let apps = self.apps.iter().map(|app| app.charged(user));
        glasses + self.glasses.allocated() + apps.sum::<usize>() + self.fan_outs.charged()
    }
}
