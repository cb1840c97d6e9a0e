//! The watchers, and the distribution of records to them.

use super::alerts::Alerts;
use super::ended::EndedRing;
use super::series::Series;
use super::troubled::Troubled;
use crate::base::time::Timestamp;
use crate::gateway::{ClosedConn, ClosedReceiver, ExpiredPeer, ExpiredReceiver};
use crate::side::lock::lock;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

/// All watchers of the gateway.
///
/// New records arrive only by [`collect_records`](Watchers::collect_records): a task or request
/// that needs fresh records calls it first. The other methods only read.
pub(in crate::side) struct Watchers {
    closed: ClosedReceiver,
    expired: ExpiredReceiver,
    ended: Mutex<EndedRing>,
    alerts: Alerts,
    troubled: Mutex<Troubled>,
    series: Mutex<Series>,
}

impl Watchers {
    /// Creates the watchers. The loop puts its records into `closed` and `expired`.
    pub(in crate::side) fn new(
        closed: ClosedReceiver,
        expired: ExpiredReceiver,
        alerts: Alerts,
        started: Timestamp,
    ) -> Self {
        Watchers {
            closed,
            expired,
            ended: Mutex::default(),
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
        let (ended, expired) = (self.closed.take(), self.expired.take());
        self.distribute(&mut ring, ended, &expired);
    }

    fn distribute(
        &self,
        ring: &mut EndedRing,
        ended: VecDeque<ClosedConn>,
        expired: &VecDeque<ExpiredPeer>,
    ) {
        self.alerts.record(&ended);
        let mut troubled = lock(&self.troubled);
        troubled.record_closed(&ended);
        troubled.record_expired(expired);
        drop(troubled);
        ring.extend(ended);
    }

    /// Returns how many records were lost because this side did not take them in time: of ended
    /// connections, and of expired peers.
    pub(in crate::side) fn lost(&self) -> [u64; 2] {
        [self.closed.lost(), self.expired.lost()]
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
    use crate::gateway::{Classes, RELAY_CLASSES};
    use crate::host::ClosedSender;
    use crate::relay::ExpiredSender;
    use std::sync::Arc;

    fn watchers() -> Watchers {
        let settings = Arc::new(Mutex::new(AlertSettings::default()));
        let classes = Classes::new(RELAY_CLASSES);
        let alerts = Alerts::new(settings, ([127, 0, 0, 1], 1).into(), None, classes);
        let boxes = (
            ClosedSender::default().receiver(),
            ExpiredSender::default().shared(),
        );
        Watchers::new(boxes.0, boxes.1, alerts, Timestamp::default())
    }

    #[test]
    fn every_watcher_is_given_each_record_once() {
        let watchers = watchers();
        for hour in 0..3 {
            let at = START + hour * HOUR_MS;
            let ended = VecDeque::from([closed("ada", at, Cause::PEER_EOF, 20, 60)]);
            let expired = VecDeque::from([expired("ada", at, Cause::PEER_EOF)]);
            watchers.distribute(&mut watchers.ended(), ended, &expired);
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
