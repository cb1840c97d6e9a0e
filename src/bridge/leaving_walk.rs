//! A walk that closes the pairs of upstreams that were removed or drained.

use super::upstreams::Endpoints;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{ConnView, Io, PhaseView};
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
}

/// Returns why the walk with this number closes a leg to an upstream, if it does.
pub(super) fn leaving_reason(
    endpoints: &Endpoints,
    number: u32,
    (leg, view): (ConnId, &ConnView),
    now: Micros,
) -> Option<&'static str> {
    let endpoint = endpoints.of_leg(leg).and_then(|at| endpoints.get(at))?;
    let is_new = now - view.since < NEW;
    // It may be about to take over a session from plain HTTP. The last walk closes it.
    let is_spared = is_new && endpoint.keeps_own(now);
    let is_theirs = endpoint.is_left() && endpoint.leaving == Some(number) && !is_spared;
    (is_theirs && view.phase == PhaseView::Open).then(|| endpoint.why_left())
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
