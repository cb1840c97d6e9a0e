//! Counts over all slots. Only this code changes them: it subtracts what a slot added before the
//! change, and adds what it adds after.

use super::costs::slot_bytes;
use crate::base::sabotage::{self, Bug};
use crate::engine::Io;
use crate::relay::relay_stats::RelayStats;

/// The facts about a slot that the counts of slots depend on. They are all `false` for a removed
/// slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct CountFlags {
    /// Whether the slot waits for its lost peer.
    pub(super) is_absent: bool,
    /// Whether the slot has no connection, so that its memory is counted.
    pub(super) is_charged: bool,
    /// Whether the slot is of an app that has never connected.
    pub(super) is_never_connected: bool,
}

/// Counts of the slots of apps without a connection, over all sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::relay) struct OfflineApps {
    all: u64,
    never_connected: u64,
}

impl OfflineApps {
    /// Returns the number of such slots.
    pub(in crate::relay) fn all(self) -> u64 {
        self.all
    }

    /// Returns how many of them are of apps that a user has started and that have never connected.
    pub(in crate::relay) fn never_connected(self) -> u64 {
        self.never_connected
    }

    /// Updates the counts after a slot has changed, and `absent`, the count of waiting slots of
    /// its class.
    pub(super) fn update(
        &mut self,
        absent: &mut u64,
        is_app: bool,
        before: CountFlags,
        after: CountFlags,
    ) {
        let before = match after == CountFlags::default() && sabotage::on(Bug::EndUncounted) {
            true => after,
            false => before,
        };
        count_change(absent, before.is_absent, after.is_absent);
        if is_app {
            count_change(&mut self.all, before.is_charged, after.is_charged);
            count_change(
                &mut self.never_connected,
                before.is_never_connected,
                after.is_never_connected,
            );
        }
    }
}

/// The counts of slots, borrowed while slots change.
pub(in crate::relay) struct SlotCounts<'a> {
    pub(in crate::relay) stats: &'a mut RelayStats,
    pub(in crate::relay) offline_apps: &'a mut OfflineApps,
}

impl SlotCounts<'_> {
    /// Updates the counts and the charged memory after a slot has changed: that of the app of this
    /// package, or of the user's glasses.
    pub(super) fn update(
        &mut self,
        io: &mut Io<'_>,
        (user, package): (&str, Option<&str>),
        before: CountFlags,
        after: CountFlags,
    ) {
        let absent = &mut self.stats.absent[usize::from(package.is_some())];
        self.offline_apps
            .update(absent, package.is_some(), before, after);
        let bytes = || slot_bytes(user, package.unwrap_or_default());
        match (before.is_charged, after.is_charged) {
            (false, true) => io.charge(bytes()),
            (true, false) => io.release(bytes()),
            (false, false) | (true, true) => {}
        }
    }
}

fn count_change(slots: &mut u64, before: bool, after: bool) {
    *slots = *slots + u64::from(after) - u64::from(before);
}
