//! Who is here, and who is waited for: sessions by user, each with one place for its glasses and one for each app.

use super::app::App;
use super::fan_out::FanOuts;
use super::place::Place;
use crate::host::Role;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The most apps of one session.
pub(crate) const SESSION_APPS_MAX: usize = 1_000;

/// One user.
#[derive(Debug, Default)]
pub struct Session {
    /// The glasses' place.
    pub glasses: Place,
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

    /// The app of this package.
    pub fn app(&self, package: &str) -> Option<&App> {
        self.position(package).ok().map(|at| &*self.apps[at])
    }

    /// Where the app of this package is in the list, or where it would be.
    pub(crate) fn position(&self, package: &str) -> Result<usize, usize> {
        App::position(&self.apps, package)
    }

    pub(crate) fn app_mut(&mut self, package: &str) -> Option<&mut App> {
        self.position(package).ok().map(|at| &mut *self.apps[at])
    }

    /// The place of a role, if there is one.
    pub(crate) fn place_mut(&mut self, role: &Role) -> Option<&mut Place> {
        match role {
            Role::Glasses => Some(&mut self.glasses),
            Role::Tpa(package) => self.app_mut(package).map(|app| &mut app.place),
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
