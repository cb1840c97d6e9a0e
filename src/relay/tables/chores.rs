//! Work over many places that one action of a peer or of the operator asks for, done a slice at a time: the end of a session
//! with a thousand apps takes several turns, and nobody else waits for it.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, TimerId};
use crate::host::Identity;
use crate::relay::session::{App, FanOuts, Vacancies};
use std::collections::VecDeque;

/// What is still to be done, in order. One timer of the loop serves it all.
#[derive(Default)]
pub(in crate::relay) struct Chores {
    pub(in crate::relay) queue: VecDeque<Chore>,
    timer: Option<TimerId>,
}

pub(in crate::relay) enum Chore {
    /// More frames wait for this peer than were sent at once.
    Replay(ConnId, Identity),
    /// The glasses of this user are back: apps that only waited for them are asked, or acknowledged.
    Wake(Box<str>),
    /// Frames are under way to the apps of this user, and the connection that they came from is gone.
    FanOut(Box<str>),
    /// The session of this user is over.
    End(Box<str>, Ended),
}

/// What a session that is over has left.
pub(in crate::relay) struct Ended {
    /// Its apps, the last one first.
    #[expect(clippy::vec_box, reason = "as a session has them")]
    pub(in crate::relay) apps: Vec<Box<App>>,
    /// Frames that have not reached all of them.
    pub(in crate::relay) fan_outs: FanOuts,
}

impl Chores {
    /// What the apps of sessions that are over are still charged with.
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

    /// Adds the apps of sessions that are over to counts of places.
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

    /// Returns whether a session is over whose apps are not all told so yet.
    pub(in crate::relay) fn has_ends(&self) -> bool {
        let mut chores = self.queue.iter();
        chores.any(|chore| matches!(chore, Chore::End(..)))
    }

    /// Returns whether the timer was ours.
    pub(in crate::relay) fn on_timer(&mut self, timer: TimerId) -> bool {
        let ours = self.timer == Some(timer);
        if ours {
            self.timer = None;
        }
        ours
    }

    pub(in crate::relay) fn arm(&mut self, io: &mut Io<'_>) {
        if self.timer.is_none() && !self.queue.is_empty() {
            self.timer = Some(io.timer(Micros::ZERO));
        }
    }
}
