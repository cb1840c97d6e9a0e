//! The actions of the admin API: kick a connection, drain connections, block an identity, change
//! the log level.

use super::common::{ClassName, parse_span};
use super::connections::{connection_not_found, parse_id};
use crate::gateway::{KickOutcome, NotBlocked, is_reserved_reason};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{JsonBody, PathParam, Problem};
use crate::side::lock::lock;
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use log::LevelFilter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The word that stands for all classes in a request.
pub(super) const ALL: &str = "all";

/// The reason that a kicked peer gets if the operator gives none.
const KICK_REASON: &str = "closed by the operator";

/// Why and how to close one connection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KickBody {
    /// The reason in the close frame, beside code 4000; cut to 123 bytes. `App stopped` and `User
    /// session ended` are refused: they tell an app that it was stopped.
    #[schema(example = "misbehaving")]
    reason: Option<String>,
    /// How long the identity is refused with 403, in ms; a day at most. 0 or absent: it is not
    /// refused. The identity of a pair is that of its client, whichever leg is named; then the
    /// client is closed with the reason. An app that is refused is stopped: it is closed with 1000
    /// `App stopped`, and its server is not asked to start it again.
    #[schema(maximum = 86_400_000)]
    block_ms: Option<u64>,
}

/// The result of a kick.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kicked {
    id: String,
    /// Whether the identity is refused from now on.
    blocked: bool,
    /// The other leg of its pair, which ends, too: the service is told 1001, a client 1012. Null if
    /// it was no leg of a pair.
    partner: Option<String>,
}

/// The name of a class, or `all`. Used only by the OpenAPI document: the names are those that the
/// products register.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document alone")]
pub(super) struct ClassOrAll(String);

/// Which connections to close, and how fast.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Drain)]
pub(super) struct DrainBody {
    /// `all`, or the name of one class. Required. With `all` the gateway stops, as after SIGTERM;
    /// with one class it keeps running. If all connections are being drained already, the shorter
    /// times apply. A new drain of a class replaces the old one.
    #[schema(value_type = ClassOrAll)]
    class: ClassName,
    /// The time over which the connections are closed evenly, in ms; a day at most. Default:
    /// `DRAIN_MS`.
    #[schema(maximum = 86_400_000)]
    spread_ms: Option<u64>,
    /// For a drain of all: how long new connections are still accepted, in ms. Default:
    /// `DRAIN_DELAY_MS`.
    #[schema(maximum = 86_400_000)]
    delay_ms: Option<u64>,
    /// For a drain of one class: how long its new connections are refused with 503, in ms. Default:
    /// as long as the spread.
    #[schema(maximum = 86_400_000)]
    refuse_ms: Option<u64>,
}

/// The drain that has begun.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Draining)]
pub(super) struct DrainResult {
    #[schema(value_type = ClassOrAll)]
    class: ClassName,
    /// The number of connections to close.
    connections: u64,
    /// The delay that applies, in ms. If all connections were being drained already, this is the
    /// shorter of the time left and the time asked for. Null for a class, which has no delay.
    delay_ms: Option<u64>,
    /// The spread that applies, in ms. If all connections were being drained already, this is the
    /// shorter of both spreads.
    spread_ms: u64,
}

