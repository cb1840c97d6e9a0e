//! Paused reading: the engine neither reads nor pings the peer, and the peer's silence does not
//! count.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Mark, Phase};
use crate::engine::core::Core;
use crate::engine::engine::Engine;
use crate::engine::handler::Handler;

impl<H: Handler> Engine<H> {
    /// Returns the connections whose reading was paused or resumed since the last call: see
    /// [`is_paused`](Engine::is_paused).
    pub fn take_repolled(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.core.repolled)
    }

    /// Returns whether the host has paused reading from a connection. The driver then waits only
    /// until the socket is writable.
    pub fn is_paused(&self, id: ConnId) -> bool {
        let conn = self.core.table.get(id);
        conn.is_some_and(|c| c.marks.has(Mark::Paused))
    }
}

impl Core {
    /// Pauses or resumes reading from an open connection. A paused connection is not pinged and its
    /// silence does not count.
    pub(crate) fn set_paused(&mut self, id: ConnId, paused: bool, now: Micros) {
        let Some(conn) = self.table.get_mut(id).filter(|c| c.is_open()) else {
            return;
        };
        if conn.marks.has(Mark::Paused) == paused {
            return;
        }
        // An outstanding ping proves nothing: its pong is unread, or was delayed by the pause.
        conn.health.discard_rtt();
        if paused {
            conn.marks.set(Mark::Paused);
        } else {
            conn.marks.take(Mark::Paused);
            // The timeout starts again.
            conn.health.on_progress(now);
            if let Phase::Open(Some(middle)) = &mut conn.phase
                && let Some(frame) = &mut middle.frame
            {
                frame.since = now;
            }
            self.ready.push(id);
        }
        self.repolled.push(id);
        self.arm(id);
    }
}
