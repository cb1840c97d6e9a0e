//! The metrics of verdicts, and of the reports that correct them.

use super::writer::MetricsWriter;
use crate::gateway::{EndVerdict, Evidence, ReportOutcome, Snapshot};
use crate::side::admin::admin_state::AdminState;
use crate::side::watch::{JoinOutcome, VerdictCounts};
use std::fmt;

/// The verdicts at one moment.
#[derive(Debug)]
pub(super) struct VerdictMetrics {
    counts: VerdictCounts,
    outcomes: [u64; JoinOutcome::ALL.len()],
}

impl VerdictMetrics {
    pub(super) fn of(admin: &AdminState) -> Self {
        admin.watchers.collect_records();
        let verdicts = admin.watchers.verdicts();
        VerdictMetrics {
            counts: verdicts.counts().clone(),
            outcomes: verdicts.outcomes(),
        }
    }

    pub(super) fn encode(
        &self,
        snapshot: &Snapshot,
        writer: &mut MetricsWriter<'_, '_>,
    ) -> fmt::Result {
        let help = "Ends of connections of clients, by class, verdict and evidence; each is \
                    counted once";
        writer.counters("pulsegate_disconnect_verdicts", help, |family| {
            // Also those that are 0: Prometheus sees no increase in a series that begins with 1.
            for (class, info) in snapshot.classes.infos().iter().enumerate() {
                if info.ended_by == Some("upstream") {
                    continue;
                }
                for verdict in EndVerdict::ALL.iter().copied() {
                    for evidence in Evidence::ALL {
                        let labels = [
                            ("class", info.name),
                            ("verdict", verdict.name()),
                            ("evidence", evidence.name()),
                        ];
                        family.count(&labels, self.counts.of(class, verdict, evidence))?;
                    }
                }
            }
            Ok(())
        })?;
        let help = "Reports of pulse clients about connections that ended, by outcome";
        writer.counters("pulsegate_client_reports", help, |family| {
            for outcome in ReportOutcome::ALL {
                let count = snapshot.pulse.reports[*outcome as usize];
                family.count(&[("outcome", outcome.name())], count)?;
            }
            Ok(())
        })?;
        let help = "Connections in reports of pulse clients, by what became of the entry";
        writer.counters("pulsegate_client_reported_ends", help, |family| {
            for outcome in JoinOutcome::ALL {
                let count = self.outcomes[outcome as usize];
                family.count(&[("outcome", outcome.name())], count)?;
            }
            Ok(())
        })
    }
}