/// The log level.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevel {
    /// The least important level that is still logged.
    level: LevelName,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LevelName {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// Closes one connection with 4000, cause `kicked`, and may refuse its identity for a time. The id
/// may be that of a plain HTTP request: it is ended, with 403 or by cutting its answer off.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/kick", tag = "act", request_body = KickBody,
    params((
        "id" = String, Path, description = "`slot.generation`",
        pattern = r"^\d{1,9}\.\d{1,9}$"
    )),
    responses(
        (status = 200, body = Kicked),
        (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "Nothing was done: the connection is already \
                                                      closing; or its identity cannot be blocked, \
                                                      because it has none, or a generated one, or \
                                                      1 000 identities are blocked already."),
        (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn kick(
    State(admin): State<Arc<AdminState>>,
    PathParam(id): PathParam<String>,
    JsonBody(kick): JsonBody<KickBody>,
) -> Result<Json<Kicked>, Problem> {
    let id = parse_id(&admin, &id)?;
    let block = parse_span("block_ms", kick.block_ms.unwrap_or(0))?;
    let reason = kick
        .reason
        .filter(|r| !r.is_empty())
        .unwrap_or_else(|| KICK_REASON.to_owned());
    if is_reserved_reason(&reason) {
        let error = "reason must not contain \"App stopped\" or \"User session ended\": they tell \
                     an app that it was stopped; use block_ms to stop it";
        return Err(Problem::bad_request(error));
    }
    let kicked = loop_query::query(&admin.queries, move |gateway, io| {
        gateway.kick(io, id, &reason, block)
    });
    match kicked.await? {
        KickOutcome::NoSuch => Err(connection_not_found(&admin, id)),
        KickOutcome::Closing => {
            let error = "the connection is already closing; nothing was done";
            Err(Problem::new(StatusCode::CONFLICT, error))
        }
        KickOutcome::NotBlocked(why) => {
            let error = match why {
                NotBlocked::Unnamed => {
                    "not blocked, and not closed: the connection has no identity that block_ms \
                     could refuse; without block_ms it is closed"
                }
                NotBlocked::Generated => {
                    "not blocked, and not closed: the name of the connection is generated, and no \
                     peer comes back under it; without block_ms it is closed"
                }
                NotBlocked::Full => {
                    "not blocked, and not closed: 1000 identities are blocked already, the most \
                     that can be; without block_ms it is closed"
                }
            };
            Err(Problem::new(StatusCode::CONFLICT, error))
        }
        KickOutcome::Done { blocked, partner } => Ok(Json(Kicked {
            partner: partner.map(|partner| partner.to_string()),
            id: id.to_string(),
            blocked,
        })),
    }
}

/// Drains all connections, or those of one class: closes them with 1012, cause `draining`.
#[utoipa::path(
    post, path = "/api/v1/drain", tag = "act", request_body = DrainBody,
    responses(
        (status = 202, body = DrainResult),
        (status = 400, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn drain(
    State(admin): State<Arc<AdminState>>,
    JsonBody(drain): JsonBody<DrainBody>,
) -> Result<(StatusCode, Json<DrainResult>), Problem> {
    let (delay, spread) = *lock(&admin.drain_times);
    let spread = drain
        .spread_ms
        .map_or(Ok(spread), |ms| parse_span("spread_ms", ms))?;
    let class = if drain.class.is(ALL) {
        None
    } else {
        Some(drain.class.resolve_or(&admin.classes, &[ALL])?)
    };
    let (connections, delay, spread) = match class {
        Some(class) => {
            let name = admin.classes.name(class);
            if drain.delay_ms.is_some() {
                let error = "delay_ms is only for class \"all\"; to drain one class use refuse_ms";
                return Err(Problem::bad_request(error));
            }
            let refuse = drain
                .refuse_ms
                .map_or(Ok(spread), |ms| parse_span("refuse_ms", ms))?;
            let begin = loop_query::query(&admin.queries, move |gateway, io| {
                log::warn!(
                    "operator action=drain class={} spread_ms={} refuse_ms={}",
                    name,
                    spread.as_millis(),
                    refuse.as_millis()
                );
                gateway.drain_class(io, class, spread, refuse)
            });
            (begin.await?, None, spread)
        }
        None => {
            if drain.refuse_ms.is_some() {
                let error = "refuse_ms is only for one class; to drain \"all\" use delay_ms";
                return Err(Problem::bad_request(error));
            }
            let delay = drain
                .delay_ms
                .map_or(Ok(delay), |ms| parse_span("delay_ms", ms))?;
            let look = loop_query::query(&admin.queries, move |_, io| {
                let live = io.stats().live();
                (live, io.drain_left(), io.drain(delay, spread))
            });
            let (live, before, holds) = look.await?;
            let effect = match before {
                None => "drain",
                Some(before) if before == holds => "none",
                Some(_) => "shorter",
            };
            log::warn!(
                "operator action=drain class=all effect={effect} delay_ms={} spread_ms={}",
                holds.0.as_millis(),
                holds.1.as_millis()
            );
            (admin.drain)(delay, spread);
            (live, Some(holds.0.as_millis()), holds.1)
        }
    };
    let body = DrainResult {
        class: drain.class,
        connections,
        delay_ms: delay,
        spread_ms: spread.as_millis(),
    };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Cancels the drain of one class: no more connections are closed, and new ones are accepted.
#[utoipa::path(
    delete, path = "/api/v1/drain/{class}", tag = "act",
    params(("class" = ClassName, Path)),
    responses(
        (status = 204), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn stop_drain(
    State(admin): State<Arc<AdminState>>,
    PathParam(class): PathParam<ClassName>,
) -> Result<StatusCode, Problem> {
    let class = class.resolve(&admin.classes)?;
    let name = admin.classes.name(class);
    let stop = loop_query::query(&admin.queries, move |gateway, io| {
        let stopped = gateway.stop_drain(io, class);
        if stopped {
            log::warn!("operator action=stop_drain class={name}");
        }
        stopped
    });
    if stop.await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found("this class is not being drained"))
    }
}

/// Returns the current log level.
#[utoipa::path(
    get, path = "/api/v1/log-level", tag = "act",
    responses((status = 200, body = LogLevel))
)]
pub(super) async fn log_level() -> Json<LogLevel> {
    let level = match log::max_level() {
        // The level is never `Off`.
        LevelFilter::Off | LevelFilter::Error => LevelName::Error,
        LevelFilter::Warn => LevelName::Warn,
        LevelFilter::Info => LevelName::Info,
        LevelFilter::Debug => LevelName::Debug,
        LevelFilter::Trace => LevelName::Trace,
    };
    Json(LogLevel { level })
}

/// Changes the log level until the next reload or restart.
#[utoipa::path(
    put, path = "/api/v1/log-level", tag = "act", request_body = LogLevel,
    responses(
        (status = 200, body = LogLevel), (status = 400, body = Problem),
        (status = 413, body = Problem), (status = 415, body = Problem)
    )
)]
pub(super) async fn set_log_level(JsonBody(wanted): JsonBody<LogLevel>) -> Json<LogLevel> {
    let level = match wanted.level {
        LevelName::Error => LevelFilter::Error,
        LevelName::Warn => LevelFilter::Warn,
        LevelName::Info => LevelFilter::Info,
        LevelName::Debug => LevelFilter::Debug,
        LevelName::Trace => LevelFilter::Trace,
    };
    log::set_max_level(level);
    log::warn!(
        "operator action=log_level level={}",
        level.as_str().to_ascii_lowercase()
    );
    Json(wanted)
}
