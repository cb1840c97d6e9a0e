//! Answers `/metrics`.

use super::alert_metrics::AlertMetrics;
use super::event_metrics::EventMetrics;
use super::identity_metrics::IdentityMetrics;
use super::scrape::Scrape;
use super::text::{self, Format};
use super::verdict_metrics::VerdictMetrics;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::Problem;
use crate::side::{loop_query, process};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::sync::Arc;

pub(in crate::side::admin) fn router() -> Router<Arc<AdminState>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(
    State(admin): State<Arc<AdminState>>,
    request_headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = loop_query::snapshot(&admin.queries).await?;
    let scrape = Scrape {
        snapshot,
        webhooks: admin.runner.webhooks(),
        state_file: admin.runner.state_file(),
        jobs_lost: admin.runner.lost(),
        verdicts: VerdictMetrics::of(&admin),
        identities: IdentityMetrics::of(&admin),
        records_lost: admin.watchers.lost(),
        http: admin.http.clone(),
        failed_logins: admin.failed_logins.counts(),
        alerts: AlertMetrics::of(&admin),
        events: EventMetrics::of(&admin),
        process_stats: process::stats(),
        local_ports: process::local_ports(),
        started: admin.started.wall,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(32 * 1024);
    // Writing to a String does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    let format = Format::negotiate(&request_headers);
    if format == Format::Classic {
        text = text::to_classic(&text);
    }
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept, accept-encoding"),
    ];
    let compressed = text::accepts_gzip(&request_headers).then(|| text::gzip(&text));
    Ok(match compressed.flatten() {
        Some(bytes) => (headers, [(header::CONTENT_ENCODING, "gzip")], bytes).into_response(),
        None => (headers, text).into_response(),
    })
}
