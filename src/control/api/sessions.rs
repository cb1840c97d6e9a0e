//! Sessions: users with their glasses and apps, those included that are waited for.

use super::connections::page_size;
use super::words::StateName;
use crate::control::problem::{Params, Part, Problem};
use crate::control::{Control, ask};
use crate::engine::Io;
use crate::gateway::{App, AppState, ConnState, Place, Session};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionParams {
    /// How many, 1 to 1000; 100 if not given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next` of the page before: only users behind this one.
    after: Option<String>,
}

/// A page of sessions, in the order of their users.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    /// How many there are, on all pages.
    total: usize,
    sessions: Vec<SessionBody>,
    /// Where the next page begins: give it as `after`. Null: this is the last.
    next: Option<String>,
}

/// One user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionBody {
    user: String,
    /// The glasses; null if they never were here.
    glasses: Option<PlaceBody>,
    /// The apps.
    tpas: Vec<AppBody>,
}

/// An app of a session.
#[derive(Debug, Serialize, ToSchema)]
struct AppBody {
    package: String,
    /// Whether it is connected, or what is done about it.
    app: AppStateName,
    /// How many streams it has subscribed to.
    subscribed: usize,
    /// The first 64 of them; null in a list of sessions.
    subscriptions: Option<Vec<String>>,
    #[serde(flatten)]
    place: PlaceBody,
}

/// Room for one peer of a session.
#[derive(Debug, Serialize, ToSchema)]
struct PlaceBody {
    /// Its connection: see `/api/v1/connections/{id}`. Null while there is none.
    id: Option<String>,
    /// The connection's state; null while there is none.
    state: Option<StateName>,
    /// For how long it has been lost, in ms, if it is waited for.
    absent_ms: Option<u64>,
    /// For how much longer it is waited for, in ms.
    waits_ms: Option<u64>,
    /// The cause for which its last connection ended, if it is waited for; null if it is to come for the first time.
    lost_for: Option<&'static str>,
    /// How often it came back, or took over from an older connection.
    resumes: u32,
    /// Frames that are kept for it: unconfirmed, or waiting.
    kept_frames: usize,
    kept_bytes: usize,
}

/// How an app is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AppStateName {
    /// Connected.
    Running,
    /// Its connection was lost, and it may come back by itself.
    Lost,
    /// Its server is being asked for a session.
    Asked,
    /// It has agreed to come, and is to connect.
    Expected,
    /// It will be asked when the glasses are back.
    Dormant,
}

/// Sessions in the order of their users, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", params(SessionParams),
    responses((status = 200, body = SessionList), (status = 400, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn list(
    State(control): State<Arc<Control>>,
    Params(params): Params<SessionParams>,
) -> Result<Json<SessionList>, Problem> {
    /// Sessions that the loop looks at in one turn.
    const SLICE: usize = 256;
    let limit = page_size(params.limit)?;
    let (mut sessions, mut after, mut total) = (Vec::new(), params.after, 0);
    let mut more = true;
    while more && sessions.len() < limit {
        let (from, most) = (after.clone(), SLICE.min(limit - sessions.len()));
        let slice = ask::ask(&control.desk, move |gateway, io| {
            let (mut found, total) = gateway.sessions_after(from.as_deref());
            let body = |(user, session)| SessionBody::of(user, session, false, io);
            let slice: Vec<_> = found.by_ref().take(most).map(body).collect();
            (slice, found.next().is_some(), total)
        });
        let slice = slice.await?;
        (more, total) = (slice.1, slice.2);
        sessions.extend(slice.0);
        after = sessions.last().map(|session| session.user.clone());
    }
    Ok(Json(SessionList {
        total,
        next: after.filter(|_| more),
        sessions,
    }))
}

/// One session.
#[utoipa::path(
    get, path = "/api/v1/sessions/{user}", tag = "sessions",
    params(("user" = String, Path, description = "The user")),
    responses((status = 200, body = SessionBody), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn one(
    State(control): State<Arc<Control>>,
    Part(user): Part<String>,
) -> Result<Json<SessionBody>, Problem> {
    let found = ask::ask(&control.desk, move |gateway, io| {
        let session = gateway.session(&user)?;
        Some(SessionBody::of(&user, session, true, io))
    });
    let found = found.await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found("this user has no session"))
}

/// Subscriptions of an app that are named.
const NAMED: usize = 64;

impl SessionBody {
    fn of(user: &str, session: &Session, names: bool, io: &Io<'_>) -> Self {
        let glasses = Some(&session.glasses).filter(|place| place.is_held());
        SessionBody {
            user: user.to_owned(),
            glasses: glasses.map(|place| PlaceBody::of(place, io)),
            tpas: session
                .apps
                .iter()
                .map(|app| AppBody::of(app, names, io))
                .collect(),
        }
    }
}

impl AppBody {
    fn of(app: &App, names: bool, io: &Io<'_>) -> Self {
        let named = app.subscriptions.iter().take(NAMED);
        AppBody {
            package: app.package.to_string(),
            app: match app.state {
                AppState::Running => AppStateName::Running,
                AppState::Lost => AppStateName::Lost,
                AppState::Asked { .. } => AppStateName::Asked,
                AppState::Expected => AppStateName::Expected,
                AppState::Dormant => AppStateName::Dormant,
            },
            subscribed: app.subscriptions.len(),
            subscriptions: names.then(|| named.map(|name| name.to_string()).collect()),
            place: PlaceBody::of(&app.place, io),
        }
    }
}

impl PlaceBody {
    fn of(place: &Place, io: &Io<'_>) -> Self {
        let state = |id| {
            io.view(id)
                .map_or(StateName::Closing, |view| ConnState::of(&view).into())
        };
        let absence = place.absence.as_ref();
        let (kept_frames, kept_bytes) = place.kept();
        PlaceBody {
            id: place.conn.map(|id| id.to_string()),
            state: place.conn.map(state),
            absent_ms: absence.map(|absence| (io.now() - absence.since).as_millis()),
            waits_ms: absence.map(|absence| (absence.due.at - io.now()).as_millis()),
            lost_for: absence.and_then(|absence| Some(absence.cause?.name())),
            resumes: place.resumes,
            kept_frames,
            kept_bytes,
        }
    }
}
