//! What an app has behind it: the last question to its server, and connections that it was expected to open in vain.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// Whether an app's server was asked for a session and may act upon it still. Its SDK then releases the connection that is there
/// and opens another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Called {
    /// It was not, or has done what it was asked for: it answers when the new connection is there.
    #[default]
    No,
    /// This errand has no outcome yet.
    Open(u64),
    /// It has not answered; it may act upon it until then.
    Until(Micros),
}

/// The last question to an app's server, as far as it still matters when the app is not being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Question {
    /// Whether a new connection of the app may be on its way.
    pub(super) called: Called,
    /// A connection that came before this was not the one that was asked for.
    pub(super) not_before: Option<Micros>,
}

impl Question {
    /// One that has no outcome yet.
    pub(super) fn pending(number: u64, not_before: Option<Micros>) -> Self {
        Question {
            called: Called::Open(number),
            not_before,
        }
    }

    /// One upon which the server does not act any more.
    pub(super) fn over(not_before: Option<Micros>) -> Self {
        Question {
            called: Called::No,
            not_before,
        }
    }

    /// Its number, if it has no outcome yet.
    pub(super) fn number(self) -> Option<u64> {
        match self.called {
            Called::Open(number) => Some(number),
            Called::No | Called::Until(_) => None,
        }
    }

    /// Returns whether a connection that was asked for may be on its way.
    pub(super) fn is_awaited(self, now: Micros) -> bool {
        match self.called {
            Called::No => false,
            Called::Open(_) => true,
            Called::Until(at) => now < at,
        }
    }

    /// The question with this number has an outcome.
    pub(super) fn settle(&mut self, number: u64, called: Called) {
        if self.called == Called::Open(number) {
            self.called = called;
        }
    }
}

/// How often an app that ran is asked again although it has agreed to come and has not.
const MISSES: u8 = 3;

/// What an app without a connection has behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// It has never connected: a user has started it.
    Started,
    /// It ran, and was expected in vain so often since.
    Ran(u8),
}

impl Past {
    /// It was expected in vain once more; `None`: it is not asked again.
    pub(super) fn missed(self) -> Option<Self> {
        match self {
            Past::Ran(misses) if sabotage::on(Bug::MissesUncounted) => Some(Past::Ran(misses)),
            Past::Ran(misses) if misses < MISSES => Some(Past::Ran(misses + 1)),
            Past::Ran(_) | Past::Started => None,
        }
    }
}
