//! The relay's state: sessions that survive their connections, and the tables beside them.

use super::errands::{Errands, StateErrand};
use super::session::{
    Census, Graces, How, PlaceState, Post, Room, SESSION_APPS_MAX, Sessions, Vacancies,
};
use super::settings::RelaySettings;
use super::stats::RelayStats;
use super::tables::{
    Backpressure, Chores, Flapping, Greeting, Introductions, MissedBox, MissedSink, Readings,
    Starts, Sweep,
};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::{Blocks, Credentials, Identity};
use crate::relay::role::Role;
use std::collections::HashMap;

/// The prefix of names that the relay generates for glasses without one. No peer reconnects under
/// such a name.
pub(super) const ANONYMOUS: &str = "anonymous-";

/// The work units for a lost peer that is given up.
pub(super) const PER_GRACE: u32 = 2;

/// All sessions, with the tables and limits that they share.
pub(crate) struct Relay {
    pub(crate) sessions: Sessions,
    pub(crate) settings: RelaySettings,
    pub(crate) credentials: Credentials,
    pub(crate) blocks: Blocks,
    pub(crate) errands: Errands,
    pub(super) flapping: Flapping,
    /// How often each user has started and stopped apps lately.
    pub(super) starts: Starts,
    pub(crate) stats: RelayStats,
    pub(super) graces: Graces,
    /// The number of places of apps that no connection holds.
    pub(super) vacancies: Vacancies,
    pub(super) chores: Chores,
    pub(super) backpressure: Backpressure,
    pub(super) readings: Readings,
    pub(super) introductions: Introductions,
    pub(crate) missed: MissedSink,
    /// The identity that each unanswered errand is for, by the errand's number.
    pub(super) asked: HashMap<u64, Identity>,
    /// The number of the last errand.
    pub(super) errand: u64,
    /// What is left to do for the apps after the last reload of their list.
    pub(super) sweep: Sweep,
    /// For each connection, the number of recent malformed frames, and since when they are counted.
    pub(super) strikes: HashMap<ConnId, (u32, Micros)>,
    /// Connections that announced their departure and were already replaced, by the timer that
    /// closes them.
    pub(super) leaving: HashMap<TimerId, ConnId>,
    /// The most places that wait for a lost peer: as many as there may be connections.
    pub(super) absent_max: usize,
    /// The number of the last generated name.
    pub(super) anonymous: u64,
}

impl Relay {
    pub(crate) fn new(
        settings: RelaySettings,
        credentials: Credentials,
        absent_max: usize,
    ) -> Self {
        Relay {
            sessions: Sessions::default(),
            settings,
            credentials,
            blocks: Blocks::default(),
            errands: Errands::default(),
            flapping: Flapping::default(),
            starts: Starts::default(),
            stats: RelayStats::default(),
            graces: Graces::default(),
            vacancies: Vacancies::default(),
            chores: Chores::default(),
            backpressure: Backpressure::default(),
            readings: Readings::default(),
            introductions: Introductions::default(),
            missed: MissedSink::default(),
            asked: HashMap::new(),
            errand: 0,
            sweep: Sweep::default(),
            strikes: HashMap::new(),
            leaving: HashMap::new(),
            absent_max,
            anonymous: 0,
        }
    }

    /// Applies new settings. Waits that have begun keep their end. Apps that are no longer known
    /// are stopped by [`sweep_apps`](Self::sweep_apps); returns whether it must be started.
    pub(crate) fn reconfigure(
        &mut self,
        settings: RelaySettings,
        credentials: Credentials,
        absent_max: usize,
    ) -> bool {
        let older = std::mem::replace(&mut self.credentials, credentials);
        (self.settings, self.absent_max) = (settings, absent_max);
        self.sweep.begin(older, self.errand)
    }

