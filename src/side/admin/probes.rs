//! The probes for load balancers and orchestrators: whether the process is alive, and whether it
//! accepts connections.

use super::admin_state::AdminState;
use crate::side::loop_query;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// A loop that does not answer within this time is stalled. The loop itself counts a gap as a stall
/// from half of it on.
const LOOP_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn router() -> Router<Arc<AdminState>> {
    // HAProxy uses OPTIONS by default.
    Router::new()
        .route("/healthz", get(healthz).options(healthz))
        .route("/readyz", get(readyz).options(readyz))
}

/// Returns whether a request is for a probe, which needs no token and no Host.
pub(super) fn is_probe(method: &Method, path: &str) -> bool {
    let asks = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    asks && matches!(path, "/healthz" | "/readyz")
}

/// The state of the process, or of the gateway.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Probe {
    /// `ok` or `hung`; `ready` or `not ready`.
    status: &'static str,
    /// Why it is hung or not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'static, str>>,
}

impl Probe {
    fn ok(status: &'static str) -> Response {
        let reason = None;
        Json(Probe { status, reason }).into_response()
    }

    fn fail(status: &'static str, reason: Cow<'static, str>) -> Response {
        let reason = Some(reason);
        let probe = Json(Probe { status, reason });
        (StatusCode::SERVICE_UNAVAILABLE, probe).into_response()
    }
}

/// Returns ok while the process lives, also while it is full or drains. It does not if the loop has
/// not turned for ten seconds: it hangs, and only a restart helps.
#[utoipa::path(
    get, path = "/healthz", tag = "probes", security(()),
    responses((status = 200, body = Probe), (status = 503, body = Probe))
)]
pub(super) async fn healthz(State(admin): State<Arc<AdminState>>) -> Response {
    match admin.liveness.is_hung() {
        false => Probe::ok("ok"),
        true => Probe::fail("hung", "the event loop has not turned for 10 s".into()),
    }
}

/// Returns ready if the loop turns, accepts connections and is not shutting down, and with
/// READY_NEEDS_UPSTREAM each route has an upstream that is up.
#[utoipa::path(
    get, path = "/readyz", tag = "probes", security(()),
    responses((status = 200, body = Probe), (status = 503, body = Probe))
)]
pub(super) async fn readyz(State(admin): State<Arc<AdminState>>) -> Response {
    let needs_upstream = admin.ready_needs_upstream;
    let asked = loop_query::query(&admin.queries, move |gateway, io| {
        let stats = io.stats();
        if io.is_draining() {
            return Some(Cow::Borrowed("draining"));
        }
        match (stats.accept_paused, stats.full) {
            // The words of the log.
            (true, true) => Some("accepting is restricted: MAX_CONNECTIONS is reached".into()),
            (true, false) => Some("accepting is paused: descriptors or memory have run out".into()),
            (false, _) => {
                let bridge = gateway.bridge().filter(|_| needs_upstream);
                Some(bridge?.not_served()?.into())
            }
        }
    });
    let not_ready = match tokio::time::timeout(LOOP_TIMEOUT, asked).await {
        Ok(Ok(None)) => return Probe::ok("ready"),
        Ok(Ok(Some(why))) => why,
        Ok(Err(_)) | Err(_) => "the event loop is stalled".into(),
    };
    Probe::fail("not ready", not_ready)
}
