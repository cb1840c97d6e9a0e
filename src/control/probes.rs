//! For load balancers and orchestrators: is the process alive, and should it be sent connections?

use super::{Control, ask};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A loop that does not answer for so long is stalled: the least gap that it calls a stall itself is half of it.
const STALLED: Duration = Duration::from_secs(1);

pub(super) fn router() -> Router<Arc<Control>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
}

/// The process runs. Whether the loop turns is the watchdog's question and `/readyz`'s.
async fn healthz() -> Response {
    Json(json!({"status": "ok"})).into_response()
}

async fn readyz(State(control): State<Arc<Control>>) -> Response {
    let asked = ask::ask(&control.desk, |_, io| {
        (io.is_draining(), io.stats().accept_paused)
    });
    let not_ready = match tokio::time::timeout(STALLED, asked).await {
        Ok(Ok((false, false))) => return Json(json!({"status": "ready"})).into_response(),
        Ok(Ok((true, _))) => "draining",
        Ok(Ok((false, true))) => "accepting is paused",
        Ok(Err(_)) | Err(_) => "the loop is stalled",
    };
    let body = Json(json!({"status": "not ready", "reason": not_ready}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}
