//! The owner of a pulse session of the relay: its token is worth nothing to another client.

use crate::engine::Request;
use crate::host::Identity;
use crate::wire::http::header::ORIGIN;

/// The client of a pulse session, as its requests show it. A client that resumes must be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::relay) struct PeerOwner {
    path: Box<str>,
    /// The origin of the page.
    origin: Option<Box<[u8]>>,
    /// The subprotocol of the connection.
    pub(in crate::relay) protocol: Option<Box<str>>,
    /// The identity that the request shows. An app usually shows it in its first message only.
    pub(in crate::relay) identity: Option<Identity>,
}

impl PeerOwner {
    /// Reads the owner from a request that is not admitted yet.
    pub(in crate::relay) fn of(request: &Request) -> Self {
        let origin = request.headers().get(ORIGIN);
        PeerOwner {
            path: request.path().into(),
            origin: origin.map(|origin| origin.as_bytes().into()),
            protocol: None,
            identity: None,
        }
    }

    /// Returns the path of the request.
    pub(in crate::relay) fn path(&self) -> &str {
        &self.path
    }

    /// Returns the memory that is allocated, in bytes.
    pub(super) fn allocated(&self) -> usize {
        let identity = self.identity.as_ref();
        self.path.len()
            + self.origin.as_ref().map_or(0, |origin| origin.len())
            + self.protocol.as_ref().map_or(0, |protocol| protocol.len())
            + identity.map_or(0, |identity| identity.user.len())
    }
}
