//! Linked pairs: making them, queueing forwarded bytes, and pausing the connection whose partner is
//! behind.

use super::core::Core;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::flags::Flag;
use crate::engine::leg_input::ForwardInput;
use crate::engine::link::{LinkLeg, LinkRules};

/// With more unsent bytes than this for a connection, its partner is not read.
const BEHIND: usize = 64 * 1024;

/// With at most this many unsent bytes for a connection, its partner is read again.
const CAUGHT_UP: usize = 16 * 1024;

impl Core {
    /// Links two connections. Returns whether both may be linked: they exist, no message of them
    /// has begun, and neither has a partner.
    pub(crate) fn link(&mut self, a: ConnId, b: ConnId, rules: LinkRules) -> bool {
        let is_free = |id: ConnId| {
            let conn = self.table.get(id);
            conn.is_some_and(|c| {
                let is_new = c.is_unopened() || matches!(c.phase, Phase::Open(None));
                is_new && !c.flags.has(Flag::Linked)
            })
        };
        if a == b || !is_free(a) || !is_free(b) {
            return false;
        }
        for (id, partner) in [(a, b), (b, a)] {
            let leg = LinkLeg {
                partner,
                max_message: rules.max_message_bytes,
                compression: rules.compression,
            };
            self.legs.insert(id, leg);
            let random = u32::from_ne_bytes(self.entropy.take());
            if let Some(conn) = self.table.get_mut(id) {
                conn.flags.set(Flag::Linked);
                conn.health.draw_payloads(random);
                conn.health.use_pings();
            }
            self.identify(id);
        }
        self.stats.pairs += 1;
        true
    }

    /// Returns the partner of a linked connection while it exists.
    pub(crate) fn partner_of(&self, id: ConnId) -> Option<ConnId> {
        let partner = self.legs.get(id)?.partner;
        self.table.get(partner).map(|_| partner)
    }

    /// Returns how many bytes of a frame in progress have not arrived from this connection.
    pub(crate) fn frame_left(&self, id: ConnId) -> u64 {
        let input = self.table.get(id).and_then(Conn::forward_input);
        input.map_or(0, |input| input.state.left)
    }

    /// Queues forwarded bytes, which begin with the last `left` bytes of a frame.
    pub(crate) fn queue_run(&mut self, to: ConnId, bytes: Vec<u8>, left: u64) {
        self.queue(to, |out| out.push_run(bytes, left));
    }

    /// Records whether a frame was forwarded to this connection in part.
    pub(crate) fn set_mid_frame(&mut self, to: ConnId, is_mid_frame: bool) {
        let Some(conn) = self.table.get_mut(to) else {
            return;
        };
        if is_mid_frame {
            conn.flags.set(Flag::MidFrame);
        } else if conn.flags.take(Flag::MidFrame) {
            // A heartbeat may have waited for the end of the frame.
            if conn.flags.has(Flag::PingDue) {
                self.table.repeat_ping_due(to);
            }
        }
    }

    /// Returns whether bytes for this connection can be written at once: nothing waits before them.
    pub(crate) fn is_clear(&self, id: ConnId) -> bool {
        self.table.get(id).is_some_and(|c| {
            let has_failed = matches!(&c.phase, Phase::Open(Some(i)) if i.failed.is_some());
            c.out.is_none() && !has_failed
        })
    }

    /// Pauses the partner of a connection that is behind.
    pub(crate) fn pause_partner(&mut self, behind: ConnId, now: Micros) {
        if self.table.get(behind).map_or(0, Conn::pending) > BEHIND
            && !sabotage::on(Bug::NeverPaused)
            && let Some(partner) = self.partner_of(behind)
            && !self.forwards_the_rest(behind, partner)
        {
            self.set_paused(partner, Flag::LinkPaused, true, now);
        }
    }

    /// Reads again from the partner of a connection that has caught up.
    pub(crate) fn resume_partner(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        if conn.flags.has(Flag::Linked)
            && conn.pending() <= CAUGHT_UP
            && !sabotage::on(Bug::ReadingNotResumed)
            && let Some(partner) = self.partner_of(id)
            && self
                .table
                .get(partner)
                .is_some_and(|c| c.flags.has(Flag::LinkPaused) && !c.is_stopped())
        {
            self.set_paused(partner, Flag::LinkPaused, false, now);
        }
    }

    /// Returns the input in progress of a linked, open connection, and creates it if there is none.
    pub(crate) fn forward_input(&mut self, id: ConnId) -> Option<&mut ForwardInput> {
        match &mut self.table.get_mut(id)?.phase {
            Phase::Open(input) => Some(
                input
                    .get_or_insert_default()
                    .forward
                    .get_or_insert_default(),
            ),
            _ => None,
        }
    }

    /// Drops the input in progress of a linked connection if nothing of it is left.
    pub(crate) fn rest_forward_input(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(Some(input)) = &mut conn.phase
            && input.forward.as_ref().is_some_and(|f| f.is_at_rest())
        {
            input.forward = None;
        }
    }
}
