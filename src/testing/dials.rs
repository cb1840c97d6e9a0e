//! Servers that the engine dials.

use super::frames::upgrade_response;
use super::net::Net;
use super::peer::{OnDial, Peer, PeerId};
use crate::base::time::Micros;
use crate::engine::{DialAddress, Handler};
use crate::wire::frame::Role;

impl<H: Handler> Net<H> {
    /// Sets what becomes of dials from now on.
    pub fn set_on_dial(&mut self, on_dial: OnDial) {
        self.on_dial = on_dial;
    }

    /// Returns the servers that the engine has dialled since the last call, in order.
    pub fn take_dialed(&mut self) -> Vec<PeerId> {
        self.dialed.drain(..).map(|(peer, _)| peer).collect()
    }

    /// Returns the addresses that the engine has dialled since the last call of
    /// [`take_dialed`](Net::take_dialed).
    pub fn dialed_addresses(&self) -> Vec<DialAddress> {
        self.dialed.iter().map(|(_, addr)| addr.clone()).collect()
    }

    /// Completes the connect to a server.
    pub fn complete_connect(&mut self, peer: PeerId) {
        let (id, now) = (self.id(peer), self.now());
        self.peers[peer.0].connecting = false;
        self.engine.on_connected(id, now);
    }

    /// Returns the head of the request that a server has received.
    pub fn request(&self, peer: PeerId) -> Option<&str> {
        self.peers[peer.0].head.as_deref()
    }

    /// Lets a server agree to a WebSocket, with these header lines, each with its line end.
    ///
    /// # Panics If it has received no request.
    pub fn agree(&mut self, peer: PeerId, headers: &str) {
        let Some(request) = self.request(peer) else {
            panic!("no request has arrived");
        };
        let answer = upgrade_response(request, headers);
        self.write(peer, answer.as_bytes());
    }

    /// Makes the connects that the engine has asked for.
    pub(super) fn make_dials(&mut self, now: Micros) {
        let mut dials = Vec::new();
        self.engine.take_dials(&mut dials);
        for (id, address) in dials {
            if !self.engine.is_connecting(id) {
                continue;
            }
            if self.on_dial == OnDial::Busy {
                self.engine.on_connect_busy(id, address, now);
                continue;
            }
            let mut peer = Peer::new(id, Role::Server);
            peer.connecting = self.on_dial == OnDial::Wait;
            peer.agrees = self.on_dial == OnDial::Agree;
            self.dialed.push((PeerId(self.peers.len()), address));
            self.peers.push(peer);
            match self.on_dial {
                OnDial::Agree | OnDial::Accept => self.engine.on_connected(id, now),
                OnDial::Wait | OnDial::Busy => {}
                OnDial::Fail(kind) => self.engine.on_connect_error(id, &kind.into(), now),
            }
        }
    }
}
