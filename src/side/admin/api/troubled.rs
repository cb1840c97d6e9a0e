//! The identities with repeated trouble.

use super::common::rfc3339;
use super::connections::page_size;
use super::page_entries::PageEntries;
use crate::base::time::Timestamp;
use crate::side::admin::admin_state::AdminState;
use crate::side::admin::problem::{Problem, QueryParams};
use crate::side::watch::RankedIdentity;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TroubledParams {
    /// The number of entries, 1 to 1000; default 100. There are fewer when they reach 1 MiB.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// Identities with repeated trouble over the last 24 hours, the worst first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TroubledList {
    /// The number of identities, including those that are not listed; 2 000 at most.
    total: usize,
    troubled: Vec<TroubledBody>,
}

/// One identity with repeated trouble.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TroubledBody {
    user: String,
    /// Null for an identity without a package.
    package: Option<String>,
    /// The client's address, if nothing proves the user: the same name at another address is
    /// another identity. Null if the user is proved.
    address: Option<String>,
    /// The score of the trouble, the higher the worse; trouble that is six hours old counts half.
    score: f64,
    /// A description of the trouble, in words.
    #[schema(example = "12 drops in 3 h, all stale, silent after RTT above 2 s")]
    pattern: String,
    /// Connections that ended by a fault, or that no side ended on purpose.
    drops: u32,
    /// Drops of connections that fell silent.
    stale: u32,
    /// Connections with a round-trip time of 2 s or more at their end.
    slow: u32,
    /// How many times the peer was lost and did not come back in time.
    failed_resumes: u32,
    first_at: String,
    last_at: String,
}

/// Identities with repeated trouble: problems in at least three of the last 24 hours.
#[utoipa::path(
    get, path = "/api/v1/troubled", tag = "alerts", params(TroubledParams),
    responses((status = 200, body = TroubledList), (status = 400, body = Problem))
)]
pub(super) async fn list(
    State(admin): State<Arc<AdminState>>,
    QueryParams(params): QueryParams<TroubledParams>,
) -> Result<Json<TroubledList>, Problem> {
    let limit = page_size(params.limit)?;
    let (troubled, total) = troubled(&admin, limit);
    Ok(Json(TroubledList { total, troubled }))
}

/// Returns the worst identities, as many as fit on a page, and the number of all.
pub(super) fn troubled(admin: &AdminState, limit: usize) -> (Vec<TroubledBody>, usize) {
    // Includes the connections that have ended up to now.
    admin.watchers.collect_records();
    let mut all = admin.watchers.troubled();
    let worst = all.worst(Timestamp::now(), limit);
    let total = all.count();
    drop(all);
    let mut page = PageEntries::new(limit);
    for ranked in worst {
        if !page.push(TroubledBody::from(ranked)) {
            break;
        }
    }
    (page.into_vec(), total)
}

impl From<RankedIdentity> for TroubledBody {
    fn from(ranked: RankedIdentity) -> Self {
        TroubledBody {
            user: ranked.user.into(),
            package: ranked.package.map(String::from),
            address: ranked.address.map(|address| address.to_string()),
            score: (ranked.score * 10.0).round() / 10.0,
            pattern: ranked.pattern,
            drops: ranked.drops,
            stale: ranked.stale,
            slow: ranked.slow,
            failed_resumes: ranked.failed_resumes,
            first_at: rfc3339(ranked.first_at),
            last_at: rfc3339(ranked.last_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::UnixMillis;

    #[test]
    fn a_place_in_the_ranking_is_told_whole() {
        let body = TroubledBody::from(RankedIdentity {
            user: "ada".into(),
            package: None,
            address: Some([192, 0, 2, 7].into()),
            score: 7.26,
            pattern: "3 drops in 3 h, all stale".to_owned(),
            drops: 3,
            stale: 3,
            slow: 1,
            failed_resumes: 2,
            first_at: UnixMillis(1_750_000_000_000),
            last_at: UnixMillis(1_750_010_800_000),
        });
        let json = serde_json::to_value(&body).expect("JSON");
        let wanted = serde_json::json!({
            "user": "ada", "package": null, "address": "192.0.2.7", "score": 7.3,
            "pattern": "3 drops in 3 h, all stale", "drops": 3, "stale": 3,
            "slow": 1, "failed_resumes": 2, "first_at": "2025-06-15T15:06:40.000Z",
            "last_at": "2025-06-15T18:06:40.000Z",
        });
        assert_eq!(json, wanted);
    }
}
