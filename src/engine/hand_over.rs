//! Connections that leave the loop because their host serves them elsewhere, such as plain HTTP on
//! a thread of its own. They keep their place under the limit on connections until they end, and
//! may come back.

use super::ending::EndingDraft;
use super::engine::Engine;
use super::flags::Flag;
use super::handed_over::{HandedOver, Place};
use super::handler::Handler;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::wire::http::Request;
use std::sync::atomic::Ordering;

impl<H: Handler> Engine<H> {
    /// Returns how many connections are handed over and have not ended.
    pub fn handed_over_here(&self) -> usize {
        self.core.places.load(Ordering::Relaxed)
    }

    /// Moves the connections that the host has handed over to `into`. The driver takes their
    /// sockets, before [`reap`](Engine::reap).
    pub fn take_handed_over(&mut self, into: &mut Vec<HandedOver>) {
        into.append(&mut self.core.handed_over);
    }

    /// Hands over a connection whose next request the host serves elsewhere. `bytes` begin with
    /// that request. Returns whether it was handed over. The host is not told of its end.
    pub(super) fn hand_over(&mut self, id: ConnId, request: &Request, bytes: &[u8]) -> bool {
        let Some(conn) = self.core.table.get(id) else {
            return false;
        };
        let is_kept = conn.flags.has(Flag::Refused) || conn.flags.has(Flag::Returned);
        if is_kept || self.is_shutting_down() || !self.handler.hands_over(request) {
            return false;
        }
        let handed_over = HandedOver {
            id,
            peer_addr: conn.peer_addr(),
            is_proxied: conn.flags.has(Flag::Proxied),
            is_encrypted: conn.flags.has(Flag::Encrypted),
            bytes: bytes.to_vec(),
            place: Place::new(&self.core.places, self.core.remote.clone()),
        };
        self.core.handed_over.push(handed_over);
        self.core.stats.handed_over += 1;
        let end = EndingDraft {
            reported: true,
            ..EndingDraft::of(Cause::ANSWERED)
        };
        self.core.mark_dead(id, end);
        self.half_open.remove(id);
        true
    }

    /// Adds a connection that comes back, in a slot of its own. Its next request is processed here.
    pub fn accept_returned(&mut self, returned: HandedOver, now: Micros) -> ConnId {
        let id = self.accept(returned.peer_addr, false, now);
        // It was counted when it was taken from the listener.
        self.core.stats.accepted -= 1;
        self.core.stats.handed_over -= 1;
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.flags.set(Flag::Returned);
            conn.flags.set(Flag::PreambleRead);
            if returned.is_proxied {
                conn.flags.set(Flag::Proxied);
            }
            if returned.is_encrypted {
                conn.flags.set(Flag::Encrypted);
            }
        }
        drop(returned.place);
        if !returned.bytes.is_empty() {
            self.on_bytes(id, &returned.bytes, now);
        }
        id
    }
}
