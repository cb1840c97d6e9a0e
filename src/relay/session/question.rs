//! The history of an app: the last question to its server, and the connections that it was expected
//! to open but did not.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// Whether an app's server was asked to connect and may still do so. The SDK then releases its
/// current connection and opens another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Called {
    /// The server was not asked, or it has already acted: it answers after the new connection is
    /// open.
    #[default]
    No,
    /// The request with this number has no outcome yet.
    Open(u64),
    /// The server did not answer, but may act on the request until this time.
    Until(Micros),
}

/// The last request to an app's server to connect, as far as it still matters afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Question {
    /// Whether a new connection of the app may be on its way.
    pub(super) called: Called,
    /// A connection from before this time is not the one that was asked for.
    pub(super) not_before: Option<Micros>,
}

impl Question {
    /// Makes the record of a request that has no outcome yet.
    pub(super) fn pending(number: u64, not_before: Option<Micros>) -> Self {
        Question {
            called: Called::Open(number),
            not_before,
        }
    }

    /// Makes the record of a request that the server no longer acts on.
    pub(super) fn over(not_before: Option<Micros>) -> Self {
        Question {
            called: Called::No,
            not_before,
        }
    }

    /// Returns the number of the request, if it has no outcome yet.
    pub(super) fn number(self) -> Option<u64> {
        match self.called {
            Called::Open(number) => Some(number),
            Called::No | Called::Until(_) => None,
        }
    }

    /// Returns whether the app may still open the connection that its server was asked for.
    pub(super) fn is_awaited(self, now: Micros) -> bool {
        match self.called {
            Called::No => false,
            Called::Open(_) => true,
            Called::Until(at) => now < at,
        }
    }

    /// Records the outcome of the request with this number.
    pub(super) fn settle(&mut self, number: u64, called: Called) {
        if self.called == Called::Open(number) {
            self.called = called;
        }
    }
}

/// How often the server of an app that ran is asked again, after it accepted the request and the
/// app did not connect.
const MISSES: u8 = 3;

/// What happened before to an app without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Past {
    /// The app has never connected since a user started it.
    Started,
    /// The app ran, and since then it failed to connect this many times.
    Ran(u8),
}

impl Past {
    /// Counts one more failure to connect; `None`: the app's server is not asked again.
    pub(super) fn missed(self) -> Option<Self> {
        match self {
            Past::Ran(misses) if sabotage::on(Bug::MissesUncounted) => Some(Past::Ran(misses)),
            Past::Ran(misses) if misses < MISSES => Some(Past::Ran(misses + 1)),
            Past::Ran(_) | Past::Started => None,
        }
    }
}
