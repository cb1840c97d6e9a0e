//! Answers `/metrics`.

use super::alerts::Alerts;
use super::scrape::Scrape;
use super::text::{self, Format};
use crate::side::admin::control::Control;
use crate::side::admin::problem::Problem;
use crate::side::{ask, process};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::registry::Registry;
use std::sync::Arc;

pub(in crate::side::admin) fn router() -> Router<Arc<Control>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(
    State(control): State<Arc<Control>>,
    asked: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = ask::snapshot(&control.desk).await?;
    let scrape = Scrape {
        snapshot,
        webhooks: control.runner.webhooks(),
        state_file: control.runner.state_file(),
        errands_lost: control.runner.lost(),
        records_lost: control.watchers.lost(),
        logins: control.logins.counts(),
        alerts: Alerts::of(&control),
        figures: process::figures(),
        started: control.started.wall,
    };
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::with_capacity(32 * 1024);
    // Writing to a String does not fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    let format = Format::asked(&asked);
    if format == Format::Classic {
        text = text::classic(&text);
    }
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept, accept-encoding"),
    ];
    let compressed = text::wants_gzip(&asked).then(|| text::gzip(&text));
    Ok(match compressed.flatten() {
        Some(bytes) => (headers, [(header::CONTENT_ENCODING, "gzip")], bytes).into_response(),
        None => (headers, text).into_response(),
    })
}
