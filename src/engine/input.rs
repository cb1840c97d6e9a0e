//! What a driver does with one connection's input: read it, wait, or process what was read before.

use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Conn, Phase};
use crate::engine::core::Core;
use crate::engine::engine::Engine;
use crate::engine::flags::Flag;
use crate::engine::forwarding::Forward;
use crate::engine::handler::Handler;
use crate::engine::message::Pong;
use crate::health::{LifeSign, PAYLOAD_LEN};
use crate::wire::frame::Role;
use crate::wire::heartbeat;

/// The most bytes read from a connection at once: a forwarded frame of 64 KiB, and its header.
const READ: usize = 64 * 1024 + 64;

/// The most bytes read at once from a connection that has used up its share of a turn. Input that
/// does not fit into the next share is held in memory.
const SLOW_READ: usize = 4 * 1024;

/// While input waits for its next share of the loop's time, the wait is added to the counters this
/// often.
const WAIT_COUNTED_EVERY: Micros = Micros::from_secs(1);

/// What the driver must do next with the input of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must do what each of them says"
)]
pub enum ReadAction {
    /// Read at most this many bytes and pass them to [`Engine::on_bytes`]. Report the end of the
    /// stream with [`Engine::on_eof`], an error with [`Engine::on_error`], and an empty socket with
    /// [`Engine::on_socket_empty`].
    Read(usize),
    /// Do not read: call [`Engine::on_leftover`].
    Leftover,
    /// Do nothing in this turn. Ask again in the next one, whatever the kernel reports.
    NextTurn,
    /// Do nothing until [`Engine::take_ready`] names the connection.
    Paused,
    /// Do nothing more: the connection has ended.
    Ended,
}

impl<H: Handler> Engine<H> {
    /// Returns what to do with the input of a connection. The driver asks before each read, until
    /// the answer is neither [`ReadAction::Read`] nor [`ReadAction::Leftover`].
    pub fn read_action(&mut self, id: ConnId, now: Micros) -> ReadAction {
        let Some(conn) = self.core.table.get(id) else {
            return ReadAction::Ended;
        };
        if conn.is_paused() {
            return ReadAction::Paused;
        }
        let slow = match &conn.phase {
            Phase::Dead(_) => return ReadAction::Ended,
            // The share begins with the first input that is more than a pong.
            Phase::Open(None) if !self.core.work.is_current(id) => {
                return match self.core.work.turn_has_room() {
                    true => ReadAction::Read(READ),
                    false => ReadAction::NextTurn,
                };
            }
            Phase::Open(Some(input)) => input.slow,
            Phase::Open(None) | Phase::Opening(_) | Phase::Dialing(_) | Phase::Closing(_) => false,
        };
        self.enter_share(id, now);
        if !self.core.work.can_continue() {
            self.wait_for_share(id, now);
            return ReadAction::NextTurn;
        }
        match self.core.table.get(id).map(|c| &c.phase) {
            Some(Phase::Open(Some(input))) if input.has_leftover() || input.is_busy() => {
                ReadAction::Leftover
            }
            _ => ReadAction::Read(if slow { SLOW_READ } else { READ }),
        }
    }

    /// Handles bytes that were read at time `now`. Bytes beyond the connection's share of the turn
    /// are kept: at most 64 KiB if the driver reads as [`read_action`](Engine::read_action) says.
    ///
    /// Returns bytes that must be written to another connection, if this one is linked: the driver
    /// writes them, and calls [`on_forwarded`](Engine::on_forwarded) until that returns `None`.
    pub fn on_bytes(&mut self, id: ConnId, bytes: &[u8], now: Micros) -> Option<Forward> {
        if let Some((role, payload)) = heartbeat::parse_pong(bytes)
            && self.handle_lone_pong(id, role, payload, bytes.len(), now)
        {
            return None;
        }
        self.count_received(id, bytes.len());
        self.enter_share(id, now);
        if self.is_linked(id) {
            return self.forward_buffer(id, bytes, 0, now);
        }
        self.process_bytes(id, bytes, now);
        self.settle(now);
        None
    }

    /// Handles input that is exactly one heartbeat answer from a healthy connection at rest. Most
    /// reads of an idle fleet are of this kind. Returns whether it was one.
    fn handle_lone_pong(
        &mut self,
        id: ConnId,
        role: Role,
        payload: [u8; PAYLOAD_LEN],
        len: usize,
        now: Micros,
    ) -> bool {
        let Core {
            table,
            work,
            stats,
            foresight,
            ..
        } = &mut self.core;
        let Some(conn) = table.get_mut(id) else {
            return false;
        };
        let is_at_rest = matches!(conn.phase, Phase::Open(None));
        if !is_at_rest
            || conn.role() != role
            || conn.flags.has(Flag::StaleQueued)
            || conn.flags.has(Flag::WouldClose)
            || !conn.health.is_kept_healthy_by_pongs()
        {
            return false;
        }
        let Some(rtt) = conn.health.on_pong(&payload, now) else {
            return false;
        };
        let gap = conn.idle_gap(now - rtt);
        conn.health.on_heard(now);
        stats.bytes_in += len as u64;
        conn.traffic.bytes_in += len as u64;
        work.spend_on_pong(stats);
        let class = &mut stats.classes[usize::from(conn.class.0)];
        class.pongs += 1;
        class.rtt.record(rtt.0);
        foresight.on_answer(conn, now);
        let is_watched = conn.flags.has(Flag::ReportsPongs);
        if self.core.config.cadence.is_some() {
            self.core.pace_answered(id, gap, now);
        }
        if is_watched {
            let received = self.core.receipts.read(id);
            let pong = Pong { rtt, received };
            self.call(now, |handler, io| handler.on_pong(io, id, pong));
            self.settle(now);
        }
        true
    }

