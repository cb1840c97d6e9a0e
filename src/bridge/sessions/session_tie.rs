//! What ties a connection to its session.

use crate::base::cause::Cause;
use crate::base::id::{Class, ConnId};
use crate::host::PairTarget;

/// What ties a connection to its session.
#[derive(Debug, Clone)]
pub(crate) struct SessionTie {
    /// The number of the session.
    pub(crate) session: u64,
    /// The route and the upstream.
    pub(crate) target: PairTarget,
    /// The other connection: the client's last one, or that to the upstream.
    pub(crate) partner: ConnId,
    /// What ended the session, and the class of the connection to which it happened.
    pub(super) first: Option<(Cause, Class)>,
}
