//! Why connections really ended: the counts of all verdicts.

use super::common::ClassName;
use crate::gateway::{ClassInfo, EndVerdict, Evidence};
use crate::side::admin::admin_state::AdminState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// The verdicts that any connection has had, by class.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictList {
    /// The most frequent ones of the last 10 minutes first.
    verdicts: Vec<VerdictBody>,
}

/// How many connections of a class ended with one verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictBody {
    #[schema(value_type = ClassName)]
    class: &'static str,
    #[schema(example = "network_lost")]
    verdict: &'static str,
    /// Since the start.
    count: u64,
    /// Those of them that the client has reported in time, too.
    both: u64,
    /// In the last 10 minutes.
    last_10_min: u64,
    /// In the hour before them.
    hour_before: u64,
    /// What the verdict means.
    meaning: &'static str,
    /// What an operator does if there are many.
    action: &'static str,
}

/// Why connections of clients really ended: since the start, in the last 10 minutes, and in the
/// hour before. An end is counted at once, or up to 60 s later if its client may still report it.
#[utoipa::path(
    get, path = "/api/v1/verdicts", tag = "closed",
    responses((status = 200, body = VerdictList))
)]
pub(super) async fn verdicts(State(admin): State<Arc<AdminState>>) -> Json<VerdictList> {
    let verdicts = lately(&admin);
    Json(VerdictList { verdicts })
}

/// Returns all verdicts that any connection has had, the most frequent ones lately first.
pub(super) fn lately(admin: &AdminState) -> Vec<VerdictBody> {
    admin.watchers.collect_records();
    let growth = admin.watchers.verdict_growth();
    let mut totals: BTreeMap<(usize, usize), (EndVerdict, u64, u64)> = BTreeMap::new();
    for (class, verdict, evidence, ends) in admin.watchers.verdicts().counts().all() {
        let total = totals.entry((class, verdict as usize));
        let (_, count, both) = total.or_insert((verdict, 0, 0));
        *count += ends;
        *both += match evidence {
            Evidence::Both => ends,
            Evidence::Gateway => 0,
        };
    }
    let infos: &[ClassInfo] = admin.classes.infos();
    let body = |((class, _), (verdict, count, both)): ((usize, usize), _)| {
        let mut growth = growth.iter();
        let lately = growth.find(|growth| growth.class == class && growth.verdict == verdict);
        VerdictBody {
            class: infos.get(class).map_or("none", |info| info.name),
            verdict: verdict.name(),
            count,
            both,
            last_10_min: lately.map_or(0, |growth| growth.recent),
            hour_before: lately.map_or(0, |growth| growth.before),
            meaning: verdict.meaning(),
            action: verdict.action(),
        }
    };
    let mut verdicts: Vec<VerdictBody> = totals.into_iter().map(body).collect();
    verdicts.sort_by_key(|body| Reverse((body.last_10_min, body.count)));
    verdicts
}
