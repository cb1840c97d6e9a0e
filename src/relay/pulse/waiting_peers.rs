//! Peers that asked for pulse and have no pulse session yet.

use super::peer_owner::PeerOwner;
use crate::base::id::ConnId;
use crate::engine::Io;
use crate::host::{OpenRefusal, SessionWish, WaitingTable};

/// Bytes that an entry costs: its place in the table, which may have twice as many places as
/// entries, and what is allocated for its owner or its refusal.
const ENTRY_BYTES: usize = 2 * size_of::<(ConnId, (WaitingPeer, usize))>() + size_of::<PeerOwner>();

// The charge of an entry does not change when its peer is refused.
const _: () = assert!(size_of::<OpenRefusal>() <= size_of::<PeerOwner>());

/// A peer that asked for pulse and has no pulse session yet.
#[derive(Debug)]
pub(in crate::relay) enum WaitingPeer {
    /// Its WebSocket opens, or is open: a peer that wants its session back names it in its first
    /// message.
    Opening(Box<PeerOwner>, SessionWish),
    /// It is refused as soon as its WebSocket is open.
    Refused(Box<OpenRefusal>),
}

impl WaitingPeer {
    fn allocated(&self) -> usize {
        let owner = match self {
            WaitingPeer::Opening(owner, _) => owner.allocated(),
            WaitingPeer::Refused(_) => 0,
        };
        ENTRY_BYTES + owner
    }
}

/// All peers that asked for pulse and have no pulse session yet, each with the bytes that it is
/// charged with.
#[derive(Debug, Default)]
pub(super) struct WaitingPeers(WaitingTable<(WaitingPeer, usize)>);

impl WaitingPeers {
    /// Sets what a peer waits for.
    pub(super) fn set(&mut self, io: &mut Io<'_>, id: ConnId, waiting: WaitingPeer) {
        self.take(io, id);
        let charged = waiting.allocated();
        io.charge(charged);
        self.0.set(id, (waiting, charged));
    }

    /// Refuses a peer as soon as its WebSocket is open. Returns whether it has asked for pulse.
    pub(super) fn refuse(&mut self, id: ConnId, refusal: OpenRefusal) -> bool {
        let waiting = self.0.get_mut(id);
        let has_asked = waiting.is_some();
        if let Some((waiting, _)) = waiting {
            *waiting = WaitingPeer::Refused(Box::new(refusal));
        }
        has_asked
    }

    /// Returns what a peer waits for.
    pub(super) fn get(&self, id: ConnId) -> Option<&WaitingPeer> {
        self.0.get(id).map(|(waiting, _)| waiting)
    }

    /// Takes what a peer waits for.
    pub(super) fn take(&mut self, io: &mut Io<'_>, id: ConnId) -> Option<WaitingPeer> {
        let (waiting, charged) = self.0.take(id)?;
        io.release(charged);
        Some(waiting)
    }

    /// Returns the bytes that all of them are charged with.
    pub(super) fn charged(&self) -> usize {
        self.0.values().map(|(_, charged)| charged).sum()
    }
}
