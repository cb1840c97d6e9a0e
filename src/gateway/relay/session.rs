//! Who is here, and who is waited for: sessions by user, each with one place for its glasses and one for each app.

use super::backlog::Backlog;
use super::fanout::FanOuts;
use super::graces::Due;
use crate::cause::Cause;
use crate::gateway::{Role, Subscriptions};
use crate::id::ConnId;
use crate::time::Micros;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The most apps of one session.
pub(in crate::gateway) const SESSION_APPS_MAX: usize = 1_000;

/// One user.
#[derive(Debug, Default)]
pub struct Session {
    /// The glasses' place.
    pub glasses: Place,
    /// The apps, in the order of their packages. Boxed: a list of a thousand is changed in its middle.
    pub apps: Vec<Box<App>>,
    /// Frames of the glasses that have not reached all apps.
    pub(in crate::gateway) fan_outs: FanOuts,
}

/// Room for one peer: it is there, or it was lost and is waited for, or neither.
#[derive(Debug, Default)]
pub struct Place {
    /// Whose it is now.
    pub conn: Option<ConnId>,
    /// If its peer was lost and is waited for.
    pub absence: Option<Box<Absence>>,
    /// What is kept for the peer.
    pub(in crate::gateway) backlog: Option<Box<Backlog>>,
    /// How often it was taken again after a loss, or from an older connection.
    pub resumes: u32,
    /// How it was taken last.
    pub how: How,
}

/// How a place was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// Nobody had it, and nobody was waited for.
    #[default]
    First,
    /// It had been lost.
    Resume,
    /// An older connection had it.
    Takeover,
}

impl How {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            How::First => "first",
            How::Resume => "resume",
            How::Takeover => "takeover",
        }
    }
}

/// A loss.
#[derive(Debug, Clone, Copy)]
pub struct Absence {
    /// Since when: engine time.
    pub since: Micros,
    /// How the connection ended; `None`: there was none, it is a session from before a restart, or an app that has to come.
    pub cause: Option<Cause>,
    /// The connection was lost: neither side wanted it to end.
    pub lost: bool,
    /// Until when it is waited for.
    pub due: Due,
}

/// An app of a session.
#[derive(Debug)]
pub struct App {
    /// Which.
    pub package: Box<str>,
    /// Its place.
    pub place: Place,
    /// How it is.
    pub state: AppState,
    /// What it wants to hear, exactly.
    pub subscriptions: Subscriptions,
    /// It has said that it leaves.
    pub released: bool,
    /// Its connection is one of the newer SDK, which comes back whatever code it is closed with: only `app_stopped` keeps it away.
    pub(in crate::gateway) insists: bool,
    /// Its connection was told to wait for the glasses, and is acknowledged when they are here.
    pub(in crate::gateway) deferred: bool,
    /// Whether a new connection of it may be on its way.
    pub(in crate::gateway) called: Called,
    /// Since when it last ran it was expected in vain so often; `None`: it has not run yet.
    pub(in crate::gateway) missed: Option<u8>,
    /// While it is being asked: who comes before this is not who was asked for.
    pub(in crate::gateway) not_before: Option<Micros>,
}

/// How an app is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppState {
    /// Connected.
    Running,
    /// Its connection was lost, and it may come back by itself.
    Lost,
    /// Its server is being asked for a session.
    Asked {
        /// The errand.
        number: u64,
        /// It ran before, and was lost.
        revival: bool,
    },
    /// Its server has agreed, or need not be asked; it is to connect.
    Expected,
    /// It will be asked when the glasses are back.
    Dormant,
}

/// Whether an app's server was asked for a session and may act upon it still. Its SDK then releases the connection that is there
/// and opens another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Called {
    /// It was not, or has done what it was asked for: it answers when the new connection is there.
    No,
    /// This errand has no outcome yet.
    Open(u64),
    /// It has not answered; it may act upon it until then.
    Until(Micros),
}

impl AppState {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            AppState::Running => "running",
            AppState::Lost => "lost",
            AppState::Asked { .. } => "asked",
            AppState::Expected => "expected",
            AppState::Dormant => "dormant",
        }
    }
}

impl Place {
    /// Returns whether the peer is there or waited for.
    pub fn is_held(&self) -> bool {
        self.conn.is_some() || self.absence.is_some()
    }

    /// Frames that are kept for it, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        let backlog = self.backlog.as_ref();
        backlog.map_or((0, 0), |backlog| (backlog.len(), backlog.bytes()))
    }
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
    pub(in crate::gateway) fn position(&self, package: &str) -> Result<usize, usize> {
        self.apps
            .binary_search_by(|app| (*app.package).cmp(package))
    }

    pub(in crate::gateway) fn app_mut(&mut self, package: &str) -> Option<&mut App> {
        self.position(package).ok().map(|at| &mut *self.apps[at])
    }

    /// The place of a role, if there is one.
    pub(in crate::gateway) fn place_mut(&mut self, role: &Role) -> Option<&mut Place> {
        match role {
            Role::Glasses => Some(&mut self.glasses),
            Role::Tpa(package) => self.app_mut(package).map(|app| &mut app.place),
        }
    }
}

impl App {
    pub(in crate::gateway) fn new(package: &str, state: AppState) -> Self {
        App {
            package: package.into(),
            place: Place::default(),
            state,
            subscriptions: Subscriptions::default(),
            released: false,
            insists: false,
            deferred: false,
            called: Called::No,
            missed: None,
            not_before: None,
        }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Sessions {
    /// In order, so that they can be listed a page at a time; and names that peers choose cannot make it slow.
    by_user: BTreeMap<Box<str>, Session>,
}

impl Sessions {
    pub(in crate::gateway) fn get(&self, user: &str) -> Option<&Session> {
        self.by_user.get(user)
    }

    pub(in crate::gateway) fn get_mut(&mut self, user: &str) -> Option<&mut Session> {
        self.by_user.get_mut(user)
    }

    /// An app of a user's session.
    pub(in crate::gateway) fn app_mut(&mut self, user: &str, package: &str) -> Option<&mut App> {
        self.get_mut(user)?.app_mut(package)
    }

    /// The session of a user, made if there is none.
    pub(in crate::gateway) fn of(&mut self, user: &str) -> &mut Session {
        self.by_user.entry(user.into()).or_default()
    }

    /// Takes a session out.
    pub(in crate::gateway) fn remove(&mut self, user: &str) -> Option<Session> {
        self.by_user.remove(user)
    }

    /// Forgets a session in which there is nobody any more.
    pub(in crate::gateway) fn tidy(&mut self, user: &str) {
        if self.by_user.get(user).is_some_and(Session::is_over) {
            self.by_user.remove(user);
        }
    }

    /// The sessions behind this user, in the order of their names.
    pub(in crate::gateway) fn after(
        &self,
        user: Option<&str>,
    ) -> impl Iterator<Item = (&str, &Session)> {
        let from = user.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.by_user.range::<str, _>((from, Bound::Unbounded));
        range.map(|(user, session)| (&**user, session))
    }

    /// How many there are.
    pub(in crate::gateway) fn len(&self) -> usize {
        self.by_user.len()
    }
}
