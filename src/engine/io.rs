//! The actions of a host.

use crate::base::cause::{Cause, EndCode};
use crate::base::id::{Class, ConnId, TimerId};
use crate::base::time::Micros;
use crate::engine::cohort_view::{CohortView, FleetView, SavedCohort};
use crate::engine::config::{Config, ReconfigureError, SetPolicyError};
use crate::engine::core::Core;
use crate::engine::dial::{Dial, DialError};
use crate::engine::flags::Flag;
use crate::engine::link::LinkRules;
use crate::engine::message::{Message, SendOutcome};
use crate::engine::out::Out;
use crate::engine::prepared::{Outgoing, PreparedMessage};
use crate::engine::remote::Remote;
use crate::engine::stats::Stats;
use crate::engine::timers::TimerPurpose;
use crate::engine::verdict::Verdict;
use crate::engine::view::{ConnView, HealthView, Outlook};
use crate::health::{Policy, Risk};
use crate::wire::http::{Reply, Request};
use std::net::SocketAddr;

/// The actions of a host, valid during one call of the handler.
pub struct Io<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) now: Micros,
}

impl Io<'_> {
    /// Returns the engine time: monotonic, without the loop's own stalls.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Sends a message at the end of this turn. A `Close` acts as [`close`](Io::close); a `Frame`
    /// is sent unchanged.
    pub fn send(&mut self, id: ConnId, message: Message) -> SendOutcome {
        self.core.send(id, message, self.now)
    }

    /// Sends one message to many connections; the frame is built once and shared. Returns how many
    /// accepted it.
    pub fn send_many(&mut self, ids: impl IntoIterator<Item = ConnId>, message: &Message) -> usize {
        self.core.send_many(ids, message, self.now)
    }

    /// Sends a message whose frame is already built.
    pub fn send_prepared(&mut self, id: ConnId, message: &PreparedMessage) -> SendOutcome {
        self.core.send_frame(id, message.clone().into(), self.now)
    }

    /// Returns how many messages were sent to a peer, queued ones included; stops at `u32::MAX`. 0
    /// for a connection that has ended.
    pub fn messages_sent(&self, id: ConnId) -> u32 {
        let conn = self.core.table.get(id);
        conn.map_or(0, |c| c.traffic.messages_out)
    }

    /// Removes the last messages from a peer's queue: those of which no byte was sent. Returns how
    /// many.
    pub fn discard_unsent(&mut self, id: ConnId) -> u32 {
        self.core.discard_unsent(id)
    }

    /// Sends one message to every connection of a class that is open now, over several turns: 1 024
    /// slots in each. The frame is built once and shared. Returns whether it will be sent: `false`
    /// for an illegal control frame, or if 64 broadcasts are already in progress.
    pub fn broadcast(&mut self, class: Class, message: &Message) -> bool {
        match Outgoing::of(message) {
            Ok(frame) => self.core.broadcast(class, frame),
            Err(_) => false,
        }
    }

    /// Stops reading from an open connection until [`resume_reading`](Io::resume_reading). It is
    /// not pinged meanwhile, its silence does not count, and its input stays in the kernel. Use
    /// this for a peer whose messages go to one destination that is behind.
    pub fn pause_reading(&mut self, id: ConnId) {
        self.core.set_paused(id, Flag::Paused, true, self.now);
    }

    /// Reads from a connection again. Its timeout starts again.
    pub fn resume_reading(&mut self, id: ConnId) {
        self.core.set_paused(id, Flag::Paused, false, self.now);
    }

    /// Closes a connection on behalf of the host ([`Cause::KICKED`]), with this close code (RFC
    /// 6455 §7.4) and reason (cut to 123 bytes). A code that may not be sent becomes 1011. Earlier
    /// messages go out first. If the peer is behind, messages of which no byte was sent are removed
    /// instead, so that the peer learns of the close
    /// ([`Ending::unsent`](crate::engine::Ending::unsent)).
    pub fn close(&mut self, id: ConnId, code: u16, reason: &str) {
        self.core.close(id, Cause::KICKED, code, reason, self.now);
    }

    /// Closes like [`close`](Io::close), for a cause more specific than [`Cause::KICKED`]. A cause
    /// that is not registered ([`Config::causes`](crate::Config::causes)) becomes
    /// [`Cause::INTERNAL`].
    pub fn close_for(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str) {
        let cause = self.core.stats.causes.resolve(cause);
        self.core.close(id, cause, code, reason, self.now);
    }

    /// Connects to a server, to open a WebSocket as a client. The driver connects after this call.
    /// [`Handler::on_response`](crate::engine::Handler::on_response) is called when the server has
    /// answered, then [`on_open`](crate::engine::Handler::on_open) if it agrees to a WebSocket.
    /// [`on_close`](crate::engine::Handler::on_close) is called once in any case.
    ///
    /// # Errors
    /// [`DialError`]; nothing was dialled then, and no call follows.
    pub fn dial(&mut self, dial: Dial) -> Result<ConnId, DialError> {
        self.core.dial(dial, self.now)
    }

    /// Links two connections: from now on the frames of each are forwarded to the other as they
    /// came, without calls of the host. Messages of the host to either are refused
    /// ([`SendError::Linked`](crate::engine::SendError::Linked)). Call this before the second of
    /// them opens: for a dialled one in
    /// [`on_response`](crate::engine::Handler::on_response), so that no frame is missed.
    ///
    /// A close frame is forwarded, too, and its answer. When one connection ends otherwise, the
    /// host closes the other in [`Handler::on_pair_end`](crate::engine::Handler::on_pair_end).
    ///
    /// Returns whether they are linked: both exist, no message of either has begun, and neither has
    /// a partner already.
    pub fn link(&mut self, a: ConnId, b: ConnId, rules: LinkRules) -> bool {
        self.core.link(a, b, rules)
    }

    /// Returns the connection that this one is linked to, while it exists.
    pub fn partner(&self, id: ConnId) -> Option<ConnId> {
        self.core.partner_of(id)
    }

    /// Gives a deferred verdict. A second [`Verdict::Defer`] changes nothing.
    pub fn answer(&mut self, id: ConnId, verdict: Verdict) {
        self.core.answers.push_back((id, verdict));
    }

    /// Starts a timer: [`Handler::on_timer`](crate::engine::Handler::on_timer) is called once,
    /// `after` from now or up to 5 ms later.
    pub fn start_timer(&mut self, after: Micros) -> TimerId {
        self.core
            .start_timer(TimerPurpose::Host, self.now + after, self.now)
    }

    /// Stops a timer. Does nothing if it has already expired or was stopped.
    pub fn cancel_timer(&mut self, timer: TimerId) {
        self.core.timers.cancel(timer);
    }

    /// Changes a class's policy: at once for new connections, within a few turns for existing ones.
    /// A connection that answers is not closed: it is pinged within one new interval of the change.
    /// It becomes stale at its old deadline or one new timeout after the change, whichever is
    /// earlier. The new limit for the first message counts from the opening.
    ///
    /// # Errors
    /// [`SetPolicyError`]; nothing has changed then.
    pub fn set_policy(&mut self, class: Class, policy: Policy) -> Result<(), SetPolicyError> {
        self.core.set_policy(class, policy)
    }

    /// Returns the policy of a class.
    pub fn policy(&self, class: Class) -> Option<&Policy> {
        self.core.policies.classes().get(usize::from(class.0))
    }

    /// Returns the policy of a connection: its class's, or its own.
    pub fn policy_of(&self, id: ConnId) -> Option<&Policy> {
        let conn = self.core.table.get(id)?;
        Some(self.core.policy_of(conn))
    }

    /// Applies new limits, and policies by class like [`set_policy`](Io::set_policy). The classes'
    /// names do not change. Existing connections keep what they already hold, and a message in
    /// progress keeps the limit under which it began.
    ///
    /// # Errors
    /// [`ReconfigureError`]; nothing has changed then.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), ReconfigureError> {
        self.core.reconfigure(config)
    }

    /// Returns the most accepted connections that the driver admits; `None` if it has set no limit.
    pub fn max_connections(&self) -> Option<usize> {
        self.core.max_connections
    }

    /// Changes the limit on connections. If there are more, none is closed. Takes effect at the end
    /// of the turn.
    pub fn set_max_connections(&mut self, most: usize) {
        self.core.new_max_connections = Some(most);
    }

    /// Counts `units` of the host's own work against the budget of the turn and the share of the
    /// connection that this call is for. The engine itself counts one unit for each frame, each
    /// delivery and each 4 KiB of input; a unit is about a microsecond of CPU. Call this for work
    /// that grows with what a peer sends: list entries, rows, searches.
    pub fn spend(&mut self, units: u32) {
        self.core.spend(units);
    }

    /// Declares the last message of this connection unfinished. Later input of the peer is not
    /// processed, and counts as heard.
    /// [`Handler::on_continue`](crate::engine::Handler::on_continue) is called within the
    /// connection's shares of the loop's work. The work in one call delays every other connection,
    /// so it should cost at most about 100 units.
    ///
    /// `bytes` is the memory that the host keeps for the rest of the message. The connection holds
    /// it until the next `on_continue`: the host must not [`charge`](Io::charge) it as well. When
    /// the connection begins to close, it holds nothing any more. In the last `on_continue` the
    /// host frees that memory or charges it.
    pub fn set_unfinished(&mut self, id: ConnId, bytes: usize) {
        self.core.set_unfinished(id, bytes);
    }

    /// Counts `bytes` that the host keeps for its peers against
    /// [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes), until
    /// [`release`](Io::release). Charge what is allocated: capacities and the overhead of each
    /// entry, not lengths.
    pub fn charge(&mut self, bytes: usize) {
        self.core.stats.host_bytes += bytes as u64;
    }

    /// Keeps the messages that wait for a connection together: no heartbeat in the form of a text
    /// leaves before them or between them ([`HeartbeatForm::Text`](crate::HeartbeatForm::Text)).
    pub fn keep_together(&mut self, id: ConnId) {
        if self.core.table.get(id).is_some_and(|c| c.out.is_some()) {
            self.core.change_out(id, Out::note_fragment);
        }
    }

    /// Says that the message of this call does not introduce its peer. A peer that is unidentified
    /// stays so: its first message is still due
    /// ([`Policy::first_message_timeout`](crate::Policy::first_message_timeout)). Call this in
    /// [`Handler::on_message`](crate::engine::Handler::on_message).
    pub fn keep_unidentified(&mut self, id: ConnId) {
        self.core.stays_unidentified = Some(id);
    }

    /// Subtracts `bytes` from what was [charged](Io::charge).
    pub fn release(&mut self, bytes: usize) {
        self.core.stats.host_bytes = self.core.stats.host_bytes.saturating_sub(bytes as u64);
    }

    /// Returns whether the host may keep `bytes` more within
    /// [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes).
    pub fn has_room(&self, bytes: usize) -> bool {
        let most = self.core.config.max_buffered_bytes as u64;
        self.core.stats.buffered_bytes() + bytes as u64 <= most
    }

    /// Returns whether more than seven eighths of
    /// [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes) are used. Connections that
    /// hold much of it are being closed then. A host that keeps memory for peers frees its own.
    pub fn is_memory_short(&self) -> bool {
        self.core.is_nearly_full()
    }

    /// Sets the client's address as a trusted proxy reported it. An unknown port is 0. TCP
    /// acknowledgements then come from the proxy, and count for at most one timeout.
    pub fn set_peer_addr(&mut self, id: ConnId, addr: SocketAddr) {
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.set_peer_addr(addr);
            conn.flags.set(Flag::Proxied);
        }
    }

    /// Returns the cohort of an open connection.
    pub fn cohort(&self, id: ConnId) -> Option<CohortView> {
        let conn = self.core.table.get(id).filter(|conn| conn.is_open())?;
        self.core.foresight.cohorts.view(conn.cohort, self.now)
    }

    /// Returns all cohorts, at most 4 096, in no order.
    pub fn cohorts(&self) -> impl ExactSizeIterator<Item = CohortView> {
        self.cohorts_from(0)
    }

    /// Returns the cohorts from this place of their table on. A cohort keeps its place, so that a
    /// host may look at some in each turn.
    pub fn cohorts_from(&self, first: usize) -> impl ExactSizeIterator<Item = CohortView> {
        self.core.foresight.cohorts.views_from(first, self.now)
    }

    /// Returns the risk that the next heartbeats of an open connection are late: by its own latest
    /// heartbeats ([`ConnView::late_history`]), or high while its cohort has an alarm.
    pub fn risk(&self, id: ConnId) -> Option<Risk> {
        let conn = self.core.table.get(id).filter(|conn| conn.is_open())?;
        match self.core.foresight.cohorts.is_alarmed(conn.cohort) {
            true => Some(Risk::High),
            false => Some(conn.lates.risk()),
        }
    }

    /// Returns what the cohorts from number `from` on have learned about idle gaps, and the number
    /// to go on with; `None` if these were the last. It looks at no more than 512 cohorts.
    pub fn learned_gaps(&self, from: usize) -> (Vec<SavedCohort>, Option<usize>) {
        let until = from.saturating_add(512);
        let cohorts = &self.core.foresight.cohorts;
        let (saved, has_more) = cohorts.saved(from..until, self.now);
        (saved, has_more.then_some(until))
    }

    /// Restores what a cohort had learned about idle gaps in an earlier process. Returns `false` if
    /// intervals do not adapt, if there are 4 096 cohorts already, or if it is invalid.
    pub fn restore_gaps(&mut self, saved: &SavedCohort) -> bool {
        let is_class = usize::from(saved.class.0) < self.core.policies.classes().len();
        let is_on = self.core.config.cadence.is_some();
        is_on && is_class && self.core.foresight.cohorts.restore(saved, self.now)
    }

    /// Returns how many cohorts have an alarm.
    pub fn cohorts_alarmed(&self) -> usize {
        self.core.foresight.cohorts.alarmed()
    }

    /// Returns the latest heartbeats of all accepted connections together.
    pub fn fleet(&self) -> FleetView {
        self.core.foresight.fleet.view(self.now)
    }

    /// Turns [`Handler::on_pong`](crate::engine::Handler::on_pong) on or off for this connection.
    /// It is called for each answered heartbeat. The answer to a heartbeat sent before this call
    /// proves nothing about messages.
    pub fn report_pongs(&mut self, id: ConnId, on: bool) {
        if let Some(conn) = self.core.table.get_mut(id) {
            if on {
                if !conn.flags.has(Flag::ReportsPongs) {
                    conn.flags.set(Flag::ReportsPongs);
                    self.core.receipts.note(id, 0);
                }
            } else {
                conn.flags.take(Flag::ReportsPongs);
            }
        }
    }

    /// Takes the peer's answer to the heartbeat with this number
    /// ([`Handler::heartbeat_text`](crate::engine::Handler::heartbeat_text)), for which the host
    /// has found a message. Returns the round-trip time if it is the latest heartbeat and was not
    /// answered before. Any other number, such as that of an earlier heartbeat, is only a sign of
    /// life; for [`AliveBy::Pong`](crate::health::AliveBy::Pong) it must be one of the latest 16.
    ///
    /// [`Handler::on_pong`](crate::engine::Handler::on_pong) and
    /// [`on_health`](crate::engine::Handler::on_health) follow when the host's call has returned.
    pub fn heartbeat_answered(&mut self, id: ConnId, number: u64) -> Option<Micros> {
        self.core.heartbeat_answered(id, number, self.now)
    }

    /// Returns the longest message that a peer may send, in bytes
    /// ([`Config::max_message_bytes`](crate::Config::max_message_bytes)).
    pub fn max_message_bytes(&self) -> usize {
        self.core.config.max_message_bytes
    }

    /// Returns random bytes, at most 256, from the source of the driver: the one of the masks,
    /// which is strong (RFC 6455 §10.3). On virtual time they are a fixed sequence.
    pub fn random_bytes<const N: usize>(&mut self) -> [u8; N] {
        self.core.entropy.take()
    }

    /// Returns a snapshot of a connection in any phase; `None` once the host was told of its end.
    pub fn view(&self, id: ConnId) -> Option<ConnView> {
        self.core.view(id, self.now)
    }

    /// Returns the cause of a connection's end and the close code, which was received or will be
    /// sent, once its end has begun and until the host was told.
    pub fn end_of(&self, id: ConnId) -> Option<(Cause, EndCode)> {
        self.core.end_begun(id)
    }

    /// Returns what will happen to a connection without further events.
    pub fn outlook(&self, id: ConnId) -> Option<Outlook> {
        self.core.outlook(id)
    }

    /// Returns the upper bound of the slots in use. With [`id_in_slot`](Io::id_in_slot) a host can
    /// iterate over all connections, a few at a time. Iterating over 100 000 connections at once
    /// would delay every connection.
    pub fn slots(&self) -> u32 {
        self.core.table.bound()
    }

    /// Returns the connection in a slot, in any phase.
    pub fn id_in_slot(&self, slot: u32) -> Option<ConnId> {
        self.core.table.id_in_slot(slot)
    }

    /// Returns the health of an open connection.
    pub fn health(&self, id: ConnId) -> Option<HealthView> {
        self.core.health(id, self.now)
    }

    /// Returns the unsent bytes for this peer; 0 for a connection that has ended.
    pub fn pending(&self, id: ConnId) -> usize {
        self.core.table.get(id).map_or(0, |c| c.pending())
    }

    /// Returns whether more than [`Config::max_pending_bytes`](crate::Config::max_pending_bytes) is
    /// unsent for this peer. It is closed unless it reads within
    /// [`Config::slow_after`](crate::Config::slow_after).
    pub fn is_over_limit(&self, id: ConnId) -> bool {
        self.pending(id) > self.core.config.max_pending_bytes
    }

    /// Returns the address of a connection's client.
    pub fn peer_addr(&self, id: ConnId) -> Option<SocketAddr> {
        self.core.table.get(id).map(|c| c.peer_addr())
    }

    /// Returns the class of an open connection.
    pub fn class(&self, id: ConnId) -> Option<Class> {
        self.core
            .table
            .get(id)
            .filter(|c| c.is_open())
            .map(|c| c.class)
    }

    /// Returns the open connections of a class, by slot. Scans every slot.
    pub fn connections(&self, class: Class) -> impl Iterator<Item = ConnId> {
        self.core
            .table
            .ids()
            .filter(move |(_, c)| c.is_open() && c.class == class)
            .map(|(id, _)| id)
    }

    /// Returns the loop's counters.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// Returns the usual answer to a load balancer's health check, for
    /// [`Handler::on_health_check`](crate::engine::Handler::on_health_check): 200
    /// `{"status":"ok"}`, or 503 `{"status":"draining"}` during a drain. The answer to OPTIONS
    /// names the allowed methods.
    pub fn health_reply(&self, request: &Request) -> Reply {
        let (status, text) = if self.is_draining() {
            (503, "draining")
        } else {
            (200, "ok")
        };
        let reply = Reply::new(status, format!("{{\"status\":\"{text}\"}}"));
        request.with_allow(reply)
    }

    /// Returns whether a drain is in progress.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
    }

    /// Returns the time until accepting stops and the time after that until the last close, if a
    /// drain is in progress.
    pub fn drain_left(&self) -> Option<(Micros, Micros)> {
        self.core.drain_left(self.now)
    }

    /// Returns the delay and the spread that a drain with these values would have now: if one is in
    /// progress, the shorter of each.
    pub fn effective_drain(&self, delay: Micros, spread: Micros) -> (Micros, Micros) {
        let (until, left) = self.drain_left().unwrap_or((delay, spread));
        (delay.min(until), spread.min(left))
    }

    /// Starts a drain like [`Remote::drain`], at once: when this returns,
    /// [`health_reply`](Io::health_reply) answers 503. Returns the delay and the spread in effect.
    pub fn drain(&mut self, delay: Micros, spread: Micros) -> (Micros, Micros) {
        let holds = self.effective_drain(delay, spread);
        self.core.announce_drain(delay, spread, self.now);
        holds
    }

    /// Returns a handle through which other threads send commands to the loop.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }
}
