//! Paused reading: the engine neither reads nor pings the peer, and the peer's silence does not
//! count.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::core::Core;
use crate::engine::engine::Engine;
use crate::engine::flags::Flag;
use crate::engine::handler::Handler;

impl<H: Handler> Engine<H> {
    /// Returns the connections whose reading was paused or resumed since the last call: see
    /// [`is_paused`](Engine::is_paused).
    pub fn take_poll_changes(&mut self) -> Vec<ConnId> {
        std::mem::take(&mut self.core.poll_changes)
    }

    /// Returns whether reading from a connection is paused, by the host or because the partner of
    /// a linked connection is behind. The driver then waits only until the socket is writable.
    pub fn is_paused(&self, id: ConnId) -> bool {
        let conn = self.core.table.get(id);
        conn.is_some_and(Conn::is_paused)
    }
}

impl Core {
    /// Pauses or resumes reading from an open connection. It is paused for the host
    /// ([`Flag::Paused`]), for its link ([`Flag::LinkPaused`]), or for both. A paused connection is
    /// not pinged and its silence does not count.
    pub(crate) fn set_paused(&mut self, id: ConnId, why: Flag, paused: bool, now: Micros) {
        let Some(conn) = self.table.get_mut(id).filter(|c| c.is_open()) else {
            return;
        };
        let was_paused = conn.is_paused();
        if why == Flag::LinkPaused && conn.flags.has(why) != paused {
            let class = &mut self.stats.classes[usize::from(conn.class.0)];
            class.paused.change(paused, now);
        }
        if paused {
            conn.flags.set(why);
        } else {
            conn.flags.take(why);
        }
        if conn.is_paused() == was_paused {
            return;
        }
        // An outstanding ping proves nothing: its pong is unread, or was delayed by the pause.
        conn.health.discard_rtt();
        if !paused {
            // The timeout starts again.
            conn.health.on_progress(now);
            if let Phase::Open(Some(input)) = &mut conn.phase {
                input.frame.iter_mut().for_each(|frame| frame.since = now);
                input
                    .forward
                    .iter_mut()
                    .for_each(|forward| forward.since = now);
            }
            self.ready.push(id);
        }
        self.poll_changes.push(id);
        self.arm(id);
    }
}
