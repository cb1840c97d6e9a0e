//! Sessions: users with their glasses and apps, including lost ones that the gateway waits for.

use super::common::StateName;
use super::connections::page_size;
use super::page_entries::PageEntries;
use crate::base::time::Micros;
use crate::gateway::{AppRow, AppState, PAGE_MAX, SessionRow, SlotRow};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{PathParam, Problem, QueryParams};
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SessionParams {
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page: only users after this one are listed.
    after: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AppsParams {
    /// How many apps to list, 1 to 1000; default: all, which are 1000 at most. A page ends earlier
    /// when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `apps_next` of the page before: only apps with a package after this one.
    after: Option<String>,
}

/// A page of sessions, ordered by user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionList {
    /// The number of sessions, on all pages.
    total: usize,
    sessions: Vec<SessionBody>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<String>,
}

/// The session of one user.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SessionBody {
    user: String,
    /// The glasses; null if they have never connected.
    glasses: Option<PlaceBody>,
    /// The apps, by package; in a list of sessions the first 64.
    apps: Vec<AppBody>,
    /// The number of all apps, including those that are not in `apps`.
    apps_total: usize,
    /// The start of the apps that are not in `apps`: pass it as `after` to
    /// `/api/v1/sessions/{user}`. Null if there are no more.
    apps_next: Option<String>,
    /// Frames that are kept for the glasses and all apps.
    kept_frames: usize,
    kept_bytes: usize,
}

/// An app of a session.
#[derive(Debug, Serialize, ToSchema)]
struct AppBody {
    package: String,
    /// The app's state: connected or, if not, what the gateway waits for.
    app: AppStateName,
    /// The number of streams that the app has subscribed to.
    subscribed: usize,
    /// The first 64 subscriptions; null in a list of sessions.
    subscriptions: Option<Vec<String>>,
    #[serde(flatten)]
    place: PlaceBody,
}

/// The state of one peer (the glasses or an app) of a session.
#[derive(Debug, Serialize, ToSchema)]
struct PlaceBody {
    /// The id of the peer's connection: see `/api/v1/connections/{id}`. Null while it has none.
    id: Option<String>,
    /// The connection's state; null while it has none.
    state: Option<StateName>,
    /// How long the peer has been lost, in ms; null unless the gateway waits for it.
    absent_ms: Option<u64>,
    /// How much longer the gateway waits for the lost peer, in ms; null unless it does.
    waits_ms: Option<u64>,
    /// The cause for which its last connection ended, if the gateway waits for it. Null if it has
    /// not connected yet.
    lost_for: Option<&'static str>,
    /// How many times the peer came back after a loss, or replaced its own older connection.
    resumes: u32,
    /// Frames that are kept for the peer: sent but not confirmed, or waiting to be sent.
    kept_frames: usize,
    kept_bytes: usize,
}

/// The state of an app.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AppStateName {
    /// The app is connected.
    Running,
    /// The app's connection was lost; the gateway waits for it to reconnect.
    Lost,
    /// The app's server is being asked, by a webhook, to connect.
    Asked,
    /// The app's server has accepted the request; the app is expected to connect.
    Expected,
    /// The app's server will be asked when the glasses are back.
    Dormant,
}

