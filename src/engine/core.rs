//! The loop's state apart from the host: what [`Io`](crate::engine::Io) reaches, and what the engine acts on.

use crate::cause::{Cause, Code, cut_reason};
use crate::engine::Config;
use crate::engine::broadcast::Broadcast;
use crate::engine::bucket::Bucket;
use crate::engine::change::Change;
use crate::engine::conn::{Closing, Conn, End, Mark, Opening, Phase, Until};
use crate::engine::deadlines::Fired;
use crate::engine::drain::Drain;
use crate::engine::http::{Reply, retry_after_s};
use crate::engine::message::{Message, Refused, Sent};
use crate::engine::out::Out;
use crate::engine::policies::Policies;
use crate::engine::prepared::{Outgoing, render};
use crate::engine::receipts::Receipts;
use crate::engine::remote::Remote;
use crate::engine::scan::CloseFinder;
use crate::engine::shortage::Shortage;
use crate::engine::stats::Stats;
use crate::engine::table::Table;
use crate::engine::timers::{Purpose, Timers};
use crate::engine::verdict::Verdict;
use crate::engine::view::HealthView;
use crate::engine::wheel::Wheel;
use crate::engine::work::{LOOKS_PER_TURN, Work};
use crate::health::{Health, Policy, State};
use crate::id::{ConnId, TimerId};
use crate::sabotage::{self, Bug};
use crate::time::Micros;
use std::collections::VecDeque;
use tungstenite::Bytes;
use tungstenite::protocol::WebSocketContext;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::frame::{CloseFrame, Frame};

/// Connections with at most this many unsent bytes are exempt from the global buffer limit.
pub(crate) const UNSENT_SMALL: usize = 64 * 1024;

/// A message, or a part of a request, of at most this many bytes is accepted even when memory is short, because it is small.
pub(crate) const SMALL: u64 = 4 * 1024;

/// Bytes that are given back to the allocator for one unit of work.
const FREED_PER_UNIT: u64 = 16 * 1024;

/// Bytes that go out in one turn, heartbeats not counted; the rest waits for the next turn, in order.
pub(crate) const FLUSH_PER_TURN: usize = 1024 * 1024;

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
    /// Connections that are not open any more, with whose last message the host has not finished.
    pub(crate) left_unfinished: Vec<ConnId>,
    /// Connections whose latest heartbeat has gone unanswered for an interval.
    pub(crate) unanswered: Vec<ConnId>,
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
    pub(crate) work: Work,
    /// Connections whose input is to be looked at, though the kernel tells of no more: what they sent was kept outside of a
    /// share, or reading was resumed.
    pub(crate) ready: Vec<ConnId>,
    /// Connections whose reading was paused or resumed in this turn.
    pub(crate) repolled: Vec<ConnId>,
    /// Messages to whole classes that are not sent to all of them yet.
    pub(crate) broadcasts: VecDeque<Broadcast>,
    pub(crate) fired: Fired,
    pub(crate) shortage: Shortage,
    /// Bytes that may go out in this turn.
    pub(crate) flush_left: usize,
    /// Every connection is let go at once.
    pub(crate) stopping: bool,
    /// Last looks that may be had in this turn.
    pub(crate) looks_left: usize,
}

