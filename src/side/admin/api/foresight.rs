//! What is likely to happen to a connection, with the reasons: as a document and in words.

use super::cohort_entry::CohortBody;
use super::common::RiskName;
use crate::engine::FleetView;
use crate::gateway::{Classes, ConnRow, KernelView};
use serde::Serialize;
use utoipa::ToSchema;

/// An identity that was lost this often in the last hour is lost often.
const LOST_OFTEN: u32 = 3;

/// What is likely to happen to an open connection. Nothing is closed because of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Foresight)]
pub(super) struct ForesightBody {
    risk: RiskName,
    /// The facts that speak for a risk. Empty if there are none.
    reasons: Vec<ReasonBody>,
    /// The share of connections, in percent, that missed one of the next four heartbeats after such
    /// latest heartbeats. It was measured on a phone in a mobile network, and does not depend on
    /// the cohort or on any other reason.
    #[schema(example = 52)]
    late_soon_percent: u8,
    /// How many of its latest 16 heartbeats were late.
    late_of_latest_16: u32,
    /// How many heartbeats were sent since the latest late one: 0 if it is the latest one. Null if
    /// none of the latest 16 was late.
    heartbeats_since_late: Option<u32>,
    /// How often a connection of its identity was lost in the last hour, as far as the records of
    /// ended connections go back.
    losses_last_hour: u32,
    /// The connections of its class and its part of the network. Null for a connection that the
    /// gateway has made.
    cohort: Option<CohortBody>,
    /// Why late heartbeats do not count now: `stall`, `lateness` or `upstreams`. Null if they do.
    #[schema(example = "stall")]
    frozen_by: Option<&'static str>,
}

/// A fact that speaks for a risk.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RiskReason)]
struct ReasonBody {
    reason: ReasonName,
    /// The fact in words.
    #[schema(example = "1 of its latest 16 heartbeats was late: the latest one")]
    text: String,
}

/// The kind of a fact that speaks for a risk.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RiskReasonName)]
enum ReasonName {
    /// Some of its latest heartbeats were late.
    LateHeartbeats,
    /// The peers of its cohort have stopped answering together. This makes the risk high.
    CohortAlarm,
    /// The kernel says that the network does not take our bytes any more.
    PathGone,
    /// What the kernel says of its TCP connection is about a proxy.
    ProxyKernel,
    /// Its identity was lost three times or more in the last hour.
    OftenLost,
}

impl ForesightBody {
    /// Returns what is said of a connection whose identity was lost this often in the last hour.
    /// `None` if it is not open.
    pub(super) fn of(
        classes: &Classes,
        row: &ConnRow,
        fleet: &FleetView,
        losses: u32,
    ) -> Option<Self> {
        let history = row.view.late_history;
        Some(ForesightBody {
            risk: row.risk?.into(),
            reasons: reasons(row, losses),
            late_soon_percent: history.late_soon_percent(),
            late_of_latest_16: history.count(),
            heartbeats_since_late: history.sent_since_late(),
            losses_last_hour: losses,
            cohort: row.cohort.map(|view| CohortBody::of(classes, &view)),
            frozen_by: fleet.own_fault.map(|fault| fault.name()),
        })
    }

    /// Adds the sentences on the risk of a connection, if there is anything to say.
    pub(super) fn describe(&self, text: &mut Vec<String>) {
        if !self.reasons.is_empty() {
            let reasons: Vec<&str> = self.reasons.iter().map(|r| &*r.text).collect();
            text.push(format!(
                "its risk is {}: {}",
                self.risk.word(),
                reasons.join("; ")
            ));
            let percent = self.late_soon_percent;
            text.push(format!(
                "of 100 connections with such latest heartbeats, {percent} miss one of the next \
                 four"
            ));
        }
        if let Some(fault) = self.frozen_by {
            text.push(format!(
                "late heartbeats do not count now, because the fault is the gateway's: {fault}"
            ));
        }
    }
}

fn reasons(row: &ConnRow, losses: u32) -> Vec<ReasonBody> {
    let (view, mut reasons) = (&row.view, Vec::new());
    let mut add = |reason, text: String| reasons.push(ReasonBody { reason, text });
    let history = view.late_history;
    if let Some(since) = history.sent_since_late() {
        let late = match history.count() {
            1 => "1 of its latest 16 heartbeats was late".to_owned(),
            n => format!("{n} of its latest 16 heartbeats were late"),
        };
        let when = match since {
            0 => "the latest one".to_owned(),
            1 => "the one before the latest".to_owned(),
            n => format!("the last time {n} heartbeats before the latest"),
        };
        add(ReasonName::LateHeartbeats, format!("{late}: {when}"));
    }
    if let Some(cohort) = row.cohort
        && let Some(since) = cohort.alarmed_for
    {
        let (block, seconds) = (cohort.block, since.as_millis() / 1_000);
        let text = format!("the peers of its class in {block} stopped answering {seconds} s ago");
        add(ReasonName::CohortAlarm, text);
    }
    if KernelView::of(view.silence_evidence) == KernelView::Lost {
        let text = "the kernel retransmits in vain: the path to the peer is probably gone";
        add(ReasonName::PathGone, text.to_owned());
    }
    let kernel = view.silence_evidence.and_then(|evidence| evidence.kernel);
    if kernel.is_some_and(|kernel| kernel.proxy) {
        let text = "a proxy acknowledges our bytes, so the kernel does not know the peer's path";
        add(ReasonName::ProxyKernel, text.to_owned());
    }
    if losses >= LOST_OFTEN {
        let text = format!("its identity was lost {losses} times in the last hour");
        add(ReasonName::OftenLost, text);
    }
    reasons
}
