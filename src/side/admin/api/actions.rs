//! What an operator can do: send connections away, and have more or less logged.

use super::connections::{no_such, parse_id};
use super::words::ClassName;
use crate::base::time::Micros;
use crate::gateway::{Kick, has_magic_words};
use crate::side::admin::control::Control;
use crate::side::admin::problem::{Body, Part, Problem};
use crate::side::ask;
use crate::side::lock::lock;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use log::LevelFilter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// The longest time that can be asked for: a day, as in the settings.
const DAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// The word for all classes.
pub(super) const ALL: &str = "all";

/// What a kicked peer is told if the operator says nothing.
const KICKED: &str = "closed by the operator";

/// Why and how to close one connection.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KickBody {
    /// The reason in the close frame, beside code 4000; cut to 123 bytes. Not the words by which apps know that they were
    /// stopped, `App stopped` and `User session ended`.
    #[schema(example = "misbehaving")]
    reason: Option<String>,
    /// Refuse the identity with 403 for so long, in ms; a day at most. 0, or nothing: do not. An app that is refused is
    /// stopped: it is closed with 1000 `App stopped`, and not asked back.
    #[schema(maximum = 86_400_000)]
    block_ms: Option<u64>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Kicked {
    id: String,
    /// Whether its identity is refused from now on.
    blocked: bool,
}

/// The name of a class, or `all`. Only for the document: the names are those of the products.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the document alone")]
pub(super) struct ClassOrAll(String);

/// Whom to send away, and how fast.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Drain {
    /// `all`, or the name of one class. With `all` the gateway ends, as after SIGTERM; without one class it stays. It must be said: by omission nothing ends. If all are on their way already, the shorter times hold; a
    /// drain of a class is begun anew.
    #[schema(value_type = ClassOrAll)]
    class: ClassName,
    /// The time over which they are closed evenly, in ms; a day at most. As `DRAIN_MS` if not given.
    #[schema(maximum = 86_400_000)]
    spread_ms: Option<u64>,
    /// Of a drain of all: how long newcomers are still accepted, in ms. As `DRAIN_DELAY_MS` if not given.
    #[schema(maximum = 86_400_000)]
    delay_ms: Option<u64>,
    /// Of a drain of one class: how long newcomers of it are refused with 503, in ms. As long as the spread if not given.
    #[schema(maximum = 86_400_000)]
    refuse_ms: Option<u64>,
}

/// What has begun.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Draining {
    #[schema(value_type = ClassOrAll)]
    class: ClassName,
    /// Connections that there are to close.
    connections: u64,
    /// What holds, in ms: if all were being drained already, the shorter of what was left and what was asked for. Null for a
    /// class, which has no delay.
    delay_ms: Option<u64>,
    /// As well.
    spread_ms: u64,
}

/// What is logged.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LogLevel {
    /// The least important lines that are still logged.
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

