//! An app of a session.

use super::place::Place;
use crate::relay::subscriptions::Subscriptions;
use crate::time::Micros;

/// Apps in a list that are looked at for a unit.
const LOOKED_AT: usize = 16;

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
    pub(crate) insists: bool,
    /// Its connection was told to wait for the glasses, and is acknowledged when they are here.
    pub(crate) deferred: bool,
    /// Whether a new connection of it may be on its way.
    pub(crate) called: Called,
    /// Since when it last ran it was expected in vain so often; `None`: it has not run yet.
    pub(crate) missed: Option<u8>,
    /// While it is being asked: who comes before this is not who was asked for.
    pub(crate) not_before: Option<Micros>,
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
pub(crate) enum Called {
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

impl App {
    /// Where the app of this package is in a list by package, or where it would be.
    pub(in crate::relay) fn position(apps: &[Box<App>], package: &str) -> Result<usize, usize> {
        apps.binary_search_by(|app| (*app.package).cmp(package))
    }

    pub(crate) fn new(package: &str, state: AppState) -> Self {
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

/// Work units for looking through so many apps.
pub(in crate::relay) fn units(apps: usize) -> u32 {
    (apps / LOOKED_AT) as u32
}
