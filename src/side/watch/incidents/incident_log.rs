//! The last alerts with which ended connections are kept.

use super::ended_traits::EndedTraits;
use super::incident::Incident;
use super::living_traits::LivingTraits;
use super::returns::Returns;
use crate::base::bounded;
use crate::base::time::Timestamp;
use crate::gateway::Classes;
use crate::side::watch::alerts::{Alert, AlertState};
use crate::side::watch::ended::EndedRing;
use std::collections::VecDeque;
use std::sync::Arc;

/// How many alerts are kept with their ends.
pub(super) const INCIDENTS_MAX: usize = 20;

/// The last alerts with their ends, oldest first.
#[derive(Debug)]
pub(in crate::side::watch) struct IncidentLog {
    classes: Classes,
    incidents: VecDeque<Incident>,
    /// The largest number of an alert that was taken over. Alerts are numbered as they fire.
    seen: u64,
}

/// What an incident is made from.
#[derive(Clone, Copy)]
pub(in crate::side::watch) struct EndSources<'a> {
    pub(in crate::side::watch) ring: &'a EndedRing,
    pub(in crate::side::watch) traits: &'a EndedTraits,
    pub(in crate::side::watch) returns: &'a Returns,
}

impl IncidentLog {
    pub(in crate::side::watch) fn new(classes: Classes) -> Self {
        IncidentLog {
            classes,
            incidents: VecDeque::new(),
            seen: 0,
        }
    }

    /// Returns whether any of these alerts has no incident yet.
    pub(in crate::side::watch) fn is_news(&self, alerts: &[Alert]) -> bool {
        alerts.iter().any(|alert| self.is_new(alert))
    }

    fn is_new(&self, alert: &Alert) -> bool {
        alert.state == AlertState::Firing && alert.id > self.seen
    }

    /// Takes over the alerts as they are now: begins incidents, and brings those up to date that
    /// are not over.
    pub(in crate::side::watch) fn update(
        &mut self,
        alerts: &[Alert],
        sources: EndSources<'_>,
        living: Option<LivingTraits>,
        now: Timestamp,
    ) {
        let living = living.map(Arc::new);
        let mut new: Vec<&Alert> = alerts.iter().filter(|alert| self.is_new(alert)).collect();
        new.sort_by_key(|alert| alert.id);
        for alert in new {
            self.seen = self.seen.max(alert.id);
            let incident = Incident::new(alert.clone(), now, living.clone());
            bounded::push(&mut self.incidents, INCIDENTS_MAX, incident);
        }
        for incident in self
            .incidents
            .iter_mut()
            .filter(|incident| incident.is_open)
        {
            refresh(&self.classes, incident, sources, now);
            let alert = alerts.iter().find(|alert| alert.id == incident.alert.id);
            match alert {
                Some(alert) => incident.update(alert.clone(), now),
                // It was resolved so long ago that it is not listed any more.
                None => incident.is_open = false,
            }
        }
    }

    /// Returns what is kept with an alert.
    pub(in crate::side::watch) fn get(&self, alert: u64) -> Option<&Incident> {
        self.incidents
            .iter()
            .find(|incident| incident.alert.id == alert)
    }

    /// Returns the numbers of the alerts.
    pub(in crate::side::watch) fn ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.incidents.iter().map(|incident| incident.alert.id)
    }
}

fn refresh(classes: &Classes, incident: &mut Incident, sources: EndSources<'_>, now: Timestamp) {
    let first = incident.next;
    let newest = sources.ring.newest(None);
    for (_, record) in newest.take_while(|(number, _)| *number >= first) {
        incident.offer(classes, record);
    }
    incident.next = sources.ring.end();
    let minutes = incident.minutes(now.raw);
    incident.identities = sources.returns.lost_in(&minutes);
    incident.summary = sources.traits.summary(minutes, incident.living.as_deref());
}