/// Closes one connection with 4000, cause `kicked`, and may refuse its identity for a time.
#[utoipa::path(
    post, path = "/api/v1/connections/{id}/kick", tag = "act", request_body = KickBody,
    params(("id" = String, Path, description = "`slot.generation`", pattern = r"^\d{1,9}\.\d{1,9}$")),
    responses(
        (status = 200, body = Kicked), (status = 400, body = Problem), (status = 404, body = Problem),
        (status = 409, body = Problem, description = "It is closing already, and nothing was done; or it is kicked, but not blocked: it has no identity, or a generated one, or 1 000 are blocked already."),
        (status = 413, body = Problem), (status = 415, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn kick(
    State(control): State<Arc<Control>>,
    Part(id): Part<String>,
    Body(kick): Body<KickBody>,
) -> Result<Json<Kicked>, Problem> {
    let id = parse_id(&id)?;
    let block = span("block_ms", kick.block_ms.unwrap_or(0))?;
    let reason = kick
        .reason
        .filter(|r| !r.is_empty())
        .unwrap_or_else(|| KICKED.to_owned());
    if has_magic_words(&reason) {
        let error = "reason: apps would take these words for an order to stay away; with block_ms they are told so";
        return Err(Problem::bad_request(error));
    }
    let kicked = ask::ask(&control.desk, move |gateway, io| {
        gateway.kick(io, id, &reason, block)
    });
    match kicked.await? {
        Kick::NoSuch => Err(no_such(&control, id)),
        Kick::Closing => {
            let error = "it is closing already; nothing was done";
            Err(Problem::new(StatusCode::CONFLICT, error))
        }
        Kick::Done { blocked: false } if block > Micros::ZERO => {
            let error = "it is kicked, but not blocked: it has no identity, or a generated one, or 1000 are blocked already";
            Err(Problem::new(StatusCode::CONFLICT, error))
        }
        Kick::Done { blocked } => Ok(Json(Kicked {
            id: id.to_string(),
            blocked,
        })),
    }
}

/// Sends all connections, or those of one class, away with 1012, cause `draining`.
#[utoipa::path(
    post, path = "/api/v1/drain", tag = "act", request_body = Drain,
    responses(
        (status = 202, body = Draining), (status = 400, body = Problem), (status = 413, body = Problem),
        (status = 415, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn drain(
    State(control): State<Arc<Control>>,
    Body(drain): Body<Drain>,
) -> Result<(StatusCode, Json<Draining>), Problem> {
    let (delay, spread) = *lock(&control.drain_times);
    let spread = drain
        .spread_ms
        .map_or(Ok(spread), |ms| span("spread_ms", ms))?;
    let class = if drain.class.is(ALL) {
        None
    } else {
        Some(drain.class.class_or(&control.classes, &[ALL])?)
    };
    let (connections, delay, spread) = match class {
        Some(class) => {
            let name = control.classes.name(class);
            if drain.delay_ms.is_some() {
                let error = "delay_ms is of a drain of all; of one class it is refuse_ms";
                return Err(Problem::bad_request(error));
            }
            let refuse = drain
                .refuse_ms
                .map_or(Ok(spread), |ms| span("refuse_ms", ms))?;
            let begin = ask::ask(&control.desk, move |gateway, io| {
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
                let error = "refuse_ms is of a drain of one class; of all it is delay_ms";
                return Err(Problem::bad_request(error));
            }
            let delay = drain
                .delay_ms
                .map_or(Ok(delay), |ms| span("delay_ms", ms))?;
            let look = ask::ask(&control.desk, move |_, io| {
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
            (control.drain)(delay, spread);
            (live, Some(holds.0.as_millis()), holds.1)
        }
    };
    let body = Draining {
        class: drain.class,
        connections,
        delay_ms: delay,
        spread_ms: spread.as_millis(),
    };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Gives the drain of one class up: nobody else is closed, and newcomers are let in.
#[utoipa::path(
    delete, path = "/api/v1/drain/{class}", tag = "act",
    params(("class" = ClassName, Path)),
    responses((status = 204), (status = 400, body = Problem), (status = 404, body = Problem), (status = 503, body = Problem))
)]
pub(super) async fn stop_drain(
    State(control): State<Arc<Control>>,
    Part(class): Part<ClassName>,
) -> Result<StatusCode, Problem> {
    let class = class.class(&control.classes)?;
    let name = control.classes.name(class);
    let stop = ask::ask(&control.desk, move |gateway, io| {
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

/// What is logged now.
#[utoipa::path(get, path = "/api/v1/log-level", tag = "act", responses((status = 200, body = LogLevel)))]
pub(super) async fn log_level() -> Json<LogLevel> {
    let level = match log::max_level() {
        // It is never off.
        LevelFilter::Off | LevelFilter::Error => LevelName::Error,
        LevelFilter::Warn => LevelName::Warn,
        LevelFilter::Info => LevelName::Info,
        LevelFilter::Debug => LevelName::Debug,
        LevelFilter::Trace => LevelName::Trace,
    };
    Json(LogLevel { level })
}

/// Has more or less logged, until the next reload or restart.
#[utoipa::path(
    put, path = "/api/v1/log-level", tag = "act", request_body = LogLevel,
    responses((status = 200, body = LogLevel), (status = 400, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem))
)]
pub(super) async fn set_log_level(Body(wanted): Body<LogLevel>) -> Json<LogLevel> {
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

fn span(name: &str, ms: u64) -> Result<Micros, Problem> {
    if ms > DAY_MS {
        return Err(Problem::bad_request(format!("{name} {ms}: 0 to {DAY_MS}")));
    }
    Ok(Micros::from_millis(ms))
}
