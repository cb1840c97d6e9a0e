//! Why connections really ended: the counts of all verdicts.

use crate::gateway::{EndVerdict, Evidence};
use crate::side::admin::admin_state::AdminState;
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// The verdicts that any connection has had, by class.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictList {
    verdicts: Vec<VerdictBody>,
}

/// How many connections of a class ended with one verdict.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct VerdictBody {
    #[schema(value_type = super::common::ClassName)]
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
/// hour before. An end is counted at once, or 60 s later if its client may still report it.
#[utoipa::path(
    get, path = "/api/v1/verdicts", tag = "closed",
    responses((status = 200, body = VerdictList))
)]
pub(super) async fn verdicts(State(admin): State<Arc<AdminState>>) -> Json<VerdictList> {
    admin.watchers.collect_records();
    let growth = admin.watchers.verdict_growth();
    let all = admin.watchers.verdicts();
    let mut verdicts: Vec<VerdictBody> = Vec::new();
    let infos = admin.classes.infos();
    for (nth, info) in infos.iter().enumerate() {
        for verdict in EndVerdict::ALL.iter().copied() {
            let of = |(class, of, ..): &(usize, EndVerdict, _, _)| *class == nth && *of == verdict;
            let counts = all.counts().all().filter(of);
            let (mut count, mut both) = (0, 0);
            for (_, _, evidence, ends) in counts {
                count += ends;
                both += match evidence {
                    Evidence::Both => ends,
                    Evidence::Gateway => 0,
                };
            }
            let lately = growth
                .iter()
                .find(|g| g.class == nth && g.verdict == verdict);
            if count > 0 {
                verdicts.push(VerdictBody {
                    class: info.name,
                    verdict: verdict.name(),
                    count,
                    both,
                    last_10_min: lately.map_or(0, |growth| growth.recent),
                    hour_before: lately.map_or(0, |growth| growth.before),
                    meaning: verdict.meaning(),
                    action: verdict.action(),
                });
            }
        }
    }
    Json(VerdictList { verdicts })
}
