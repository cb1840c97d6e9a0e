//! Backpressure on apps: an app is not read while the glasses of its session are over their buffer
//! limit, because all that it sends goes to them. Glasses are never paused, because their frames go
//! to many apps.

use crate::base::id::ConnId;
use crate::engine::Io;
use std::collections::HashMap;

/// Before the list of more apps than this grows, entries of closed connections are removed.
const PRUNE: usize = 64;

/// Paused apps, by the connection of the glasses that are over their limit.
#[derive(Debug, Default)]
pub(in crate::relay) struct PausedApps {
    by_glasses: HashMap<ConnId, Vec<PausedApp>>,
}

#[derive(Debug, Clone, Copy)]
struct PausedApp {
    id: ConnId,
    /// Whether a message of it waits.
    has_waiting: bool,
}

/// How much room glasses have for a message of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) enum GlassesRoom {
    /// The glasses have acknowledged enough, or do not speak pulse.
    Free,
    /// The app's message was the last that had room.
    Used,
    /// The app's message has no room, and waits.
    Full,
}

impl PausedApps {
    /// Stops reading from an app that has sent something to glasses whose send queue is over its
    /// limit, or that have not acknowledged enough. Returns whether the app was not paused before.
    pub(in crate::relay) fn pause_app(
        &mut self,
        io: &mut Io<'_>,
        app: ConnId,
        glasses: ConnId,
        room: GlassesRoom,
    ) -> bool {
        if !io.is_over_limit(glasses) && room == GlassesRoom::Free {
            return false;
        }
        let apps = self.by_glasses.entry(glasses).or_default();
        if apps.len() >= PRUNE && apps.len() == apps.capacity() {
            apps.retain(|app| io.class(app.id).is_some());
        }
        let is_new = io.view(app).is_some_and(|view| !view.paused);
        if is_new {
            apps.push(PausedApp {
                id: app,
                has_waiting: room == GlassesRoom::Full,
            });
            io.pause_reading(app);
        }
        is_new
    }

    /// Resumes the apps of glasses whose connection has ended or was replaced.
    pub(in crate::relay) fn resume_all(&mut self, io: &mut Io<'_>, glasses: ConnId) {
        if self.by_glasses.is_empty() {
            return;
        }
        for app in self.by_glasses.remove(&glasses).unwrap_or_default() {
            io.resume_reading(app.id);
        }
    }

    /// Resumes the apps of glasses that have room again: at first only those whose messages wait,
    /// and the others the next time. Otherwise an app that always has more to say would use up the
    /// room each time. The next time comes even if the resumed apps end first: pulse glasses cause
    /// it with each control frame while they have room, and each answer to a ping is one.
    pub(in crate::relay) fn resume_next(&mut self, io: &mut Io<'_>, glasses: ConnId) {
        if self.by_glasses.is_empty() {
            return;
        }
        let apps = self.by_glasses.remove(&glasses).unwrap_or_default();
        let has_turn = |app: &PausedApp| app.has_waiting && io.class(app.id).is_some();
        let (waiting, others): (Vec<_>, Vec<_>) = apps.into_iter().partition(has_turn);
        let (next, later) = match waiting.is_empty() {
            true => (others, waiting),
            false => (waiting, others),
        };
        for app in next {
            io.resume_reading(app.id);
        }
        if !later.is_empty() {
            self.by_glasses.insert(glasses, later);
        }
    }
}
