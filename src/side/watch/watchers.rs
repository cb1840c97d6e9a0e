//! The watchers, and the distribution of records to them.

use super::alerts::{Alerts, NAMED_MAX, Observed};
use super::ended::EndedRing;
use super::incidents::{
    EndSources, EndedSummary, EndedTraits, IdentityCounts, IdentityOpening, Incident, IncidentLog,
    LivingTraits, Returns, last_minutes,
};
use super::series::Series;
use super::troubled::Troubled;
use super::verdicts::{EndVerdicts, VerdictGrowth};
use crate::base::time::{Micros, Timestamp};
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
    traits: Mutex<EndedTraits>,
    returns: Mutex<Returns>,
    incidents: Mutex<IncidentLog>,
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
            verdicts: Mutex::new(EndVerdicts::new(classes.clone(), started)),
            alerts,
            troubled: Mutex::default(),
            series: Mutex::new(Series::new(started)),
            traits: Mutex::new(EndedTraits::new(classes.clone())),
            returns: Mutex::new(Returns::new(classes.clone())),
            incidents: Mutex::new(IncidentLog::new(classes)),
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

    pub(super) fn distribute(
        &self,
        ring: &mut EndedRing,
        (ended, reports): (VecDeque<ClosedConn>, VecDeque<ClientReport>),
        expired: &VecDeque<ExpiredPeer>,
    ) {
        self.alerts.record(&ended);
        lock(&self.traits).record(&ended);
        lock(&self.returns).record_ends(&ended);
        let mut troubled = lock(&self.troubled);
        troubled.record_closed(&ended);
        troubled.record_expired(expired);
        drop(troubled);
        let now = Timestamp::now().raw;
        lock(&self.verdicts).record(ring, ended, reports, now);
    }

    /// Records a connection that opened, or that said which user it is.
    pub(in crate::side) fn record_opening(&self, opening: IdentityOpening<'_>, now: Micros) {
        lock(&self.returns).record_opening(opening, now);
    }

    /// Returns what the connections had in common that ended in the last minutes before `now`, and
    /// how many identities were lost in them.
    pub(in crate::side) fn ended_summary(
        &self,
        now: Micros,
        minutes: u64,
        living: Option<&LivingTraits>,
    ) -> (EndedSummary, IdentityCounts) {
        let minutes = last_minutes(now, minutes);
        let identities = lock(&self.returns).lost_in(&minutes);
        let summary = lock(&self.traits).summary(minutes, living);
        (summary, identities)
    }

    /// Returns the counts of lost identities since the start, and how many were lost within the
    /// last hour and have not come back.
    pub(in crate::side) fn lost_identities(&self) -> (IdentityCounts, u64) {
        let mut returns = lock(&self.returns);
        (returns.totals(), returns.missing(Timestamp::now().raw))
    }

    /// Returns whether an alert fires for which nothing is kept yet.
    pub(in crate::side) fn is_incident_new(&self) -> bool {
        let alerts = self.alerts.keeping_ends();
        lock(&self.incidents).is_news(&alerts)
    }

    /// Brings what is kept with alerts up to date. `living` is a sample of the open connections,
    /// for new alerts.
    pub(in crate::side) fn update_incidents(&self, living: Option<LivingTraits>) {
        self.update_incidents_at(living, Timestamp::now());
    }

    pub(super) fn update_incidents_at(&self, living: Option<LivingTraits>, now: Timestamp) {
        let alerts = self.alerts.keeping_ends();
        let ring = self.ended();
        let (traits, returns) = (lock(&self.traits), lock(&self.returns));
        let sources = EndSources {
            ring: &ring,
            traits: &traits,
            returns: &returns,
        };
        lock(&self.incidents).update(&alerts, sources, living, now);
    }

    /// Returns what is kept with the alert of this number.
    pub(in crate::side) fn incident(&self, alert: u64) -> Option<Incident> {
        lock(&self.incidents).get(alert).cloned()
    }

    /// Returns the numbers of the alerts with which ends are kept.
    pub(in crate::side) fn incidents(&self) -> Vec<u64> {
        lock(&self.incidents).ids().collect()
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

    /// Returns what the watchers have seen, for the alerts.
    pub(in crate::side) fn observed(&self) -> Observed {
        Observed {
            verdicts: self.verdict_growth(),
            trouble: self.troubled().persistent(Timestamp::now(), NAMED_MAX),
        }
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
