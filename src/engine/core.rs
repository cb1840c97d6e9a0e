//! The loop's state apart from the host: what [`Io`](crate::engine::Io) reaches, and what the engine acts on.

use crate::cause::{Cause, Code, cut_reason};
use crate::engine::Config;
use crate::engine::bucket::Bucket;
use crate::engine::change::Change;
use crate::engine::conn::{Closing, Conn, End, Mark, Phase, Until};
use crate::engine::drain::Drain;
use crate::engine::handler::{HealthView, Message, Refused, Sent, TimerId, Verdict};
use crate::engine::http::{Reply, retry_after_s};
use crate::engine::out::Out;
use crate::engine::policies::Policies;
use crate::engine::prepared::{Outgoing, render};
use crate::engine::receipts::Receipts;
use crate::engine::remote::Remote;
use crate::engine::scan::Scanner;
use crate::engine::stats::Stats;
use crate::engine::table::Table;
use crate::engine::timers::{Purpose, Timers};
use crate::engine::wheel::Wheel;
use crate::health::{Health, Policy, State};
use crate::id::ConnId;
use crate::sabotage::{self, Bug};
use crate::time::Micros;
use std::collections::VecDeque;
use tungstenite::Bytes;
use tungstenite::protocol::WebSocketContext;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::{CloseFrame, Frame};

/// Who waits for no more than this is not closed because others have filled the loop.
pub(crate) const UNSENT_SMALL: usize = 64 * 1024;

/// So many neighbouring slots are pinged together: they lie together in memory, as their sockets mostly do in the kernel's, and a
/// wake-up serves all of them. A tenth of the time of a heartbeat, measured at 18 000 connections.
const NEIGHBOURS: usize = 16;

/// Everything that belongs to the loop except the handler.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) table: Table,
    pub(crate) wheel: Wheel,
    pub(crate) timers: Timers,
    pub(crate) stats: Stats,
    pub(crate) remote: Remote,
    /// Verdicts that the host gave later, to be carried out when it has returned.
    pub(crate) answers: VecDeque<(ConnId, Verdict)>,
    /// Whom health would call stale, before their sockets were looked at once more.
    pub(crate) doubtful: VecDeque<ConnId>,
    /// Stale ones beyond the rate, oldest first.
    pub(crate) deferred: VecDeque<ConnId>,
    pub(crate) bucket: Bucket,
    pub(crate) drain: Drain,
    /// Serves whole frames of parked connections; it remembers nothing from one to the next.
    pub(crate) spare: Option<Box<WebSocketContext>>,
    /// Where contexts write their pongs and close replies.
    pub(crate) scratch: Vec<u8>,
    pub(crate) policies: Policies,
    pub(crate) receipts: Receipts,
    /// Accepting is to be tried again.
    pub(crate) accept_retry: bool,
    /// A new cap on connections, which the driver has not taken over yet.
    pub(crate) new_cap: Option<usize>,
    /// Policies or limits of time have changed, and not everybody lives under the new ones yet.
    pub(crate) change: Option<Change>,
    /// Every connection keeps a context of its own: what parking is compared with.
    #[cfg(feature = "testing")]
    pub(crate) never_parks: bool,
}

impl Core {
    pub(crate) fn new(config: Config, remote: Remote) -> Self {
        Core {
            table: Table::default(),
            wheel: Wheel::new(),
            timers: Timers::default(),
            stats: Stats::new(config.classes.len()),
            remote,
            answers: VecDeque::new(),
            doubtful: VecDeque::new(),
            deferred: VecDeque::new(),
            bucket: Bucket::new(config.stale_closes_per_second),
            drain: Drain::No,
            spare: None,
            scratch: Vec::new(),
            policies: Policies::new(config.classes.iter().map(|c| c.policy).collect()),
            receipts: Receipts::default(),
            accept_retry: false,
            new_cap: None,
            change: None,
            #[cfg(feature = "testing")]
            never_parks: false,
            config,
        }
    }

    // ---- deadlines ----

