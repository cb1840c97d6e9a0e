//! Who is here, and who is waited for: sessions by user, each with one place for its glasses and one for each app.

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

/// One user.
#[derive(Debug, Default)]
pub struct Session {
    /// The glasses' place.
    pub(super) glasses: Place,
    /// The apps, in the order of their packages. Boxed: a list of a thousand is changed in its middle.
    pub apps: Vec<Box<App>>,
    /// Frames of the glasses that have not reached all apps.
    pub(crate) fan_outs: FanOuts,
}

impl Session {
    /// Returns whether there is nobody, and nobody is waited for.
    fn is_over(&self) -> bool {
        !self.glasses.is_held() && self.apps.is_empty()
    }

    /// The glasses' place.
    pub fn glasses(&self) -> PlaceView {
        self.glasses.view()
    }

    /// The app of this package.
    pub fn app(&self, package: &str) -> Option<&App> {
        self.position(package).ok().map(|at| &*self.apps[at])
    }

    /// Where the app of this package is in the list, or where it would be.
    fn position(&self, package: &str) -> Result<usize, usize> {
        App::position(&self.apps, package)
    }

    pub(crate) fn app_mut(&mut self, package: &str) -> Option<&mut App> {
        self.position(package).ok().map(|at| &mut *self.apps[at])
    }

    /// The place of a role, if there is one.
    pub(in crate::relay) fn place(&self, role: Role<'_>) -> Option<PlaceView> {
        match role {
            Role::Glasses => Some(self.glasses()),
            Role::App(package) => self.app(package).map(App::place),
        }
    }

    /// Where frames go that are for the peer of this role.
    pub(in crate::relay) fn addressee(&mut self, role: Role<'_>) -> Addressee<'_> {
        match role {
            Role::Glasses => self.glasses.addressee(),
            Role::App(package) => match self.app_mut(package) {
                Some(app) => app.addressee(),
                None => Addressee::Nobody,
            },
        }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// In order, so that they can be listed a page at a time; and names that peers choose cannot make it slow.
    by_user: BTreeMap<Box<str>, Session>,
}

impl Sessions {
    pub(crate) fn get(&self, user: &str) -> Option<&Session> {
        self.by_user.get(user)
    }

    pub(crate) fn get_mut(&mut self, user: &str) -> Option<&mut Session> {
        self.by_user.get_mut(user)
    }

    /// An app of a user's session.
    pub(crate) fn app_mut(&mut self, user: &str, package: &str) -> Option<&mut App> {
        self.get_mut(user)?.app_mut(package)
    }

    /// What is kept for the peer of this identity, if this connection has its place.
    pub(in crate::relay) fn kept_of(
        &mut self,
        identity: &Identity,
        id: ConnId,
    ) -> Option<&mut Kept> {
        match self.get_mut(&identity.user)?.addressee(Role::of(identity)) {
            Addressee::Here(conn, kept) if conn == id => Some(kept),
            Addressee::Here(..) | Addressee::Absent(_) | Addressee::Nobody => None,
        }
    }

    /// The session of a user, made if there is none.
    pub(crate) fn of(&mut self, user: &str) -> &mut Session {
        self.by_user.entry(user.into()).or_default()
    }

    /// Takes a session out.
    pub(crate) fn remove(&mut self, user: &str) -> Option<Session> {
        self.by_user.remove(user)
    }

    /// Forgets a session in which there is nobody any more.
    pub(crate) fn tidy(&mut self, user: &str) {
        if self.by_user.get(user).is_some_and(Session::is_over) {
            self.by_user.remove(user);
        }
    }

    /// The sessions behind this user, in the order of their names.
    pub(crate) fn after(&self, user: Option<&str>) -> impl Iterator<Item = (&str, &Session)> {
        let from = user.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.by_user.range::<str, _>((from, Bound::Unbounded));
        range.map(|(user, session)| (&**user, session))
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_user.len()
    }
}

/// What happens to places. The counts of them follow.
impl Sessions {
    /// Something happens to the glasses' place of a user who has a session.
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

    /// Something happens to an app, if its session has it.
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

    /// A connection of an app is let in, which may be new to the session.
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

    /// A user starts an app, which has no connection yet.
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

    /// Takes an app out of its session.
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

    /// An app is not in a session any more.
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

    /// Makes a session from before a restart, of a user who has none: its glasses are waited for. Packages are in order.
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
