//! What is kept of connections that have ended, for whoever asks later.
//!
//! The loop only puts records into a box; another thread takes them out, keeps them and searches them, so a search through
//! 10 000 costs the loop nothing.

use super::history::History;
use super::identity::Identity;
use crate::base::id::ConnId;
use crate::base::time::Moment;
use crate::engine::Ending;
use crate::mail::{self, Limits, LoopSender, Mail, Overflow, Receiver};
use std::sync::Arc;

/// How many ended connections are remembered.
pub const CLOSED_MAX: usize = 10_000;

/// A connection that has ended.
#[derive(Debug)]
pub struct Closed {
    /// When its end was told.
    pub at: Moment,
    /// The id that it had.
    pub id: ConnId,
    /// Whether we gave it its name.
    pub generated: bool,
    /// Who it was, if it said so.
    pub user: Option<Box<str>>,
    /// Which package of that user, if it was one of a package.
    pub package: Option<Box<str>>,
    /// What its request named as `User-Agent`, as kept: escaped and cut.
    pub user_agent: Option<Arc<str>>,
    /// How it ended.
    pub end: Ending,
    /// What had been kept of its life.
    pub history: Option<Box<History>>,
}

impl Closed {
    /// Returns whether its user's name was given by us: nobody comes back under it.
    pub fn is_anonymous(&self) -> bool {
        self.generated || self.user.is_none()
    }
}

impl Mail for Closed {
    fn bytes(&self) -> usize {
        let names = [&self.user, &self.package].into_iter().flatten();
        let history = self.history.as_deref();
        size_of::<Self>()
            + names.map(|name| name.len()).sum::<usize>()
            + self.end.reason.len()
            + history.map_or(0, History::bytes)
    }
}

/// The most records that wait to be taken out; the oldest go first. Their bytes do not count user agents, which they share.
const LIMITS: Limits = Limits {
    count: CLOSED_MAX,
    bytes: 64 << 20,
};

/// Where another thread takes out records of ended connections.
pub type ClosedBox = Receiver<Closed>;

/// The loop's end of it.
pub(crate) struct ClosedSink(LoopSender<Closed>);

impl Default for ClosedSink {
    fn default() -> Self {
        ClosedSink(mail::from_loop(LIMITS, Overflow::DropOldest).0)
    }
}

impl ClosedSink {
    pub(crate) fn shared(&self) -> ClosedBox {
        self.0.receiver()
    }

    /// Keeps an ended connection. A port scan or a health check was nobody's connection: they are only counted.
    pub(crate) fn keep(
        &mut self,
        id: ConnId,
        (identity, user_agent): (Option<Identity>, Option<Arc<str>>),
        generated: bool,
        history: Option<Box<History>>,
        end: &Ending,
    ) {
        if end.cause.is_check() {
            return;
        }
        let package = identity.as_ref().and_then(Identity::package).map(Box::from);
        let user = identity.map(|identity| identity.user);
        // The newest finds room always, and the oldest are lost.
        let _ = self.0.post(Closed {
            at: Moment::now(),
            id,
            generated,
            user,
            package,
            user_agent,
            end: end.clone(),
            history,
        });
    }
}
