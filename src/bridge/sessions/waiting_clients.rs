//! Clients that asked for pulse and have no session yet.

use crate::bridge::pending::PendingRequest;
use crate::engine::DialRequest;
use crate::host::OpenRefusal;

/// A client that asked for pulse and has no session yet.
#[derive(Debug)]
pub(super) enum WaitingClient {
    /// Its request waits for the upstream, and its WebSocket opens with the upstream's answer. If
    /// it is refused, its WebSocket opens with this subprotocol.
    Unopened(Option<String>),
    /// Its WebSocket opens, or is open: its first message names its session. If that is not here,
    /// this is dialled.
    Resuming(Box<ResumingClient>),
    /// Its session is not here, and its request waits for the upstream.
    Dialing,
    /// It is refused as soon as its WebSocket is open.
    Refused(OpenRefusal),
}

/// A client that wants its session back.
pub(super) struct ResumingClient {
    pub(super) pending: Box<PendingRequest>,
    pub(super) request: DialRequest,
    /// The bytes that are charged for it.
    pub(super) charged: usize,
}

impl std::fmt::Debug for ResumingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("ResumingClient");
        debug
            .field("client", &self.pending.client)
            .finish_non_exhaustive()
    }
}
