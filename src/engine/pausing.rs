//! Paused reading: the engine neither reads nor pings the peer, and the peer's silence does not
//! count.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Flag, Phase};
use crate::engine::core::Core;
use crate::engine::engine::Engine;
use crate::engine::handler::Handler;

impl<H: Handler> Engine<H> {
    /// Returns the connections whose reading was paused or resumed since the last call: see
    /// [`is_paused`](Engine::is_paused).
    pub fn take_poll_changes(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.core.poll_changes)
    }

    /// Returns whether the host has paused reading from a connection. The driver then waits only
    /// until the socket is writable.
    pub fn is_paused(&self, id: ConnId) -> bool {
        let conn = self.core.table.get(id);
        conn.is_some_and(|c| c.flags.has(Flag::Paused))
    }
}

impl Core {
    /// Pauses or resumes reading from an open connection. A paused connection is not pinged and its
    /// silence does not count.
    pub(crate) fn set_paused(&mut self, id: ConnId, paused: bool, now: Micros) {
        let Some(conn) = self.table.get_mut(id).filter(|c| c.is_open()) else {
            return;
        };
        if conn.flags.has(Flag::Paused) == paused {
            return;
        }
        // An outstanding ping proves nothing: its pong is unread, or was delayed by the pause.
        conn.health.discard_rtt();
        if paused {
            conn.flags.set(Flag::Paused);
        } else {
            conn.flags.take(Flag::Paused);
            // The timeout starts again.
            conn.health.on_progress(now);
            if let Phase::Open(Some(input)) = &mut conn.phase
                && let Some(frame) = &mut input.frame
            {
                frame.since = now;
            }
            self.ready.push(id);
        }
        self.poll_changes.push(id);
        self.arm(id);
    }
}