/// Sessions ordered by user, one page at a time. A page has at most `limit` entries and at most 1
/// MiB.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", params(SessionParams),
    responses(
        (status = 200, body = SessionList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<SessionParams>,
) -> Result<Json<SessionList>, Problem> {
    let mut sessions = PageEntries::new(page_size(params.limit)?);
    let mut after = params.after;
    loop {
        let (from, most) = (after.clone(), sessions.remaining());
        let slice = loop_query::query(&admin.queries, move |gateway, io| {
            gateway.session_slice(io, from.as_deref(), most)
        });
        let slice = slice.await?;
        let mut is_full = false;
        for row in slice.rows {
            let user = row.user.to_string();
            is_full = !sessions.push(SessionBody::of(row, slice.now));
            if is_full {
                break;
            }
            after = Some(user);
        }
        let more = slice.more || is_full;
        if is_full || !more || sessions.remaining() == 0 {
            return Ok(Json(SessionList {
                total: slice.total,
                next: after.filter(|_| more),
                sessions: sessions.into_vec(),
            }));
        }
    }
}

/// One session with its apps ordered by package, one page of apps at a time. A page has at most
/// `limit` apps and at most 1 MiB.
#[utoipa::path(
    get, path = "/api/v1/sessions/{user}", tag = "sessions",
    params(("user" = String, Path, description = "The user"), AppsParams),
    responses(
        (status = 200, body = SessionBody), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn one(
    State(admin): State<Arc<AdminState>>,
    PathParam(user): PathParam<String>,
    QueryParams(params): QueryParams<AppsParams>,
) -> Result<Json<SessionBody>, Problem> {
    let mut apps = PageEntries::new(page_size(params.limit.or(Some(PAGE_MAX)))?);
    let mut after = params.after;
    let user: Arc<str> = user.into();
    loop {
        let (name, from, most) = (user.clone(), after.clone(), apps.remaining());
        let slice = loop_query::query(&admin.queries, move |gateway, io| {
            let row = gateway.app_slice(io, &name, from.as_deref(), most);
            row.map(|row| (row, io.now()))
        });
        let Some((mut row, now)) = slice.await? else {
            return Err(Problem::not_found("this user has no session"));
        };
        let mut is_full = false;
        for app in std::mem::take(&mut row.apps) {
            let package = app.package.to_string();
            is_full = !apps.push(AppBody::of(app, now));
            if is_full {
                break;
            }
            after = Some(package);
        }
        row.more_apps |= is_full;
        if is_full || !row.more_apps || apps.remaining() == 0 {
            let next = after.filter(|_| row.more_apps);
            let mut body = SessionBody::of(row, now);
            (body.apps, body.apps_next) = (apps.into_vec(), next);
            return Ok(Json(body));
        }
    }
}

impl SessionBody {
    /// Converts a row of the relay into a session, with times relative to `now`.
    fn of(row: SessionRow, now: Micros) -> Self {
        let last = row.apps.last().filter(|_| row.more_apps);
        SessionBody {
            user: row.user.into(),
            glasses: row.glasses.map(|slot| PlaceBody::of(slot, now)),
            apps_next: last.map(|app| app.package.to_string()),
            apps_total: row.apps_total,
            apps: (row.apps.into_iter())
                .map(|app| AppBody::of(app, now))
                .collect(),
            kept_frames: row.kept_frames,
            kept_bytes: row.kept_bytes,
        }
    }
}

impl AppBody {
    fn of(app: AppRow, now: Micros) -> Self {
        let names = app.subscriptions;
        AppBody {
            package: app.package.into(),
            app: match app.state {
                AppState::Running => AppStateName::Running,
                AppState::Lost => AppStateName::Lost,
                AppState::Asked { .. } => AppStateName::Asked,
                AppState::Expected => AppStateName::Expected,
                AppState::Dormant => AppStateName::Dormant,
            },
            subscribed: app.subscribed,
            subscriptions: names.map(|names| names.into_iter().map(String::from).collect()),
            place: PlaceBody::of(app.slot, now),
        }
    }
}

impl PlaceBody {
    fn of(slot: SlotRow, now: Micros) -> Self {
        let absence = slot.absence;
        PlaceBody {
            id: slot.conn.map(|(id, _)| id.to_string()),
            state: slot.conn.map(|(_, state)| state.into()),
            absent_ms: absence.map(|absence| (now - absence.since).as_millis()),
            waits_ms: absence.map(|absence| (absence.deadline.at - now).as_millis()),
            lost_for: absence.and_then(|absence| Some(absence.cause?.name())),
            resumes: slot.resumes,
            kept_frames: slot.kept_frames,
            kept_bytes: slot.kept_bytes,
        }
    }
}
