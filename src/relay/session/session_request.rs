//! The history of an app: the last request to its server, and the connections that it was expected
//! to open but did not.

use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;

/// Whether an app's server was asked to connect and may still do so. The SDK then releases its
/// current connection and opens another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RequestState {
    /// The server was not asked to connect, or has already done so. (It answers the request only
    /// after the new connection is open.)
    #[default]
    Settled,
    /// The request with this number has no outcome yet.
    Pending(u64),
    /// The server did not answer, but may act on the request until this time.
    FailedUntil(Micros),
}

/// The last request to an app's server to connect, as far as it still matters afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SessionRequest {
    /// Whether a new connection of the app may be on its way.
    pub(super) state: RequestState,
    /// A connection from before this time is not the one that was asked for.
    pub(super) not_before: Option<Micros>,
}

impl SessionRequest {
    /// Makes the record of a request that has no outcome yet.
    pub(super) fn pending(number: u64, not_before: Option<Micros>) -> Self {
        SessionRequest {
            state: RequestState::Pending(number),
            not_before,
        }
    }

    /// Makes the record of a request that the server no longer acts on.
    pub(super) fn settled(not_before: Option<Micros>) -> Self {
        SessionRequest {
            state: RequestState::Settled,
            not_before,
        }
    }

    /// Returns the number of the request, if it has no outcome yet.
    pub(super) fn number(self) -> Option<u64> {
        match self.state {
            RequestState::Pending(number) => Some(number),
            RequestState::Settled | RequestState::FailedUntil(_) => None,
        }
    }

    /// Returns whether the app may still open the connection that its server was asked for.
    pub(super) fn is_awaited(self, now: Micros) -> bool {
        match self.state {
            RequestState::Settled => false,
            RequestState::Pending(_) => true,
            RequestState::FailedUntil(at) => now < at,
        }
    }

    /// Records the outcome of the request with this number.
    pub(super) fn settle(&mut self, number: u64, state: RequestState) {
        if self.state == RequestState::Pending(number) {
            self.state = state;
        }
    }
}

/// How often the server of an app that ran is asked again, after it accepted the request and the
/// app did not connect.
const MISSES_MAX: u8 = 3;

/// What happened before to an app without a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppHistory {
    /// The app has never connected since a user started it.
    NeverConnected,
    /// The app ran, and since then it failed to connect this many times.
    Ran(u8),
}

impl AppHistory {
    /// Counts one more failure to connect; `None`: the app's server is not asked again.
    pub(super) fn count_miss(self) -> Option<Self> {
        match self {
            AppHistory::Ran(misses) if sabotage::on(Bug::MissesUncounted) => {
                Some(AppHistory::Ran(misses))
            }
            AppHistory::Ran(misses) if misses < MISSES_MAX => Some(AppHistory::Ran(misses + 1)),
            AppHistory::Ran(_) | AppHistory::NeverConnected => None,
        }
    }
}
