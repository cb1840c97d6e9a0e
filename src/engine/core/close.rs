//! Closing connections, refusing requests, and ending both.

use super::core::{Core, UNSENT_SMALL};
use crate::base::cause::{Cause, EndCode, cut_reason};
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::conn::{Closing, Conn, Mark, Phase};
use crate::engine::ending::Draft;
use crate::engine::retry::retry_after_s;
use crate::engine::view::Awaits;
use crate::health::HealthState;
use crate::wire::encoder;
use crate::wire::http::Reply;
use crate::wire::scan::CloseFinder;

/// Freeing this many bytes counts as one unit of work.
const FREED_PER_UNIT: u64 = 16 * 1024;

/// What remains of a connection that is no longer open.
#[derive(Default)]
pub(crate) struct Left {
    pub(crate) finder: CloseFinder,
    /// Whether the peer's close frame was in its unprocessed input.
    pub(crate) closed: bool,
}

impl Core {
    /// Closes an open connection, or refuses one that waits for its verdict.
    pub(crate) fn close(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str, now: Micros) {
        let Some(conn) = self.table.get(id) else {
            return;
        };
        match conn.phase {
            Phase::Open(_) => {
                let code = if encoder::is_sendable(code) {
                    code
                } else {
                    1011
                };
                self.shut(id, cause, code, reason, now);
            }
            Phase::Opening(_) => {
                let reply = if cause == Cause::DRAINING {
                    Reply::error(503, reason).with_retry_after(retry_after_s(id))
                } else {
                    Reply::error(403, reason)
                };
                self.reply(id, &reply, false, cause, now);
            }
            Phase::Closing(_) | Phase::Dead(_) => {}
        }
    }

    /// Closes a connection because the buffers are full and its unsent bytes are part of that.
    pub(crate) fn no_room(&mut self, id: ConnId, bytes: usize, now: Micros) {
        let reason = format!("no room for {bytes} unsent bytes");
        self.shut(
            id,
            Cause::BUFFERS_FULL,
            Cause::BUFFERS_FULL.close_code(),
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
            Cause::SLOW_CONSUMER,
            Cause::SLOW_CONSUMER.close_code(),
            &reason,
            now,
        );
    }

    /// Queues our close frame on an open connection. From here on the peer's input is skipped.
    pub(crate) fn shut(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str, now: Micros) {
        let blocked = self.table.get(id).is_some_and(Conn::is_blocked);
        let Some(left) = self.leave_open(id) else {
            return;
        };
        let reason = cut_reason(reason);
        let frame = encoder::close(code, reason);
        let pending = self.table.get(id).map_or(0, Conn::pending);
        let mut unsent = 0;
        // Bytes that the peer has not taken would only delay the close. Bytes that wait only for
        // the end of this turn may explain the close, and go out before it.
        let discard = blocked
            || [Cause::STALE, Cause::SLOW_CONSUMER, Cause::FRAME_TIMEOUT].contains(&cause)
            || cause == Cause::BUFFERS_FULL && pending > UNSENT_SMALL;
        self.queue(id, |out| {
            if discard {
                unsent = out.discard_unsent();
            }
            out.push_close(frame);
        });
        // After a protocol error the stream has no frames any more, only bytes; a stale peer will
        // not answer.
        let has_no_answer = [
            Cause::STALE,
            Cause::PROTOCOL,
            Cause::INVALID_DATA,
            Cause::TOO_BIG,
            Cause::BUFFERS_FULL,
            Cause::FRAME_TIMEOUT,
        ];
        let awaits = if has_no_answer.contains(&cause) {
            Awaits::PeerLeaves
        } else {
            Awaits::PeerCloses
        };
        let mut end = Draft::of(cause);
        end.code = EndCode::Close(code);
        end.reason = reason.into();
        end.unsent = unsent;
        self.enter_closing(id, end, awaits, left, now);
        if cause == Cause::STALE {
            self.table.tell_now(id);
        }
    }

    /// Answers a request without upgrading it.
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
        let mut end = Draft::of(cause);
        end.code = EndCode::Http(reply.status);
        end.reason = cut_reason(&reply.reason).into();
        self.queue_control(id, &reply.render(is_head));
        self.enter_closing(id, end, Awaits::PeerLeaves, Left::default(), now);
    }

    pub(crate) fn enter_closing(
        &mut self,
        id: ConnId,
        end: Draft,
        awaits: Awaits,
        left: Left,
        now: Micros,
    ) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let timeout = self.policies.of(conn.class, conn.policy).close_timeout;
        conn.phase = Phase::Closing(Box::new(Closing {
            end,
            awaits,
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

    /// Completes the closing handshake: the peer answered our close frame, or sent its own at the
    /// same time.
    pub(crate) fn peer_closed_too(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else {
            return;
        };
        let nothing_waits = conn.out.is_none();
        let Phase::Closing(closing) = &mut conn.phase else {
            return;
        };
        if closing.awaits != Awaits::PeerCloses {
            return;
        }
        closing.awaits = Awaits::Flushed;
        closing.end.clean = true;
        if nothing_waits {
            let end = closing.end.clone();
            self.bury(id, end);
        }
    }

    /// Takes the work in progress of an open connection. Returns `None` if it is not open.
    pub(crate) fn leave_open(&mut self, id: ConnId) -> Option<Left> {
        let conn = self.table.get_mut(id)?;
        let Phase::Open(middle) = &mut conn.phase else {
            return None;
        };
        let middle = middle.take();
        conn.marks.take(Mark::Deferred);
        let class = &mut self.stats.classes[usize::from(conn.class.0)];
        class.suspects -= u64::from(conn.health.state() == HealthState::Suspect);
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
            // Freeing memory takes time, too.
            self.spend(u32::try_from(middle.held / FREED_PER_UNIT).unwrap_or(u32::MAX));
        }
        Some(left)
    }

    /// Puts a connection that seems stale on the list for a last look at its socket.
    pub(crate) fn doubt(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && !conn.marks.has(Mark::Doubtful)
        {
            conn.marks.set(Mark::Doubtful);
            self.doubtful.push_back(id);
        }
    }

    /// Discards the received part of a request.
    pub(crate) fn leave_opening(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && let Phase::Opening(opening) = &mut conn.phase
            && let Some(opening) = opening.take()
        {
            self.release_held(id, opening.held);
        }
    }

    /// Ends a connection in this turn, in any phase.
    pub(crate) fn bury(&mut self, id: ConnId, end: Draft) {
        self.leave_opening(id);
        self.leave_open(id);
        self.table.bury(id, end);
    }
}
