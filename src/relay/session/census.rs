//! Counts over all places. Only this code changes them: it subtracts what a place added before the
//! change, and adds what it adds after.

use super::charge::place_bytes;
use crate::base::sabotage::{self, Bug};
use crate::engine::Io;
use crate::relay::stats::RelayStats;

/// The facts about a place that the counts of places depend on. They are all `false` for a removed
/// place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Tally {
    /// Whether the place waits for its lost peer.
    pub(super) is_absent: bool,
    /// Whether the place has no connection, so that its memory is counted.
    pub(super) is_charged: bool,
    /// Whether the place is of an app that has never connected.
    pub(super) is_started: bool,
}

/// Counts of the places of apps without a connection, over all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Vacancies {
    apps: u64,
    started: u64,
}

impl Vacancies {
    /// Returns the number of such places.
    pub(in crate::relay) fn apps(self) -> u64 {
        self.apps
    }

    /// Returns how many of them are of apps that a user has started and that have never connected.
    pub(in crate::relay) fn started(self) -> u64 {
        self.started
    }

    /// Updates the counts after a place has changed, and `absent`, the count of waiting places of
    /// its class.
    pub(super) fn change(&mut self, absent: &mut u64, is_app: bool, before: Tally, after: Tally) {
        let before = match after == Tally::default() && sabotage::on(Bug::EndUncounted) {
            true => after,
            false => before,
        };
        count(absent, before.is_absent, after.is_absent);
        if is_app {
            count(&mut self.apps, before.is_charged, after.is_charged);
            count(&mut self.started, before.is_started, after.is_started);
        }
    }
}

/// The counts of places, borrowed while places change.
pub(in crate::relay) struct Census<'a> {
    pub(in crate::relay) stats: &'a mut RelayStats,
    pub(in crate::relay) vacancies: &'a mut Vacancies,
}

impl Census<'_> {
    /// Updates the counts and the charged memory after a place has changed: that of the app of this
    /// package, or of the user's glasses.
    pub(super) fn changed(
        &mut self,
        io: &mut Io<'_>,
        (user, package): (&str, Option<&str>),
        before: Tally,
        after: Tally,
    ) {
        let absent = &mut self.stats.absent[usize::from(package.is_some())];
        self.vacancies
            .change(absent, package.is_some(), before, after);
        let bytes = || place_bytes(user, package.unwrap_or_default());
        match (before.is_charged, after.is_charged) {
            (false, true) => io.charge(bytes()),
            (true, false) => io.release(bytes()),
            (false, false) | (true, true) => {}
        }
    }
}

fn count(places: &mut u64, before: bool, after: bool) {
    *places = *places + u64::from(after) - u64::from(before);
}
