//! The verdicts of all ends: counted once each, and corrected by the reports of clients.

use super::super::ended::EndedRing;
use super::report_join::{self, JoinOutcome};
use super::verdict_counts::VerdictCounts;
use crate::base::id::ConnId;
use crate::base::time::{Micros, Timestamp};
use crate::gateway::{
    Classes, ClientReport, ClosedConn, EndVerdict, Evidence, PackedReport, ReportSource,
    ReportedConn,
};
use crate::host::LineBudget;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long the end of a client that may report it waits to be counted. A client comes back within
/// seconds, unless its device is off.
pub(super) const REPORT_WAIT: Micros = Micros::from_secs(60);

/// How long what a client reports waits for the end of the connection at the gateway. A client
/// usually notices a loss first: the gateway waits for its timeout.
pub(super) const EARLY_WAIT: Micros = Micros::from_secs(300);

/// The most entries of reports that wait for the end of their connections.
pub(super) const EARLY_MAX: usize = 3_000;

/// The verdicts of all ends.
#[derive(Debug)]
pub(in crate::side) struct EndVerdicts {
    classes: Classes,
    counts: VerdictCounts,
    /// The numbers of records that wait for a report, oldest first, each with its time.
    waiting: VecDeque<(Micros, u64)>,
    /// Entries of reports about connections that have not ended here yet, oldest first.
    early: VecDeque<EarlyEntry>,
    outcomes: [u64; JoinOutcome::ALL.len()],
    lines: LineBudget,
}

#[derive(Debug)]
struct EarlyEntry {
    at: Micros,
    /// When the report was received.
    received: Micros,
    source: Arc<ReportSource>,
    keeps: bool,
    id: ConnId,
    packed: PackedReport,
}

impl EndVerdicts {
    pub(in crate::side) fn new(classes: Classes, started: Timestamp) -> Self {
        EndVerdicts {
            classes,
            counts: VerdictCounts::new(started.raw),
            waiting: VecDeque::new(),
            early: VecDeque::new(),
            outcomes: Default::default(),
            lines: LineBudget::default(),
        }
    }

    /// Adds records of ends to the ring, and joins what clients have reported. Reports must have
    /// been taken from their queue before the records.
    pub(in crate::side) fn record(
        &mut self,
        ring: &mut EndedRing,
        ended: VecDeque<ClosedConn>,
        reports: VecDeque<ClientReport>,
        now: Micros,
    ) {
        for record in &ended {
            if record.judged.is_some_and(|judged| !judged.awaits_report) {
                self.count(now, record);
            }
        }
        let first = ring.end();
        let numbers = (first..).zip(&ended);
        let waits = |(number, record): (u64, &ClosedConn)| {
            let judged = record.judged.filter(|judged| judged.awaits_report);
            judged.map(|_| (record.at.raw, number))
        };
        self.waiting.extend(numbers.filter_map(waits));
        for gone in ring.extend(ended) {
            // There was no time to wait for its report.
            if gone.judged.is_some_and(|judged| judged.awaits_report) {
                self.count(now, &gone);
            }
        }
        self.join_early(ring, now);
        for report in reports {
            self.join_report(ring, now, report);
        }
        self.count_waiting(ring, now);
    }

    /// Returns the counts of ends.
    pub(in crate::side) fn counts(&self) -> &VerdictCounts {
        &self.counts
    }

    /// Returns what became of the entries of reports, by [`JoinOutcome`].
    pub(in crate::side) fn outcomes(&self) -> [u64; JoinOutcome::ALL.len()] {
        self.outcomes
    }

    fn count(&mut self, now: Micros, record: &ClosedConn) {
        if let (Some(judged), Some(class)) = (record.judged, record.end.class) {
            let (verdict, evidence) = (judged.verdict, judged.evidence);
            self.counts.count(now, class.0.into(), verdict, evidence);
        }
    }

