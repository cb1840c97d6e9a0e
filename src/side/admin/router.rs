//! The routes of the admin listener, and its start.

use super::admin_state::AdminState;
use super::{api, dashboard, guard, live_publisher, metrics, probes, problem, serve};
use axum::Router;
use std::net::TcpListener;
use std::sync::Arc;

/// Serves operators on this thread's runtime, until the process ends.
pub(in crate::side) fn start(listener: TcpListener, admin: &Arc<AdminState>) {
    tokio::spawn(live_publisher::run(admin.clone()));
    tokio::spawn(serve::serve(listener, router(admin.clone())));
}

fn router(admin: Arc<AdminState>) -> Router {
    let guard = axum::middleware::from_fn_with_state(admin.clone(), guard::guard);
    Router::new()
        .merge(probes::router())
        .merge(metrics::router())
        .merge(api::router(&admin.classes))
        .merge(dashboard::router(&admin.classes))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(admin)
        .layer(guard)
}
