//! Counts that follow from the states of all places. They change here and nowhere else: by what a place added before, and
//! adds now.

use super::charge::place_bytes;
use crate::base::sabotage::{self, Bug};
use crate::engine::Io;
use crate::relay::stats::RelayStats;

/// What a place adds to the counts, and whether it is charged. A place that is gone adds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Tally {
    /// It is waited for.
    pub(super) is_absent: bool,
    /// It is kept without a connection, and charged.
    pub(super) is_charged: bool,
    /// It is kept for an app that has never connected.
    pub(super) is_started: bool,
}

/// Places of apps that have no connection, of all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct Vacancies {
    apps: u64,
    started: u64,
}

impl Vacancies {
    /// All of them.
    pub(in crate::relay) fn apps(self) -> u64 {
        self.apps
    }

    /// Those whose app has never connected: a user has started it.
    pub(in crate::relay) fn started(self) -> u64 {
        self.started
    }

    /// The counts after a place has changed, and `absent`, that of places of its class that are waited for.
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

/// The counts, while places change.
pub(in crate::relay) struct Census<'a> {
    pub(in crate::relay) stats: &'a mut RelayStats,
    pub(in crate::relay) vacancies: &'a mut Vacancies,
}

impl Census<'_> {
    /// The place of this user's glasses, or of the app of this package, has changed: the counts and the account of memory
    /// follow.
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