    /// Restores sessions from before a restart, with the packages that ran. Their glasses have a
    /// grace as if they had been lost now. If a predecessor may still run, its overlap is added.
    pub(crate) fn restore(&mut self, io: &mut Io<'_>, sessions: Vec<(Box<str>, Vec<Box<str>>)>) {
        let at = io.now() + self.settings.glasses_grace + self.settings.overlap;
        let (mut places, mut forgotten) = (0, 0);
        for (user, packages) in sessions {
            let known = packages.iter().filter(|p| self.credentials.knows(p));
            let mut apps: Vec<&str> = known.map(|package| &**package).collect();
            apps.sort_unstable();
            apps.dedup();
            apps.truncate(SESSION_APPS_MAX);
            let fits = places + 1 + apps.len() <= self.absent_max;
            forgotten += u64::from(!fits);
            if apps.is_empty() || self.settings.glasses_grace == Micros::ZERO || !fits {
                self.note(io, StateErrand::ForgetUser { user });
                continue;
            }
            places += 1 + apps.len();
            let due = self.graces.due(at);
            let (mut census, sessions) = self.census();
            sessions.restore(io, &mut census, &user, due, &apps);
            self.graces.add(io, Role::Glasses.identity(&user), due);
        }
        if forgotten > 0 {
            let most = self.absent_max;
            log::warn!(
                "restored sessions_forgotten={forgotten} reason=\"the state file has more than \
                 {most} glasses and apps (MAX_CONNECTIONS)\""
            );
        }
    }

    /// Returns whether the relay generated this name. With credentials it generates none, and a
    /// user may have such a name.
    pub(super) fn is_ours(&self, user: &str) -> bool {
        self.credentials.is_open() && user.starts_with(ANONYMOUS)
    }

    /// Assigns an admitted connection its place in the session. Returns how it took the place.
    pub(super) fn arrive(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        identity: &Identity,
        greeting: Greeting,
    ) -> How {
        match Role::of(identity) {
            Role::Glasses => self.glasses_arrive(io, id, identity),
            Role::App(package) => self.app_arrives(io, id, identity, package, greeting),
        }
    }

    /// Returns the queue of peers that did not come back within their grace.
    pub(crate) fn missed(&self) -> MissedBox {
        self.missed.shared()
    }

    /// Returns some of the identities that are refused now because they reconnect too often, and
    /// how many there are in all.
    pub(crate) fn flapping(&self, most: usize, now: Micros) -> (Vec<Identity>, usize) {
        let mut refused = self.flapping.refused(now);
        let some = refused.by_ref().take(most);
        let some: Vec<Identity> = some.map(|(identity, _)| identity.clone()).collect();
        let all = some.len() + refused.count();
        (some, all)
    }

    /// Handles a timer that has expired. Returns whether it was a timer of the relay.
    pub(super) fn timer_fired(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let ours = self.graces.on_timer(timer);
        if ours {
            for (due, identity) in self.graces.take_due(io) {
                io.spend(PER_GRACE);
                self.waited_in_vain(io, &identity, due, Room::Yes);
            }
        }
        if self.chores.on_timer(timer) {
            self.do_chores(io);
            return true;
        }
        ours || self.on_leaving(io, timer) || self.on_unsaid(io, timer)
    }

    /// Returns how a connection joined its session (first, resume or takeover), if it still holds
    /// its place.
    pub(crate) fn how(&self, id: ConnId, identity: &Identity) -> Option<How> {
        let session = self.sessions.get(&identity.user)?;
        match session.place(Role::of(identity))?.state {
            PlaceState::Held { conn, how } if conn == id => Some(how),
            PlaceState::Held { .. } | PlaceState::Empty | PlaceState::Absent(_) => None,
        }
    }

    /// Borrows the sender of frames, and the sessions that it delivers to.
    pub(super) fn post(&mut self) -> (Post<'_>, &mut Sessions) {
        let post = Post {
            settings: &self.settings,
            stats: &mut self.stats,
        };
        (post, &mut self.sessions)
    }

    /// Borrows the counts of places, and the sessions that they count.
    pub(super) fn census(&mut self) -> (Census<'_>, &mut Sessions) {
        let census = Census {
            stats: &mut self.stats,
            vacancies: &mut self.vacancies,
        };
        (census, &mut self.sessions)
    }
}
