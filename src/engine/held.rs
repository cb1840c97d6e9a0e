//! Held input of a connection, and its accounting: bytes beyond its share, a message that is being
//! joined, a message that the host has not finished with.

use super::conn::{Conn, Mark, Middle, Phase};
use super::core::SMALL;
use super::engine::Engine;
use super::handler::Handler;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::wire::chunks::JOINED_AT_ONCE;

/// The most bytes of a frame that are gathered in one step. Checking text for UTF-8 costs up to 16
/// instructions a byte.
pub(super) const GATHER_STEP: usize = 8 * 1024;

/// The number of bytes inside one frame that count as being heard. Pongs cannot arrive between the
/// bytes of a large frame on a slow link. A smaller step would let one byte a minute keep a peer
/// alive.
pub(super) const PROGRESS_STEP: u32 = 4_096;

impl<H: Handler> Engine<H> {
    /// Begins to join a complete message. Joining a large one is a step of its own. Returns whether
    /// the connection is still open.
    pub(super) fn begin_to_join(&mut self, id: ConnId, now: Micros) -> bool {
        match self.middle_of(id) {
            Some(middle)
                if middle
                    .message
                    .as_ref()
                    .is_some_and(|m| m.len() > GATHER_STEP) =>
            {
                middle.joining = true;
                self.core.hold_back(id);
                self.account_for_held(id, now)
            }
            Some(_) => self.join(id, now),
            None => false,
        }
    }

    /// Joins a complete message, or its next 128 KiB, and hands the finished message to the host.
    /// Returns whether the connection is still open.
    fn join(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(middle) = self.middle_of(id) else {
            return false;
        };
        let Some(incoming) = &mut middle.message else {
            return true;
        };
        let joined = incoming.join();
        let bytes = incoming.len().min(JOINED_AT_ONCE);
        middle.joining = joined.is_none();
        if joined.is_some() {
            middle.message = None;
        }
        self.core.work.spend_bytes(bytes, &mut self.core.stats);
        match joined {
            Some(message) => self.deliver(id, message, now),
            None => {
                self.core.hold_back(id);
                self.account_for_held(id, now)
            }
        }
    }

    /// Performs the next step of the last message: joins more of it, or calls a host that has not
    /// finished with it.
    #[inline(never)]
    pub(super) fn go_on(&mut self, id: ConnId, now: Micros) {
        let Some(middle) = self.middle_of(id) else {
            return;
        };
        let open = if middle.joining {
            self.join(id, now)
        } else {
            middle.unfinished = None;
            if !sabotage::on(Bug::UnfinishedForgotten) {
                self.call(now, |handler, io| handler.on_continue(io, id));
            }
            true
        };
        if open {
            self.rest(id, now);
        }
    }

    /// Keeps bytes beyond the connection's share of this turn for a later turn.
    pub(super) fn keep(&mut self, id: ConnId, rest: &[u8], now: Micros) {
        if rest.is_empty() || sabotage::on(Bug::LeftoverLost) {
            return;
        }
        if !self.core.table.get(id).is_some_and(Conn::is_open) {
            return self.skipped(id, rest);
        }
        if let Some(middle) = self.middle_or_new(id) {
            middle.leftover.reserve_exact(rest.len());
            middle.leftover.extend_from_slice(rest);
        }
        self.core.hold_back(id);
        if self.account_for_held(id, now) {
            self.core.throttle(id, now);
        }
    }

    /// Processes bytes that were kept in an earlier turn.
    pub(super) fn leftover(&mut self, id: ConnId, now: Micros) {
        let Some(middle) = self.middle_of(id) else {
            return;
        };
        middle.at_work = true;
        let bytes = std::mem::take(&mut middle.leftover);
        let mut at = std::mem::take(&mut middle.looked_at);
        at += self.frames(id, &bytes[at..], now);
        match self.middle_of(id) {
            Some(middle) => {
                middle.at_work = false;
                if at < bytes.len() {
                    (middle.leftover, middle.looked_at) = (bytes, at);
                }
            }
            None => self.skipped(id, &bytes[at..]),
        }
        self.rest(id, now);
    }

    /// Parks the connection if it has no work in progress, otherwise counts what it holds. Returns
    /// whether it is still open.
    pub(super) fn rest(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(conn) = self.core.table.get_mut(id) else {
            return false;
        };
        let is_paused = conn.marks.has(Mark::Paused);
        let Phase::Open(middle) = &mut conn.phase else {
            return false;
        };
        let Some(inner) = middle else {
            return true;
        };
        let failed = inner.failed.filter(|_| !inner.is_held() || is_paused);
        if !inner.is_held()
            && let Some(waited) = self.core.unthrottle(id, now)
            && waited > Micros::ZERO
        {
            self.call(now, |handler, io| handler.on_throttled(io, id, waited));
        }
        if let Some(cause) = failed {
            self.on_failed(id, cause);
            return false;
        }
        let Some(Phase::Open(middle)) = self.core.table.get_mut(id).map(|c| &mut c.phase) else {
            return false;
        };
        if middle.as_ref().is_some_and(|m| m.at_rest()) {
            let held = middle.take().map_or(0, |m| m.held);
            self.core.release_held(id, held);
            return true;
        }
        self.account_for_held(id, now)
    }

    pub(super) fn middle_of(&mut self, id: ConnId) -> Option<&mut Middle> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(Some(middle)) => Some(middle),
            _ => None,
        }
    }

    /// Returns the work in progress of an open connection, and creates it if the connection was at
    /// rest.
    pub(super) fn middle_or_new(&mut self, id: ConnId) -> Option<&mut Middle> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(middle) => Some(middle.get_or_insert_default()),
            _ => None,
        }
    }

    /// Counts what a connection holds. Returns whether there is room for it; if not, the connection
    /// is closing.
    pub(super) fn account_for_held(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(middle) = self.middle_of(id) else {
            return self.core.table.get(id).is_some_and(Conn::is_open);
        };
        let held = middle.allocated();
        let before = std::mem::replace(&mut middle.held, held);
        if held < middle.grown || held >= middle.grown + PROGRESS_STEP as u64 {
            (middle.grown, middle.grown_at) = (held, now);
        }
        self.core.hold(id, held);
        self.core.release_held(id, before);
        self.core.arm(id);
        if held > before.max(SMALL) && self.core.is_full_for(id) {
            let reason = format!("no room for {held} bytes of a message");
            let code = Cause::BUFFERS_FULL.close_code();
            self.core.shut(id, Cause::BUFFERS_FULL, code, &reason, now);
            return false;
        }
        true
    }
}
