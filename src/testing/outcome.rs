//! Outcomes: what peers received, and how connections ended.

use super::net::Net;
use super::peer::{PeerId, Received};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Ending, Handler};

impl<H: Handler> Net<H> {
    /// Returns what a peer has received since the last call.
    pub fn received(&mut self, peer: PeerId) -> Vec<Received> {
        std::mem::take(&mut self.peers[peer.0].received)
    }

    /// Returns the head of the HTTP response, and the body if it was not 101.
    pub fn response(&self, peer: PeerId) -> Option<&str> {
        let peer = &self.peers[peer.0];
        peer.head.as_deref().or_else(|| {
            std::str::from_utf8(&peer.bytes)
                .ok()
                .filter(|s| !s.is_empty())
        })
    }

    /// Returns the whole frames that a peer has received since
    /// [`record_frames`](Net::record_frames), byte by byte as they came.
    pub fn recorded_frames(&self, peer: PeerId) -> &[u8] {
        self.peers[peer.0].recorded.as_deref().unwrap_or_default()
    }

    /// Returns the bytes that a peer received and that are not a whole frame yet.
    pub fn leftover(&self, peer: PeerId) -> &[u8] {
        &self.peers[peer.0].bytes
    }

    /// Returns how many bytes of a peer the server has not read.
    pub fn unread(&self, peer: PeerId) -> usize {
        let inbound = self.peers[peer.0].inbound.iter();
        inbound.map(|(_, bytes)| bytes.len()).sum()
    }

    /// Returns the times at which bytes reached the peer after they had waited for its window.
    pub fn progress_at(&self, peer: PeerId) -> &[Micros] {
        &self.peers[peer.0].progress
    }

    /// Returns the times at which automatic answers of this peer to pings and texts reached the
    /// server.
    pub fn answered_at(&self, peer: PeerId) -> &[Micros] {
        &self.peers[peer.0].answers
    }

    /// Returns when the server's kernel took each heartbeat for this peer.
    pub fn heartbeats_sent_at(&self, peer: PeerId) -> &[Micros] {
        &self.peers[peer.0].heartbeats
    }

    /// Returns how often the server's kernel was asked about this peer for a late heartbeat.
    pub fn kernel_asked(&self, peer: PeerId) -> u64 {
        self.peers[peer.0].kernel_asked
    }

    /// Returns when the server opened this peer's WebSocket, while it exists.
    pub fn opened_at(&self, peer: PeerId) -> Option<Micros> {
        self.engine.since(self.id(peer))
    }

    /// Returns the server's id of this peer.
    pub fn id(&self, peer: PeerId) -> ConnId {
        self.peers[peer.0].id
    }

    /// Returns whether this peer's connection is open on the server.
    pub fn is_open(&self, peer: PeerId) -> bool {
        self.engine.is_open(self.id(peer))
    }

    /// Returns whether the server closed the socket with an RST; `None` if it has not closed it.
    pub fn released(&self, peer: PeerId) -> Option<bool> {
        self.peers[peer.0].released
    }

    /// Returns whether the server has sent its FIN or closed the socket.
    pub fn fin_received(&self, peer: PeerId) -> bool {
        self.peers[peer.0].fin || self.peers[peer.0].released.is_some()
    }

    /// Returns how this peer's connection ended, as the host was told.
    pub fn ending(&self, peer: PeerId) -> Option<&Ending> {
        let id = self.peers[peer.0].id;
        self.endings()
            .iter()
            .find(|(ended, _)| *ended == id)
            .map(|(_, ending)| ending)
    }

    /// Returns all endings that the host was told, in order.
    pub fn endings(&self) -> &[(ConnId, Ending)] {
        &self.engine.handler().endings
    }

    /// Asserts that the connection has ended for this cause.
    ///
    /// # Panics If it has not.
    #[track_caller]
    pub fn expect_closed(&self, peer: PeerId, cause: Cause) {
        match self.ending(peer) {
            Some(ending) if ending.cause == cause => {}
            other => panic!("expected {cause:?} at {}, found {other:?}", self.now()),
        }
    }
}