    /// Puts the connection's deadline in the wheel, unless an entry comes back before it anyway.
    pub(crate) fn arm(&mut self, id: ConnId) {
        // Whoever is deferred waits for its turn, not for its deadline.
        let Some(conn) = self.table.get(id).filter(|c| !c.marks.has(Mark::Deferred)) else {
            return;
        };
        let Some(due) = conn.due(self.policy_of(conn), self.config.handshake_timeout) else {
            return;
        };
        if conn
            .armed()
            .is_some_and(|armed| !self.wheel.is_earlier(due, armed))
        {
            return;
        }
        let at = self.wheel.arm(id.slot_u32(), due);
        if let Some(conn) = self.table.get_mut(id) {
            conn.set_armed(Some(at));
        }
    }

    pub(crate) fn start_timer(&mut self, purpose: Purpose, due: Micros, now: Micros) -> TimerId {
        self.wheel.catch_up(now);
        self.timers.start(&mut self.wheel, purpose, due)
    }

    // ---- sending ----

    pub(crate) fn send(&mut self, id: ConnId, message: Message, now: Micros) -> Sent {
        match Outgoing::of(&message) {
            Ok(outgoing) => self.send_frame(id, outgoing, now),
            Err(refused) => refused,
        }
    }

    pub(crate) fn send_many(
        &mut self,
        ids: impl IntoIterator<Item = ConnId>,
        message: &Message,
        now: Micros,
    ) -> usize {
        let Ok(outgoing) = Outgoing::of(message) else {
            return 0;
        };
        let sent = ids
            .into_iter()
            .map(|id| self.send_frame(id, outgoing.clone(), now));
        sent.filter(|sent| !matches!(sent, Sent::Refused(_)))
            .count()
    }

    pub(crate) fn send_frame(&mut self, id: ConnId, outgoing: Outgoing, now: Micros) -> Sent {
        let Some(conn) = self.table.get(id) else {
            return Sent::Refused(Refused::Gone);
        };
        match conn.phase {
            Phase::Open(_) => {}
            Phase::Closing(_) => return Sent::Refused(Refused::Closing),
            Phase::Opening(_) | Phase::Dead(_) => return Sent::Refused(Refused::Gone),
        }
        let len = match &outgoing {
            Outgoing::Data(frame) => frame.len(),
            Outgoing::Control(frame) => frame.len(),
            Outgoing::Close(code, reason) => {
                self.close(id, Cause::Kicked, *code, reason, now);
                return Sent::Flowing;
            }
        };
        let pending = conn.pending() + len;
        if pending > self.config.max_pending_bytes {
            self.slow_consumer(id, now);
            return Sent::Refused(Refused::OverLimit);
        }
        if pending > UNSENT_SMALL && self.is_full() {
            self.no_room(id, pending, now);
            return Sent::Refused(Refused::OverLimit);
        }
        let blocked = conn.is_blocked();
        match outgoing {
            Outgoing::Data(frame) => {
                self.stats.messages_out += 1;
                if let Some(conn) = self.table.get_mut(id) {
                    conn.traffic.message_out();
                }
                self.queue(id, |out| out.push_frame(frame));
            }
            Outgoing::Control(frame) => self.queue(id, |out| out.push_control(&frame)),
            Outgoing::Close(..) => {}
        }
        if blocked {
            Sent::Pending
        } else {
            Sent::Flowing
        }
    }

    pub(crate) fn queue_control(&mut self, id: ConnId, frames: &[u8]) {
        if !frames.is_empty() {
            self.queue(id, |out| out.push_control(frames));
        }
    }

    /// Changes what is to go out, and asks for a flush.
    pub(crate) fn queue(&mut self, id: ConnId, change: impl FnOnce(&mut Out)) {
        self.change_out(id, change);
        self.table.mark_dirty(id);
    }

