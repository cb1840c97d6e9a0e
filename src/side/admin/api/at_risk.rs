//! The open connections that are likely to miss one of their next heartbeats.

use super::common::{ClassName, ClockReading, RiskName};
use super::connections::{
    ConnectionBody, page_size, parse_optional_address, parse_position, position_text,
};
use super::foresight::ForesightBody;
use super::page_entries::PageEntries;
use super::recent_losses::recent_losses;
use crate::gateway::{ConnPage, Filter, PageRequest, Position, Sort};
use crate::health::Risk;
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
pub(super) struct AtRiskParams {
    /// Only connections of this class.
    class: Option<ClassName>,
    /// Only connections of this risk or a higher one; default `raised`.
    risk: Option<RiskName>,
    /// Only connections from this IP address or CIDR block.
    #[param(example = "192.0.2.0/24")]
    address: Option<String>,
    /// Only legs of pairs of this route (exact match).
    route: Option<String>,
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    after: Option<String>,
}

/// A page of open connections at risk: the highest risk first, and of the same risk those with the
/// most late heartbeats. A risk changes as time passes, so that a connection may be on two pages,
/// or on none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AtRiskList {
    /// How many connections match the filter, on all pages.
    matched: usize,
    /// Why late heartbeats do not count now, so that no new risk is found: `stall`, `lateness` or
    /// `upstreams`. Null if they do.
    #[schema(example = "stall")]
    frozen_by: Option<&'static str>,
    connections: Vec<AtRiskEntry>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<String>,
}

/// A connection at risk, with the reasons.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AtRisk)]
pub(super) struct AtRiskEntry {
    #[serde(flatten)]
    connection: ConnectionBody,
    foresight: Option<ForesightBody>,
}

/// Open connections that are likely to miss one of their next heartbeats, with the reasons. Nothing
/// is closed because of it.
#[utoipa::path(
    get, path = "/api/v1/at-risk", tag = "connections", params(AtRiskParams),
    responses(
        (status = 200, body = AtRiskList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<AtRiskParams>,
) -> Result<Json<AtRiskList>, Problem> {
    let class = params.class.map(|name| name.resolve(&admin.classes));
    let filter = Filter {
        class: class.transpose()?,
        address: parse_optional_address("address", params.address.as_deref())?,
        route: params.route,
        least_risk: Some(params.risk.map_or(Risk::Raised, Risk::from)),
        ..Filter::default()
    };
    let after = params.after.as_deref().map(parse_position).transpose()?;
    let list = AtRiskList::find(&admin, filter, after, page_size(params.limit)?).await?;
    Ok(Json(list))
}

impl AtRiskList {
    /// Asks the loop for a page.
    async fn find(
        admin: &AdminState,
        filter: Filter,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let query = PageRequest {
            filter,
            sort: Sort::Risk,
            after,
            limit,
            ..PageRequest::default()
        };
        let page = loop_query::search(&admin.queries, query).await?;
        Ok(Self::of(admin, page, limit))
    }

    /// Returns the connections of the highest risk, at most `most`.
    pub(super) async fn highest(admin: &AdminState, most: usize) -> Result<Self, Problem> {
        let filter = Filter {
            least_risk: Some(Risk::Raised),
            ..Filter::default()
        };
        Self::find(admin, filter, None, most).await
    }

    fn of(admin: &AdminState, page: ConnPage, limit: usize) -> Self {
        let now = ClockReading {
            wall: page.wall,
            engine: page.now,
        };
        let losses = recent_losses(admin, page.rows.iter().map(|(_, row)| row));
        let mut connections = PageEntries::new(limit);
        let (mut next, mut last) = (page.next, None);
        for ((position, row), losses) in page.rows.into_iter().zip(losses) {
            let foresight = ForesightBody::of(&admin.classes, &row, &page.fleet, losses);
            let connection = ConnectionBody::of(&admin.classes, row, &now);
            if !connections.push(AtRiskEntry {
                connection,
                foresight,
            }) {
                next = last;
                break;
            }
            last = Some(position);
        }
        AtRiskList {
            matched: page.matched,
            frozen_by: page.fleet.own_fault.map(|fault| fault.name()),
            connections: connections.into_vec(),
            next: next.map(position_text),
        }
    }
}
