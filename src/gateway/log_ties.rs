//! The fields of a log line that tie a connection to its pair.

use crate::base::id::ConnId;
use crate::host::{BootId, LogValue, OrDash, PairTarget};
use std::fmt;

/// What ties a connection to a pair, or to the one that it asked for. Prints as the last fields of
/// its line; nothing for a connection without any.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogTies<'a> {
    /// The route and the upstream.
    pub(super) target: Option<&'a PairTarget>,
    /// The id that the upstream was told, of a client that was no WebSocket. The line of a pair has
    /// that of its client.
    pub(super) connection: Option<(BootId, ConnId)>,
    /// The other connection.
    pub(super) partner: Option<ConnId>,
    /// The session that outlives it, or that it ended with.
    pub(super) session: Option<u64>,
}

impl fmt::Display for LogTies<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(PairTarget { route, upstream }) = self.target {
            let upstream = Some(&**upstream).filter(|upstream| !upstream.is_empty());
            let upstream = OrDash(upstream.map(LogValue));
            write!(f, " route={} upstream={upstream}", LogValue(route))?;
            if let Some((boot, id)) = self.connection {
                write!(f, " connection={boot}.{id}")?;
            }
        }
        if let Some(partner) = self.partner {
            write!(f, " partner={partner}")?;
        }
        match self.session {
            Some(session) => write!(f, " session={session}"),
            None => Ok(()),
        }
    }
}
