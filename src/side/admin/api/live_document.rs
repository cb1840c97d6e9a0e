//! The gateway second by second: one document, shared by all pages that are open.

use super::alerts::AlertBody;
use super::at_risk::AtRiskList;
use super::cohorts::CohortList;
use super::common::{ClassName, ClockReading, by_class, drained_classes, rfc3339};
use super::connections::ConnectionBody;
use super::overview::{LastMinute, StateCounts};
use super::pulse_sessions::PulseOverview;
use super::troubled::{TroubledBody, troubled};
use super::upstreams::UpstreamEntry;
use super::verdicts::{self, VerdictBody};
use crate::base::time::{Micros, Timestamp};
use crate::engine::Stats;
use crate::gateway::{ConnPage, PageRequest, RelayStats, Sort};
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::live_stream::SUBSCRIBERS_MAX;
use crate::side::admin::problem::Problem;
use crate::side::loop_query;
use crate::side::watch::AlertState;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// How many peers each list in a document has.
const LISTED_PEERS: usize = 10;

/// How many sessions that wait for their clients a document has at most.
const LISTED_SESSIONS: usize = 20;

/// How many upstreams a document has at most.
const LISTED_UPSTREAMS: usize = 60;

/// The gateway at one moment, as the page shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Live)]
pub(super) struct LiveDocument {
    at: String,
    version: &'static str,
    uptime_s: u64,
    /// Whether the gateway is shutting down.
    draining: bool,
    /// Whether new connections are accepted.
    accepting: bool,
    /// Whether new connections are refused because `max_connections` are open.
    full: bool,
    /// Classes that are being drained, or that refuse new connections.
    #[schema(value_type = Vec<ClassName>)]
    drained_classes: Vec<&'static str>,
    /// The number of current WebSockets, by class and state.
    connections: BTreeMap<&'static str, StateCounts>,
    /// Connections that are not WebSockets yet: their request, or the answer to it, is not
    /// complete.
    opening: u64,
    /// Connection slots that are in use.
    places_taken: u64,
    max_connections: usize,
    sessions: usize,
    /// Identities that an operator has blocked.
    blocked: usize,
    /// Peers whose connection was lost and that may still come back, by class.
    absent: BTreeMap<&'static str, u64>,
    /// Rates since the previous document. Null in the first document after a time without
    /// listeners.
    rates: Option<Rates>,
    last_minute: LastMinute,
    /// Peers with the longest round-trip time.
    slowest: Vec<ConnectionBody>,
    /// Peers that have been silent for longest.
    most_silent: Vec<ConnectionBody>,
    relay: RelayTotals,
    /// Firing and pending alerts.
    alerts: Vec<AlertBody>,
    /// The peers with the most trouble over hours.
    troubled: Vec<TroubledBody>,
    /// The upstreams behind the routes, by route and address. If there are more than 60, those that
    /// are not up come before others.
    upstreams: Vec<UpstreamEntry>,
    /// How many upstreams there are.
    upstreams_total: usize,
    /// Why connections ended, the most frequent verdicts of the last 10 minutes first.
    verdicts: Vec<VerdictBody>,
    /// The ten connections of the highest risk; null if none is at risk.
    at_risk: Option<AtRiskList>,
    /// The ten most alarming cohorts of those with late heartbeats now.
    cohorts: CohortList,
    /// The sessions that outlive their connections; null if none can be asked for, and none is
    /// left.
    pulse: Option<PulseOverview>,
}

/// What happened since the previous document, per second.
#[derive(Debug, Serialize, ToSchema)]
struct Rates {
    opened_per_s: f64,
    closed_per_s: f64,
    messages_in_per_s: f64,
    messages_out_per_s: f64,
}

/// What the relay has done since the start.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Relay)]
struct RelayTotals {
    resumes: u64,
    takeovers: u64,
    replayed: u64,
    doubtful: u64,
    dropped: u64,
    false_deaths: u64,
}

/// The gateway second by second, as server-sent events. Each second sends `data: ` and a document
/// as below, or an event `problem` if the loop does not answer. The stream ends after ten minutes:
/// request it again.
#[utoipa::path(
    get, path = "/api/v1/live", tag = "overview",
    responses(
        (status = 200, body = LiveDocument, content_type = "text/event-stream"),
        (status = 503, body = Problem, description = "32 listen already.")
    )
)]
pub(super) async fn live(State(admin): State<Arc<AdminState>>) -> Result<Response, Problem> {
    let Some(body) = admin.live.subscribe() else {
        let error = format!("{SUBSCRIBERS_MAX} listen already");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, error));
    };
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // Without this, nginx holds documents back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}

/// Builds the documents, with the changes of the counters since the previous one.
#[derive(Debug, Default)]
pub(in crate::side) struct LiveBuilder {
    before: Option<Totals>,
}

/// The counters that rates are computed from.
#[derive(Debug, Clone, Copy)]
struct Totals {
    at: Micros,
    opened: u64,
    closed: u64,
    messages_in: u64,
    messages_out: u64,
}

impl LiveBuilder {
    /// Returns the next event, as it is sent.
    pub(in crate::side) async fn next_event(&mut self, admin: &AdminState) -> Bytes {
        let (event, json) = match self.document(admin).await {
            Ok(document) => ("", serde_json::to_string(&document)),
            Err(problem) => ("event: problem\n", serde_json::to_string(&problem)),
        };
        // Our own types have only keys that JSON allows; and JSON text has no line breaks.
        json.map_or_else(
            |_| Bytes::new(),
            |json| format!("{event}data: {json}\n\n").into(),
        )
    }

