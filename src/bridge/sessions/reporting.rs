//! What clients of sessions report about connections that ended.

use super::session_key::SessionKey;
use crate::base::id::ConnId;
use crate::bridge::bridge::Bridge;
use crate::engine::Io;
use crate::host::{ReportInbox, ReportSource};
use crate::pulse::Report;

impl Bridge {
    /// Sets where the reports of clients go. Without it none is taken.
    pub(crate) fn set_reports(&mut self, reports: ReportInbox) {
        self.reports = reports;
    }

    /// Passes on what the client of a session reports; `None`: its report is not valid.
    pub(super) fn take_report(
        &mut self,
        io: &Io<'_>,
        key: SessionKey,
        id: ConnId,
        report: Option<&Report>,
    ) {
        let class = self.client_class();
        let outcome = self.reports.take(report, || {
            let session = self.sessions.live.get(&key)?;
            Some(ReportSource {
                id,
                class,
                identity: session.owner.identity.clone(),
                generated: false,
                address: io.peer_addr(id)?.ip(),
                session: Some(key.0),
                route: Some(session.owner.route().clone()),
            })
        });
        self.sessions.counts.count_report(outcome);
    }
}
