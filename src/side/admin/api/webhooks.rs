//! The state of the webhooks to the servers of apps, and of the file that remembers which apps run.

use super::common::rfc3339;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::Problem;
use crate::side::jobs::{WebhookResult, WebhookType};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The state of the webhooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhooks)]
pub(super) struct WebhookStatus {
    /// Results since the start: `session_request` and `stop_request`, by result.
    counts: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// Requests that were sent and not answered yet.
    in_flight: usize,
    /// Webhooks that wait to be sent, for the first time or again.
    waiting: usize,
    /// Packages with a server that is considered down.
    apps_down: usize,
    /// The first 100 of these packages, by name.
    down: Vec<DownAppBody>,
    state_file: StateFileStatus,
    /// Webhooks, and changes for the state file, that were lost because their queue was full.
    jobs_lost: u64,
}

/// An app with a server that is considered down: five requests in a row have failed, and only one
/// is sent from time to time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DownApp)]
struct DownAppBody {
    package: String,
    since: String,
    /// The last error.
    last_error: String,
}

/// The file that remembers which apps run for which users; null if there is none.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StateFile)]
struct StateFileStatus {
    /// The number of failed writes since the start.
    errors: u64,
    /// The time of the last write; null if there was none since the start.
    written: Option<String>,
}

/// The state of the webhooks, and the apps that are down.
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "sessions",
    responses(
        (status = 200, body = WebhookStatus), (status = 401, body = Problem),
        (status = 403, body = Problem)
    )
)]
pub(super) async fn webhooks(State(admin): State<Arc<AdminState>>) -> Json<WebhookStatus> {
    let (stats, file) = (admin.runner.webhooks(), admin.runner.state_file());
    let results = |kind: WebhookType| {
        let all = WebhookResult::ALL.into_iter();
        all.map(|result| (result.name(), stats.counts.get(kind, result)))
            .collect()
    };
    Json(WebhookStatus {
        counts: WebhookType::ALL
            .into_iter()
            .map(|kind| (kind.name(), results(kind)))
            .collect(),
        in_flight: stats.in_flight,
        waiting: stats.waiting,
        apps_down: stats.breakers_open,
        down: stats
            .down
            .iter()
            .map(|app| DownAppBody {
                package: app.package.to_string(),
                since: rfc3339(app.since),
                last_error: app.last_error.to_string(),
            })
            .collect(),
        state_file: StateFileStatus {
            errors: file.errors,
            written: file.written.map(rfc3339),
        },
        jobs_lost: admin.runner.lost(),
    })
}