    /// Changes what is to go out, and keeps the account.
    pub(crate) fn change_out(&mut self, id: ConnId, change: impl FnOnce(&mut Out)) {
        if let Some(conn) = self.table.get_mut(id) {
            let out = conn.out.get_or_insert_default();
            let before = out.pending() as u64;
            change(out);
            self.stats.pending_bytes = self.stats.pending_bytes + out.pending() as u64 - before;
        }
    }

    /// Takes back every message to a peer of which nothing has gone out yet. Returns how many.
    pub(crate) fn take_back(&mut self, id: ConnId) -> u32 {
        let mut unsent = 0;
        if self.table.get(id).is_some_and(|c| c.out.is_some()) {
            self.change_out(id, |out| unsent = out.discard_unsent());
        }
        // What was taken back when it was shut is told to whoever asks first.
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Closing(closing) = &mut conn.phase
        {
            unsent += std::mem::take(&mut closing.end.unsent);
        }
        unsent
    }

    // ---- ending ----

    /// Closes an open connection, or refuses one that still waits for its verdict.
    pub(crate) fn close(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        match conn.phase {
            Phase::Open(_) => {
                let code = if CloseCode::from(code).is_allowed() {
                    code
                } else {
                    1011
                };
                self.shut(id, cause, code, reason, now);
            }
            Phase::Opening(_) => {
                let reply = match cause {
                    Cause::Draining => Reply::error(503, reason).retry_after(retry_after_s(id)),
                    _ => Reply::error(403, reason),
                };
                self.reply(id, &reply, false, cause, now);
            }
            Phase::Closing(_) | Phase::Dead(_) => {}
        }
    }

    /// Whether all connections together hold as much as they may.
    pub(crate) fn is_full(&self) -> bool {
        self.stats.buffered_bytes() > self.config.max_buffered_bytes as u64
    }

    /// The loop is full, and this one takes part in that.
    pub(crate) fn no_room(&mut self, id: ConnId, bytes: usize, now: Micros) {
        let reason = format!("no room for {bytes} unsent bytes");
        self.shut(
            id,
            Cause::BuffersFull,
            Cause::BuffersFull.close_code(),
            &reason,
            now,
        );
    }

    pub(crate) fn slow_consumer(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        let waited = conn
            .out
            .as_ref()
            .and_then(|o| o.blocked_since())
            .map_or(Micros::ZERO, |since| now - since);
        let reason = format!("{} bytes unsent for {waited}", conn.pending());
        self.shut(
            id,
            Cause::SlowConsumer,
            Cause::SlowConsumer.close_code(),
            &reason,
            now,
        );
    }

    /// Queues our close frame on an open connection. From here on the peer's bytes are skipped.
    pub(crate) fn shut(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str, now: Micros) {
        let Some(scanner) = self.leave_open(id) else {
            return;
        };
        let reason = cut_reason(reason);
        let frame = close_frame(code, reason);
        let pending = self.table.get(id).map_or(0, Conn::pending);
        let mut unsent = 0;
        // What a ghost, a slow reader or a peer in an endless frame has not taken yet would only hold up the close.
        let discard = match cause {
            Cause::Stale | Cause::SlowConsumer | Cause::FrameTimeout => true,
            // The host may have said why.
            Cause::BuffersFull => pending > UNSENT_SMALL,
            _ => false,
        };
        self.queue(id, |out| {
            if discard {
                unsent = out.discard_unsent();
            }
            out.push_close(frame);
        });
        // After an error the stream has no frames any more, only bytes; a ghost will not answer.
        let until = match cause {
            Cause::Stale
            | Cause::Protocol
            | Cause::InvalidData
            | Cause::TooBig
            | Cause::BuffersFull
            | Cause::FrameTimeout => Until::PeerLeaves,
            _ => Until::PeerCloses,
        };
        let mut end = End::of(cause);
        end.code = Code::Close(code);
        end.reason = reason.into();
        end.reset = cause == Cause::Stale;
        end.unsent = unsent;
        self.enter_closing(id, end, until, scanner, now);
        if cause == Cause::Stale {
            self.table.tell_now(id);
        }
    }

