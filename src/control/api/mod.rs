//! `/api/v1`: what an operator can ask and do, as JSON. The OpenAPI document is made from this code.

mod actions;
mod alerts;
mod blocks;
mod causes;
mod closed;
mod connections;
mod explain;
mod overview;
mod policies;
mod sessions;
mod troubled;
mod words;

use super::Control;
use axum::extract::DefaultBodyLimit;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest body that is read, in bytes; none of ours is longer than some hundred.
const BODY_MAX: usize = 16 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "pulsegate",
        description = "What the gateway knows, and what can be done about it. Times are RFC 3339 in UTC; spans are in ms, round-trip times in µs. \
                       Where a token is set, every request carries it: `Authorization: Bearer …`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    // What only parameters name.
    components(schemas(words::ClassName, words::StateName, connections::SortName, connections::Order)),
    modifiers(&Bearer),
    security((), ("token" = []))
)]
struct Document;

/// How the token is given.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
    }
}

pub(super) fn router() -> Router<Arc<Control>> {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(overview::overview))
        .routes(routes!(causes::causes))
        .routes(routes!(alerts::list))
        .routes(routes!(troubled::list))
        .routes(routes!(connections::list))
        .routes(routes!(connections::one))
        .routes(routes!(actions::kick))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::one))
        .routes(routes!(closed::list))
        .routes(routes!(closed::one))
        .routes(routes!(blocks::list, blocks::lift))
        .routes(routes!(actions::drain))
        .routes(routes!(actions::stop_drain))
        .routes(routes!(policies::list))
        .routes(routes!(policies::change))
        .routes(routes!(actions::log_level, actions::set_log_level))
        .split_for_parts();
    let document = Arc::new(document);
    let openapi = get(move || {
        let document = document.clone();
        async move { openapi(&document) }
    });
    router
        .route("/api/v1/openapi.json", openapi)
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

fn openapi(document: &utoipa::openapi::OpenApi) -> Response {
    Json(document).into_response()
}
