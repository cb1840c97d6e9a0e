//! Requests that were passed to an upstream and are not answered yet.

use super::offer::Offer;
use super::route::Route;
use super::sessions::SessionOwner;
use super::upstreams::{EndpointId, Wish};
use crate::base::address_block::AddressBlock;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::DialRequest;
use std::collections::HashMap;
use std::sync::Arc;

/// A request that was passed to an upstream and is not answered yet.
pub(super) struct PendingRequest {
    pub(super) client: ConnId,
    /// The block of the client's address.
    pub(super) block: AddressBlock,
    pub(super) route: Arc<Route>,
    pub(super) offer: Offer,
    /// What the client asks of an upstream.
    pub(super) wish: Wish,
    /// Whether the client uses https.
    pub(super) is_https: bool,
    /// The owner of the session, for a client that asked for pulse.
    pub(super) session: Option<Box<SessionOwner>>,
    /// When its last dial began.
    pub(super) dialed_at: Micros,
    /// When the client's token expires.
    pub(super) expires: Option<Micros>,
    /// The request, while there is another address to send it to.
    pub(super) request: Option<DialRequest>,
    /// The number of the source address.
    pub(super) sources: usize,
    /// How many source addresses had no port left.
    pub(super) sources_tried: usize,
    /// The addresses that were dialled for it.
    pub(super) tried: Vec<EndpointId>,
}

/// All requests that wait, found by either connection.
#[derive(Default)]
pub(super) struct PendingRequests {
    /// By the connection to the upstream. Boxed, because the map keeps its room after a burst of
    /// requests.
    by_dial: HashMap<ConnId, Box<PendingRequest>>,
    /// The connection to the upstream of each client.
    dials: HashMap<ConnId, ConnId>,
}

impl PendingRequests {
    /// Adds a request that waits for the answer on this connection.
    pub(super) fn add(&mut self, dial: ConnId, pending: Box<PendingRequest>) {
        self.dials.insert(pending.client, dial);
        self.by_dial.insert(dial, pending);
    }

    /// Takes the request that waits for the answer on this connection.
    pub(super) fn take(&mut self, dial: ConnId) -> Option<Box<PendingRequest>> {
        let pending = self.by_dial.remove(&dial)?;
        self.dials.remove(&pending.client);
        Some(pending)
    }

    /// Returns how many requests wait for an answer.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.by_dial.len().max(self.dials.len())
    }

    /// Removes the request of a client that has left. Also returns the connection to the upstream.
    pub(super) fn abandon(&mut self, client: ConnId) -> Option<(ConnId, Box<PendingRequest>)> {
        let dial = self.dials.remove(&client)?;
        Some((dial, self.by_dial.remove(&dial)?))
    }
}
