//! Clients that acknowledge nothing.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::pulse::PulseSession;

/// What the slowest supported network carries: 2 KiB/s.
const BYTES_PER_SECOND: u64 = 2 << 10;

/// Watches whether a client goes on to acknowledge what was sent to it. Its connection may be slow,
/// so a long message has more time. Only a client that acknowledges nothing is late: it keeps our
/// memory, although other frames of it may arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AckWatch {
    /// What the client had acknowledged when it last acknowledged something, and when that was.
    progress: Option<(u64, Micros)>,
}

impl AckWatch {
    /// Nothing was seen yet.
    pub(crate) const NOTHING: Self = AckWatch { progress: None };

    /// How often a client is looked at that is told of the end of its session.
    pub(crate) const STEP: Micros = Micros::from_secs(5);

    /// Looks at the client. Returns whether it has acknowledged nothing for the timeout of its
    /// connection and this time.
    pub(crate) fn is_late(
        &mut self,
        io: &Io<'_>,
        client: Option<ConnId>,
        pulse: &PulseSession,
        spare: Micros,
    ) -> bool {
        let (now, acknowledged) = (io.now(), pulse.sent().acknowledged());
        let (before, since) = *self.progress.get_or_insert((acknowledged, now));
        if acknowledged > before {
            self.progress = Some((acknowledged, now));
            return false;
        }
        let policy = client.and_then(|id| io.policy_of(id));
        let timeout = policy.map_or(Micros::ZERO, |policy| policy.connection_timeout);
        now - since > timeout + spare
    }

    /// Returns the time that the oldest message which is not acknowledged may take on the slowest
    /// network.
    pub(crate) fn time_of_first(pulse: &PulseSession) -> Micros {
        let bytes = pulse.sent().first_len() as u64;
        Micros(bytes * 1_000_000 / BYTES_PER_SECOND)
    }
}
