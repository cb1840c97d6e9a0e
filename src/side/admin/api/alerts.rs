//! Alerts, and how telling them goes.

use super::page::Entries;
use super::words::time;
use crate::side::admin::control::Control;
use crate::side::watch::{Alert, AlertState};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Alerts: firing ones first, then pending ones, then the last 50 that were resolved; as many as fit into 1 MiB.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertList {
    /// How many there are, those included that are not listed; 1 050 at most.
    total: usize,
    alerts: Vec<AlertBody>,
    sink: SinkBody,
}

/// One alert.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertBody {
    /// Of the rule.
    #[schema(example = "many_suspects")]
    name: &'static str,
    /// What tells it from others of its rule: `class`, `package`.
    labels: BTreeMap<&'static str, String>,
    state: AlertStateName,
    /// When it began to be too much.
    since: String,
    resolved_at: Option<String>,
    value: f64,
    threshold: f64,
    /// What is the matter, with the numbers.
    summary: String,
    /// What to do, in one sentence.
    action: &'static str,
}

/// How an alert is.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AlertStateName {
    /// It is too much, but not yet for long enough.
    Pending,
    /// It is.
    Firing,
    /// It was.
    Resolved,
}

/// How posting to `ALERT_WEBHOOK_URL` goes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SinkBody {
    /// Whether there is one.
    configured: bool,
    /// Requests that were answered with 2xx.
    delivered: u64,
    /// Requests that were not; they are made again.
    failed: u64,
    /// What was wrong with the last one; null if it was answered.
    last_error: Option<String>,
}

/// What is alerted of: firing, pending, and the last 50 that were resolved.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts",
    responses((status = 200, body = AlertList))
)]
pub(super) async fn list(State(control): State<Arc<Control>>) -> Json<AlertList> {
    let (stats, configured) = control.watchers.alerts().sink();
    let all = control.watchers.alerts().all();
    let total = all.len();
    let mut alerts = Entries::new(total);
    for alert in all {
        if !alerts.push(AlertBody::from(alert)) {
            break;
        }
    }
    Json(AlertList {
        total,
        alerts: alerts.into_vec(),
        sink: SinkBody {
            configured,
            delivered: stats.delivered,
            failed: stats.failed,
            last_error: stats.last_error.map(String::from),
        },
    })
}

impl From<Alert> for AlertBody {
    fn from(alert: Alert) -> Self {
        let labels = alert.labels.into_iter();
        AlertBody {
            name: alert.name,
            labels: labels.map(|(key, value)| (key, value.into())).collect(),
            state: match alert.state {
                AlertState::Pending => AlertStateName::Pending,
                AlertState::Firing => AlertStateName::Firing,
                AlertState::Resolved => AlertStateName::Resolved,
            },
            since: time(alert.since),
            resolved_at: alert.resolved_at.map(time),
            value: alert.value,
            threshold: alert.threshold,
            summary: alert.summary,
            action: alert.action,
        }
    }
}
