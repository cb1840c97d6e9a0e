//! A sample of the open connections: what they have, to compare it with what the ended ones had.

use super::listing::Directory;
use super::pair_target::PairTarget;
use crate::base::time::Micros;
use crate::engine::{Class, Io, PhaseView};
use crate::query::SliceCost;
use std::net::IpAddr;
use std::sync::Arc;

/// The most slots that a sample looks at. A share of half is then known to two percentage points.
pub(crate) const LIVING_SLOTS_MAX: u32 = 4_096;

/// CPU time to look at a slot and to copy what its connection has, in ns; most of it is cache
/// misses.
const SLOT_NS: u32 = 450;

/// What is compared of an open connection.
#[derive(Debug, Clone)]
pub(crate) struct LivingConn {
    pub(crate) class: Class,
    pub(crate) address: IpAddr,
    pub(crate) user_agent: Option<Arc<str>>,
    pub(crate) target: Option<PairTarget>,
    pub(crate) age: Micros,
    pub(crate) srtt_us: Option<u32>,
}

/// A sample in progress. It looks at evenly spaced slots, so its cost does not grow with the fleet.
#[derive(Debug, Default)]
pub(crate) struct LivingScan {
    slot: u32,
    found: Vec<LivingConn>,
}

impl LivingScan {
    /// Runs one slice. Returns the sample once it is complete.
    pub(crate) fn step(
        &mut self,
        peers: &impl Directory,
        io: &mut Io<'_>,
    ) -> Option<Vec<LivingConn>> {
        let mut slice_cost = SliceCost::default();
        let step = io.slots().div_ceil(LIVING_SLOTS_MAX).max(1);
        while self.slot < io.slots() && !slice_cost.is_spent() {
            slice_cost.add(SLOT_NS);
            self.found.extend(living(peers, io, self.slot));
            self.slot = self.slot.saturating_add(step);
        }
        slice_cost.spend(io);
        let is_complete = self.slot >= io.slots();
        is_complete.then(|| std::mem::take(&mut self.found))
    }
}

/// Returns the open connection in a slot.
fn living(peers: &impl Directory, io: &Io<'_>, slot: u32) -> Option<LivingConn> {
    let id = io.id_in_slot(slot)?;
    let view = io.view(id).filter(|view| view.phase == PhaseView::Open)?;
    let partner = view.partner.or_else(|| peers.session_partner(id));
    Some(LivingConn {
        class: view.class?,
        address: view.peer_addr.ip(),
        user_agent: peers.user_agent(id).cloned(),
        target: peers.target(id, partner),
        age: io.now() - view.since,
        srtt_us: view.health.rtt.srtt_us(),
    })
}
