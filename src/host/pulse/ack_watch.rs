//! Clients that acknowledge nothing.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::pulse::PulseSession;
use std::num::NonZeroU64;

/// What the slowest supported network carries: 2 KiB/s.
const BYTES_PER_SECOND: u64 = 2 << 10;

/// Watches whether a client goes on to acknowledge what was sent to it. Its connection may be slow,
/// so a long message has more time. Only a client that acknowledges nothing is late: it keeps our
/// memory, although other frames of it may arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AckWatch {
    /// What the client had acknowledged when it last acknowledged something.
    acknowledged: u64,
    /// When that was; never the clock's origin.
    since: Option<NonZeroU64>,
}

impl AckWatch {
    /// Nothing was seen yet.
    pub(crate) const NOTHING: Self = AckWatch {
        acknowledged: 0,
        since: None,
    };

    /// How often a client is looked at that is told of the end of its session.
    pub(crate) const STEP: Micros = Micros::from_secs(5);

    /// Looks at the client. Returns for how long it has acknowledged nothing.
    pub(crate) fn silent_for(&mut self, now: Micros, pulse: &PulseSession) -> Micros {
        let acknowledged = pulse.sent().acknowledged();
        match self.since {
            Some(since) if acknowledged == self.acknowledged => now - Micros(since.get()),
            Some(_) | None => {
                self.acknowledged = acknowledged;
                self.since = NonZeroU64::new(now.0.max(1));
                Micros::ZERO
            }
        }
    }

    /// Returns the timeout of the client's connection: the least time that it is given.
    pub(crate) fn timeout(io: &Io<'_>, client: Option<ConnId>) -> Micros {
        let policy = client.and_then(|id| io.policy_of(id));
        policy.map_or(Micros::ZERO, |policy| policy.connection_timeout)
    }

    /// Returns the time that the oldest message which is not acknowledged may take on the slowest
    /// network.
    pub(crate) fn time_of_first(pulse: &PulseSession) -> Micros {
        let bytes = pulse.sent().first_len() as u64;
        Micros(bytes * 1_000_000 / BYTES_PER_SECOND)
    }
}
