//! Sessions by user, each with one place for its glasses and one for each app. A place is held by a
//! connection, or waits for one.

use super::action::Action;
use super::app::App;
use super::app_event::{AppEvent, Estate};
use super::census::{Census, Tally};
use super::fan_out::FanOuts;
use super::graces::Due;
use super::kept::Kept;
use super::place::{Place, PlaceEvent};
use super::seat::{Addressee, PlaceView};
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::Identity;
use crate::relay::role::Role;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The most apps of one session.
pub(crate) const SESSION_APPS_MAX: usize = 1_000;

/// The session of one user.
#[derive(Debug, Default)]
pub struct Session {
    /// The glasses' place.
    pub(super) glasses: Place,
    /// The apps, sorted by package. Boxed, because a list of a thousand is changed in its middle.
    pub apps: Vec<Box<App>>,
    /// Frames of the glasses that have not reached all apps.
    pub(crate) fan_outs: FanOuts,
}

impl Session {
    /// Returns whether the session has no apps, and its glasses are neither connected nor awaited.
    fn is_over(&self) -> bool {
        !self.glasses.is_held() && self.apps.is_empty()
    }

    /// Returns a view of the glasses' place.
    pub fn glasses(&self) -> PlaceView {
        self.glasses.view()
    }

    /// Returns the app of this package.
    pub fn app(&self, package: &str) -> Option<&App> {
        self.position(package).ok().map(|at| &*self.apps[at])
    }

    /// Returns the index of the app of this package in the list, or where it would be inserted.
    fn position(&self, package: &str) -> Result<usize, usize> {
        App::position(&self.apps, package)
    }

    pub(crate) fn app_mut(&mut self, package: &str) -> Option<&mut App> {
        self.position(package).ok().map(|at| &mut *self.apps[at])
    }

    /// Returns a view of the place of a role, if there is one.
    pub(in crate::relay) fn place(&self, role: Role<'_>) -> Option<PlaceView> {
        match role {
            Role::Glasses => Some(self.glasses()),
            Role::App(package) => self.app(package).map(App::place),
        }
    }

    /// Returns where frames for the peer of this role go.
    pub(in crate::relay) fn addressee(&mut self, role: Role<'_>) -> Addressee<'_> {
        match role {
            Role::Glasses => self.glasses.addressee(),
            Role::App(package) => match self.app_mut(package) {
                Some(app) => app.addressee(),
                None => Addressee::Missing,
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
    pub(crate) fn app_mut(&mut self, user: &str, package: &str) -> Option<&mut App> {
        self.get_mut(user)?.app_mut(package)
    }

    /// Returns what is kept for the peer of this identity, if this connection holds its place.
    pub(in crate::relay) fn kept_of(
        &mut self,
        identity: &Identity,
        id: ConnId,
    ) -> Option<&mut Kept> {
        match self.get_mut(&identity.user)?.addressee(Role::of(identity)) {
            Addressee::Here(conn, kept) if conn == id => Some(kept),
            Addressee::Here(..) | Addressee::Absent(_) | Addressee::Missing => None,
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

/// Methods that apply events to places, and update the counts of places.
impl Sessions {
    /// Applies an event to the glasses' place of a user that has a session.
    pub(in crate::relay) fn glasses_on(
        &mut self,
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        user: &str,
        event: PlaceEvent,
    ) -> Vec<Action> {
        let Some(session) = self.get_mut(user) else {
            return Vec::new();
        };
        let before = session.glasses.tally();
        let actions = session.glasses.on(event);
        census.changed(io, (user, None), before, session.glasses.tally());
        actions
    }

    /// Applies an event to an app, if its session has it.
    pub(in crate::relay) fn app_on(
        &mut self,
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        (user, package): (&str, &str),
        event: AppEvent,
    ) -> Vec<Action> {
        let Some(app) = self.app_mut(user, package) else {
            return Vec::new();
        };
        let before = app.tally();
        let actions = app.on(event);
        census.changed(io, (user, Some(package)), before, app.tally());
        actions
    }

    /// Gives an admitted connection the place of its app, which may be new to the session.
    pub(in crate::relay) fn app_arrives(
        &mut self,
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        (user, package): (&str, &str),
        event: AppEvent,
    ) -> Vec<Action> {
        let session = self.of(user);
        let Err(at) = session.position(package) else {
            return self.app_on(io, census, (user, package), event);
        };
        let mut app = Box::new(App::started(package));
        let actions = app.on(event);
        census.changed(io, (user, Some(package)), Tally::default(), app.tally());
        session.apps.insert(at, app);
        actions
    }

    /// Adds an app that a user starts, and that has no connection yet.
    pub(in crate::relay) fn start_app(
        &mut self,
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        (user, package): (&str, &str),
    ) {
        let session = self.of(user);
        if let Err(at) = session.position(package) {
            let app = App::started(package);
            census.changed(io, (user, Some(package)), Tally::default(), app.tally());
            session.apps.insert(at, Box::new(app));
        }
    }

    /// Removes an app from its session.
    pub(in crate::relay) fn take_app(
        &mut self,
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        (user, package): (&str, &str),
    ) -> Option<Estate> {
        let session = self.get_mut(user)?;
        let at = session.position(package).ok()?;
        let app = session.apps.remove(at);
        Some(Self::end_app(io, census, user, *app))
    }

    /// Updates the counts for an app that is no longer in a session.
    pub(in crate::relay) fn end_app(
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        user: &str,
        app: App,
    ) -> Estate {
        let place = (user, Some(&*app.package));
        census.changed(io, place, app.tally(), Tally::default());
        app.end()
    }

    /// Restores a session from before a restart, for a user that has none; it waits for its
    /// glasses. The packages must be sorted.
    pub(in crate::relay) fn restore(
        &mut self,
        io: &mut Io<'_>,
        census: &mut Census<'_>,
        user: &str,
        due: Due,
        packages: &[&str],
    ) {
        let session = self.of(user);
        session.glasses = Place::restored(io.now(), due);
        census.changed(io, (user, None), Tally::default(), session.glasses.tally());
        for package in packages {
            let app = App::restored(package);
            census.changed(io, (user, Some(package)), Tally::default(), app.tally());
            session.apps.push(Box::new(app));
        }
    }
}
