//! The queue of long work that one action of a peer or of an operator causes, done in slices. The
//! end of a session with a thousand apps takes several turns and does not delay other users.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::Identity;
use crate::relay::session::{App, FanOuts, Vacancies};
use std::collections::VecDeque;

/// The queue of chores: work that takes several turns of the loop. One timer of the loop drives all
/// of it.
#[derive(Default)]
pub(in crate::relay) struct Chores {
    pub(in crate::relay) queue: VecDeque<Chore>,
    timer: Option<TimerId>,
}

pub(in crate::relay) enum Chore {
    /// Send the remaining kept frames to this peer.
    Replay(ConnId, Identity),
    /// The glasses of this user are back: ask or acknowledge the apps that waited for them.
    Wake(Box<str>),
    /// Deliver the remaining frames to the apps of this user; the connection that sent them has
    /// ended.
    FanOut(Box<str>),
    /// End the session of this user.
    End(Box<str>, Ended),
}

/// What is left to do for a session that has ended.
pub(in crate::relay) struct Ended {
    /// The apps of the session that still must be told, in reverse order.
    #[expect(clippy::vec_box, reason = "as a session has them")]
    pub(in crate::relay) apps: Vec<Box<App>>,
    /// Frames that have not yet reached all of the apps.
    pub(in crate::relay) fan_outs: FanOuts,
}

impl Chores {
    /// Returns the bytes of memory that the apps of ended sessions still account for.
    pub(in crate::relay) fn charged(&self) -> usize {
        let charged = |chore: &Chore| match chore {
            Chore::End(user, ended) => {
                let apps = ended.apps.iter().map(|app| app.charged(user));
                apps.sum::<usize>() + ended.fan_outs.charged()
            }
            Chore::Replay(..) | Chore::Wake(_) | Chore::FanOut(_) => 0,
        };
        self.queue.iter().map(charged).sum()
    }

    /// Adds the places of apps of ended sessions to the counts of places.
    pub(in crate::relay) fn count(&self, absent: &mut [u64; 2], vacancies: &mut Vacancies) {
        for chore in &self.queue {
            if let Chore::End(_, ended) = chore {
                ended
                    .apps
                    .iter()
                    .for_each(|app| app.count(absent, vacancies));
            }
        }
    }

    /// Returns whether any ended session has apps that were not told yet.
    pub(in crate::relay) fn has_ends(&self) -> bool {
        let mut chores = self.queue.iter();
        chores.any(|chore| matches!(chore, Chore::End(..)))
    }

    /// Returns whether the timer belongs to the chores.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        let ours = self.timer == Some(timer);
        if ours {
            self.timer = None;
        }
        ours
    }

    pub(in crate::relay) fn arm(&mut self, io: &mut Io<'_>) {
        if self.timer.is_none() && !self.queue.is_empty() {
            self.timer = Some(io.start_timer(Micros::ZERO));
        }
    }
}
