//! The upstreams behind the routes: a list, and the actions on one of them.

use super::common::{ClockReading, parse_span};
use crate::base::time::{Micros, UnixMillis};
use crate::gateway::{UpstreamCondition, UpstreamRow};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{JsonBody, Problem};
use crate::side::lock::lock;
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The upstreams behind the routes, by route and address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upstreams)]
pub(super) struct UpstreamList {
    /// The first 1 000 of them.
    upstreams: Vec<UpstreamEntry>,
    /// How many there are.
    total: usize,
}

/// One address behind a route.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Upstream)]
pub(super) struct UpstreamEntry {
    route: String,
    /// The location that the route names.
    #[schema(example = "http://chat.internal:3000")]
    url: String,
    /// The address, or the path of a Unix socket.
    #[schema(example = "10.0.0.1:3000")]
    address: String,
    weight: u32,
    /// `up`; `unresolved`: its name was not found yet; `unhealthy`: its health checks fail;
    /// `avoided`: it could not be reached; `unresponsive`: it answers no pings; `refusing`: it
    /// answered the last requests with 5xx, or not at all, and gets a client now and then;
    /// `drained` by an operator; `vanished`: its name no longer has this address; `removed` from
    /// the settings. Only one that is up gets new clients, unless none is up.
    state: &'static str,
    /// Since when it is in this state; null: since the start.
    #[schema(example = "2026-01-31T12:00:00.000Z")]
    since: Option<String>,
    /// Why it is in this state; null: since the start.
    #[schema(example = "Connection refused (os error 111)")]
    reason: Option<String>,
    /// How long it is still avoided.
    avoided_ms: u64,
    /// Pairs with a connection to it.
    pairs: u64,
    /// Connections to it that are being made, or whose request is not answered.
    dialing: u64,
    /// Pairs of which its last ping has been unanswered for a whole interval.
    suspects: u64,
}

impl UpstreamEntry {
    /// Returns some of these upstreams in their order; if there are more, those that are not up.
    pub(super) fn first(mut rows: Vec<UpstreamRow>, limit: usize, now: &ClockReading) -> Vec<Self> {
        if rows.len() > limit {
            let (up, mut chosen): (Vec<_>, Vec<_>) = rows
                .into_iter()
                .partition(|row| row.state == UpstreamCondition::Up);
            chosen.extend(up);
            chosen.truncate(limit);
            rows = chosen;
        }
        rows.into_iter().map(|row| Self::of(row, now)).collect()
    }

    fn of(row: UpstreamRow, now: &ClockReading) -> Self {
        UpstreamEntry {
            route: row.route.to_string(),
            url: row.url,
            address: row.address,
            weight: row.weight,
            state: row.state.name(),
            since: (row.since > Micros::ZERO).then(|| now.past(row.since)),
            reason: Some(row.reason).filter(|reason| !reason.is_empty()),
            avoided_ms: row.avoided_for.as_millis(),
            pairs: row.pairs,
            dialing: row.dialing,
            suspects: row.suspects,
        }
    }
}

/// The upstream that an action is for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamAction {
    /// The name of its route.
    #[schema(example = "chat")]
    route: String,
    /// Its address, or the location that the route names, which may stand for several addresses.
    #[schema(example = "10.0.0.1:3000")]
    upstream: String,
    /// For a drain: the time over which its pairs are closed evenly, in ms; a day at most. Default:
    /// `DRAIN_MS`.
    #[schema(maximum = 86_400_000)]
    spread_ms: Option<u64>,
}

/// What a drain of an upstream will do.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UpstreamDrain {
    /// The pairs that will be closed.
    pairs: u64,
    /// The time over which they are closed.
    spread_ms: u64,
}

/// Lists the upstreams behind the routes.
#[utoipa::path(
    get, path = "/api/v1/upstreams", tag = "look",
    responses((status = 200, body = UpstreamList), (status = 503, body = Problem))
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<UpstreamList>, Problem> {
    let rows = loop_query::query(&admin.queries, |gateway, io| {
        let bridge = gateway.bridge();
        let listed = bridge.map(|bridge| bridge.upstreams(io.now()));
        (listed.unwrap_or_default(), io.now(), UnixMillis::now())
    });
    let ((rows, total), engine, wall) = rows.await?;
    let now = ClockReading { wall, engine };
    let entries = rows.into_iter().map(|row| UpstreamEntry::of(row, &now));
    Ok(Json(UpstreamList {
        total,
        upstreams: entries.collect(),
    }))
}

/// Drains one upstream: it gets no new clients, and its pairs are closed; their clients get 1012.
#[utoipa::path(
    post, path = "/api/v1/upstreams/drain", tag = "act", request_body = UpstreamAction,
    responses(
        (status = 202, body = UpstreamDrain),
        (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn drain(
    State(admin): State<Arc<AdminState>>,
    JsonBody(action): JsonBody<UpstreamAction>,
) -> Result<(StatusCode, Json<UpstreamDrain>), Problem> {
    let (_, spread) = *lock(&admin.drain_times);
    let spread = action
        .spread_ms
        .map_or(Ok(spread), |ms| parse_span("spread_ms", ms))?;
    let begin = loop_query::query(&admin.queries, move |gateway, io| {
        let bridge = gateway.bridge()?;
        let (route, upstream) = (&*action.route, &*action.upstream);
        let pairs = bridge.drain_upstream(io, route, upstream, spread)?;
        log::warn!(
            "operator action=drain_upstream route={route} upstream={upstream:?} spread_ms={} \
             pairs={pairs}",
            spread.as_millis()
        );
        Some(pairs)
    });
    let pairs = begin.await?.ok_or_else(not_found)?;
    let body = UpstreamDrain {
        pairs,
        spread_ms: spread.as_millis(),
    };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Ends the drain of one upstream: it gets new clients again, and no more of its pairs are closed.
#[utoipa::path(
    post, path = "/api/v1/upstreams/resume", tag = "act", request_body = UpstreamAction,
    responses(
        (status = 204),
        (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn resume(
    State(admin): State<Arc<AdminState>>,
    JsonBody(action): JsonBody<UpstreamAction>,
) -> Result<StatusCode, Problem> {
    if action.spread_ms.is_some() {
        let error = "spread_ms is only for a drain";
        return Err(Problem::bad_request(error));
    }
    let end = loop_query::query(&admin.queries, move |gateway, io| {
        let bridge = gateway.bridge()?;
        let (route, upstream) = (&*action.route, &*action.upstream);
        let was_drained = bridge.resume_upstream(io.now(), route, upstream)?;
        if was_drained {
            log::warn!("operator action=resume_upstream route={route} upstream={upstream:?}");
        }
        Some(was_drained)
    });
    match end.await? {
        None => Err(not_found()),
        Some(true) => Ok(StatusCode::NO_CONTENT),
        Some(false) => {
            let error = "this upstream is not drained";
            Err(Problem::new(StatusCode::CONFLICT, error))
        }
    }
}

fn not_found() -> Problem {
    Problem::not_found(
        "no route of this name has such an upstream; /api/v1/upstreams lists all of them",
    )
}
