//! The sessions that outlive their connections.

use super::connections::page_size;
use super::page_entries::PageEntries;
use crate::base::time::Micros;
use crate::gateway::{PulseSessionRow, SessionCounts};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{PathParam, Problem, QueryParams};
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The reason in the close frames of a session that an operator ends.
const REASON: &str = "ended by the operator";

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PulseSessionParams {
    /// `true`: only sessions that wait for their clients.
    held: Option<bool>,
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    #[param(maximum = 9_223_372_036_854_775_807_i64)]
    after: Option<u64>,
}

/// Sessions that outlive their connections, a page at a time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PulseSessionList {
    sessions: Vec<PulseSessionEntry>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<u64>,
}

/// A session that outlives its connections.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PulseSession)]
pub(super) struct PulseSessionEntry {
    /// The number of the session, by which it is ended.
    session: u64,
    /// `attached` to a connection of its client, or `held` for it.
    #[schema(example = "held")]
    state: &'static str,
    route: String,
    /// The address of the upstream. Null if the upstream has closed, and its last messages are kept
    /// for the client.
    #[schema(example = "10.0.0.1:3000")]
    upstream: Option<String>,
    /// The client's name, if the route names its clients.
    user: Option<String>,
    /// The id of the client's connection. Null while the session is held.
    #[schema(example = "3.8")]
    client_id: Option<String>,
    /// The id of the connection to the upstream.
    #[schema(example = "4.8")]
    upstream_id: Option<String>,
    /// How long ago it began.
    age_ms: u64,
    /// How long it has waited for its client. Null while it is attached.
    held_ms: Option<u64>,
    /// How long it will still wait. Null while it is attached.
    left_ms: Option<u64>,
    /// How many times it was resumed.
    resumes: u32,
    /// Messages of the upstream that the client has not acknowledged.
    kept_messages: usize,
    /// The bytes of those messages.
    kept_bytes: usize,
    /// Whether the upstream is not read, because there is no room for what it sends. After 15 s
    /// without its client the session ends.
    upstream_paused: bool,
}

/// The session that is being ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedPulseSession {
    session: u64,
}

/// The sessions that outlive their connections, at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PulseOverview {
    /// Sessions whose client has a connection.
    attached: u64,
    /// Sessions that wait for their client.
    held: u64,
    /// The bytes that are kept for sessions that wait.
    held_bytes: u64,
    /// Clients that got a new session instead of theirs, since the start.
    resets: u64,
    /// Some of the sessions that wait, at most 20.
    held_sessions: Vec<PulseSessionEntry>,
}

impl PulseOverview {
    pub(super) fn of(counts: &SessionCounts, held: Vec<PulseSessionRow>, now: Micros) -> Self {
        let rows = held.into_iter();
        PulseOverview {
            attached: counts.attached,
            held: counts.held,
            held_bytes: counts.held_bytes,
            resets: counts.resets.iter().sum(),
            held_sessions: rows.map(|row| PulseSessionEntry::of(row, now)).collect(),
        }
    }
}

impl PulseSessionEntry {
    /// Returns the session of a connection. Adds the same facts to `text` as sentences.
    pub(super) fn explained(row: PulseSessionRow, now: Micros, text: &mut Vec<String>) -> Self {
        let entry = Self::of(row, now);
        let (number, resumes) = (entry.session, entry.resumes);
        text.push(match (&entry.client_id, entry.left_ms) {
            (Some(client), _) => format!(
                "it belongs to session {number}, whose client is connection {client}: if that is \
                 lost, the connection to the service waits for the client (resumed {resumes} times)"
            ),
            (None, Some(left)) => format!(
                "it waits for the client of session {number}, and keeps {} messages for it: if the \
                 client does not come back, the session ends in {left} ms, and the service gets \
                 1001",
                entry.kept_messages
            ),
            (None, None) => format!("it belongs to session {number}"),
        });
        entry
    }

    fn of(row: PulseSessionRow, now: Micros) -> Self {
        let upstream = row.upstream.map(|_| row.target.upstream.to_string());
        PulseSessionEntry {
            session: row.number,
            state: match row.held {
                Some(_) => "held",
                None => "attached",
            },
            route: row.target.route.to_string(),
            upstream,
            user: row.identity.map(|identity| identity.user.into()),
            client_id: row.client.map(|id| id.to_string()),
            upstream_id: row.upstream.map(|id| id.to_string()),
            age_ms: (now - row.since).as_millis(),
            held_ms: row.held.map(|(since, _)| (now - since).as_millis()),
            left_ms: row.held.map(|(_, until)| (until - now).as_millis()),
            resumes: row.resumes,
            kept_messages: row.kept_messages,
            kept_bytes: row.kept_bytes,
            upstream_paused: row.is_upstream_paused,
        }
    }
}

/// Lists the sessions that outlive their connections, the oldest first, one page at a time.
#[utoipa::path(
    get, path = "/api/v1/pulse-sessions", tag = "look", params(PulseSessionParams),
    responses(
        (status = 200, body = PulseSessionList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<PulseSessionParams>,
) -> Result<Json<PulseSessionList>, Problem> {
    let mut sessions = PageEntries::new(page_size(params.limit)?);
    let only_held = params.held == Some(true);
    let mut after = params.after;
    if after.is_some_and(|after| i64::try_from(after).is_err()) {
        let error = format!("after must be at most {}", i64::MAX);
        return Err(Problem::bad_request(error));
    }
    loop {
        let slice = loop_query::query(&admin.queries, move |gateway, io| {
            (gateway.pulse_session_slice(io, after, usize::MAX), io.now())
        });
        let ((rows, more), now) = slice.await?;
        let mut is_full = false;
        for row in rows {
            let number = row.number;
            if row.held.is_some() || !only_held {
                is_full = !sessions.push(PulseSessionEntry::of(row, now));
            }
            if is_full {
                break;
            }
            after = Some(number);
        }
        if is_full || !more {
            return Ok(Json(PulseSessionList {
                sessions: sessions.into_vec(),
                next: after.filter(|_| is_full),
            }));
        }
    }
}

/// Ends a session: its client is closed with 4000 if it is there, and its upstream with 1001.
#[utoipa::path(
    delete, path = "/api/v1/pulse-sessions/{session}", tag = "act",
    params(("session" = u64, Path, description = "the number of the session")),
    responses(
        (status = 200, body = EndedPulseSession), (status = 400, body = Problem),
        (status = 404, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn end(
    State(admin): State<Arc<AdminState>>,
    PathParam(session): PathParam<u64>,
) -> Result<Json<EndedPulseSession>, Problem> {
    let end = loop_query::query(&admin.queries, move |gateway, io| {
        gateway.end_pulse_session(io, session, REASON)
    });
    match end.await? {
        true => Ok(Json(EndedPulseSession { session })),
        false => {
            let error = format!("there is no session {session}; it may have ended");
            Err(Problem::new(StatusCode::NOT_FOUND, &error))
        }
    }
}
