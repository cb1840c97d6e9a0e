//! The overview of the whole gateway.

use super::causes::ConnectionTotals;
use super::common::{ClassName, by_class, drained_classes, rfc3339};
use crate::base::time::Timestamp;
use crate::engine::{Histogram, Stats};
use crate::gateway::{Classes, DropReason, RelayStats};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::Problem;
use crate::side::loop_query;
use crate::side::process::{self, ProcessStats};
use crate::side::watch::Minute;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The whole gateway at one moment.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Overview {
    version: &'static str,
    /// The address of the loop's listener.
    listen: String,
    /// The id of this run. Upstreams are told `boot.id` as the id of a connection.
    boot: String,
    started: String,
    uptime_ms: u64,
    /// Whether new connections are accepted.
    accepting: bool,
    /// Whether the gateway is shutting down.
    draining: bool,
    /// Classes that are being drained, or that refuse new connections.
    #[schema(value_type = Vec<ClassName>)]
    drained_classes: Vec<&'static str>,
    sessions: usize,
    /// The limit of concurrent connections.
    connections_max: usize,
    /// Connections that are not WebSockets yet: their request, or the answer to it, is not
    /// complete.
    opening: u64,
    /// The number of current WebSockets, by class and state.
    connections: BTreeMap<&'static str, StateCounts>,
    since_start: ConnectionTotals,
    heartbeats: Heartbeats,
    traffic: TrafficTotals,
    relay: RelayBody,
    last_minute: LastMinute,
    the_loop: LoopTotals,
    blocked_identities: usize,
    log_lines_dropped: u64,
    process: ProcessStats,
}

/// WebSockets of one class, by state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = States)]
pub(super) struct StateCounts {
    healthy: u64,
    suspect: u64,
    closing: u64,
}

/// Heartbeats since the start.
#[derive(Debug, Serialize, ToSchema)]
struct Heartbeats {
    sent: u64,
    answered: u64,
    unanswered: u64,
}

/// Bytes and messages since the start, and what waits to be sent now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Traffic)]
struct TrafficTotals {
    messages_in: u64,
    messages_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    pending_bytes: u64,
    held_bytes: u64,
    /// Memory that the relay holds, in bytes: kept frames, subscriptions, and the state of lost
    /// peers.
    host_bytes: u64,
}

/// What the relay has done since the start, and what it holds now.
#[derive(Debug, Serialize, ToSchema)]
struct RelayBody {
    /// Peers whose connection was lost and that may still come back, by class.
    absent: BTreeMap<&'static str, u64>,
    /// Peers that came back in time after a loss, by class.
    resumes: BTreeMap<&'static str, u64>,
    /// Peers that replaced an older connection of their own, by class.
    takeovers: BTreeMap<&'static str, u64>,
    /// Peers that were declared stale and came back within a second, by class.
    false_deaths: BTreeMap<&'static str, u64>,
    /// New connections that were refused because their identity reconnects too often, by class.
    flapping: BTreeMap<&'static str, u64>,
    /// How long the peers that came back had been lost, in percentiles.
    absence: Percentiles,
    frames_relayed: u64,
    frames_unrouted: u64,
    frames_forbidden: u64,
    frames_malformed: u64,
    frames_replayed: u64,
    frames_doubtful: u64,
    /// Frames for absent peers that were dropped, by reason.
    frames_dropped: BTreeMap<&'static str, u64>,
    frames_kept: u64,
    frames_kept_bytes: u64,
    /// Webhooks `session_request` because a user has started an app, since the start.
    app_starts: u64,
    /// Webhooks `session_request` because the connection of an app was lost, since the start.
    app_revivals: u64,
    /// Webhooks `stop_request`, since the start.
    app_stops: u64,
}

/// Percentiles over the last minute, or since the start if that is shorter; exact to 12.5 %.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LastMinute {
    /// The span that the percentiles cover, in ms. Absent in the documents of the live stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    span_ms: Option<u64>,
    rtt: Percentiles,
    lateness: Percentiles,
    turn: Percentiles,
}

/// Percentiles of a duration in µs; null if nothing was measured.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Percentiles {
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

/// The loop's counters since the start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TheLoop)]
struct LoopTotals {
    turns: u64,
    stalls: u64,
    stalled_ms: u64,
    accept_pauses: u64,
}

