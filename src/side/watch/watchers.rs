//! The watchers, and the distribution of records to them.

use super::alerts::Alerts;
use super::ended::EndedRing;
use super::series::Series;
use super::troubled::Troubled;
use super::verdicts::{EndVerdicts, VerdictGrowth};
use crate::base::time::Timestamp;
use crate::gateway::{
    Classes, ClientReport, ClosedConn, ClosedReceiver, ExpiredPeer, ExpiredReceiver, ReportReceiver,
};
use crate::side::lock::lock;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

/// All watchers of the gateway.
///
/// New records arrive only by [`collect_records`](Watchers::collect_records): a task or request
/// that needs fresh records calls it first. The other methods only read.
pub(in crate::side) struct Watchers {
    closed: ClosedReceiver,
    reports: ReportReceiver,
    expired: ExpiredReceiver,
    ended: Mutex<EndedRing>,
    verdicts: Mutex<EndVerdicts>,
    alerts: Alerts,
    troubled: Mutex<Troubled>,
    series: Mutex<Series>,
}

impl Watchers {
    /// Creates the watchers. The loop puts its records into `closed` and `expired`, and the reports
    /// of clients into `reports`.
    pub(in crate::side) fn new(
        (closed, reports, expired): (ClosedReceiver, ReportReceiver, ExpiredReceiver),
        alerts: Alerts,
        classes: Classes,
        started: Timestamp,
    ) -> Self {
        Watchers {
            closed,
            reports,
            expired,
            ended: Mutex::default(),
            verdicts: Mutex::new(EndVerdicts::new(classes, started)),
            alerts,
            troubled: Mutex::default(),
            series: Mutex::new(Series::new(started)),
        }
    }

    /// Takes the records that the loop has added since the last call, and gives each of them to
    /// every watcher that needs it.
    ///
    /// It is called often enough that the boxes do not fill, so ended connections take their memory
    /// once, not twice.
    pub(in crate::side) fn collect_records(&self) {
        // Locked before the records are taken, so that the records of two callers stay in order.
        let mut ring = lock(&self.ended);
        // A report follows the ends that it is about. Those that are here already must be found.
        let reports = self.reports.take();
        let (ended, expired) = (self.closed.take(), self.expired.take());
        self.distribute(&mut ring, (ended, reports), &expired);
    }

    fn distribute(
        &self,
        ring: &mut EndedRing,
        (ended, reports): (VecDeque<ClosedConn>, VecDeque<ClientReport>),
        expired: &VecDeque<ExpiredPeer>,
    ) {
        self.alerts.record(&ended);
        let mut troubled = lock(&self.troubled);
        troubled.record_closed(&ended);
        troubled.record_expired(expired);
        drop(troubled);
        let now = Timestamp::now().raw;
        lock(&self.verdicts).record(ring, ended, reports, now);
    }

    /// Returns how many records were lost because this side did not take them in time: of ended
    /// connections, of expired peers, and of what clients have reported.
    pub(in crate::side) fn lost(&self) -> [u64; 3] {
        [self.closed.lost(), self.expired.lost(), self.reports.lost()]
    }

    /// Returns the verdicts of all ends.
    pub(in crate::side) fn verdicts(&self) -> MutexGuard<'_, EndVerdicts> {
        lock(&self.verdicts)
    }

    /// Returns how the ends of the last minutes compare with those before, by verdict.
    pub(in crate::side) fn verdict_growth(&self) -> Vec<VerdictGrowth> {
        let now = Timestamp::now().raw;
        self.verdicts().counts().growth(now)
    }

    /// Returns the ended connections that are remembered.
    pub(in crate::side) fn ended(&self) -> MutexGuard<'_, EndedRing> {
        lock(&self.ended)
    }

    /// Returns the alerts.
    pub(in crate::side) fn alerts(&self) -> &Alerts {
        &self.alerts
    }

    /// Returns the identities with repeated trouble.
    pub(in crate::side) fn troubled(&self) -> MutexGuard<'_, Troubled> {
        lock(&self.troubled)
    }

    /// Returns the counts of causes over time.
    pub(in crate::side) fn series(&self) -> MutexGuard<'_, Series> {
        lock(&self.series)
    }
}

#[cfg(test)]
mod tests {
    use super::super::alerts::AlertSettings;
    use super::super::troubled::tests::{HOUR_MS, START, closed, expired, moment};
    use super::*;
    use crate::base::cause::Cause;
    use crate::gateway::RELAY_CLASSES;
    use crate::host::{ClosedSender, ReportInbox};
    use crate::relay::ExpiredSender;
    use std::sync::Arc;

    fn watchers() -> Watchers {
        let settings = Arc::new(Mutex::new(AlertSettings::default()));
        let classes = Classes::new(RELAY_CLASSES);
        let alerts = Alerts::new(settings, ([127, 0, 0, 1], 1).into(), None, classes);
        let boxes = (
            ClosedSender::default().receiver(),
            ReportInbox::default().receiver(),
            ExpiredSender::default().shared(),
        );
        let classes = Classes::new(RELAY_CLASSES);
        Watchers::new(boxes, alerts, classes, Timestamp::default())
    }

    #[test]
    fn every_watcher_is_given_each_record_once() {
        let watchers = watchers();
        for hour in 0..3 {
            let at = START + hour * HOUR_MS;
            let ended = VecDeque::from([closed("ada", at, Cause::PEER_EOF, 20, 60)]);
            let expired = VecDeque::from([expired("ada", at, Cause::PEER_EOF)]);
            let records = (ended, VecDeque::new());
            watchers.distribute(&mut watchers.ended(), records, &expired);
        }
        assert_eq!(watchers.ended().len(), 3);
        assert_eq!(watchers.alerts().losses(), 3);
        let worst = watchers.troubled().worst(moment(START + 2 * HOUR_MS), 10);
        let counts: Vec<_> = worst.iter().map(|r| (r.drops, r.failed_resumes)).collect();
        assert_eq!(counts, [(3, 3)]);
        // No new records: neither catching up nor reading changes anything.
        watchers.collect_records();
        assert_eq!((watchers.ended().len(), watchers.alerts().losses()), (3, 3));
    }
}
