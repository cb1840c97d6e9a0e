//! One alert, with the ended connections that are kept with it.

use super::alerts::AlertBody;
use super::common::{ClassName, address, rfc3339};
use super::ended_groups::EndedGroups;
use crate::gateway::Classes;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{PathParam, Problem};
use crate::side::watch::{self, Incident, SampledEnd};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// An alert, with the connections that ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertDetail {
    #[serde(flatten)]
    alert: AlertBody,
    /// Null if none are kept: its rule is not about ends, or more than 20 such alerts have fired
    /// since.
    ends: Option<KeptEnds>,
}

/// The connections of clients that ended while an alert fired, and in the two minutes before.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KeptEnds {
    /// When the first of them may have ended. Whole minutes are counted.
    from: String,
    /// When this was last updated: now, or when the alert was resolved, or an hour after it fired.
    until: String,
    #[serde(flatten)]
    groups: EndedGroups,
    /// At most 500 of the ended, evenly chosen; for an alert about an upstream those that were
    /// connected to it.
    sample: Vec<SampledEndBody>,
}

/// One of the ended connections.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SampledEndBody {
    at: String,
    id: String,
    #[schema(value_type = Option<ClassName>)]
    class: Option<&'static str>,
    user: Option<String>,
    package: Option<String>,
    user_agent: Option<String>,
    peer: String,
    cause: &'static str,
    /// The gateway's own verdict: a report of the client may have changed it since.
    verdict: Option<&'static str>,
    route: Option<String>,
    upstream: Option<String>,
    age_ms: u64,
    rtt_us: Option<u32>,
}

/// One alert. With the last 20 alerts of rules about ends (`mass_death`, `fleet_late`,
/// `cohort_late`, and upstreams that are down, unresponsive, refusing or slow) a sample of the
/// ended connections is kept, and what they had in common.
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}", tag = "alerts",
    params((
        "id" = u64, Path, description = "The `id` of an alert", minimum = 1,
        maximum = 9_223_372_036_854_775_807_u64
    )),
    responses(
        (status = 200, body = AlertDetail), (status = 400, body = Problem),
        (status = 404, body = Problem)
    )
)]
pub(super) async fn one(
    State(admin): State<Arc<AdminState>>,
    PathParam(id): PathParam<String>,
) -> Result<Json<AlertDetail>, Problem> {
    let number = id.parse::<u64>().ok().filter(|id| *id > 0);
    let number = number
        .ok_or_else(|| Problem::bad_request(format!("{id:?}: the id of an alert is a number")))?;
    admin.watchers.collect_records();
    let living = match admin.watchers.is_incident_new() {
        true => watch::ask_living(&admin.queries, &admin.classes).await,
        false => None,
    };
    admin.watchers.update_incidents(living);
    let incident = admin.watchers.incident(number);
    let known = admin.watchers.alerts().all();
    let alert = known.into_iter().find(|alert| alert.id == number);
    let alert = alert.or_else(|| incident.as_ref().map(|incident| incident.alert.clone()));
    let alert = alert.ok_or_else(|| {
        Problem::not_found(format!(
            "no alert {number} fires, and it is not among the last that did"
        ))
    })?;
    Ok(Json(AlertDetail {
        alert: AlertBody::of(alert, incident.is_some()),
        ends: incident.map(|incident| KeptEnds::of(&admin.classes, &incident)),
    }))
}

impl KeptEnds {
    fn of(classes: &Classes, incident: &Incident) -> Self {
        let (summary, identities) = (&incident.summary, incident.identities);
        let ends = incident.ends().iter();
        KeptEnds {
            from: rfc3339(incident.from),
            until: rfc3339(incident.until),
            groups: EndedGroups::of(classes, summary, identities, incident.living.as_deref()),
            sample: ends.map(|end| SampledEndBody::of(classes, end)).collect(),
        }
    }
}

impl SampledEndBody {
    fn of(classes: &Classes, end: &SampledEnd) -> Self {
        let upstream = end
            .target
            .as_ref()
            .filter(|target| !target.upstream.is_empty());
        SampledEndBody {
            at: rfc3339(end.at),
            id: end.id.to_string(),
            class: end.class.map(|class| classes.name(class)),
            user: end.user.as_deref().map(str::to_owned),
            package: end.package.as_deref().map(str::to_owned),
            user_agent: end.user_agent.as_deref().map(str::to_owned),
            peer: address(end.peer),
            cause: end.cause.name(),
            verdict: end.verdict.map(|verdict| verdict.name()),
            route: end.target.as_ref().map(|target| target.route.to_string()),
            upstream: upstream.map(|target| target.upstream.to_string()),
            age_ms: end.age.as_millis(),
            rtt_us: end.srtt_us,
        }
    }
}
