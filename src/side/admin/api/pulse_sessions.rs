//! The sessions that outlive their connections.

use super::connections::page_size;
use super::page_entries::PageEntries;
use super::pulse_session_entry::PulseSessionEntry;
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