/// What a connection was in the middle of when it ceased to be open.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) finder: CloseFinder,
    /// The peer's close frame stood among the bytes that were not looked at.
    pub(crate) closed: bool,
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
            left_unfinished: Vec::new(),
            unanswered: Vec::new(),
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
            work: Work::default(),
            ready: Vec::new(),
            repolled: Vec::new(),
            broadcasts: VecDeque::new(),
            fired: Fired::default(),
            shortage: Shortage::default(),
            flush_left: FLUSH_PER_TURN,
            stopping: false,
            looks_left: LOOKS_PER_TURN,
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
        let Some(due) = conn.due(self.policy_of(conn), &self.config) else {
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
        // A peer that is slow is found at the flush; more than twice the limit is refused at once.
        if pending > 2 * self.config.max_pending_bytes {
            self.slow_consumer(id, now);
            return Sent::Refused(Refused::OverLimit);
        }
        if pending > UNSENT_SMALL && self.is_full() {
            self.no_room(id, pending, now);
            return Sent::Refused(Refused::OverLimit);
        }
        let blocked = conn.is_blocked();
        if pending > self.config.max_pending_bytes
            && let Some(conn) = self.table.get_mut(id)
        {
            conn.marks.set(Mark::OverLimit);
        }
        self.spend(1);
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

    /// Queues the answer to a ping. A peer that sends pings and does not read the answers is slow; one that has not introduced
    /// itself may have few of them.
    pub(crate) fn answer_ping(&mut self, id: ConnId, pong: &[u8], now: Micros) {
        let most = match self.table.get(id).is_some_and(Conn::is_stranger) {
            true => UNSENT_SMALL,
            false => 2 * self.config.max_pending_bytes,
        };
        let pending = self.table.get(id).map_or(0, Conn::pending) + pong.len();
        if pending > most {
            self.slow_consumer(id, now);
        } else {
            self.queue_control(id, pong);
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
            let before = conn.charged() as u64;
            let out = conn.out.get_or_insert_default();
            change(out);
            self.stats.pending_bytes = self.stats.pending_bytes + out.charged() as u64 - before;
        }
    }

    /// Gives up everything that waits to be sent: the socket takes no more.
    pub(crate) fn discard_out(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id) {
            self.stats.pending_bytes -= conn.charged() as u64;
            conn.out = None;
        }
    }

    /// A closing connection took `bytes` and is still behind: the close has a close timeout more to go out, ten at most.
    pub(crate) fn extend_close(&mut self, id: ConnId, bytes: usize, now: Micros) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Closing(closing) = &mut conn.phase
            && bytes > 0
        {
            let most = closing.since + Micros(10 * closing.timeout.0);
            closing.deadline = most.min(now + closing.timeout);
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

    /// Returns whether all connections together hold as much as they may.
    pub(crate) fn is_full(&self) -> bool {
        self.stats.buffered_bytes() > self.config.max_buffered_bytes as u64
    }

    /// Whether there is no room for more that this connection sends: peers that have not introduced themselves have a part of
    /// their own, so that they cannot take it from the others.
    pub(crate) fn is_full_for(&self, id: ConnId) -> bool {
        let stranger = self.table.get(id).is_some_and(Conn::is_stranger);
        self.is_full() || stranger && self.stats.stranger_bytes > self.config.strangers_bytes()
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
        let blocked = self.table.get(id).is_some_and(Conn::is_blocked);
        let Some(left) = self.leave_open(id) else {
            return;
        };
        let reason = cut_reason(reason);
        let frame = close_frame(code, reason);
        let pending = self.table.get(id).map_or(0, Conn::pending);
        let mut unsent = 0;
        // What the peer has not taken yet would only hold up the close. What waits for nothing but the end of this turn may say
        // why it is closed, and goes out before.
        let discard = match cause {
            Cause::Stale | Cause::SlowConsumer | Cause::FrameTimeout => true,
            Cause::BuffersFull => blocked || pending > UNSENT_SMALL,
            _ => blocked,
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
        self.enter_closing(id, end, until, left, now);
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
        self.leave_opening(id);
        let mut end = End::of(cause);
        end.code = Code::Http(reply.status);
        end.reason = cut_reason(reply.error_text()).into();
        self.queue_control(id, &reply.render(is_head));
        self.enter_closing(id, end, Until::PeerLeaves, Left::default(), now);
    }

    pub(crate) fn enter_closing(
        &mut self,
        id: ConnId,
        end: End,
        until: Until,
        left: Left,
        now: Micros,
    ) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let timeout = self.policies.of(conn.class, conn.policy).close_timeout;
        conn.phase = Phase::Closing(Box::new(Closing {
            end,
            until,
            finder: left.finder,
            since: now,
            timeout,
            deadline: now + timeout,
            fin_sent: false,
        }));
        conn.marks.take(Mark::Ping);
        if conn.marks.has(Mark::Counted) {
            conn.marks.set(Mark::Closing);
            self.stats.classes[usize::from(conn.class.0)].closing += 1;
        }
        if conn.marks.take(Mark::Paused) {
            self.repolled.push(id);
        }
        self.arm(id);
        self.table.mark_dirty(id);
        if left.closed {
            self.peer_closed_too(id);
        }
    }

    /// The peer answered our close frame, or sent its own meanwhile: the closing handshake is complete.
    pub(crate) fn peer_closed_too(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let nothing_waits = conn.out.is_none();
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.until != Until::PeerCloses {
            return;
        }
        closing.until = Until::Flushed;
        closing.end.clean = true;
        if nothing_waits {
            let end = closing.end.clone();
            self.bury(id, end);
        }
    }

    /// Takes what an open connection was in the middle of. `None` if it is not open.
    pub(crate) fn leave_open(&mut self, id: ConnId) -> Option<Left> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(middle) = &mut conn.phase else {
            return None;
        };
        let middle = middle.take();
        conn.marks.take(Mark::Deferred);
        let class = &mut self.stats.classes[usize::from(conn.class.0)];
        class.suspects -= u64::from(conn.health.state() == State::Suspect);
        let mut left = Left::default();
        if let Some(middle) = middle {
            class.throttled -= u64::from(middle.throttled_since.is_some());
            if let Some(frame) = &middle.frame {
                let head = &frame.head[..usize::from(frame.have)];
                left.finder = CloseFinder::inside(head, frame.payload);
            }
            if middle.unfinished.is_some() {
                self.left_unfinished.push(id);
            }
            let rest = &middle.leftover[middle.looked_at..];
            left.closed = left.finder.advance(rest).is_break();
            self.release_held(id, middle.held);
            // Giving memory back takes its time, too.
            self.spend(u32::try_from(middle.held / FREED_PER_UNIT).unwrap_or(u32::MAX));
        }
        Some(left)
    }

    /// Notes a connection that seems stale, to be looked at once more.
    pub(crate) fn doubt(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && !conn.marks.has(Mark::Doubtful)
        {
            conn.marks.set(Mark::Doubtful);
            self.doubtful.push_back(id);
        }
    }

    // ---- memory ----

    /// Counts bytes that a connection holds for what it has sent.
    pub(crate) fn hold(&mut self, id: ConnId, bytes: u64) {
        self.stats.held_bytes += bytes;
        if self.table.get(id).is_some_and(Conn::is_stranger) {
            self.stats.stranger_bytes += bytes;
        }
    }

    pub(crate) fn release_held(&mut self, id: ConnId, bytes: u64) {
        if sabotage::on(Bug::HeldLeaks) {
            return;
        }
        self.stats.held_bytes -= bytes;
        if self.table.get(id).is_some_and(Conn::is_stranger) {
            self.stats.stranger_bytes -= bytes;
        }
    }

    // ---- work ----

    /// Counts work.
    pub(crate) fn spend(&mut self, units: u32) {
        self.work.spend(units, &mut self.stats);
    }

    /// Counts a frame, or a part of one, of this many bytes.
    pub(crate) fn spend_frame(&mut self, bytes: usize) {
        self.spend(1);
        self.work.spend_bytes(bytes, &mut self.stats);
    }

    /// Returns whether more of this connection's input may be worked on now.
    pub(crate) fn may_go_on(&self, id: ConnId) -> bool {
        let waits = |c: &Conn| c.marks.has(Mark::Paused) || c.is_busy();
        self.work.is_current(id) && self.work.may_go_on() && !self.table.get(id).is_some_and(waits)
    }

    /// Notes that the host has not finished with the last message of an open connection, and keeps `bytes` of it.
    pub(crate) fn set_unfinished(&mut self, id: ConnId, bytes: usize) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(middle) = &mut conn.phase
        {
            middle.get_or_insert_default().unfinished = Some(bytes as u64);
            self.hold_back(id);
        }
    }

    /// Leaves the next step of what a connection has sent to its share of the loop's work.
    pub(crate) fn hold_back(&mut self, id: ConnId) {
        if !self.work.is_current(id) {
            self.ready.push(id);
        }
    }

    /// Notes that a connection waits for its next share.
    pub(crate) fn throttle(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        // It is we that keep the pong waiting.
        conn.health.forget_outstanding();
        if let Phase::Open(Some(middle)) = &mut conn.phase {
            middle.slow = true;
            if middle.throttled_since.is_none() {
                middle.throttled_since = Some(now);
                middle.throttled_counted = now;
                self.stats.classes[usize::from(conn.class.0)].throttled += 1;
            }
        }
    }

    /// Counts how long a connection has waited for its shares since that was last counted. Returns it if it is at least `least`.
    pub(crate) fn count_wait(&mut self, id: ConnId, least: Micros, now: Micros) -> Option<Micros> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(Some(middle)) = &mut conn.phase else {
            return None;
        };
        middle.throttled_since?;
        let waited = now - middle.throttled_counted;
        if waited < least {
            return None;
        }
        middle.throttled_counted = now;
        self.stats.classes[usize::from(conn.class.0)].throttled_time += waited;
        Some(waited)
    }

    /// Notes that a connection waits for no share any more. Returns how long it has waited since that was last counted.
    pub(crate) fn unthrottle(&mut self, id: ConnId, now: Micros) -> Option<Micros> {
        let waited = self.count_wait(id, Micros::ZERO, now)?;
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Open(Some(middle)) = &mut conn.phase
        {
            middle.throttled_since = None;
            self.stats.classes[usize::from(conn.class.0)].throttled -= 1;
        }
        Some(waited)
    }

    /// Gives up what has come of a request.
    pub(crate) fn leave_opening(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Opening(opening) = &mut conn.phase
            && let Some(opening) = opening.take()
        {
            self.release_held(id, opening.held);
        }
    }

    /// Counts what has come of a request. Returns whether there is room for it.
    pub(crate) fn account_for_head(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.table.get_mut(id) else {
            return true;
        };
        let Phase::Opening(Some(opening)) = &mut conn.phase else {
            return true;
        };
        let held = (size_of::<Opening>() + opening.bytes.capacity()) as u64;
        let before = std::mem::replace(&mut opening.held, held);
        self.hold(id, held);
        self.release_held(id, before);
        held <= SMALL || !self.is_full_for(id)
    }

    /// Ends a connection in this turn, whatever it was doing.
    pub(crate) fn bury(&mut self, id: ConnId, end: End) {
        self.leave_opening(id);
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
