//! The routes of `/api/v1`, and the OpenAPI document about them.

use super::actions::ALL;
use super::{
    actions, alerts, at_risk, blocks, causes, closed_connections, cohorts, common, connections,
    ended_summary, events, http_requests, incidents, live_document, overview, policies,
    pulse_sessions, reload, sessions, troubled, upstreams, verdicts, webhooks,
};
use crate::gateway::Classes;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::probes;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, PathItem};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{self, Content, OpenApi as OpenApiDocument, Ref, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest request body that is read, in bytes; the longest valid body has some hundred.
const BODY_MAX: usize = 16 * 1024;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "pulsegate",
        description = "The operator's API of the gateway: its connections, their causes of ending, \
                       and actions on them. Times are RFC 3339 in UTC; durations are in ms, \
                       round-trip times in µs. If a token is set, every request except the probes \
                       must carry it: `Authorization: Bearer …`.",
        license(name = "MIT", identifier = "MIT"),
    ),
    // Routes that are served beside the API.
    paths(probes::healthz, probes::readyz),
    // Types that only parameters use.
    components(schemas(
        common::ClassName, common::StateName, common::RiskName,
        connections::SortName, connections::Order,
    )),
    modifiers(&Bearer),
    security((), ("token" = []))
)]
struct ApiDocument;

/// The security scheme: the token as a bearer token.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, document: &mut OpenApiDocument) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
    }
}

/// Returns the routes and the document, which names these classes.
pub(in crate::side::admin) fn router(classes: &Classes) -> Router<Arc<AdminState>> {
    let (router, document) = OpenApiRouter::with_openapi(ApiDocument::openapi())
        .routes(routes!(overview::overview))
        .routes(routes!(live_document::live))
        .routes(routes!(events::events))
        .routes(routes!(causes::causes))
        .routes(routes!(alerts::list))
        .routes(routes!(incidents::one))
        .routes(routes!(troubled::list))
        .routes(routes!(connections::list))
        .routes(routes!(connections::one))
        .routes(routes!(at_risk::list))
        .routes(routes!(cohorts::list))
        .routes(routes!(http_requests::list))
        .routes(routes!(pulse_sessions::list))
        .routes(routes!(pulse_sessions::end))
        .routes(routes!(actions::kick))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::one))
        .routes(routes!(webhooks::webhooks))
        .routes(routes!(closed_connections::list))
        .routes(routes!(closed_connections::one))
        .routes(routes!(ended_summary::summary))
        .routes(routes!(verdicts::verdicts))
        .routes(routes!(blocks::list, blocks::lift))
        .routes(routes!(actions::drain))
        .routes(routes!(actions::stop_drain))
        .routes(routes!(upstreams::list))
        .routes(routes!(upstreams::drain))
        .routes(routes!(upstreams::resume))
        .routes(routes!(reload::reload))
        .routes(routes!(policies::list))
        .routes(routes!(policies::change))
        .routes(routes!(actions::log_level, actions::set_log_level))
        .split_for_parts();
    let mut document = complete(document);
    name_classes(&mut document, classes);
    let document = Arc::new(document);
    let openapi = get(move || {
        let document = document.clone();
        async move { Json(&*document).into_response() }
    });
    router
        .route("/api/v1/openapi.json", openapi)
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

/// Completes the document: adds what all routes share and what no handler describes.
fn complete(mut document: OpenApiDocument) -> OpenApiDocument {
    let found = |what: &str, kind: &str| {
        let found = ResponseBuilder::new().description(what);
        let found = found.content(kind, Content::default());
        let operation = OperationBuilder::new().summary(Some(what));
        operation.response("200", found)
    };
    let metrics = "All metrics, in the text format of Prometheus, or as OpenMetrics if Accept asks \
                   for it.";
    let text = ResponseBuilder::new()
        .description(metrics)
        .content("text/plain", Content::default())
        .content("application/openmetrics-text", Content::default());
    let metrics = OperationBuilder::new().summary(Some(metrics));
    let metrics = metrics.response("200", text);
    let metrics = metrics.response("503", problem("The event loop does not answer."));
    let this = found("This document.", "application/json");
    for (path, operation) in [("/metrics", metrics), ("/api/v1/openapi.json", this)] {
        let item = PathItem::new(HttpMethod::Get, operation);
        document.paths.paths.insert(path.to_owned(), item);
    }
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
        ];
        for operation in operations.into_iter().flatten() {
            for (status, description) in COMMON_RESPONSES {
                let responses = &mut operation.responses.responses;
                responses
                    .entry(status.to_owned())
                    .or_insert_with(|| problem(description).into());
            }
        }
    }
    document
}

/// Lists the names that a class may have: those that products have registered.
fn name_classes(document: &mut OpenApiDocument, classes: &Classes) {
    let enumeration = |names: Vec<&'static str>| {
        let text = ObjectBuilder::new().schema_type(Type::String);
        text.enum_values(Some(names))
    };
    let one = enumeration(classes.names().collect());
    let all = enumeration(classes.names().chain([ALL]).collect());
    let components = document.components.get_or_insert_default();
    let schemas = &mut components.schemas;
    schemas.insert("ClassName".to_owned(), one.into());
    schemas.insert("ClassOrAll".to_owned(), all.into());
}

/// The responses that any request may get.
const COMMON_RESPONSES: [(&str, &str); 3] = [
    ("400", "The request is malformed."),
    ("401", "The token is missing or wrong."),
    (
        "403",
        "The request comes from a page of another origin; or no token is set, and Host is a name \
         that is not in ADMIN_HOSTS.",
    ),
];

fn problem(description: &str) -> openapi::Response {
    let body = Ref::from_schema_name("Problem");
    ResponseBuilder::new()
        .description(description)
        .content("application/json", Content::new(Some(body)))
        .build()
}
