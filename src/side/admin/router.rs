//! The routes of the admin listener, and its start.

use super::control::Control;
use super::{api, dashboard, guard, metrics, probes, problem, serve, tell};
use axum::Router;
use std::net::TcpListener;
use std::sync::Arc;

/// Serves operators on this thread's runtime, until the process ends.
pub(in crate::side) fn start(listener: TcpListener, control: &Arc<Control>) {
    tokio::spawn(tell::run(control.clone()));
    tokio::spawn(serve::serve(listener, router(control.clone())));
}

fn router(control: Arc<Control>) -> Router {
    let guard = axum::middleware::from_fn_with_state(control.clone(), guard::guard);
    Router::new()
        .merge(probes::router())
        .merge(metrics::router())
        .merge(api::router(&control.classes))
        .merge(dashboard::router(&control.classes))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(control)
        .layer(guard)
}
