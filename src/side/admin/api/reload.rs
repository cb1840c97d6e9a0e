//! The action that reads the settings again.

use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::Problem;
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The changes that a reload has made.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// What was applied, one text for each setting, and one for the routes: `+new -old
    /// changed:field,field`.
    #[schema(example = json!(["log_level=\"info\"->\"debug\"", "routes=\"+chat\""]))]
    changed: Vec<String>,
    /// The settings whose changes need a restart.
    needs_restart: Vec<&'static str>,
}

/// Reads the settings again, as SIGHUP does: the file, and the variables and flags of the start. If
/// there is a fault, nothing changes, and the answer is 422 with every fault.
#[utoipa::path(
    post, path = "/api/v1/reload", tag = "act",
    responses(
        (status = 200, body = Reloaded), (status = 422, body = Problem),
        (status = 500, body = Problem), (status = 503, body = Problem)
    )
)]
pub(super) async fn reload(
    State(admin): State<Arc<AdminState>>,
) -> Result<Json<Reloaded>, Problem> {
    let reload = admin.reload.clone();
    // It reads files, and waits for name servers.
    let report = tokio::task::spawn_blocking(move || reload()).await;
    let Ok(report) = report else {
        let error = "the reload has failed; the log says why";
        return Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error));
    };
    if !report.faults.is_empty() {
        let faults = report.faults.join("\n");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, faults));
    }
    // The loop answers after it has applied the changes.
    loop_query::query(&admin.queries, |_, _| ()).await?;
    Ok(Json(Reloaded {
        changed: report.changed,
        needs_restart: report.needs_restart,
    }))
}
