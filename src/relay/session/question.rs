//! The history of an app: the last question to its server, and the connections that it was expected
//! to open but did not.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// Whether an app's server was asked for a session and may still act on it. The SDK then releases
/// the current connection and opens another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Called {
    /// It was not asked, or has already acted: it answers after the new connection is open.
    #[default]
    No,
    /// This errand has no outcome yet.
    Open(u64),
    /// It did not answer, but may act on the request until then.
    Until(Micros),
}

/// The last question to an app's server, as far as it still matters when the app is not being
/// asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Question {
    /// Whether a new connection of the app may be on its way.
    pub(super) called: Called,
    /// A connection from before this time is not the one that was asked for.
    pub(super) not_before: Option<Micros>,
}

impl Question {
    /// Makes a question that has no outcome yet.
    pub(super) fn pending(number: u64, not_before: Option<Micros>) -> Self {
        Question {
            called: Called::Open(number),
            not_before,
        }
    }

    /// Makes a question that the server no longer acts on.
    pub(super) fn over(not_before: Option<Micros>) -> Self {
        Question {
            called: Called::No,
            not_before,
        }
    }

    /// Returns its number, if it has no outcome yet.
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

    /// Records the outcome of the question with this number.
    pub(super) fn settle(&mut self, number: u64, called: Called) {
        if self.called == Called::Open(number) {
            self.called = called;
        }
    }
}

/// How often an app that ran is asked again although it agreed to connect and did not.
const MISSES: u8 = 3;

/// The past of an app without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// It has never connected: a user has started it.
    Started,
    /// It ran, and since then failed to connect this many times.
    Ran(u8),
}

impl Past {
    /// Counts one more failure to connect; `None`: it is not asked again.
    pub(super) fn missed(self) -> Option<Self> {
        match self {
            Past::Ran(misses) if sabotage::on(Bug::MissesUncounted) => Some(Past::Ran(misses)),
            Past::Ran(misses) if misses < MISSES => Some(Past::Ran(misses + 1)),
            Past::Ran(_) | Past::Started => None,
        }
    }
}
