//! Cohorts: the connections of one class in one part of the network, and whether their peers have
//! stopped answering together.

use super::cohort_entry::{CohortBody, FleetBody};
use super::common::ClassName;
use super::connections::{page_size, parse_optional_address};
use super::page_entries::PageEntries;
use crate::base::network_block::NetworkBlock;
use crate::engine::{Class, CohortView};
use crate::gateway::CohortFilter;
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
pub(super) struct CohortParams {
    /// Only cohorts of this class.
    class: Option<ClassName>,
    /// Only the cohorts of this IP address, or of the blocks in this CIDR block.
    #[param(example = "192.0.2.0/24")]
    block: Option<String>,
    /// `true`: only cohorts with an alarm.
    alarmed: Option<bool>,
    /// The size of a page, 1 to 1000; default 100. A page ends earlier when it reaches 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// The value of `next` in the previous page.
    after: Option<String>,
}

/// A page of cohorts, the most alarming first. A score changes as time passes, so that a cohort may
/// be on two pages, or on none.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CohortList {
    /// How many cohorts there are, whether they match the filter or not; 4 096 at most. The one
    /// that was not used for longest makes room for a new one.
    total: usize,
    /// How many of them have an alarm.
    alarmed: usize,
    /// How many match the filter, on all pages.
    matched: usize,
    fleet: FleetBody,
    cohorts: Vec<CohortBody>,
    /// The start of the next page: pass it as `after`. Null on the last page.
    next: Option<String>,
}

/// A position in the order of the list; the smallest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    /// 2^32 for no alarm and a score of 0; the more alarming, the less.
    calm: u64,
    class: Class,
    block: NetworkBlock,
}

/// Cohorts, the most alarming first, one page at a time.
#[utoipa::path(
    get, path = "/api/v1/cohorts", tag = "connections", params(CohortParams),
    responses(
        (status = 200, body = CohortList), (status = 400, body = Problem),
        (status = 503, body = Problem)
    )
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<CohortParams>,
) -> Result<Json<CohortList>, Problem> {
    let limit = page_size(params.limit)?;
    let after = params.after.as_deref().map(Position::parse).transpose()?;
    let class = params.class.map(|name| name.resolve(&admin.classes));
    let filter = CohortFilter {
        class: class.transpose()?,
        block: parse_optional_address("block", params.block.as_deref())?,
        alarmed: params.alarmed == Some(true),
        ..CohortFilter::default()
    };
    let list = CohortList::find(&admin, filter, after, limit).await?;
    Ok(Json(list))
}

impl CohortList {
    /// Asks the loop for the cohorts, and returns a page of them.
    async fn find(
        admin: &AdminState,
        filter: CohortFilter,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Self, Problem> {
        let mut page = loop_query::cohorts(&admin.queries, filter).await?;
        page.cohorts.sort_by_key(Position::of);
        let matched = page.cohorts.len();
        let (mut entries, mut last, mut next) = (PageEntries::new(limit), None, None);
        let is_behind = |view: &&CohortView| after.is_none_or(|after| Position::of(view) > after);
        for view in page.cohorts.iter().filter(is_behind) {
            if !entries.push(CohortBody::of(&admin.classes, view)) {
                next = last;
                break;
            }
            last = Some(Position::of(view));
        }
        Ok(CohortList {
            total: page.total,
            alarmed: page.alarmed,
            matched,
            fleet: page.fleet.into(),
            cohorts: entries.into_vec(),
            next: next.map(Position::text),
        })
    }

    /// Returns the cohorts with late heartbeats now, at most `most`.
    pub(super) async fn warm(admin: &AdminState, most: usize) -> Result<Self, Problem> {
        let filter = CohortFilter {
            least_score_percent: 1,
            ..CohortFilter::default()
        };
        Self::find(admin, filter, None, most).await
    }

    /// Returns whether any cohort has an alarm.
    pub(super) fn has_alarm(&self) -> bool {
        self.alarmed > 0
    }
}

impl Position {
    fn of(view: &CohortView) -> Self {
        let is_alarmed = u64::from(view.alarmed_for.is_some());
        let alarming = is_alarmed << 24 | u64::from(view.score_percent) << 8;
        Position {
            calm: (1 << 32) - (alarming | u64::from(view.late_peers)),
            class: view.class,
            block: view.block,
        }
    }

    fn text(self) -> String {
        let (class, block) = (self.class.0, self.block.to_bits());
        format!("{:x}-{class:x}-{block:x}", self.calm)
    }

    fn parse(text: &str) -> Result<Self, Problem> {
        let numbers: Option<Vec<u64>> = text
            .splitn(4, '-')
            .map(|part| u64::from_str_radix(part, 16).ok())
            .collect();
        let position = numbers.and_then(|numbers| match numbers[..] {
            [calm, class, block] => Some(Position {
                calm,
                class: Class(u8::try_from(class).ok()?),
                block: NetworkBlock::from_bits(block),
            }),
            _ => None,
        });
        position.ok_or_else(|| {
            Problem::bad_request("after must be the value of next in the previous page")
        })
    }
}
