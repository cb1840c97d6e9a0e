//! The queue of long work that one action of a peer or of an operator causes, done in slices. The
//! end of a session with a thousand apps takes several turns and does not delay other users.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::Identity;
use crate::relay::session::{AppSlot, FanOutQueue, OfflineApps};
use std::collections::VecDeque;

/// The queue of tasks: work that takes several turns of the loop. One timer of the loop drives all
/// of it.
#[derive(Default)]
pub(in crate::relay) struct TaskQueue {
    pub(in crate::relay) tasks: VecDeque<RelayTask>,
    timer: Option<TimerId>,
}

pub(in crate::relay) enum RelayTask {
    /// Send the remaining kept frames to this peer.
    Replay(ConnId, Identity),
    /// The glasses of this user are back: ask or acknowledge the apps that waited for them.
    WakeApps(Box<str>),
    /// Deliver the remaining frames to the apps of this user; the connection that sent them has
    /// ended.
    FanOut(Box<str>),
    /// End the session of this user.
    EndSession(Box<str>, EndedSession),
}

/// What is left to do for a session that has ended.
pub(in crate::relay) struct EndedSession {
    /// The apps of the session that still must be told, in reverse order.
    #[expect(clippy::vec_box, reason = "as a session has them")]
    pub(in crate::relay) apps: Vec<Box<AppSlot>>,
    /// Frames that have not yet reached all of the apps.
    pub(in crate::relay) fan_outs: FanOutQueue,
}

impl TaskQueue {
    /// Returns the bytes of memory that the apps of ended sessions still account for.
    pub(in crate::relay) fn charged(&self) -> usize {
        let charged = |task: &RelayTask| match task {
            RelayTask::EndSession(user, ended) => {
                let apps = ended.apps.iter().map(|app| app.charged(user));
                apps.sum::<usize>() + ended.fan_outs.charged()
            }
            RelayTask::Replay(..) | RelayTask::WakeApps(_) | RelayTask::FanOut(_) => 0,
        };
        self.tasks.iter().map(charged).sum()
    }

    /// Adds the slots of apps of ended sessions to the counts of slots.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], offline_apps: &mut OfflineApps) {
        for task in &self.tasks {
            if let RelayTask::EndSession(_, ended) = task {
                ended
                    .apps
                    .iter()
                    .for_each(|app| app.count(absent, offline_apps));
            }
        }
    }

    /// Returns whether any ended session has apps that were not told yet.
    pub(in crate::relay) fn has_ended_sessions(&self) -> bool {
        let mut tasks = self.tasks.iter();
        tasks.any(|task| matches!(task, RelayTask::EndSession(..)))
    }

    /// Returns whether the timer belongs to the tasks.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        let ours = self.timer == Some(timer);
        if ours {
            self.timer = None;
        }
        ours
    }

    pub(in crate::relay) fn arm(&mut self, io: &mut Io<'_>) {
        if self.timer.is_none() && !self.tasks.is_empty() {
            self.timer = Some(io.start_timer(Micros::ZERO));
        }
    }
}
