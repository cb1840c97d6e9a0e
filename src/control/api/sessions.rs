//! Sessions: users with their glasses and apps.

use super::connections::page_size;
use super::words::StateName;
use crate::control::problem::{Params, Part, Problem};
use crate::control::{Control, ask};
use crate::engine::Io;
use crate::gateway::{ConnState, Session};
use crate::id::ConnId;
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
    /// The glasses' connection.
    glasses: Option<Member>,
    /// The apps' connections.
    tpas: Vec<Member>,
}

/// A connection of a session.
#[derive(Debug, Serialize, ToSchema)]
struct Member {
    /// See `/api/v1/connections/{id}`.
    id: String,
    /// Null for glasses.
    package: Option<String>,
    state: StateName,
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
            let body = |(user, session)| SessionBody::of(user, session, io);
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
        Some(SessionBody::of(&user, session, io))
    });
    let found = found.await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::not_found("this user has no connection"))
}

impl SessionBody {
    fn of(user: &str, session: &Session, io: &Io<'_>) -> Self {
        let member = |id: ConnId, package: Option<&str>| Member {
            id: id.to_string(),
            package: package.map(str::to_owned),
            state: io
                .view(id)
                .map_or(StateName::Closing, |view| ConnState::of(&view).into()),
        };
        SessionBody {
            user: user.to_owned(),
            glasses: session.glasses.map(|id| member(id, None)),
            tpas: session
                .tpas
                .iter()
                .map(|(package, id)| member(*id, Some(package)))
                .collect(),
        }
    }
}
