//! What happens to connections, as it happens.

use super::common::ClassName;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::event_stream::{NoStream, READERS_MAX};
use crate::side::admin::problem::{Problem, QueryParams};
use crate::side::events::{EVENT_TYPES, EventFilter};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// The header in which a browser names the last event that it has seen.
const LAST_EVENT_ID: &str = "last-event-id";

/// Which events a reader wants.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct EventParams {
    /// Only events of connections of this class.
    #[param(value_type = Option<ClassName>)]
    class: Option<ClassName>,
    /// Only events of pairs of this route (exact match).
    route: Option<String>,
    /// Only events of connections of this user (exact match).
    user: Option<String>,
    /// Only events of connections of this package (exact match).
    package: Option<String>,
    /// Only events of this type.
    #[param(example = "closed")]
    r#type: Option<String>,
    /// The id of the last event that the reader has seen, for readers that cannot send the header
    /// `Last-Event-ID`. The header has precedence.
    after: Option<String>,
}

/// What happens to connections and sessions, as server-sent events. Each has an id, a type and a
/// JSON object. A reader that comes back with `Last-Event-ID` gets what it has missed, as far as it
/// is kept; an event `missed` names the rest. The stream ends after an hour: request it again.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "events",
    params(
        EventParams,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that \
          the reader has seen. Without it the stream begins with new events.")
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 400, body = Problem),
        (status = 503, body = Problem, description = "16 readers are here already.")
    )
)]
pub(super) async fn events(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<EventParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let class = params.class.as_ref();
    let class = class.map(|name| name.resolve(&admin.classes)).transpose()?;
    let kind = params.r#type;
    if let Some(kind) = kind.as_deref().filter(|kind| !EVENT_TYPES.contains(kind)) {
        let types = EVENT_TYPES.join(", ");
        let error = format!("type is {kind:?}; it must be one of {types}");
        return Err(Problem::bad_request(error));
    }
    let filter = EventFilter {
        class,
        route: params.route,
        user: params.user,
        package: params.package,
        kind,
    };
    let named = headers.get(LAST_EVENT_ID);
    let named = named.map(|id| id.to_str().unwrap_or("?"));
    let last = named.or(params.after.as_deref());
    let body = admin.events.open(last, filter).map_err(|why| match why {
        NoStream::Full => {
            let error = format!("{READERS_MAX} readers are here already");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
        }
        NoStream::NoSuchEvent => Problem::bad_request(
            "Last-Event-ID, or after, is not the id of an event that this gateway has sent",
        ),
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // Without this, nginx holds events back until its buffer is full.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, body).into_response())
}
