//! What happens when memory for buffers is short: the connections that hold the most for the longest are closed first.

use crate::cause::Cause;
use crate::engine::conn::{Conn, Phase};
use crate::engine::core::Core;
use crate::id::ConnId;
use crate::time::Micros;

/// Slots looked at in one turn.
const SLOTS_PER_TURN: u32 = 1_024;

/// Connections that hold no more than this, in bytes, are not closed for it.
const HARMLESS: u64 = 16 * 1024;

impl Core {
    /// Whether more than seven eighths of the room for buffers, or of the strangers' part of it, are used. What is left is for
    /// what arrives until connections have been closed.
    pub(crate) fn is_short(&self) -> bool {
        let nearly = |most: u64| most - most / 8;
        self.stats.buffered_bytes() > nearly(self.config.max_buffered_bytes as u64) && self.hoards()
            || self.strangers_are_short()
    }

    fn strangers_are_short(&self) -> bool {
        let most = self.config.strangers_bytes();
        self.stats.stranger_bytes > most - most / 8 && self.stats.stranger_bytes > HARMLESS
    }

    /// Whether connections hold enough for it to be worth while to look for them: what the host keeps is the host's to give up.
    fn hoards(&self) -> bool {
        let harmless = HARMLESS * self.table.len() as u64;
        let theirs = self.stats.pending_bytes + self.stats.held_bytes;
        theirs > harmless.min(self.config.max_buffered_bytes as u64 / 8)
    }

    /// Looks at the next 1 024 slots, and closes those of them that hold the most for the longest until there is room again. The
    /// order is exact up to 1 024 connections, and by groups above that.
    pub(crate) fn relieve_shortage(&mut self, now: Micros) {
        if !self.is_short() {
            return;
        }
        let only_strangers = self.strangers_are_short()
            && self.stats.buffered_bytes() <= self.config.max_buffered_bytes as u64 / 8 * 7;
        let bound = self.table.bound();
        let from = if self.shortage_cursor < bound {
            self.shortage_cursor
        } else {
            0
        };
        let until = from.saturating_add(SLOTS_PER_TURN).min(bound);
        self.shortage_cursor = until;
        let mut holders: Vec<(u128, ConnId)> = (from..until)
            .filter_map(|slot| self.table.id_in(slot))
            .filter_map(|id| Some((self.weight(id, only_strangers, now)?, id)))
            .collect();
        holders.sort_unstable_by(|a, b| b.cmp(a));
        for (_, id) in holders {
            if !self.is_short() {
                return;
            }
            self.close_holder(id, now);
        }
    }

    /// Bytes held times the time without progress; `None` if the connection is not to be closed.
    fn weight(&self, id: ConnId, only_strangers: bool, now: Micros) -> Option<u128> {
        let conn = self.table.get(id)?;
        if only_strangers && !conn.is_stranger() {
            return None;
        }
        let bytes = conn.charged() as u64 + held(conn);
        let idle = conn.health.idle(now);
        (bytes > HARMLESS && conn.is_open()).then(|| u128::from(bytes) * u128::from(idle.0.max(1)))
    }

    fn close_holder(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let bytes = conn.charged() as u64 + held(conn);
        let idle = conn.health.idle(now);
        let reason = format!("held {bytes} bytes for {idle} while memory was short");
        let code = Cause::BuffersFull.close_code();
        self.shut(id, Cause::BuffersFull, code, &reason, now);
    }
}

/// Bytes held for what a connection has sent.
fn held(conn: &Conn) -> u64 {
    match &conn.phase {
        Phase::Open(Some(middle)) => middle.held,
        Phase::Opening(_) | Phase::Open(None) | Phase::Closing(_) | Phase::Dead(_) => 0,
    }
}
