//! The alerts, and the state of their webhook.

use super::common::rfc3339;
use super::page_entries::PageEntries;
use crate::side::admin::admin_state::AdminState;
use crate::side::watch::{Alert, AlertState};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// Alerts: firing ones first, then pending ones, then the last 50 resolved ones; as many as fit
/// into 1 MiB.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertList {
    /// The number of alerts, including those that are not listed; 1 050 at most.
    total: usize,
    alerts: Vec<AlertBody>,
    sink: SinkBody,
}

/// One alert.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlertBody {
    /// The number of the alert, in the order in which alerts have fired. Null before it fires.
    id: Option<u64>,
    /// Whether ended connections are kept with it: see `/api/v1/alerts/{id}`.
    has_ends: bool,
    /// The name of the rule.
    #[schema(example = "many_suspects")]
    name: &'static str,
    /// What distinguishes the alert from others of its rule: `class`, `package`, `route`,
    /// `upstream`, `verdict`.
    labels: BTreeMap<&'static str, String>,
    state: AlertStateName,
    /// When the value first reached the threshold.
    since: String,
    resolved_at: Option<String>,
    value: f64,
    threshold: f64,
    /// What is wrong, with the numbers.
    summary: String,
    /// What the operator should do, in a few short sentences.
    action: &'static str,
}

/// The state of an alert.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AlertStateName {
    /// The value is at the threshold or above, but not yet for long enough.
    Pending,
    /// The alert fires.
    Firing,
    /// The alert has ended.
    Resolved,
}

/// The state of the posts to `ALERT_WEBHOOK_URL`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SinkBody {
    /// Whether `ALERT_WEBHOOK_URL` is set.
    configured: bool,
    /// Requests that were answered with 2xx.
    delivered: u64,
    /// Requests that failed; they are retried.
    failed: u64,
    /// The error of the last request; null if it succeeded.
    last_error: Option<String>,
}

/// Alerts: firing, pending, and the last 50 that were resolved.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts",
    responses((status = 200, body = AlertList))
)]
pub(super) async fn list(State(admin): State<Arc<AdminState>>) -> Json<AlertList> {
    let (stats, configured) = admin.watchers.alerts().sink();
    let all = admin.watchers.alerts().all();
    let total = all.len();
    let mut alerts = PageEntries::new(total);
    let kept = admin.watchers.incidents();
    for alert in all {
        let has_ends = kept.contains(&alert.id);
        if !alerts.push(AlertBody::of(alert, has_ends)) {
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

impl AlertBody {
    pub(super) fn of(alert: Alert, has_ends: bool) -> Self {
        let labels = alert.labels.into_iter();
        AlertBody {
            id: Some(alert.id).filter(|id| *id > 0),
            has_ends,
            name: alert.name,
            labels: labels.map(|(key, value)| (key, value.into())).collect(),
            state: match alert.state {
                AlertState::Pending => AlertStateName::Pending,
                AlertState::Firing => AlertStateName::Firing,
                AlertState::Resolved => AlertStateName::Resolved,
            },
            since: rfc3339(alert.since),
            resolved_at: alert.resolved_at.map(rfc3339),
            value: alert.value,
            threshold: alert.threshold,
            summary: alert.summary,
            action: alert.action,
        }
    }
}
