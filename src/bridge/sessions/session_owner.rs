//! The client that a session belongs to: its token is worth nothing to another one.

use crate::base::address_block::AddressBlock;
use crate::base::sabotage::{self, Bug};
use crate::engine::Request;
use crate::host::{Identity, first_subprotocol};
use crate::wire::http::header::ORIGIN;
use std::sync::Arc;

/// The client of a session, as its requests show it. A client that resumes must be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bridge) struct SessionOwner {
    /// The name of the route.
    route: Arc<str>,
    /// The identity, if the route has one.
    pub(super) identity: Option<Identity>,
    /// The origin of the page.
    origin: Option<Box<[u8]>>,
    /// The subprotocol that the client offers first.
    protocol: Option<Box<str>>,
}

/// The holds of one of these are limited.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum HoldOwner {
    /// A client with a name. If nothing proves the name, its address belongs to it.
    Named(Identity),
    /// The clients of an address that have no name, or none that anything proves.
    Block(AddressBlock),
}

impl SessionOwner {
    /// Reads the owner from an admitted request.
    pub(in crate::bridge) fn of(
        request: &Request,
        route: Arc<str>,
        identity: Option<Identity>,
    ) -> Self {
        let origin = request.headers().get(ORIGIN);
        SessionOwner {
            route,
            identity,
            origin: origin.map(|origin| origin.as_bytes().into()),
            protocol: first_subprotocol(request).map(String::into_boxed_str),
        }
    }

    /// Notes the subprotocol of the session: a client that resumes offers only that.
    pub(super) fn set_protocol(&mut self, protocol: Option<&str>) {
        self.protocol = protocol.map(Box::from);
    }

    /// Returns the name of the route.
    pub(super) fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// Returns the subprotocol.
    pub(super) fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Returns whether a client is the one that this session belongs to. An identity that is not
    /// proved has an address, and a client comes back from another one after a change of networks.
    pub(super) fn admits(&self, other: &SessionOwner) -> bool {
        let user = |owner: &SessionOwner| {
            let identity = owner.identity.as_ref();
            identity.map(|identity| (identity.class, identity.user.clone()))
        };
        let is_same = self.route == other.route
            && self.origin == other.origin
            && self.protocol == other.protocol
            && user(self) == user(other);
        is_same || sabotage::on(Bug::TokenUnbound)
    }

    /// Returns the memory that is allocated, in bytes.
    pub(super) fn allocated(&self) -> usize {
        let user = self.identity.as_ref().map_or(0, |i| i.user.len());
        user + self.origin.as_ref().map_or(0, |o| o.len())
            + self.protocol.as_ref().map_or(0, |p| p.len())
    }
}
