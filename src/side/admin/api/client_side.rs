//! What a client has reported of the end of its connection.

use crate::gateway::PackedReport;
use crate::pulse::{
    ClientRuntime, ClientStart, FailureClass, NetworkKind, PageVisibility, ReportedEnd, TryFailure,
};
use serde::Serialize;
use utoipa::ToSchema;

/// What a client has reported of the end of its connection. Times are in milliseconds before the
/// report. The words are those of the report.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientSide {
    /// What it runs on.
    #[schema(value_type = String, example = "browser")]
    runtime: ClientRuntime,
    /// Whether its program has started anew since: `same` or `new`.
    #[schema(value_type = String, example = "same")]
    start: ClientStart,
    /// How the connection ended.
    #[schema(value_type = String, example = "watchdog")]
    end: ReportedEnd,
    code: Option<u16>,
    opened_ago_ms: Option<u64>,
    heard_ago_ms: Option<u64>,
    ended_ago_ms: u64,
    /// By how much a timer was late when it noticed that its device had slept.
    clock_gap_ms: Option<u64>,
    /// The pings that it received.
    pings_seen: Option<u16>,
    /// Those of them that came late.
    pings_late: Option<u16>,
    rtt_p50_ms: Option<u16>,
    rtt_max_ms: Option<u16>,
    /// The network when the connection ended.
    #[schema(value_type = Option<String>, example = "cell")]
    net_then: Option<NetworkKind>,
    /// The network at the time of the report.
    #[schema(value_type = Option<String>, example = "wifi")]
    net_now: Option<NetworkKind>,
    /// Whether the user saw the page.
    #[schema(value_type = Option<String>, example = "hidden")]
    page: Option<PageVisibility>,
    /// Whether the browser had frozen the page.
    frozen: bool,
    /// The class by which the client chose when to try again.
    #[schema(value_type = Option<String>, example = "blip")]
    class: Option<FailureClass>,
    /// The failed tries to come back; eight at most.
    tries: u8,
    /// The phase in which most of them ended.
    #[schema(example = "tcp")]
    tries_phase: Option<&'static str>,
    /// Why the first one failed.
    #[schema(value_type = Option<String>, example = "timeout")]
    tries_why: Option<TryFailure>,
}

impl ClientSide {
    pub(super) fn of(report: &PackedReport) -> Self {
        let (pings_seen, pings_late) = report.pings().unzip();
        let (rtt_p50_ms, rtt_max_ms) = report.rtt().unzip();
        let (net_then, net_now) = report.net.unzip();
        ClientSide {
            runtime: report.runtime,
            start: report.start,
            end: report.end,
            code: report.code,
            opened_ago_ms: report.opened_ago(),
            heard_ago_ms: report.heard_ago(),
            ended_ago_ms: report.ended_ago(),
            clock_gap_ms: report.clock_gap(),
            pings_seen,
            pings_late,
            rtt_p50_ms,
            rtt_max_ms,
            net_then,
            net_now,
            page: report.visibility,
            frozen: report.is_frozen,
            class: report.class,
            tries: report.tries.count,
            tries_phase: report.tries.main_phase().map(|phase| phase.name()),
            tries_why: report.tries.first_why,
        }
    }
}
