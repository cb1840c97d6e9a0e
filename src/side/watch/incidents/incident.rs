//! What is kept with an alert: how many connections ended, what they had in common, and some of
//! them.

use super::end_sample::{EndSample, SampledEnd};
use super::ended_traits::{EndedSummary, MINUTES_MAX, last_minutes, minute_of};
use super::living_traits::LivingTraits;
use super::returns::IdentityCounts;
use crate::base::network_block::NetworkBlock;
use crate::base::time::{Micros, Timestamp, UnixMillis};
use crate::gateway::{Classes, ClosedConn};
use crate::side::watch::alerts::{Alert, AlertState};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Ends from this time before the alert belong to it: an alert may need a minute to fire.
const BEFORE: Micros = Micros::from_secs(120);

/// What is kept with an alert.
#[derive(Debug, Clone)]
pub(in crate::side) struct Incident {
    /// The alert, as it was when this was last updated.
    pub(in crate::side) alert: Alert,
    /// When the first of these connections may have ended.
    pub(in crate::side) from: UnixMillis,
    /// When this was last updated.
    pub(in crate::side) until: UnixMillis,
    pub(in crate::side) summary: EndedSummary,
    pub(in crate::side) identities: IdentityCounts,
    /// A sample of the connections that were open when the alert fired.
    pub(in crate::side) living: Option<Arc<LivingTraits>>,
    sample: EndSample,
    began: Micros,
    /// The number of the next record of the ring.
    pub(super) next: u64,
    /// Whether the alert still fires.
    pub(super) is_open: bool,
}

impl Incident {
    pub(super) fn new(alert: Alert, now: Timestamp, living: Option<Arc<LivingTraits>>) -> Self {
        let before = BEFORE.as_millis();
        Incident {
            from: UnixMillis(now.wall.0.saturating_sub(before)),
            until: now.wall,
            summary: EndedSummary::default(),
            identities: IdentityCounts::default(),
            living,
            sample: EndSample::default(),
            began: now.raw - BEFORE,
            next: 0,
            is_open: true,
            alert,
        }
    }

    /// Returns up to 500 of the connections that ended, evenly chosen.
    pub(in crate::side) fn ends(&self) -> &[SampledEnd] {
        &self.sample.ends
    }

    /// Returns the minutes that belong to the alert.
    pub(super) fn minutes(&self, now: Micros) -> RangeInclusive<u64> {
        let last = last_minutes(now, MINUTES_MAX);
        minute_of(self.began).max(*last.start())..=*last.end()
    }

    /// Offers an ended connection to the sample.
    pub(super) fn offer(&mut self, classes: &Classes, record: &ClosedConn) {
        if record.at.raw >= self.began && self.is_about(classes, record) {
            self.sample.offer(record);
        }
    }

    /// Returns whether an end is one that the labels of the alert name: its route and upstream, or
    /// its network block and class. The class of `mass_death`, which names no block, is only that
    /// of most of the lost connections.
    fn is_about(&self, classes: &Classes, record: &ClosedConn) -> bool {
        let class = record.end.class;
        let is_client = class.is_some_and(|class| !classes.is_upstream(class));
        let target = record.target.as_ref();
        let is = |label: &str, value: Option<&str>| {
            let wanted = self.alert.labels.get(label);
            wanted.is_none_or(|wanted| value == Some(&**wanted))
        };
        let is_of_cohort = || {
            let block = NetworkBlock::of(record.end.peer_addr.ip()).to_string();
            is("block", Some(&block)) && is("class", class.map(|class| classes.name(class)))
        };
        is_client
            && (!self.alert.labels.contains_key("block") || is_of_cohort())
            && is("route", target.map(|target| &*target.route))
            && is("upstream", target.map(|target| &*target.upstream))
    }

    /// Takes over the alert's present state.
    pub(super) fn update(&mut self, alert: Alert, now: Timestamp) {
        let is_over = now.raw - self.began > Micros::from_secs(60 * MINUTES_MAX);
        self.is_open = alert.state != AlertState::Resolved && !is_over;
        self.until = now.wall;
        self.alert = alert;
    }
}
