//! A walk that closes the pairs of upstreams that were removed or drained.

use super::upstreams::{Endpoint, Endpoints};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Io, PhaseView};
use crate::host::SpreadClose;

/// The age up to which a pair of a drained upstream is left alone at first.
pub(super) const NEW: Micros = Micros::from_secs(5);

/// A walk that closes the pairs of some upstreams.
pub(super) struct LeavingWalk {
    pub(super) number: u32,
    pub(super) walk: SpreadClose,
}

impl LeavingWalk {
    pub(super) fn new(number: u32, walk: SpreadClose) -> Self {
        LeavingWalk { number, walk }
    }

    /// Closes the pairs that are due. Returns the legs to upstreams that have no partner, each with
    /// the reason: they belong to sessions.
    pub(super) fn step(
        &mut self,
        io: &mut Io<'_>,
        endpoints: &Endpoints,
    ) -> Vec<(ConnId, &'static str)> {
        let number = self.number;
        let mut of_sessions = Vec::new();
        self.walk.step(io, |io, id, view| {
            let endpoint = endpoints.of_leg(id).and_then(|at| endpoints.get(at));
            let is_new = io.now() - view.since < NEW;
            // It may be about to take over a session from plain HTTP. The last walk closes it.
            let is_spared = |e: &Endpoint| is_new && e.keeps_own(io.now());
            let is_theirs =
                |e: &&Endpoint| e.is_left() && e.leaving == Some(number) && !is_spared(e);
            let left = endpoint.filter(|e| is_theirs(e) && view.phase == PhaseView::Open);
            if let Some(endpoint) = left
                && !close_pair(io, id, endpoint.why_left())
            {
                of_sessions.push((id, endpoint.why_left()));
            }
            left.is_some()
        });
        of_sessions
    }
}

/// Ends a pair by its leg to the upstream. The client's leg is closed, and the upstream is told so.
/// Returns whether it is one leg of a pair.
pub(super) fn close_pair(io: &mut Io<'_>, leg: ConnId, reason: &str) -> bool {
    let client = io.partner(leg);
    if let Some(client) = client {
        let cause = Cause::DRAINING;
        io.close_for(client, cause, cause.close_code(), reason);
    }
    client.is_some()
}
