//! Outgoing bytes, and connections that have ended.

use super::conn::{Conn, Phase};
use super::core::UNSENT_SMALL;
use super::ending::{Ending, PartnerEnd};
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::out::WriteVectored;
use super::view::CloseStage;
use super::work::ENDS_PER_TURN;
use crate::base::cause::{Cause, EndCode, PeerCode};
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::health::HeartbeatForm;
use crate::wire::frame::Role;

/// The most bytes that one flush writes to one peer, so that a fast reader does not delay the
/// others.
const FLUSH_BUDGET: usize = 512 * 1024;

/// The most bytes sent with a heartbeat when the turn has used up its send budget.
const PING_BUDGET: usize = 16 * 1024;

/// The result of a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a driver must do what each of them says"
)]
pub enum FlushOutcome {
    /// Nothing is unsent, or the connection has ended: do not wait for writability.
    Done,
    /// Nothing is unsent and nothing will follow: shut down the sending side.
    Fin,
    /// The socket takes no more now: flush again when it is writable.
    Blocked,
    /// Nothing was written because this turn has used up its send budget. The next
    /// [`take_dirty`](Engine::take_dirty) names the connection again.
    Later,
}

/// The state of a connection's queue at the beginning of a flush.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueueState {
    /// Whether bytes have waited for the socket.
    was_blocked: bool,
    /// Whether a heartbeat that leaves now is late, because it waited behind other bytes. Its
    /// interval starts when it left.
    pub(super) is_late: bool,
    /// Whether a heartbeat waits behind bytes that the socket did not take.
    is_stuck: bool,
}

impl QueueState {
    pub(super) fn of(conn: &Conn) -> Self {
        let was_blocked = conn.is_blocked();
        QueueState {
            was_blocked,
            is_late: was_blocked || conn.out.as_ref().is_some_and(|out| out.has_ping()),
            is_stuck: was_blocked && conn.health.is_ping_queued(),
        }
    }
}

impl<H: Handler> Engine<H> {
    /// Names the connections to flush in this turn: those with a heartbeat first, then up to 512
    /// others in the order in which they became due. The rest follow in the next turn.
    pub fn take_dirty(&mut self, into: &mut Vec<ConnId>) {
        self.core.table.take_dirty(into);
    }

    /// Schedules a flush for a [`FlushOutcome::Blocked`] connection whose socket is writable again.
    pub fn flush_soon(&mut self, id: ConnId) {
        self.core.table.mark_dirty(id);
    }

    /// Writes the unsent bytes of one peer.
    pub fn flush(&mut self, id: ConnId, now: Micros, socket: WriteVectored<'_>) -> FlushOutcome {
        let Some(conn) = self.core.table.get_mut(id) else {
            return FlushOutcome::Done;
        };
        match &conn.phase {
            Phase::Dead(_) => {
                conn.flags.take(Flag::Dirty);
                return FlushOutcome::Done;
            }
            // The socket takes no more bytes; only input that was already read is processed.
            Phase::Open(Some(input)) if input.failed.is_some() => {
                conn.flags.take(Flag::Dirty);
                conn.flags.take(Flag::PingDue);
                self.core.discard_out(id);
                return FlushOutcome::Done;
            }
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Open(_) | Phase::Closing(_) => {}
        }
        if conn.flags.has(Flag::PingDue)
            && conn.out.is_none()
            && conn.is_mid_frame()
            && !sabotage::on(Bug::PingInsideFrame)
        {
            // The ping goes out when its partner has sent the rest of the frame.
            conn.flags.take(Flag::Dirty);
            return FlushOutcome::Done;
        }
        if !conn.flags.has(Flag::PingDue) {
            if self.core.flush_left == 0 && conn.out.is_some() {
                self.core.table.flush_later(id);
                return FlushOutcome::Later;
            }
            conn.flags.take(Flag::Dirty);
        } else if conn.health.form() == HeartbeatForm::Text {
            return self.flush_with_text(id, now, socket);
        }
        let queue = QueueState::of(conn);
        if conn.flags.take(Flag::PingDue)
            && let Some(outcome) = self.send_ping(id, now, &mut *socket)
        {
            return outcome;
        }
        self.flush_queue(id, queue, now, socket)
    }

