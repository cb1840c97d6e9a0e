//! Listing sessions: users by name, and the apps of each by package, in slices that do not delay
//! the loop.
//!
//! A cursor is a name, not a number: it stays valid while users and apps come and go.

use super::gateway::Gateway;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::host::ConnState;
use crate::query::SliceCost;
use crate::relay::{Absence, AppSlot, AppState, Session, SlotView, Subscriptions};

/// The most apps of each session in a list of sessions.
pub const LISTED_APPS_MAX: usize = 64;

/// The most subscriptions that are listed for an app.
pub const LISTED_SUBSCRIPTIONS_MAX: usize = 64;

/// The most apps of one session in one slice, with their subscriptions.
const SLICE_APPS_MAX: usize = 32;

/// CPU time to go to a session and to make its row, in ns.
const SESSION_NS: u32 = 800;

/// CPU time to check an app of a session and to sort it, in ns; most of it is cache misses.
const LOOK_NS: u32 = 160;

/// CPU time to check an app again in the next slice of the same session, in ns; there are fewer
/// cache misses then.
const REPEAT_LOOK_NS: u32 = 60;

/// CPU time to make the row of an app, including the state of its connection, in ns.
const APP_NS: u32 = 500;

/// CPU time to copy the name of a subscription, in ns.
const NAME_NS: u32 = 50;

/// The sessions of one slice.
#[derive(Debug, Clone)]
pub struct SessionSlice {
    /// The engine time of this slice.
    pub now: Micros,
    /// The number of all sessions.
    pub total: usize,
    /// The sessions, by user.
    pub rows: Vec<SessionRow>,
    /// Whether more sessions follow.
    pub more: bool,
}

/// The session of one user. A list of sessions names the first [`LISTED_APPS_MAX`] apps only.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// The user.
    pub user: Box<str>,
    /// The glasses; `None` if they have never connected.
    pub glasses: Option<SlotRow>,
    /// The apps, by package.
    pub apps: Vec<AppRow>,
    /// How many apps the session has in all.
    pub apps_total: usize,
    /// Whether the session has more apps after those listed.
    pub more_apps: bool,
    /// Frames kept for the glasses and all apps.
    pub kept_frames: usize,
    /// The bytes of those frames.
    pub kept_bytes: usize,
}

/// An app of a session.
#[derive(Debug, Clone)]
pub struct AppRow {
    /// The package.
    pub package: Box<str>,
    /// The app's state.
    pub state: AppState,
    /// How many streams the app has subscribed to.
    pub subscribed: usize,
    /// The names of the first [`LISTED_SUBSCRIPTIONS_MAX`] of those streams, if they were asked
    /// for.
    pub subscriptions: Option<Vec<Box<str>>>,
    /// The app's place in the session.
    pub slot: SlotRow,
}

/// The place of one peer in a session: it belongs to the peer while the peer is connected, and
/// while it may still come back.
#[derive(Debug, Clone)]
pub struct SlotRow {
    /// The peer's connection, and the state of that connection; `None` if it is lost.
    pub conn: Option<(ConnId, ConnState)>,
    /// When and how the connection was lost, if the peer may still come back.
    pub absence: Option<Absence>,
    /// How often the peer came back after a loss, or replaced its own older connection.
    pub resumes: u32,
    /// The number of frames that are kept for the peer.
    pub kept_frames: usize,
    /// The bytes of those frames.
    pub kept_bytes: usize,
}

impl Gateway {
    /// Returns one slice of the sessions after this user: at most `most`, and at least one if there
    /// is any.
    pub fn session_slice(&self, io: &mut Io<'_>, after: Option<&str>, most: usize) -> SessionSlice {
        let (mut slice_cost, mut rows) = (SliceCost::default(), Vec::new());
        let mut sessions = self.products.relay.sessions.after(after).peekable();
        while rows.len() < most
            && let Some((user, session)) = sessions.peek()
        {
            let named = session.apps.len().min(LISTED_APPS_MAX) as u32;
            let cost = SESSION_NS + LOOK_NS * session.apps.len() as u32 + APP_NS * named;
            if !rows.is_empty() && slice_cost.is_exceeded_by(cost) {
                break;
            }
            slice_cost.add(cost);
            rows.push(SessionRow::of(
                user,
                session,
                None,
                LISTED_APPS_MAX,
                false,
                io,
            ));
            sessions.next();
        }
        let more = sessions.peek().is_some();
        slice_cost.spend(io);
        SessionSlice {
            now: io.now(),
            total: self.products.relay.sessions.len(),
            rows,
            more,
        }
    }

    /// Returns one slice of a user's session: at most `most` apps after this package, with their
    /// subscriptions.
    pub fn app_slice(
        &self,
        io: &mut Io<'_>,
        user: &str,
        after: Option<&str>,
        most: usize,
    ) -> Option<SessionRow> {
        let session = self.products.relay.sessions.get(user)?;
        let row = SessionRow::of(user, session, after, most.min(SLICE_APPS_MAX), true, io);
        let mut slice_cost = SliceCost::default();
        slice_cost.add(SESSION_NS + REPEAT_LOOK_NS * session.apps.len() as u32);
        for app in &row.apps {
            let names = app.subscriptions.as_ref().map_or(0, Vec::len);
            slice_cost.add(APP_NS + NAME_NS * names as u32);
        }
        slice_cost.spend(io);
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
        let slots = session.apps.iter().map(|app| app.view());
        let (mut kept_frames, mut kept_bytes) = (0, 0);
        for slot in slots.chain([glasses]) {
            kept_frames += slot.kept_frames;
            kept_bytes += slot.kept_bytes;
        }
        // Apps are sorted by package.
        let behind = session
            .apps
            .partition_point(|app| after.is_some_and(|a| *app.package <= *a));
        let apps = &session.apps[behind..];
        let more_apps = apps.len() > most;
        SessionRow {
            user: user.into(),
            glasses: glasses.is_occupied().then(|| SlotRow::of(glasses, io)),
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
    fn of(app: &AppSlot, names: bool, io: &Io<'_>) -> Self {
        let subscriptions = app.subscriptions();
        let named = subscriptions.into_iter().flat_map(Subscriptions::iter);
        let named = named.take(LISTED_SUBSCRIPTIONS_MAX);
        AppRow {
            package: app.package.clone(),
            state: app.state(),
            subscribed: subscriptions.map_or(0, Subscriptions::len),
            subscriptions: names.then(|| named.map(Into::into).collect()),
            slot: SlotRow::of(app.view(), io),
        }
    }
}

impl SlotRow {
    fn of(slot: SlotView, io: &Io<'_>) -> Self {
        let state = |id| {
            let view = io.view(id);
            let state = view.map_or(ConnState::Closing, |view| ConnState::of(&view));
            (id, state)
        };
        SlotRow {
            conn: slot.conn().map(state),
            absence: slot.absence(),
            resumes: slot.resumes,
            kept_frames: slot.kept_frames,
            kept_bytes: slot.kept_bytes,
        }
    }
}