    /// Counts the ends that have waited long enough for a report.
    fn count_waiting(&mut self, ring: &mut EndedRing, now: Micros) {
        while let Some((at, number)) = self.waiting.front().copied()
            && now - at >= REPORT_WAIT
        {
            self.waiting.pop_front();
            let Some(record) = ring.get_mut(number) else {
                continue;
            };
            if let Some(judged) = &mut record.judged
                && judged.awaits_report
            {
                judged.awaits_report = false;
                self.count(now, record);
            }
        }
    }

    fn join_report(&mut self, ring: &mut EndedRing, now: Micros, report: ClientReport) {
        let source = Arc::new(report.source);
        for (conn, packed) in report.ended {
            let outcome = match conn {
                ReportedConn::Elsewhere => JoinOutcome::Elsewhere,
                ReportedConn::NeverOpen => {
                    self.judge_never_open(now, &source, &packed);
                    JoinOutcome::NeverOpen
                }
                ReportedConn::Known(id) => {
                    let entry = EarlyEntry {
                        at: now,
                        received: report.at.raw,
                        source: source.clone(),
                        keeps: report.keeps,
                        id,
                        packed,
                    };
                    if !self.join(ring, now, &entry) {
                        self.wait(entry);
                    }
                    continue;
                }
            };
            self.outcomes[outcome as usize] += 1;
        }
    }

    /// Keeps an entry until its connection has ended here. The oldest one makes room.
    fn wait(&mut self, entry: EarlyEntry) {
        if self.early.len() == EARLY_MAX {
            self.early.pop_front();
            self.outcomes[JoinOutcome::NoRecord as usize] += 1;
        }
        self.early.push_back(entry);
    }

    fn join_early(&mut self, ring: &mut EndedRing, now: Micros) {
        for entry in std::mem::take(&mut self.early) {
            if self.join(ring, now, &entry) {
                continue;
            }
            match now - entry.at >= EARLY_WAIT {
                true => self.outcomes[JoinOutcome::NoRecord as usize] += 1,
                false => self.early.push_back(entry),
            }
        }
    }

    /// Joins an entry with the record of its connection. Returns whether there is one.
    fn join(&mut self, ring: &mut EndedRing, now: Micros, entry: &EarlyEntry) -> bool {
        let source = (&*entry.source, entry.keeps);
        let joined = report_join::join(ring, source, entry.id, (&entry.packed, entry.received));
        let Some((outcome, joined)) = joined else {
            return false;
        };
        self.outcomes[outcome as usize] += 1;
        let Some((number, before)) = joined else {
            return true;
        };
        if let Some(record) = ring.get_mut(number) {
            if outcome == JoinOutcome::Joined {
                self.count(now, record);
            }
            self.log_correction(now, record, before);
        }
        true
    }

    fn log_correction(&mut self, now: Micros, record: &ClosedConn, before: EndVerdict) {
        let verdict = record.judged.map(|judged| judged.verdict);
        if let Some(verdict) = verdict.filter(|verdict| *verdict != before)
            && self.lines.admit(now, "verdict")
        {
            let class = record
                .end
                .class
                .map_or("none", |class| self.classes.name(class));
            log::info!(
                "verdict id={} class={class} verdict={verdict} before={before} evidence=both",
                record.id
            );
        }
    }

    /// Judges tries none of which has succeeded. The gateway has no record of them.
    fn judge_never_open(&mut self, now: Micros, source: &ReportSource, packed: &PackedReport) {
        let Some(verdict) = EndVerdict::of_never_open(packed) else {
            return;
        };
        let class = source.class;
        self.counts
            .count(now, class.0.into(), verdict, Evidence::Both);
        if self.lines.admit(now, "verdict") {
            log::info!(
                "verdict id=- class={} verdict={verdict} reported_by={} tries={} phase={} \
                 evidence=both",
                self.classes.name(class),
                source.id,
                packed.tries.count,
                packed.tries.main_phase().map_or("-", |phase| phase.name()),
            );
        }
    }
}