    /// Writes queued bytes. `queue` is its state before a heartbeat of this flush was added.
    pub(super) fn flush_queue(
        &mut self,
        id: ConnId,
        queue: QueueState,
        now: Micros,
        socket: WriteVectored<'_>,
    ) -> FlushOutcome {
        let QueueState {
            was_blocked,
            is_late,
            is_stuck,
        } = queue;
        let Some(conn) = self.core.table.get_mut(id) else {
            return FlushOutcome::Done;
        };
        let Some(out) = &mut conn.out else {
            return self.finish_flush(id, false, now);
        };
        let before = out.charged();
        // A heartbeat goes out even if the turn's budget is used up; bytes that wait with it use
        // their own turn.
        let budget = self.core.flush_left.clamp(PING_BUDGET, FLUSH_BUDGET);
        let written = out.write(now, budget, socket);
        let (pending, blocked) = (out.pending(), out.blocked_since().is_some());
        let waits_for_frame = out.waits_for_frame();
        let over = pending > self.core.config.max_pending_bytes && blocked;
        let moved = written.as_ref().map_or(0, |w| w.bytes);
        out.update_over_limit(over, moved > 0, now);
        self.core.flush_left = self.core.flush_left.saturating_sub(moved);
        // This also counts bytes that went out before an error.
        self.core.stats.pending_bytes -= (before - out.charged()) as u64;
        let written = match written {
            Ok(written) => written,
            Err(e) => {
                self.on_write_error(id, &e);
                return FlushOutcome::Done;
            }
        };
        // The kernel has room again, so the peer's kernel has acknowledged bytes ahead of the
        // waiting heartbeat. The write that fills the socket proves nothing. Once the heartbeat
        // itself was sent, later writes prove nothing either: the heartbeat must be answered.
        if written.bytes > 0 && is_stuck {
            conn.health.on_progress(now);
        }
        let ping = written.ping.then_some(written.behind_ping);
        self.record_sent(id, written.bytes, ping, is_late, now);
        if pending == 0 {
            return self.finish_flush(id, was_blocked, now);
        }
        self.core.resume_partner(id, now);
        if waits_for_frame {
            // What is left are control frames, which go out behind the rest of a frame.
            return FlushOutcome::Done;
        }
        if !written.full {
            // Only the budget is used up. The driver would wait in vain for writability: the socket
            // is writable already.
            self.core.table.mark_dirty(id);
            return FlushOutcome::Done;
        }
        if pending > UNSENT_SMALL && self.core.is_full() {
            self.core.close_out_of_memory(id, pending, now);
        }
        self.core.extend_close(id, written.bytes, now);
        self.core.arm(id);
        FlushOutcome::Blocked
    }

    /// Tells the host of ended connections, frees the slots of at most 128 of them, and ends the
    /// turn. `release` closes a socket, with an RST if the flag is set.
    pub fn reap(&mut self, now: Micros, release: &mut dyn FnMut(ConnId, bool)) {
        let ends = if self.is_stopping() {
            usize::MAX
        } else {
            ENDS_PER_TURN
        };
        // Partners are ended while the connection that ended first still exists, and a host is told
        // to finish with a message before it is told of the end.
        if !self.core.ended_legs.is_empty() || !self.core.left_unfinished.is_empty() {
            self.settle(now);
        }
        for id in self.core.table.take_to_report() {
            self.report_ending(id, now);
        }
        for id in self.core.table.take_dead(ends) {
            let reset = match self.core.table.get(id).map(|c| &c.phase) {
                Some(Phase::Dead(end)) => end.is_reset(),
                _ => continue,
            };
            self.report_ending(id, now);
            if let Some(conn) = self.core.table.free(id) {
                self.core.stats.pending_bytes -= conn.charged() as u64;
                self.core.policies.release(conn.policy);
                let was_last = conn.flags.has(Flag::Linked) && self.core.partner_of(id).is_none();
                self.core.stats.pairs -= u64::from(was_last);
                self.core.legs.remove(id);
                self.core.first_ends.remove(&id);
                if !self.core.late_records.is_empty() {
                    self.core.late_records.remove(&id);
                }
                self.core.stats.dialed_here -= u64::from(conn.flags.has(Flag::Dialed));
                self.remove_unopened(id, &conn);
            }
            release(id, reset);
        }
        self.tell_cohorts(now);
        self.settle(now);
        self.end_turn(now);
    }

    /// Counts sent bytes. If a heartbeat was among them, `ping` is the number of bytes sent behind
    /// it.
    pub(super) fn record_sent(
        &mut self,
        id: ConnId,
        bytes: usize,
        ping: Option<usize>,
        late: bool,
        now: Micros,
    ) {
        self.core.stats.bytes_out += bytes as u64;
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        conn.traffic.bytes_out += bytes as u64;
        if let Some(behind) = ping {
            let end = (conn.traffic.bytes_out - behind as u64) as u32;
            if self.core.config.cadence.is_some() {
                conn.note_gap(end);
            }
            conn.ping_end = end;
            let class = &mut self.core.stats.classes[usize::from(conn.class.0)];
            class.pings += 1;
            let policy = self.core.policies.of(conn.class, conn.policy);
            conn.health.on_ping_sent(policy, now, late);
            conn.note_sent(class);
            if policy.late && self.core.late.is_kept() {
                let after = conn.health.late_after(policy);
                self.core.late.push(id.slot_u32(), now, after);
            }
        }
    }

