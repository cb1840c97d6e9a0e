//! What the connections had in common that ended in the last minutes.

use super::ended_groups::EndedGroups;
use crate::base::time::Timestamp;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{Problem, QueryParams};
use crate::side::watch::{self, MINUTES_MAX};
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// The default of `minutes`.
const MINUTES_DEFAULT: u64 = 10;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SummaryParams {
    /// For how many minutes back from now to count, 1 to 60; default 10. The last one is the minute
    /// that has begun.
    #[param(minimum = 1, maximum = 60)]
    minutes: Option<u64>,
}

/// What the connections of clients had in common that ended in the last minutes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClosedSummary {
    minutes: u64,
    #[serde(flatten)]
    groups: EndedGroups,
}

/// What the connections of clients had in common that ended in the last minutes: upstream, route,
/// network block, user agent, class, verdict, cause, and bands of age and round-trip time, each
/// with its share among the ended and among the open ones.
#[utoipa::path(
    get, path = "/api/v1/closed/summary", tag = "closed", params(SummaryParams),
    responses((status = 200, body = ClosedSummary), (status = 400, body = Problem))
)]
pub(super) async fn summary(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<SummaryParams>,
) -> Result<Json<ClosedSummary>, Problem> {
    let minutes = params.minutes.unwrap_or(MINUTES_DEFAULT);
    if !(1..=MINUTES_MAX).contains(&minutes) {
        return Err(Problem::bad_request(format!("minutes {minutes}: 1 to 60")));
    }
    let living = watch::ask_living(&admin.queries, &admin.classes).await;
    admin.watchers.collect_records();
    let (summary, identities) = {
        let now = Timestamp::now().raw;
        admin.watchers.ended_summary(now, minutes, living.as_ref())
    };
    Ok(Json(ClosedSummary {
        minutes,
        groups: EndedGroups::of(&admin.classes, &summary, identities, living.as_ref()),
    }))
}
