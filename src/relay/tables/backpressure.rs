//! Apps are not read while their session's glasses are behind: what an app sends has that one destination. Glasses are never
//! paused, for their frames go to many apps.

use crate::base::id::ConnId;
use crate::engine::Io;
use std::collections::HashMap;

/// Paused apps per glasses above which closed ones are removed.
const PRUNE: usize = 64;

/// Apps that are not read, by the glasses that are behind.
#[derive(Debug, Default)]
pub(in crate::relay) struct Backpressure {
    paused: HashMap<ConnId, Vec<ConnId>>,
}

impl Backpressure {
    /// An app has sent something to glasses: if they are behind, it is not read until they have caught up.
    pub(in crate::relay) fn sent(&mut self, io: &mut Io<'_>, app: ConnId, glasses: ConnId) {
        if !io.is_over_limit(glasses) {
            return;
        }
        let apps = self.paused.entry(glasses).or_default();
        if apps.len() >= PRUNE {
            apps.retain(|app| io.class(*app).is_some());
        }
        if !apps.contains(&app) {
            apps.push(app);
            io.pause_reading(app);
        }
    }

    /// Glasses have caught up, or are gone, or have another connection: their apps are read again.
    pub(in crate::relay) fn ends(&mut self, io: &mut Io<'_>, glasses: ConnId) {
        if self.paused.is_empty() {
            return;
        }
        for app in self.paused.remove(&glasses).unwrap_or_default() {
            io.resume_reading(app);
        }
    }
}