    /// Answers a request that is not upgraded.
    pub(crate) fn reply(
        &mut self,
        id: ConnId,
        reply: &Reply,
        is_head: bool,
        cause: Cause,
        now: Micros,
    ) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        if !matches!(conn.phase, Phase::Opening(_)) {
            return;
        }
        let mut end = End::of(cause);
        end.code = Code::Http(reply.status);
        end.reason = cut_reason(reply.error_text()).into();
        self.queue_control(id, &reply.render(is_head));
        self.enter_closing(id, end, Until::PeerLeaves, Scanner::default(), now);
    }

    pub(crate) fn enter_closing(
        &mut self,
        id: ConnId,
        end: End,
        until: Until,
        scanner: Scanner,
        now: Micros,
    ) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let timeout = self.policies.of(conn.class, conn.policy).close_timeout;
        let deadline = now + timeout;
        conn.phase = Phase::Closing(Box::new(Closing {
            end,
            until,
            scanner,
            deadline,
            fin_sent: false,
        }));
        conn.marks.take(Mark::Ping);
        if conn.marks.has(Mark::Counted) {
            conn.marks.set(Mark::Closing);
            self.stats.classes[usize::from(conn.class.0)].closing += 1;
        }
        self.arm(id);
        self.table.mark_dirty(id);
    }

    /// Takes what an open connection was in the middle of. `None` if it is not open.
    pub(crate) fn leave_open(&mut self, id: ConnId) -> Option<Scanner> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(middle) = &mut conn.phase else {
            return None;
        };
        let (scanner, held) = middle
            .take()
            .map_or_else(Default::default, |m| (m.scanner, m.held));
        conn.marks.take(Mark::Deferred);
        if conn.health.state() == State::Suspect {
            self.stats.classes[usize::from(conn.class.0)].suspects -= 1;
        }
        self.release_held(held);
        Some(scanner)
    }

    pub(crate) fn release_held(&mut self, held: u64) {
        if !sabotage::on(Bug::HeldLeaks) {
            self.stats.held_bytes -= held;
        }
    }

    /// Ends a connection in this turn, whatever it was doing.
    pub(crate) fn bury(&mut self, id: ConnId, end: End) {
        self.leave_open(id);
        self.table.bury(id, end);
    }

    // ---- looking ----

    pub(crate) fn health(&self, id: ConnId, now: Micros) -> Option<HealthView> {
        let conn = self.table.get(id).filter(|c| c.is_open())?;
        Some(self.health_of(conn, now))
    }

    pub(crate) fn health_of(&self, conn: &Conn, now: Micros) -> HealthView {
        let (policy, health) = (self.policy_of(conn), &conn.health);
        HealthView {
            state: health.state(),
            silence: health.silence(now),
            unanswered: health.unanswered(),
            ping_waits: health.ping_queued(),
            rtt: health.rtt(),
            next_ping: health.ping_due(policy),
            deadline: health.stale_at(policy),
        }
    }

    /// The policy that holds for a connection.
    pub(crate) fn policy_of(&self, conn: &Conn) -> &Policy {
        self.policies.of(conn.class, conn.policy)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn parks(&self) -> bool {
        !self.never_parks
    }

    #[cfg(not(feature = "testing"))]
    pub(crate) const fn parks(&self) -> bool {
        true
    }

    pub(crate) fn is_draining(&self) -> bool {
        !matches!(self.drain, Drain::No)
    }

    /// Starts the health of a connection that opens.
    pub(crate) fn new_health(&self, id: ConnId, policy: &Policy, now: Micros) -> Health {
        Health::new(policy, now, seed(id))
    }
}

/// What picks the point of the interval at which a connection is pinged.
pub(crate) fn seed(id: ConnId) -> u64 {
    (id.slot() / NEIGHBOURS) as u64
}

/// A close frame; without code and reason for 1005, which must not be sent.
fn close_frame(code: u16, reason: &str) -> Bytes {
    let content = (code != 1005).then(|| CloseFrame {
        code: code.into(),
        reason: reason.into(),
    });
    render(Frame::close(content)).into()
}
