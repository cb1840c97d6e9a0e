//! The metrics of identities that were lost, that came back, and that have persistent trouble.

use super::writer::MetricsWriter;
use crate::base::time::Timestamp;
use crate::side::admin::admin_state::AdminState;
use crate::side::watch::IdentityCounts;
use std::fmt;

/// The lost and the troubled identities at one moment.
#[derive(Debug)]
pub(super) struct IdentityMetrics {
    totals: IdentityCounts,
    missing: u64,
    troubled: usize,
}

impl IdentityMetrics {
    pub(super) fn of(admin: &AdminState) -> Self {
        let (totals, missing) = admin.watchers.lost_identities();
        let persistent = admin.watchers.troubled().persistent(Timestamp::now(), 0);
        IdentityMetrics {
            totals,
            missing,
            troubled: persistent.count,
        }
    }

    pub(super) fn encode(&self, writer: &mut MetricsWriter<'_, '_>) -> fmt::Result {
        writer.counter(
            "pulsegate_identities_lost",
            "Identities whose connection was lost, by the network or with its upstream",
            self.totals.affected,
        )?;
        let help = "Lost identities that came back, within a minute or later";
        writer.counters("pulsegate_identities_returned", help, |family| {
            family.count(&[("after", "minute")], self.totals.returned_within_minute)?;
            family.count(&[("after", "later")], self.totals.returned_later)
        })?;
        writer.gauge(
            "pulsegate_identities_missing",
            "Identities that were lost within the last hour and have not come back",
            self.missing as i64,
        )?;
        writer.gauge(
            "pulsegate_identities_troubled",
            "Identities with persistent trouble, as in the alert persistent_trouble",
            self.troubled as i64,
        )
    }
}
