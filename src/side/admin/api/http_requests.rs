//! The plain HTTP requests in progress.

use super::connections::{page_size, parse_id};
use super::page_entries::PageEntries;
use crate::base::time::Micros;
use crate::gateway::HttpRequestRow;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{Problem, QueryParams};
use crate::side::loop_query;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HttpRequestParams {
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    after: Option<String>,
}

/// Plain HTTP requests in progress, a page at a time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HttpRequestList {
    requests: Vec<HttpRequestEntry>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<String>,
}

/// A plain HTTP request that was passed to an upstream and whose answer is not complete.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HttpRequest)]
struct HttpRequestEntry {
    /// The id of the client's connection, by which the request is kicked.
    #[schema(example = "3.8")]
    id: String,
    route: String,
    /// The address of the upstream.
    #[schema(example = "10.0.0.1:3000")]
    upstream: String,
    /// The client's address.
    #[schema(example = "192.0.2.7")]
    address: String,
    /// The client's name, if the route names its clients.
    user: Option<String>,
    method: String,
    /// The path without the query; its first 200 characters.
    path: String,
    /// How long ago it began.
    age_ms: u64,
}

impl HttpRequestEntry {
    fn of(row: HttpRequestRow, now: Micros) -> Self {
        HttpRequestEntry {
            id: row.id.to_string(),
            route: row.target.route.to_string(),
            upstream: row.target.upstream.to_string(),
            address: row.address.to_string(),
            user: row.identity.map(|identity| identity.user.into()),
            method: row.method.into(),
            path: row.path.into(),
            age_ms: (now - row.since).as_millis(),
        }
    }
}

/// Lists the plain HTTP requests in progress by their ids, one page at a time.
#[utoipa::path(
    get, path = "/api/v1/http-requests", tag = "look", params(HttpRequestParams),
    responses(
        (status = 200, body = HttpRequestList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<HttpRequestParams>,
) -> Result<Json<HttpRequestList>, Problem> {
    let mut requests = PageEntries::new(page_size(params.limit)?);
    let after = params.after.as_deref();
    let mut after = after.map(|id| parse_id(&admin, id)).transpose()?;
    loop {
        let most = requests.remaining();
        let slice = loop_query::query(&admin.queries, move |gateway, io| {
            (gateway.http_request_slice(io, after, most), io.now())
        });
        let ((rows, more), now) = slice.await?;
        let mut is_full = false;
        for row in rows {
            let id = row.id;
            is_full = !requests.push(HttpRequestEntry::of(row, now));
            if is_full {
                break;
            }
            after = Some(id);
        }
        let more = more || is_full;
        if is_full || !more || requests.remaining() == 0 {
            let next = after.filter(|_| more);
            return Ok(Json(HttpRequestList {
                requests: requests.into_vec(),
                next: next.map(|id| id.to_string()),
            }));
        }
    }
}
