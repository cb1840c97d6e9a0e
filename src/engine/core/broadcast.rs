//! Messages to a whole class, in batches.

use super::core::Core;
use super::progress::Broadcast;
use crate::base::id::{Class, ConnId};
use crate::base::time::Micros;
use crate::engine::prepared::Outgoing;

/// The number of connection slots processed in one turn of the loop.
const SLOTS_PER_TURN: u32 = 1_024;

/// The most broadcasts in progress; more are refused.
const BROADCASTS_MAX: usize = 64;

impl Core {
    /// Starts to send a message to every connection of a class that is open now. Returns whether
    /// the limit allowed it.
    pub(crate) fn broadcast(&mut self, class: Class, frame: Outgoing) -> bool {
        if self.broadcasts.len() >= BROADCASTS_MAX {
            return false;
        }
        self.broadcasts.push_back(Broadcast {
            class,
            frame,
            next_slot: 0,
            newest: self.table.newest(),
        });
        true
    }

    /// Advances the oldest broadcast by one batch of slots.
    pub(crate) fn broadcast_batch(&mut self, now: Micros) {
        let Some(mut broadcast) = self.broadcasts.pop_front() else {
            return;
        };
        let until = broadcast.next_slot.saturating_add(SLOTS_PER_TURN);
        let until = until.min(self.table.bound());
        for slot in broadcast.next_slot..until {
            let Some(id) = self.table.id_in_slot(slot) else {
                continue;
            };
            if self.is_recipient(id, &broadcast) {
                self.send_frame(id, broadcast.frame.clone(), now);
            }
        }
        broadcast.next_slot = until;
        if until < self.table.bound() {
            self.broadcasts.push_front(broadcast);
        }
    }

    fn is_recipient(&self, id: ConnId, broadcast: &Broadcast) -> bool {
        // Generations wrap around; a connection is newer if it is ahead by less than half of them.
        let newer = id.generation().wrapping_sub(broadcast.newest) as i32 > 0;
        let conn = self.table.get(id);
        !newer && conn.is_some_and(|c| c.is_open() && c.class == broadcast.class)
    }
}
