//! Listing the relay's sessions: users by name, and the apps of each by package, in slices that do not hold the loop up.
//!
//! A cursor is a name, and not a number: it stays true while users and apps come and go.

use super::gateway::Gateway;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::desk::Effort;
use crate::engine::Io;
use crate::host::ConnState;
use crate::relay::{Absence, App, AppState, PlaceView, Session, Subscriptions};

/// The most apps that a session names in a list of sessions.
pub const APPS_NAMED: usize = 64;

/// The most subscriptions that an app names.
pub const SUBSCRIPTIONS_NAMED: usize = 64;

/// Apps of one slice of one session: with their subscriptions.
const APPS_IN_A_SLICE: usize = 32;

/// What it costs to go to a session and to make its row.
const SESSION_NS: u32 = 800;

/// What it costs to look at an app of a session, and to put it in order: most of it cache misses ...
const LOOK_NS: u32 = 160;

/// ... and where slice after slice looks at the same session.
const LOOK_AGAIN_NS: u32 = 60;

/// What it costs to make the row of an app: a connection is looked at.
const APP_NS: u32 = 500;

/// What it costs to copy the name of a subscription.
const NAME_NS: u32 = 50;

/// Sessions that one slice has found.
#[derive(Debug, Clone)]
pub struct SessionSlice {
    /// Engine time.
    pub now: Micros,
    /// How many sessions there are in all.
    pub total: usize,
    /// The sessions, by user.
    pub rows: Vec<SessionRow>,
    /// Whether others stand behind them.
    pub more: bool,
}

/// One user. In a list the first [`APPS_NAMED`] apps are named.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Who.
    pub user: Box<str>,
    /// The glasses; `None` if they never were here.
    pub glasses: Option<PlaceRow>,
    /// Apps, by package.
    pub apps: Vec<AppRow>,
    /// How many apps it has in all.
    pub apps_total: usize,
    /// Whether it has apps behind those.
    pub more_apps: bool,
    /// Frames kept for the glasses and all apps.
    pub kept_frames: usize,
    /// Bytes of those frames.
    pub kept_bytes: usize,
}

/// An app of a session.
#[derive(Debug, Clone)]
pub struct AppRow {
    /// Which.
    pub package: Box<str>,
    /// How it is.
    pub state: AppState,
    /// How many streams it has subscribed to.
    pub subscribed: usize,
    /// The first [`SUBSCRIPTIONS_NAMED`] of them, if they were asked for.
    pub subscriptions: Option<Vec<Box<str>>>,
    /// Its place.
    pub place: PlaceRow,
}

/// Room for one peer of a session.
#[derive(Debug, Clone)]
pub struct PlaceRow {
    /// Its connection, and how that is.
    pub conn: Option<(ConnId, ConnState)>,
    /// If it was lost and is waited for.
    pub absence: Option<Absence>,
    /// How often it came back, or took over from an older connection.
    pub resumes: u32,
    /// Frames that are kept for it.
    pub kept_frames: usize,
    /// Bytes of those frames.
    pub kept_bytes: usize,
}

impl Gateway {
    /// One slice of the sessions behind this user, at most `most` of them and at least one if there is one.
    pub fn session_slice(&self, io: &mut Io<'_>, after: Option<&str>, most: usize) -> SessionSlice {
        let (mut effort, mut rows) = (Effort::default(), Vec::new());
        let mut sessions = self.relay.sessions.after(after).peekable();
        while rows.len() < most
            && let Some((user, session)) = sessions.peek()
        {
            let named = session.apps.len().min(APPS_NAMED) as u32;
            let cost = SESSION_NS + LOOK_NS * session.apps.len() as u32 + APP_NS * named;
            if !rows.is_empty() && effort.is_too_much(cost) {
                break;
            }
            effort.add(cost);
            rows.push(SessionRow::of(user, session, None, APPS_NAMED, false, io));
            sessions.next();
        }
        let more = sessions.peek().is_some();
        effort.spend(io);
        SessionSlice {
            now: io.now(),
            total: self.relay.sessions.len(),
            rows,
            more,
        }
    }

    /// One slice of a user's session: its apps behind this package with their subscriptions, at most `most` of them.
    pub fn apps_slice(
        &self,
        io: &mut Io<'_>,
        user: &str,
        after: Option<&str>,
        most: usize,
    ) -> Option<SessionRow> {
        let session = self.relay.sessions.get(user)?;
        let row = SessionRow::of(user, session, after, most.min(APPS_IN_A_SLICE), true, io);
        let mut effort = Effort::default();
        effort.add(SESSION_NS + LOOK_AGAIN_NS * session.apps.len() as u32);
        for app in &row.apps {
            let names = app.subscriptions.as_ref().map_or(0, Vec::len);
            effort.add(APP_NS + NAME_NS * names as u32);
        }
        effort.spend(io);
        Some(row)
    }
}

impl SessionRow {
    fn of(
        user: &str,
        session: &Session,
        after: Option<&str>,
        most: usize,
        names: bool,
        io: &Io<'_>,
    ) -> Self {
        let glasses = session.glasses();
        let places = session.apps.iter().map(|app| app.place());
        let (mut kept_frames, mut kept_bytes) = (0, 0);
        for place in places.chain([glasses]) {
            kept_frames += place.kept_frames;
            kept_bytes += place.kept_bytes;
        }
        // They are kept in the order of their packages.
        let behind = session
            .apps
            .partition_point(|app| after.is_some_and(|a| *app.package <= *a));
        let apps = &session.apps[behind..];
        let more_apps = apps.len() > most;
        SessionRow {
            user: user.into(),
            glasses: glasses.is_held().then(|| PlaceRow::of(glasses, io)),
            apps: apps
                .iter()
                .take(most)
                .map(|app| AppRow::of(app, names, io))
                .collect(),
            apps_total: session.apps.len(),
            more_apps,
            kept_frames,
            kept_bytes,
        }
    }
}

impl AppRow {
    fn of(app: &App, names: bool, io: &Io<'_>) -> Self {
        let subscriptions = app.subscriptions();
        let named = subscriptions.into_iter().flat_map(Subscriptions::iter);
        let named = named.take(SUBSCRIPTIONS_NAMED);
        AppRow {
            package: app.package.clone(),
            state: app.state(),
            subscribed: subscriptions.map_or(0, Subscriptions::len),
            subscriptions: names.then(|| named.map(Into::into).collect()),
            place: PlaceRow::of(app.place(), io),
        }
    }
}

impl PlaceRow {
    fn of(place: PlaceView, io: &Io<'_>) -> Self {
        let state = |id| {
            let view = io.view(id);
            let state = view.map_or(ConnState::Closing, |view| ConnState::of(&view));
            (id, state)
        };
        PlaceRow {
            conn: place.conn().map(state),
            absence: place.absence(),
            resumes: place.resumes,
            kept_frames: place.kept_frames,
            kept_bytes: place.kept_bytes,
        }
    }
}
