//! Sessions by user, each with one slot for its glasses and one for each app. A slot is held by a
//! connection, or waits for one.

use super::action::Action;
use super::app_event::{AppEvent, RemovedApp};
use super::app_slot::AppSlot;
use super::backlog::Backlog;
use super::fan_out::FanOutQueue;
use super::glasses_slot::{GlassesEvent, GlassesSlot};
use super::grace_queue::SlotDeadline;
use super::slot::{Destination, SlotView};
use super::slot_counts::{CountFlags, SlotCounts};
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::PeerRole;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The most apps of one session.
pub(crate) const SESSION_APPS_MAX: usize = 1_000;

/// The session of one user.
#[derive(Debug, Default)]
pub struct Session {
    /// The glasses' slot.
    pub(super) glasses: GlassesSlot,
    /// The apps, sorted by package. Boxed, because a list of a thousand is changed in its middle.
    pub apps: Vec<Box<AppSlot>>,
    /// Frames of the glasses that have not reached all apps.
    pub(crate) fan_outs: FanOutQueue,
}

impl Session {
    /// Returns whether the session has no apps, and its glasses are neither connected nor awaited.
    fn is_over(&self) -> bool {
        !self.glasses.is_occupied() && self.apps.is_empty()
    }

    /// Returns a view of the glasses' slot.
    pub fn glasses(&self) -> SlotView {
        self.glasses.view()
    }

    /// Returns the app of this package.
    pub fn app(&self, package: &str) -> Option<&AppSlot> {
        self.position(package).ok().map(|at| &*self.apps[at])
    }

    /// Returns the index of the app of this package in the list, or where it would be inserted.
    fn position(&self, package: &str) -> Result<usize, usize> {
        AppSlot::position(&self.apps, package)
    }

    pub(crate) fn app_mut(&mut self, package: &str) -> Option<&mut AppSlot> {
        self.position(package).ok().map(|at| &mut *self.apps[at])
    }

    /// Returns a view of the slot of a role, if there is one.
    pub(in crate::relay) fn slot(&self, role: PeerRole<'_>) -> Option<SlotView> {
        match role {
            PeerRole::Glasses => Some(self.glasses()),
            PeerRole::App(package) => self.app(package).map(AppSlot::view),
        }
    }

    /// Returns where frames for the peer of this role go.
    pub(in crate::relay) fn destination(&mut self, role: PeerRole<'_>) -> Destination<'_> {
        match role {
            PeerRole::Glasses => self.glasses.destination(),
            PeerRole::App(package) => match self.app_mut(package) {
                Some(app) => app.destination(),
                None => Destination::Empty,
            },
        }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// The sessions by user. They are sorted, so that they can be listed page by page. In contrast
    /// to a hash map, names that peers choose cannot make it slow.
    by_user: BTreeMap<Box<str>, Session>,
}

impl Sessions {
    pub(crate) fn get(&self, user: &str) -> Option<&Session> {
        self.by_user.get(user)
    }

    pub(crate) fn get_mut(&mut self, user: &str) -> Option<&mut Session> {
        self.by_user.get_mut(user)
    }

    /// Returns an app of a user's session.
    pub(crate) fn app_mut(&mut self, user: &str, package: &str) -> Option<&mut AppSlot> {
        self.get_mut(user)?.app_mut(package)
    }

    /// Returns what is kept for the peer of this identity, if this connection holds its slot.
    pub(in crate::relay) fn backlog_of(
        &mut self,
        identity: &Identity,
        id: ConnId,
    ) -> Option<&mut Backlog> {
        match self
            .get_mut(&identity.user)?
            .destination(PeerRole::of(identity))
        {
            Destination::Held(conn, backlog) if conn == id => Some(backlog),
            Destination::Held(..) | Destination::Absent(_) | Destination::Empty => None,
        }
    }

    /// Returns the session of a user, created if there is none.
    pub(crate) fn of(&mut self, user: &str) -> &mut Session {
        self.by_user.entry(user.into()).or_default()
    }

    /// Removes a session, and returns it.
    pub(crate) fn remove(&mut self, user: &str) -> Option<Session> {
        self.by_user.remove(user)
    }

    /// Removes a session if it has no apps, and its glasses are neither connected nor awaited.
    pub(crate) fn tidy(&mut self, user: &str) {
        if self.by_user.get(user).is_some_and(Session::is_over) {
            self.by_user.remove(user);
        }
    }

    /// Returns the sessions after this user, in the order of their names.
    pub(crate) fn after(&self, user: Option<&str>) -> impl Iterator<Item = (&str, &Session)> {
        let from = user.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.by_user.range::<str, _>((from, Bound::Unbounded));
        range.map(|(user, session)| (&**user, session))
    }

    /// Returns the number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.by_user.len()
    }
}

/// Methods that apply events to slots, and update the counts of slots.
impl Sessions {
    /// Applies an event to the glasses' slot of a user that has a session.
    pub(in crate::relay) fn glasses_on(
        &mut self,
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        user: &str,
        event: GlassesEvent,
    ) -> Vec<Action> {
        let Some(session) = self.get_mut(user) else {
            return Vec::new();
        };
        let before = session.glasses.count_flags();
        let actions = session.glasses.on(event);
        counts.update(io, (user, None), before, session.glasses.count_flags());
        actions
    }