    async fn document(&mut self, admin: &AdminState) -> Result<LiveDocument, Problem> {
        let slowest = peers(admin, Sort::Rtt).await?;
        let most_silent = peers(admin, Sort::Silence).await?;
        let held = loop_query::query(&admin.queries, |gateway, io| {
            (gateway.held_pulse_sessions(io, LISTED_SESSIONS), io.now())
        });
        let (held, engine_now) = held.await?;
        let snapshot = loop_query::snapshot(&admin.queries).await?;
        let cohorts = CohortList::warm(admin, LISTED_PEERS).await?;
        let classes = &snapshot.stats.classes;
        let is_any_at_risk = classes.iter().any(|c| c.risk_raised + c.risk_high > 0);
        let at_risk = match is_any_at_risk || cohorts.has_alarm() {
            true => Some(AtRiskList::highest(admin, LISTED_PEERS).await?),
            false => None,
        };
        let pulse = snapshot
            .has_pulse
            .then(|| PulseOverview::of(&snapshot.pulse, held, engine_now));
        let (now, stats) = (Timestamp::now(), &snapshot.stats);
        let minute = admin.watchers.series().last_minute(now, stats);
        let totals = Totals::of(now.raw, stats);
        let reading = ClockReading {
            wall: now.wall,
            engine: snapshot.now,
        };
        let before = self.before.replace(totals);
        Ok(LiveDocument {
            at: rfc3339(now.wall),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: now.since(admin.started).as_secs(),
            draining: snapshot.draining,
            accepting: !stats.accept_paused,
            full: stats.full,
            drained_classes: drained_classes(&snapshot),
            connections: StateCounts::by_class(&snapshot.classes, stats),
            opening: stats.opening(),
            places_taken: stats.places_taken(),
            max_connections: snapshot.max_connections,
            sessions: snapshot.sessions,
            blocked: snapshot.blocked,
            absent: by_class(&snapshot.classes, snapshot.relay.absent),
            rates: before.map(|before| Rates::between(before, totals)),
            last_minute: LastMinute::of(&minute),
            slowest,
            most_silent,
            relay: RelayTotals::of(&snapshot.relay),
            alerts: alerts(admin),
            troubled: troubled(admin, LISTED_PEERS).0,
            upstreams_total: snapshot.upstreams_total,
            upstreams: UpstreamEntry::first(snapshot.upstreams, LISTED_UPSTREAMS, &reading),
            verdicts: verdicts::lately(admin),
            at_risk,
            cohorts,
            pulse,
        })
    }
}

/// Returns the firing and pending alerts.
fn alerts(admin: &AdminState) -> Vec<AlertBody> {
    let all = admin.watchers.alerts().all().into_iter();
    let going_on = all.filter(|alert| alert.state != AlertState::Resolved);
    let kept = admin.watchers.incidents();
    going_on
        .map(|alert| {
            let has_ends = kept.contains(&alert.id);
            AlertBody::of(alert, has_ends)
        })
        .collect()
}

async fn peers(admin: &AdminState, sort: Sort) -> Result<Vec<ConnectionBody>, Problem> {
    let query = PageRequest {
        sort,
        limit: LISTED_PEERS,
        ..PageRequest::default()
    };
    let page: ConnPage = loop_query::search(&admin.queries, query).await?;
    let now = ClockReading {
        wall: page.wall,
        engine: page.now,
    };
    let rows = page.rows.into_iter();
    Ok(rows
        .map(|(_, row)| ConnectionBody::of(&admin.classes, row, &now))
        .collect())
}

impl Totals {
    fn of(at: Micros, stats: &Stats) -> Self {
        let classes = || stats.classes.iter();
        Totals {
            at,
            opened: classes().map(|class| class.opened).sum(),
            closed: classes().flat_map(|class| class.closed.iter()).sum(),
            messages_in: stats.messages_in,
            messages_out: stats.messages_out,
        }
    }
}

impl Rates {
    fn between(then: Totals, now: Totals) -> Self {
        let span_ms = (now.at - then.at).as_millis().max(1);
        // Rounded to a tenth: more digits are noise.
        let per_s = |now: u64, then: u64| (((now - then) * 10_000 / span_ms) as f64) / 10.0;
        Rates {
            opened_per_s: per_s(now.opened, then.opened),
            closed_per_s: per_s(now.closed, then.closed),
            messages_in_per_s: per_s(now.messages_in, then.messages_in),
            messages_out_per_s: per_s(now.messages_out, then.messages_out),
        }
    }
}

impl RelayTotals {
    fn of(stats: &RelayStats) -> Self {
        RelayTotals {
            resumes: stats.resumes.iter().sum(),
            takeovers: stats.takeovers.iter().sum(),
            replayed: stats.replayed,
            doubtful: stats.doubtful,
            dropped: stats.dropped.iter().sum(),
            false_deaths: stats.false_deaths.iter().sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_of_the_monotonic_clock() {
        let totals = |at_ms, messages_in| Totals {
            at: Micros::from_millis(at_ms),
            opened: 0,
            closed: 0,
            messages_in,
            messages_out: 0,
        };
        let rates = Rates::between(totals(5_000, 40), totals(6_000, 60));
        assert_eq!(rates.messages_in_per_s, 20.0);
        assert_eq!(rates.opened_per_s, 0.0);
    }
}