    /// Processes input that was read before: the next step of the last message, or the bytes behind
    /// it.
    pub fn on_leftover(&mut self, id: ConnId, now: Micros) {
        self.enter_share(id, now);
        if self.core.table.get(id).is_some_and(Conn::is_busy) {
            self.continue_message(id, now);
        } else {
            self.process_leftover(id, now);
        }
        self.settle(now);
    }

    /// Handles a socket without more input. Returns whether no kept input is left, either.
    pub fn on_socket_empty(&mut self, id: ConnId, now: Micros) -> bool {
        let Some(conn) = self.core.table.get_mut(id) else {
            return true;
        };
        let Phase::Open(Some(input)) = &mut conn.phase else {
            return true;
        };
        if input.is_held() {
            return false;
        }
        if std::mem::take(&mut input.slow) {
            self.park(id, now);
        }
        true
    }

    /// Appends to `into` the connections with input to process although the kernel reports nothing
    /// new. Reading was resumed, or earlier input did not fit into the turn.
    pub fn take_ready(&mut self, into: &mut Vec<ConnId>) {
        into.append(&mut self.core.ready);
    }

    /// Returns whether the driver must read this connection's input when it arrives.
    pub fn can_read(&self, id: ConnId) -> bool {
        self.wants_bytes(id) && !self.is_paused(id)
    }

    /// Returns whether a peer has not identified itself. Its input is processed after that of the
    /// other peers.
    pub fn is_unidentified(&self, id: ConnId) -> bool {
        self.core.table.get(id).is_some_and(Conn::is_unidentified)
    }

    /// Returns whether this turn has budget for more input.
    pub fn has_budget(&self) -> bool {
        self.core.work.turn_has_room()
    }

    /// Returns whether this turn has budget for more input of connections that stayed within their
    /// last share. They go first, so that heavy connections do not delay them; heavy connections
    /// get what is left.
    pub fn has_light_budget(&self) -> bool {
        self.core.work.turn_has_light_room()
    }

    /// Begins a connection's share of this turn, unless it has begun already.
    fn enter_share(&mut self, id: ConnId, now: Micros) {
        if self.core.work.is_current(id) {
            return;
        }
        self.end_share(now);
        let input = match self.core.table.get_mut(id).map(|c| &mut c.phase) {
            Some(Phase::Open(Some(input))) => Some(input),
            _ => None,
        };
        let debt = input.as_ref().map_or(0, |m| m.debt);
        let left = self.core.work.begin_share(id, debt);
        if let Some(input) = input.filter(|_| debt > 0) {
            input.debt = left;
            self.park(id, now);
        }
    }

    /// Ends the share of the current connection and records what it has overspent as debt.
    pub(super) fn end_share(&mut self, now: Micros) {
        let Some((id, debt)) = self.core.work.end_share().filter(|(_, debt)| *debt > 0) else {
            return;
        };
        if let Some(input) = self.input_or_new(id) {
            input.debt = input.debt.saturating_add(debt);
            self.core.throttle(id, now);
            self.update_held(id, now);
            self.core.ready.push(id);
        }
    }

    /// Makes the connection's input wait for the next turn. Received bytes count as heard, unless
    /// only some of them do: then that is known when they are processed.
    fn wait_for_share(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get(id) else {
            return;
        };
        let (counts_all, is_held) = (conn.health.counts_all(), conn.is_held());
        if counts_all && is_held {
            self.mark_heard(id, LifeSign::Data, now);
        } else if !counts_all && let Some(input) = self.input_or_new(id) {
            // More may be in its socket, so it is not judged before its next share.
            input.debt = input.debt.max(1);
        } else if !is_held {
            return;
        }
        self.core.throttle(id, now);
        if let Some(waited) = self.core.count_wait(id, WAIT_COUNTED_EVERY, now) {
            self.call(now, |handler, io| handler.on_throttled(io, id, waited));
        }
    }

    /// Ends the turn and resets the counts per turn.
    pub(super) fn end_turn(&mut self, now: Micros) {
        self.end_share(now);
        self.core.stats.handed_over_here = self.handed_over_here() as u64;
        self.core.end_turn();
    }
}

impl Core {
    /// Returns whether the next turn already has work to do.
    pub(crate) fn has_work(&self) -> bool {
        self.table.has_work()
            || !self.final_checks.is_empty()
            || self.migration.is_some()
            || !self.ready.is_empty()
            || !self.poll_changes.is_empty()
            || !self.dials.is_empty()
            || !self.ended_legs.is_empty()
            || !self.broadcasts.is_empty()
            || !self.fired.is_empty()
            || self.foresight.has_news()
            || self.inbox.has_leftovers()
    }

    fn end_turn(&mut self) {
        self.work.end_turn(&mut self.stats);
        self.table.end_turn();
        self.flush_left = crate::engine::core::FLUSH_PER_TURN;
        self.final_checks_left = crate::engine::work::FINAL_CHECKS_PER_TURN;
        self.late_left = crate::engine::work::LATE_PER_TURN;
        self.late.end_turn();
    }
}
