//! Why connections ended, since the start and over time.

use super::common::{ByCause, by_cause, rfc3339};
use crate::base::time::{Micros, Timestamp};
use crate::engine::Stats;
use crate::gateway::Classes;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{Problem, QueryParams};
use crate::side::loop_query;
use crate::side::watch::SeriesStep;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CausesParams {
    /// For how many minutes back from now to list steps, 1 to 60; default 60.
    #[param(minimum = 1, maximum = 60)]
    minutes: Option<u64>,
}

/// Causes since the start and over time. At every moment, `opened` minus the sum of `closed` is the
/// number of open WebSockets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Causes {
    since_start: ConnectionTotals,
    /// Steps of about ten seconds each, oldest first; the last one ends now.
    steps: Vec<StepBody>,
}

/// Counts of ends and openings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Counts)]
pub(super) struct ConnectionTotals {
    /// WebSockets opened, by class.
    opened: BTreeMap<&'static str, u64>,
    /// WebSockets ended, by class and cause.
    closed: BTreeMap<&'static str, ByCause>,
    /// Connections that ended before they became WebSockets, by cause.
    rejected: ByCause,
}

/// The counts of what happened between two moments.
#[derive(Debug, Serialize, ToSchema)]
struct StepBody {
    from: String,
    to: String,
    #[serde(flatten)]
    counts: ConnectionTotals,
}

/// Why connections ended: since the start, and in steps over the last hour.
#[utoipa::path(
    get, path = "/api/v1/causes", tag = "overview", params(CausesParams),
    responses(
        (status = 200, body = Causes), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn causes(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<CausesParams>,
) -> Result<Json<Causes>, Problem> {
    let minutes = params.minutes.unwrap_or(60);
    if !(1..=60).contains(&minutes) {
        return Err(Problem::bad_request(format!("minutes {minutes}: 1 to 60")));
    }
    let snapshot = loop_query::snapshot(&admin.queries).await?;
    let (now, stats) = (Timestamp::now(), &snapshot.stats);
    let steps = admin
        .watchers
        .series()
        .steps(now, stats, Micros::from_secs(minutes * 60));
    Ok(Json(Causes {
        since_start: ConnectionTotals::since_start(&snapshot.classes, stats),
        steps: steps
            .into_iter()
            .map(|step| StepBody::of(&snapshot.classes, step, now))
            .collect(),
    }))
}

impl ConnectionTotals {
    pub(super) fn since_start(classes: &Classes, stats: &Stats) -> Self {
        let counted = || classes.names().zip(&stats.classes);
        let named = |counts: &[u64]| {
            let all = stats.causes.all();
            by_cause(all.map(|cause| (cause, counts[cause.index()])))
        };
        ConnectionTotals {
            opened: counted()
                .map(|(name, counts)| (name, counts.opened))
                .collect(),
            closed: counted()
                .map(|(name, counts)| (name, named(&counts.closed)))
                .collect(),
            rejected: named(&stats.rejected),
        }
    }
}

impl StepBody {
    /// Converts a step for the answer. Both of its times are computed from the wall clock as it is
    /// now, so steps follow each other without a gap even if that clock was changed.
    fn of(classes: &Classes, step: SeriesStep, now: Timestamp) -> Self {
        let names = || classes.names();
        StepBody {
            from: rfc3339(step.from.as_of(now)),
            to: rfc3339(step.to.as_of(now)),
            counts: ConnectionTotals {
                opened: names().zip(step.opened).collect(),
                closed: names().zip(step.closed.into_iter().map(by_cause)).collect(),
                rejected: by_cause(step.rejected),
            },
        }
    }
}
