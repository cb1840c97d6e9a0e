//! Backpressure on apps: an app is not read while the glasses of its session are over their buffer
//! limit, because all that it sends goes to them. Glasses are never paused, because their frames go
//! to many apps.

use crate::base::id::ConnId;
use crate::engine::Io;
use std::collections::HashMap;

/// If more apps than this are paused for one pair of glasses, entries of closed connections are
/// removed.
const PRUNE: usize = 64;

/// Paused apps, by the connection of the glasses that are over their limit.
#[derive(Debug, Default)]
pub(in crate::relay) struct PausedApps {
    by_glasses: HashMap<ConnId, Vec<ConnId>>,
}

impl PausedApps {
    /// Stops reading from an app that has sent something to glasses whose send queue is over its
    /// limit, or that have not acknowledged as much as is allowed (`is_full`). Returns whether the
    /// app was not paused before.
    pub(in crate::relay) fn pause_app(
        &mut self,
        io: &mut Io<'_>,
        app: ConnId,
        glasses: ConnId,
        is_full: bool,
    ) -> bool {
        if !io.is_over_limit(glasses) && !is_full {
            return false;
        }
        let apps = self.by_glasses.entry(glasses).or_default();
        if apps.len() >= PRUNE {
            apps.retain(|app| io.class(*app).is_some());
        }
        let is_new = !apps.contains(&app);
        if is_new {
            apps.push(app);
            io.pause_reading(app);
        }
        is_new
    }

    /// Returns whether an app is paused.
    pub(in crate::relay) fn has(&self, app: ConnId) -> bool {
        self.by_glasses.values().any(|apps| apps.contains(&app))
    }

    /// Resumes the apps of glasses whose send queue is empty again, or whose connection has ended
    /// or was replaced.
    pub(in crate::relay) fn resume_all(&mut self, io: &mut Io<'_>, glasses: ConnId) {
        if self.by_glasses.is_empty() {
            return;
        }
        for app in self.by_glasses.remove(&glasses).unwrap_or_default() {
            io.resume_reading(app);
        }
    }
}