    /// Handles a peer without unsent bytes.
    pub(super) fn finish_flush(
        &mut self,
        id: ConnId,
        was_blocked: bool,
        now: Micros,
    ) -> FlushOutcome {
        let Some(conn) = self.core.table.get_mut(id) else {
            return FlushOutcome::Done;
        };
        let mut was_over = false;
        let mut conn = conn;
        if let Some(out) = conn.out.take() {
            self.core.stats.pending_bytes -= out.charged() as u64;
            was_over = conn.flags.take(Flag::OverLimit);
            self.core.resume_partner(id, now);
            let Some(still) = self.core.table.get_mut(id) else {
                return FlushOutcome::Done;
            };
            conn = still;
        }
        let role = conn.role();
        match &mut conn.phase {
            Phase::Open(_) if was_blocked || was_over => {
                self.core.arm(id);
                self.call(now, |handler, io| handler.on_writable(io, id));
                self.settle(now);
            }
            Phase::Closing(closing) => match closing.stage {
                // A client leaves it to the server to close TCP first.
                CloseStage::Flush if role == Role::Client && !closing.fin_received => {
                    closing.stage = CloseStage::PeerEof;
                    closing.deadline = now + closing.timeout;
                    self.core.arm(id);
                }
                CloseStage::Flush => {
                    let end = closing.end.clone();
                    self.core.mark_dead(id, end);
                }
                CloseStage::Partner | CloseStage::PeerEof => {}
                CloseStage::PeerFin | CloseStage::PeerClose => {
                    // The peer's time starts when it can have read the close.
                    closing.deadline = closing.deadline_from(now);
                    if closing.stage == CloseStage::PeerFin && !closing.fin_sent {
                        closing.fin_sent = true;
                        return FlushOutcome::Fin;
                    }
                }
            },
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Open(_) | Phase::Dead(_) => {}
        }
        FlushOutcome::Done
    }

    /// Tells the host once that a connection has ended.
    fn report_ending(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get_mut(id) else {
            return;
        };
        let waiting = conn.out.as_ref().map_or(0, |out| out.unsent());
        let blocked = conn.blocked_for(now);
        let close_waits = conn.out.as_ref().is_some_and(|out| out.has_close());
        let end = match &mut conn.phase {
            Phase::Closing(closing) => &mut closing.end,
            Phase::Dead(end) => end,
            Phase::Opening(_) | Phase::Dialing(_) | Phase::Open(_) => return,
        };
        if std::mem::replace(&mut end.reported, true) && !sabotage::on(Bug::DoubleOnClose) {
            return;
        }
        let [is_upgraded, is_dialed] =
            [Flag::Upgraded, Flag::Dialed].map(|flag| conn.flags.has(flag));
        let unsent = end.unsent.saturating_add(waiting);
        let blocked = end.blocked.unwrap_or(blocked);
        let code = end.code;
        let record = self.core.late_records.get(&id);
        let ending = Ending {
            cause: end.cause,
            by: end.cause.by(),
            lost: end.cause.is_loss(end.code) && (is_upgraded || !is_dialed),
            // A close frame that was not sent has told the peer nothing.
            code: if close_waits { EndCode::None } else { code },
            reason: end.reason.clone(),
            clean: end.clean,
            class: (is_upgraded || is_dialed).then_some(conn.class),
            peer_addr: conn.peer_addr(),
            age: now - conn.since,
            silence: conn.health.silence(now),
            unanswered: conn.health.unanswered(),
            late_heartbeats: record.map_or(0, |record| record.count),
            silence_evidence: record.and_then(|record| conn.evidence(record, now)),
            rtt: conn.health.rtt(),
            traffic: conn.traffic,
            unsent,
            blocked,
            partner: self.core.legs.get(id).map(|leg| PartnerEnd {
                id: leg.partner,
                first: self.core.first_ends.get(&id).copied(),
            }),
        };
        if is_upgraded {
            let class = &mut self.core.stats.classes[usize::from(conn.class.0)];
            class.live -= 1;
            class.closing -= u64::from(conn.flags.take(Flag::Closing));
            class.closed[ending.cause.index()] += 1;
            // The peer's own code counts even if our answer was never sent.
            if ending.cause == Cause::PEER_CLOSED
                && let EndCode::Close(code) = code
            {
                class.peer_codes[PeerCode::of(code) as usize] += 1;
            }
        } else if is_dialed {
            self.core.stats.dials_failed[ending.cause.index()] += 1;
        } else {
            self.core.stats.rejected[ending.cause.index()] += 1;
            let is_refused = conn.flags.has(Flag::Refused) && ending.cause == Cause::AT_CAPACITY;
            self.core.stats.refused += u64::from(is_refused);
        }
        let owed = conn.flags.has(Flag::NeedsOnClose);
        if sabotage::on(Bug::NoOnClose) && ending.cause == Cause::STALE {
            return;
        }
        self.call(now, |handler, io| {
            if owed {
                handler.on_close(io, id, &ending)
            } else {
                handler.on_reject(io, id, &ending)
            }
        });
    }
}
