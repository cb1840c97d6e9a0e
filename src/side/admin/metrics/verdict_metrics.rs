//! The metrics of verdicts, and of the reports that correct them.

use super::writer::MetricsWriter;
use crate::gateway::{ReportOutcome, Snapshot};
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
            for (class, verdict, evidence, count) in self.counts.all() {
                let infos = snapshot.classes.infos();
                let labels = [
                    ("class", infos.get(class).map_or("none", |info| info.name)),
                    ("verdict", verdict.name()),
                    ("evidence", evidence.name()),
                ];
                family.count(&labels, count)?;
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
