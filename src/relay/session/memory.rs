//! The memory that the relay holds for peers and charges with
//! [`Io::charge`](crate::engine::Io::charge): kept frames, sets of subscriptions, slots without a
//! connection, and undelivered frames of ended connections.
//!
//! What is charged is what is allocated. Slots with a connection are not charged: there are no
//! more of them than connections.

use super::app_slot::AppSlot;
use super::costs::slot_bytes;
use super::session::Session;
use super::slot_counts::{CountFlags, OfflineApps};

impl AppSlot {
    /// Returns how many bytes of memory this app of this user accounts for.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        charged(self.count_flags(), user, &self.package) + self.allocated()
    }

    /// Adds the slot of this app to the counts of slots.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], offline_apps: &mut OfflineApps) {
        offline_apps.update(
            &mut absent[1],
            true,
            CountFlags::default(),
            self.count_flags(),
        );
    }
}

impl Session {
    /// Returns how many bytes of memory the session of this user accounts for.
    pub(in crate::relay) fn charged(&self, user: &str) -> usize {
        let glasses = charged(self.glasses.count_flags(), user, "") + self.glasses.allocated();
        let apps = self.apps.iter().map(|app| app.charged(user));
        glasses + apps.sum::<usize>() + self.fan_outs.charged()
    }

    /// Adds the slots of this session to the counts of slots.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], offline_apps: &mut OfflineApps) {
        offline_apps.update(
            &mut absent[0],
            false,
            CountFlags::default(),
            self.glasses.count_flags(),
        );
        self.apps
            .iter()
            .for_each(|app| app.count(absent, offline_apps));
    }
}

fn charged(slot: CountFlags, user: &str, package: &str) -> usize {
    match slot.is_charged {
        true => slot_bytes(user, package),
        false => 0,
    }
}