/// The whole gateway in one document.
#[utoipa::path(
    get, path = "/api/v1/overview", tag = "overview",
    responses((status = 200, body = Overview), (status = 503, body = Problem))
)]
pub(super) async fn overview(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<Overview>, Problem> {
    let snapshot = loop_query::snapshot(&admin.queries).await?;
    let (now, stats) = (Timestamp::now(), &snapshot.stats);
    let minute = admin.watchers.series().last_minute(now, stats);
    Ok(Json(Overview {
        version: env!("CARGO_PKG_VERSION"),
        listen: admin.listen_addr.to_string(),
        boot: admin.boot.to_string(),
        started: rfc3339(admin.started.wall),
        uptime_ms: now.since(admin.started).as_millis(),
        accepting: !stats.accept_paused,
        draining: snapshot.draining,
        drained_classes: drained_classes(&snapshot),
        sessions: snapshot.sessions,
        connections_max: snapshot.max_connections,
        opening: stats.opening(),
        connections: StateCounts::by_class(&snapshot.classes, stats),
        since_start: ConnectionTotals::since_start(&snapshot.classes, stats),
        heartbeats: Heartbeats {
            sent: stats.pings(),
            answered: stats.pongs(),
            unanswered: stats.unanswered(),
        },
        traffic: TrafficTotals {
            messages_in: stats.messages_in,
            messages_out: stats.messages_out,
            bytes_in: stats.bytes_in,
            bytes_out: stats.bytes_out,
            pending_bytes: stats.pending_bytes,
            held_bytes: stats.held_bytes,
            host_bytes: stats.host_bytes,
        },
        relay: RelayBody::of(&snapshot.classes, &snapshot.relay),
        last_minute: LastMinute {
            span_ms: Some(minute.span_ms),
            ..LastMinute::of(&minute)
        },
        the_loop: LoopTotals {
            turns: stats.turns,
            stalls: stats.stalls,
            stalled_ms: stats.stalled.as_millis(),
            accept_pauses: stats.accept_pauses,
        },
        blocked_identities: snapshot.blocked,
        log_lines_dropped: snapshot.log_dropped,
        process: process::stats(),
    }))
}

impl StateCounts {
    pub(super) fn by_class(classes: &Classes, stats: &Stats) -> BTreeMap<&'static str, Self> {
        by_class(
            classes,
            stats.classes.iter().map(|counts| StateCounts {
                healthy: counts.healthy(),
                suspect: counts.suspects,
                closing: counts.closing,
            }),
        )
    }
}

impl RelayBody {
    fn of(classes: &Classes, relay: &RelayStats) -> Self {
        let reasons = DropReason::ALL.into_iter().map(DropReason::name);
        RelayBody {
            absent: by_class(classes, relay.absent),
            resumes: by_class(classes, relay.resumes),
            takeovers: by_class(classes, relay.takeovers),
            false_deaths: by_class(classes, relay.false_deaths),
            flapping: by_class(classes, relay.flapping),
            absence: Percentiles::of(&relay.absence),
            frames_relayed: relay.relayed.iter().sum(),
            frames_unrouted: relay.unrouted,
            frames_forbidden: relay.forbidden,
            frames_malformed: relay.malformed,
            frames_replayed: relay.replayed,
            frames_doubtful: relay.doubtful,
            frames_dropped: reasons.zip(relay.dropped).collect(),
            frames_kept: relay.kept,
            frames_kept_bytes: relay.kept_bytes,
            app_starts: relay.starts,
            app_revivals: relay.revivals,
            app_stops: relay.stops,
        }
    }
}

impl LastMinute {
    /// Returns the percentiles without the span.
    pub(super) fn of(minute: &Minute) -> Self {
        LastMinute {
            span_ms: None,
            rtt: Percentiles::of(&minute.rtt),
            lateness: Percentiles::of(&minute.lateness),
            turn: Percentiles::of(&minute.turn_time),
        }
    }
}

impl Percentiles {
    pub(super) fn of(histogram: &Histogram) -> Self {
        Percentiles {
            p50_us: histogram.percentile(0.50),
            p99_us: histogram.percentile(0.99),
            max_us: histogram.percentile(1.0),
        }
    }
}
