//! Connections that are not WebSockets yet: their limits, and which one is evicted for a newer one.
//!
//! Two kinds are limited. *Half-open* connections were admitted and have no verdict of the host
//! yet, or were answered with a status other than 101 and have not ended yet. A deferred verdict is
//! up to the host, so a connection that waits for one does not count. *Refused* connections were
//! accepted above the driver's limit, only to receive a refusal.
//!
//! An answered connection that is evicted is dropped. Any other gets a final check
//! ([`next_final_check`](super::Engine::next_final_check)) because its request may be unread in the
//! socket.

use super::conn::{Conn, Phase};
use super::conn_set::half_open_max;
use super::ending::EndingDraft;
use super::engine::Engine;
use super::flags::Flag;
use super::handler::Handler;
use super::retry::{capacity_reply, retry_after_s};
use super::view::CloseStage;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::wire::http::{Reply, ReplyForm};

impl Conn {
    /// Returns whether the connection was accepted and its request is not complete yet.
    fn is_awaiting_request(&self) -> bool {
        match &self.phase {
            Phase::Opening(opening) => opening.as_ref().is_none_or(|o| o.deferred.is_none()),
            Phase::Dialing(_) | Phase::Open(_) | Phase::Closing(_) | Phase::Dead(_) => false,
        }
    }

    /// Returns whether the connection is not a WebSocket: its request is not complete, or it was
    /// refused and has not ended yet.
    pub(super) fn is_plain_http(&self) -> bool {
        let is_answered =
            matches!(self.phase, Phase::Closing(_)) && !self.flags.has(Flag::Upgraded);
        self.is_awaiting_request() || is_answered
    }

    /// Returns whether the connection counts as half-open.
    fn is_half_open(&self) -> bool {
        !self.flags.has(Flag::Refused) && self.is_plain_http()
    }
}

impl<H: Handler> Engine<H> {
    /// Sets the most connections that the driver admits. At most a quarter of them, but at least
    /// 64, may be half-open: they have no verdict yet, and the host has not deferred it. Above that
    /// limit the oldest half-open one is evicted. Without this call there is no limit.
    pub fn set_max_connections(&mut self, most: usize) {
        self.half_open.limit = half_open_max(most);
        self.core.max_connections = Some(most);
    }

    /// Returns how many connections may be accepted before a half-open one is evicted.
    pub fn half_open_left(&self) -> usize {
        let half_open = &self.half_open;
        half_open.limit.saturating_sub(half_open.ids.len())
    }

    /// Counts a newly accepted connection as half-open or refused. If there are too many of them,
    /// another one is evicted.
    pub(super) fn add_unopened(&mut self, id: ConnId, refused: bool) {
        let evicted = if refused {
            self.refused.insert(id);
            self.surplus_refused()
        } else {
            self.half_open.insert(id);
            self.half_open.take_surplus()
        };
        let Some(evicted) = evicted else {
            return;
        };
        match self.core.table.get(evicted).map(|c| (&c.phase, &c.out)) {
            Some((Phase::Closing(closing), out)) => {
                let end = closing.end_early(out.is_some());
                self.core.mark_dead(evicted, end);
            }
            Some((Phase::Opening(_), _)) => self.core.final_checks.push_back(evicted),
            Some((Phase::Dialing(_) | Phase::Open(_) | Phase::Dead(_), _)) | None => {}
        }
    }

    /// Returns the refused connection to evict if there are too many: the oldest with a
    /// complete answer, else the oldest. All are scanned, because there are few.
    fn surplus_refused(&mut self) -> Option<ConnId> {
        if self.refused.ids.len() <= self.refused.limit {
            return None;
        }
        let is_answered = |id: &ConnId| {
            let conn = self.core.table.get(*id);
            conn.is_some_and(|c| matches!(c.phase, Phase::Closing(_)) && c.out.is_none())
        };
        let answered = self.refused.iter().find(is_answered);
        if let Some(answered) = answered {
            self.refused.remove(answered);
            return Some(answered);
        }
        self.refused.take_surplus()
    }

    /// Counts a connection as half-open or not, after a verdict.
    pub(super) fn update_half_open(&mut self, id: ConnId) {
        if self.core.table.get(id).is_some_and(Conn::is_half_open) {
            self.half_open.insert(id);
        } else {
            self.half_open.remove(id);
        }
    }

    /// No longer counts a connection that has ended.
    pub(super) fn remove_unopened(&mut self, id: ConnId, conn: &Conn) {
        if conn.flags.has(Flag::Refused) {
            self.refused.remove(id);
        } else if !conn.flags.has(Flag::Upgraded) {
            self.half_open.remove(id);
        }
    }

    /// Ends an evicted connection, after its final check. If part of its request was found, it is
    /// answered. It is released without waiting for its FIN, because the peer may never send one.
    pub(super) fn evict_half_open(&mut self, id: ConnId, now: Micros) {
        let Some(conn) = self.core.table.get(id) else {
            return;
        };
        let is_refused = conn.flags.has(Flag::Refused);
        if matches!(conn.phase, Phase::Opening(None)) && !is_refused {
            self.end_as_probe(id);
        } else if conn.is_awaiting_request() {
            let (reply, cause) = if is_refused {
                (capacity_reply(id), Cause::AT_CAPACITY)
            } else {
                let age = now - conn.since;
                let why = format!(
                    "no complete request within {age}, and a newer connection needed the place"
                );
                let reply = Reply::error(408, &why).with_retry_after(retry_after_s(id));
                (reply, Cause::HANDSHAKE_TIMEOUT)
            };
            self.core.reply(id, &reply, ReplyForm::Whole, cause, now);
        }
        if let Some(conn) = self.core.table.get_mut(id)
            && let Phase::Closing(closing) = &mut conn.phase
        {
            closing.stage = CloseStage::Flush;
            self.core.table.mark_dirty(id);
        }
    }

    /// Ends a connection that has sent nothing, without an answer. Browsers open such connections
    /// in advance and would take an answer as the response to their next request.
    pub(super) fn end_as_probe(&mut self, id: ConnId) {
        self.core.mark_dead(id, EndingDraft::of(Cause::PROBE));
    }

    /// Checks that the sets hold exactly the half-open and the refused connections.
    ///
    /// # Errors
    /// The first connection that breaks this rule.
    #[cfg(feature = "testing")]
    pub(super) fn check_conn_sets(&self) -> Result<(), String> {
        let find = |id: ConnId| self.core.table.get(id);
        if let Some(id) = self
            .half_open
            .iter()
            .find(|id| !find(*id).is_some_and(Conn::is_half_open))
        {
            return Err(format!("{id} holds a half-open place and is not half-open"));
        }
        let is_refused = |c: &Conn| c.flags.has(Flag::Refused);
        if let Some(id) = self
            .refused
            .iter()
            .find(|id| !find(*id).is_some_and(is_refused))
        {
            return Err(format!(
                "{id} still holds a half-open place, although it was to be refused"
            ));
        }
        let opening = self
            .core
            .table
            .ids()
            .filter(|(_, c)| c.is_awaiting_request() && !c.flags.has(Flag::Refused));
        let (opening, known) = (opening.count(), self.half_open.ids.len());
        if opening > known + self.core.final_checks.len() {
            return Err(format!(
                "{opening} connections are half-open, {known} are counted"
            ));
        }
        Ok(())
    }
}
