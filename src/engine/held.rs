//! Held input of a connection, and its accounting: bytes beyond its share, a message that is being
//! joined, a message that the host has not finished with.

use super::conn::{Conn, Phase};
use super::core::{HELD_SMALL, overload_code};
use super::engine::Engine;
use super::handler::Handler;
use super::input_state::InputState;
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
    pub(super) fn start_join(&mut self, id: ConnId, now: Micros) -> bool {
        match self.input_of(id) {
            Some(input)
                if input
                    .message
                    .as_ref()
                    .is_some_and(|m| m.len() > GATHER_STEP) =>
            {
                input.joining = true;
                self.core.queue_ready(id);
                self.update_held(id, now)
            }
            Some(_) => self.join(id, now),
            None => false,
        }
    }

    /// Joins a complete message, or its next 128 KiB, and hands the finished message to the host.
    /// Returns whether the connection is still open.
    fn join(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(input) = self.input_of(id) else {
            return false;
        };
        let Some(incoming) = &mut input.message else {
            return true;
        };
        let joined = incoming.join();
        let bytes = incoming.len().min(JOINED_AT_ONCE);
        input.joining = joined.is_none();
        if joined.is_some() {
            input.message = None;
        }
        self.core.work.spend_bytes(bytes, &mut self.core.stats);
        match joined {
            Some(message) => self.deliver(id, message, now),
            None => {
                self.core.queue_ready(id);
                self.update_held(id, now)
            }
        }
    }

    /// Performs the next step of the last message: joins more of it, or calls a host that has not
    /// finished with it.
    #[inline(never)]
    pub(super) fn continue_message(&mut self, id: ConnId, now: Micros) {
        let Some(input) = self.input_of(id) else {
            return;
        };
        let open = if input.joining {
            self.join(id, now)
        } else {
            input.unfinished = None;
            if !sabotage::on(Bug::UnfinishedForgotten) {
                self.call(now, |handler, io| handler.on_continue(io, id));
            }
            true
        };
        if open {
            self.park(id, now);
        }
    }

    /// Keeps bytes beyond the connection's share of this turn for a later turn.
    pub(super) fn keep_leftover(&mut self, id: ConnId, rest: &[u8], now: Micros) {
        if rest.is_empty() || sabotage::on(Bug::LeftoverLost) {
            return;
        }
        if !self.core.table.get(id).is_some_and(Conn::is_open) {
            return self.skip_input(id, rest);
        }
        if let Some(input) = self.input_or_new(id) {
            if input.leftover.is_empty() {
                input.arrived_after = input.read_at;
            }
            input.read_at = now;
            input.leftover.reserve_exact(rest.len());
            input.leftover.extend_from_slice(rest);
        }
        self.core.queue_ready(id);
        if self.update_held(id, now) {
            self.core.throttle(id, now);
        }
    }

    /// Processes bytes that were kept in an earlier turn.
    pub(super) fn process_leftover(&mut self, id: ConnId, now: Micros) {
        let Some(input) = self.input_of(id) else {
            return;
        };
        input.is_processing = true;
        let bytes = std::mem::take(&mut input.leftover);
        let mut at = std::mem::take(&mut input.processed);
        at += self.process_frames(id, &bytes[at..], now);
        match self.input_of(id) {
            Some(input) => {
                input.is_processing = false;
                if at < bytes.len() {
                    (input.leftover, input.processed) = (bytes, at);
                }
            }
            None => self.skip_input(id, &bytes[at..]),
        }
        self.core.close_both_at_boundary(id, now);
        self.park(id, now);
    }

    /// Parks the connection if it has no work in progress, otherwise counts what it holds. Returns
    /// whether it is still open.
    pub(super) fn park(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(conn) = self.core.table.get_mut(id) else {
            return false;
        };
        let is_paused = conn.is_paused();
        let Phase::Open(input) = &mut conn.phase else {
            return false;
        };
        let Some(inner) = input else {
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
            self.on_socket_failure(id, cause);
            return false;
        }
        let Some(Phase::Open(input)) = self.core.table.get_mut(id).map(|c| &mut c.phase) else {
            return false;
        };
        if input.as_ref().is_some_and(|m| m.is_at_rest()) {
            let held = input.take().map_or(0, |m| m.held);
            self.core.release_held(id, held);
            return true;
        }
        self.update_held(id, now)
    }

    pub(super) fn input_of(&mut self, id: ConnId) -> Option<&mut InputState> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(Some(input)) => Some(input),
            _ => None,
        }
    }

    /// Returns the work in progress of an open connection, and creates it if the connection was at
    /// rest.
    pub(super) fn input_or_new(&mut self, id: ConnId) -> Option<&mut InputState> {
        match &mut self.core.table.get_mut(id)?.phase {
            Phase::Open(input) => Some(input.get_or_insert_default()),
            _ => None,
        }
    }

    /// Counts what a connection holds. Returns whether there is room for it; if not, the connection
    /// is closing.
    pub(super) fn update_held(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(input) = self.input_of(id) else {
            return self.core.table.get(id).is_some_and(Conn::is_open);
        };
        let held = input.allocated();
        let before = std::mem::replace(&mut input.held, held);
        if held < input.grown || held >= input.grown + PROGRESS_STEP as u64 {
            (input.grown, input.grown_at) = (held, now);
        }
        self.core.charge_held(id, held);
        self.core.release_held(id, before);
        self.core.arm(id);
        if held > before.max(HELD_SMALL) && self.core.is_full_for(id) {
            let reason = format!("no room for {held} bytes of a message");
            let code = self.core.table.get(id).map_or(0, overload_code);
            self.core
                .send_close(id, Cause::BUFFERS_FULL, code, &reason, now);
            return false;
        }
        true
    }
}