    /// Applies an event to an app, if its session has it.
    pub(in crate::relay) fn app_on(
        &mut self,
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        (user, package): (&str, &str),
        event: AppEvent,
    ) -> Vec<Action> {
        let Some(app) = self.app_mut(user, package) else {
            return Vec::new();
        };
        let before = app.count_flags();
        let actions = app.on(event);
        counts.update(io, (user, Some(package)), before, app.count_flags());
        actions
    }

    /// Gives an admitted connection the slot of its app, which may be new to the session.
    pub(in crate::relay) fn attach_app(
        &mut self,
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        (user, package): (&str, &str),
        event: AppEvent,
    ) -> Vec<Action> {
        let session = self.of(user);
        let Err(at) = session.position(package) else {
            return self.app_on(io, counts, (user, package), event);
        };
        let mut app = Box::new(AppSlot::started(package));
        let actions = app.on(event);
        counts.update(
            io,
            (user, Some(package)),
            CountFlags::default(),
            app.count_flags(),
        );
        session.apps.insert(at, app);
        actions
    }

    /// Adds an app that a user starts, and that has no connection yet.
    pub(in crate::relay) fn start_app(
        &mut self,
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        (user, package): (&str, &str),
    ) {
        let session = self.of(user);
        if let Err(at) = session.position(package) {
            let app = AppSlot::started(package);
            counts.update(
                io,
                (user, Some(package)),
                CountFlags::default(),
                app.count_flags(),
            );
            session.apps.insert(at, Box::new(app));
        }
    }

    /// Removes an app from its session.
    pub(in crate::relay) fn remove_app(
        &mut self,
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        (user, package): (&str, &str),
    ) -> Option<RemovedApp> {
        let session = self.get_mut(user)?;
        let at = session.position(package).ok()?;
        let app = session.apps.remove(at);
        Some(Self::end_app(io, counts, user, *app))
    }

    /// Updates the counts for an app that is no longer in a session.
    pub(in crate::relay) fn end_app(
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        user: &str,
        app: AppSlot,
    ) -> RemovedApp {
        let slot = (user, Some(&*app.package));
        counts.update(io, slot, app.count_flags(), CountFlags::default());
        app.end()
    }

    /// Restores a session from before a restart, for a user that has none; it waits for its
    /// glasses. The packages must be sorted.
    pub(in crate::relay) fn restore(
        &mut self,
        io: &mut Io<'_>,
        counts: &mut SlotCounts<'_>,
        user: &str,
        deadline: SlotDeadline,
        packages: &[&str],
    ) {
        let session = self.of(user);
        session.glasses = GlassesSlot::restored(io.now(), deadline);
        counts.update(
            io,
            (user, None),
            CountFlags::default(),
            session.glasses.count_flags(),
        );
        for package in packages {
            let app = AppSlot::restored(package);
            counts.update(
                io,
                (user, Some(package)),
                CountFlags::default(),
                app.count_flags(),
            );
            session.apps.push(Box::new(app));
        }
    }
}
