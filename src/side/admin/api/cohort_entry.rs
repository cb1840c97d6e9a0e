//! A cohort, and all heartbeats together, as several answers write them.

use super::common::ClassName;
use crate::engine::{CohortView, FleetView};
use crate::gateway::Classes;
use serde::Serialize;
use utoipa::ToSchema;

/// The connections of one class in one part of the network, which probably share a path.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = Cohort)]
pub(super) struct CohortBody {
    #[schema(value_type = ClassName)]
    class: &'static str,
    /// The part of the network: a /24 of IPv4, or a /48 of IPv6.
    #[schema(example = "192.0.2.0/24")]
    block: String,
    /// Open connections.
    connections: u32,
    /// The share of heartbeats that are late as a rule, in percent; 2 until more is known.
    #[schema(example = 2.0)]
    usual_late_percent: f64,
    /// The evidence that its peers have stopped answering together, in percent of what raises the
    /// alarm; up to 125.
    score_percent: u32,
    /// How many different peers had a late heartbeat since the score was 0: at most 8 are counted,
    /// and an alarm needs 5.
    late_peers: u8,
    /// How long ago its latest late heartbeat was found, to a second. Null if there was none.
    late_ago_ms: Option<u64>,
    /// For how long there has been an alarm, to a second. Null if there is none.
    alarmed_for_ms: Option<u64>,
}

/// The latest heartbeats of all accepted connections together, and whose fault late ones are.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fleet)]
pub(super) struct FleetBody {
    /// How many heartbeats were judged: the last 1 000, or a few more.
    judged: u64,
    /// How many of them were late.
    late: u64,
    /// Whether more than 30 % of 1 000 were late, in two blocks or more, while this process was
    /// punctual: the reason is in front of it.
    is_late: bool,
    /// Why late heartbeats do not count now: `stall` (the loop did not run), `lateness` (deadlines
    /// are handled too late) or `upstreams` (servers do not answer either). Null if they do.
    #[schema(example = "stall")]
    own_fault: Option<&'static str>,
}

impl CohortBody {
    pub(super) fn of(classes: &Classes, view: &CohortView) -> Self {
        CohortBody {
            class: classes.name(view.class),
            block: view.block.to_string(),
            connections: view.connections,
            usual_late_percent: f64::from(view.usual_late_permille) / 10.0,
            score_percent: view.score_percent,
            late_peers: view.late_peers,
            late_ago_ms: view.late_ago.map(|ago| ago.as_millis()),
            alarmed_for_ms: view.alarmed_for.map(|span| span.as_millis()),
        }
    }
}

impl From<FleetView> for FleetBody {
    fn from(fleet: FleetView) -> Self {
        FleetBody {
            judged: fleet.judged,
            late: fleet.late,
            is_late: fleet.is_late,
            own_fault: fleet.own_fault.map(|fault| fault.name()),
        }
    }
}
