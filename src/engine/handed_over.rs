//! A connection that has left the loop, and the place that it keeps.

use super::remote::Remote;
use crate::base::id::ConnId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A connection that has left the loop.
#[derive(Debug)]
#[non_exhaustive]
pub struct HandedOver {
    /// Its id while it was here. The next connection in its slot has another one.
    pub id: ConnId,
    /// The peer's address; behind a proxy that speaks the PROXY protocol, the client's.
    pub peer_addr: SocketAddr,
    /// Whether a proxy in front reported that address.
    pub is_proxied: bool,
    /// Whether a proxy in front reported that the client's connection to it is encrypted.
    pub is_encrypted: bool,
    /// What was read of it and not processed, from the first byte of a request. To give a
    /// connection back, set it to what was read and not processed since.
    pub bytes: Vec<u8>,
    /// Its place under the limit on connections.
    pub place: Place,
}

/// The place of a handed-over connection under the limit on connections. Drop it when the
/// connection has ended.
#[derive(Debug)]
pub struct Place {
    taken: Arc<AtomicUsize>,
    remote: Remote,
}

impl Place {
    pub(super) fn new(taken: &Arc<AtomicUsize>, remote: Remote) -> Self {
        taken.fetch_add(1, Ordering::Relaxed);
        Place {
            taken: taken.clone(),
            remote,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
        // A drain may wait for it, or a connection that found no place.
        self.remote.wake();
    }
}
