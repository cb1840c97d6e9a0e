//! Clients that are told of the end of their session.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Io;
use crate::pulse::PulseSession;

/// Watches whether a client goes on to acknowledge what came before the end of its session. Its
/// connection may be slow, or lost without a sign: then the end waits for it. Only a client that is
/// there and acknowledges nothing is late.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct EndWatch {
    /// What the client had acknowledged when it last acknowledged something, and when that was.
    progress: Option<(u64, Micros)>,
}

impl EndWatch {
    /// How often the client is looked at.
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
}
