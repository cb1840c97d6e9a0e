//! Shortage of buffer memory: connections that hold the most memory for the longest time are closed
//! first.

use super::core::Core;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::retry::retry_after_s;
use crate::wire::http::{Reply, ReplyForm};

/// The number of connection slots processed in one turn of the loop.
const SLOTS_PER_TURN: u32 = 1_024;

/// Connections that hold at most this many bytes are not closed for a shortage.
const HARMLESS: u64 = 4 * 1024;

/// Connections that progressed within this time are not closed for a shortage: they may be done in
/// a moment.
const IDLE_MIN: Micros = Micros::from_millis(10);

/// The pause of the search after it has checked all connections and closed none.
const REST: Micros = Micros::from_millis(100);

impl Core {
    /// Returns when the next search for memory is due, if memory is short: more than seven eighths
    /// of the buffer limit, or of the part of unidentified peers, are used. The rest is for input
    /// that arrives until connections are closed.
    pub(crate) fn shortage_due(&self) -> Option<Micros> {
        (self.is_memory_short() || self.is_unidentified_short()).then_some(self.shortage.due)
    }

    /// Returns whether memory is short and connections hold more than an eighth of the limit.
    /// Memory that the host keeps is not freed by closing connections.
    fn is_memory_short(&self) -> bool {
        let most = self.config.max_buffered_bytes as u64;
        let theirs = self.stats.pending_bytes + self.stats.held_bytes;
        self.is_nearly_full() && theirs > most / 8
    }

    /// Returns whether connections and the host together use more than seven eighths of the limit.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let most = self.config.max_buffered_bytes as u64;
        self.stats.buffered_bytes() > most - most / 8
    }

    fn is_unidentified_short(&self) -> bool {
        let most = self.config.unidentified_limit();
        self.stats.unidentified_bytes > most - most / 8
    }

    /// Checks the next 1 024 slots and closes those that hold the most for the longest until there
    /// is room again. The order is exact up to 1 024 connections, and by groups above that.
    pub(crate) fn relieve_shortage(&mut self, now: Micros) {
        if self.shortage_due().is_none_or(|due| due > now) {
            return;
        }
        let only_unidentified = !self.is_memory_short();
        let bound = self.table.bound();
        let from = if self.shortage.next_slot < bound {
            self.shortage.next_slot
        } else {
            0
        };
        let until = from.saturating_add(SLOTS_PER_TURN).min(bound);
        self.shortage.next_slot = until;
        let mut holders: Vec<(u128, ConnId)> = (from..until)
            .filter_map(|slot| self.table.id_in_slot(slot))
            .filter_map(|id| Some((self.weight(id, only_unidentified, now)?, id)))
            .collect();
        holders.sort_unstable_by(|a, b| b.cmp(a));
        self.shortage.fruitless += until - from;
        for (_, id) in holders {
            if self.shortage_due().is_none() {
                break;
            }
            self.close_holder(id, now);
            self.shortage.fruitless = 0;
        }
        if self.shortage.fruitless >= bound {
            self.shortage.fruitless = 0;
            self.shortage.due = now + REST;
        }
    }

    /// Returns the bytes held times the time without progress; `None` if the connection must not be
    /// closed.
    fn weight(&self, id: ConnId, only_unidentified: bool, now: Micros) -> Option<u128> {
        let conn = self.table.get(id)?;
        let closable = !matches!(conn.phase, Phase::Closing(_) | Phase::Dead(_));
        if !closable || only_unidentified && !conn.is_unidentified() {
            return None;
        }
        let [(held, held_since), (unsent, unsent_since)] = holding(conn);
        let (bytes, idle) = (held + unsent, now - held_since.min(unsent_since));
        let weight = |bytes: u64, since: Micros| u128::from(bytes) * u128::from((now - since).0);
        let closable = bytes > HARMLESS && idle >= IDLE_MIN && !conn.is_paused();
        closable.then(|| weight(held, held_since) + weight(unsent, unsent_since))
    }

    fn close_holder(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let [(held, held_since), (unsent, unsent_since)] = holding(conn);
        let (bytes, idle) = (held + unsent, now - held_since.min(unsent_since));
        let reason = format!("held {bytes} bytes for {idle} while memory was short");
        let cause = Cause::BUFFERS_FULL;
        if conn.is_open() {
            self.send_close(id, cause, cause.close_code(), &reason, now);
        } else {
            let reply = Reply::error(503, &reason).with_retry_after(retry_after_s(id));
            self.reply(id, &reply, ReplyForm::Whole, cause, now);
        }
    }
}

/// Returns the bytes held for a connection's input, and the unsent bytes that its socket does not
/// take, each with the time of the last progress.
fn holding(conn: &Conn) -> [(u64, Micros); 2] {
    let never = Micros(u64::MAX);
    let blocked = conn.out.as_ref().and_then(|out| out.blocked_since());
    let unsent = blocked.map_or((0, never), |since| (conn.charged() as u64, since));
    let held = match &conn.phase {
        Phase::Open(Some(input)) => (input.held, input.grown_at),
        Phase::Opening(Some(opening)) => (opening.held, conn.since),
        Phase::Dialing(dialing) => (dialing.held, conn.since),
        Phase::Opening(None) | Phase::Open(None) | Phase::Closing(_) | Phase::Dead(_) => (0, never),
    };
    [held, unsent]
}
