//! What a host can do.

use crate::base::cause::Cause;
use crate::base::id::{Class, ConnId, TimerId};
use crate::base::time::Micros;
use crate::engine::config::{Config, ReconfigureError, SetPolicyError};
use crate::engine::conn::Mark;
use crate::engine::core::Core;
use crate::engine::message::{Message, Sent};
use crate::engine::prepared::{Outgoing, Prepared};
use crate::engine::remote::Remote;
use crate::engine::stats::Stats;
use crate::engine::timers::Purpose;
use crate::engine::verdict::Verdict;
use crate::engine::view::{ConnView, HealthView, Outlook};
use crate::health::Policy;
use crate::wire::http::{Reply, Request};
use std::net::SocketAddr;

/// The host's hands: valid during one call of the handler.
pub struct Io<'a> {
    pub(crate) core: &'a mut Core,
    pub(crate) now: Micros,
}

impl Io<'_> {
    /// Engine time: monotonic, less the loop's own stalls.
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Sends a message at the end of this turn. A `Close` is as [`close`](Io::close), a `Frame` goes as it is.
    pub fn send(&mut self, id: ConnId, message: Message) -> Sent {
        self.core.send(id, message, self.now)
    }

    /// Sends one message to many; the frame is built once and shared. Returns how many took it.
    pub fn send_many(&mut self, ids: impl IntoIterator<Item = ConnId>, message: &Message) -> usize {
        self.core.send_many(ids, message, self.now)
    }

    /// Sends a message whose frame was built before.
    pub fn send_prepared(&mut self, id: ConnId, message: &Prepared) -> Sent {
        self.core.send_frame(id, message.clone().into(), self.now)
    }

    /// How many messages have been sent to a peer, those that wait included; ends at `u32::MAX`. 0 for one that is gone.
    pub fn messages_sent(&self, id: ConnId) -> u32 {
        let conn = self.core.table.get(id);
        conn.map_or(0, |c| c.traffic.messages_out)
    }

    /// Takes back every message to a peer of which nothing has gone out yet, the last ones that were sent. Returns how many.
    pub fn take_back(&mut self, id: ConnId) -> u32 {
        self.core.take_back(id)
    }

    /// Sends one message to every connection of a class that is open now, over some turns: 1 024 slots in each. The frame is
    /// built once and shared. Returns whether it will be sent: not a control frame that is not legal, and no more than 64
    /// broadcasts may be under way.
    pub fn broadcast(&mut self, class: Class, message: &Message) -> bool {
        match Outgoing::of(message) {
            Ok(frame) => self.core.broadcast(class, frame),
            Err(_) => false,
        }
    }

    /// Stops reading from an open connection. Until [`resume_reading`](Io::resume_reading) it is not pinged, its silence does not
    /// count, and what it has sent stays in the kernel. For a peer whose messages have one destination that is behind.
    pub fn pause_reading(&mut self, id: ConnId) {
        self.core.set_paused(id, true, self.now);
    }

    /// Reads from a connection again. Its timeout begins anew.
    pub fn resume_reading(&mut self, id: ConnId) {
        self.core.set_paused(id, false, self.now);
    }

    /// Closes a connection in the host's name ([`Cause::KICKED`]), with this close code (RFC 6455 §7.4) and reason (cut to
    /// 123 bytes). A code that may not be sent becomes 1011. What was sent before goes out first, unless the peer is behind: then
    /// the messages of which nothing has gone out are taken back ([`Ending::unsent`](crate::engine::Ending::unsent)), so that it learns of the close.
    pub fn close(&mut self, id: ConnId, code: u16, reason: &str) {
        self.core.close(id, Cause::KICKED, code, reason, self.now);
    }

    /// As [`close`](Io::close), for a cause that the host knows better than [`Cause::KICKED`]. One that is not registered
    /// ([`Config::causes`](crate::Config::causes)) becomes [`Cause::INTERNAL`].
    pub fn close_for(&mut self, id: ConnId, cause: Cause, code: u16, reason: &str) {
        let cause = self.core.stats.causes.known(cause);
        self.core.close(id, cause, code, reason, self.now);
    }

    /// Gives the verdict that was deferred. A second [`Verdict::Defer`] changes nothing.
    pub fn answer(&mut self, id: ConnId, verdict: Verdict) {
        self.core.answers.push_back((id, verdict));
    }

    /// Has [`Handler::on_timer`](crate::engine::Handler::on_timer) called once, `after` from now or up to 5 ms later.
    pub fn timer(&mut self, after: Micros) -> TimerId {
        self.core
            .start_timer(Purpose::Host, self.now + after, self.now)
    }

    /// Stops a timer. One that has run out, or was stopped, is left alone.
    pub fn cancel(&mut self, timer: TimerId) {
        self.core.timers.cancel(timer);
    }

    /// Changes a class's policy: at once for new connections, within a few turns for existing ones. No connection that answers is closed:
    /// each is pinged within one new interval of that, and not stale sooner than it would have been or one new timeout
    /// later, whichever is first. A first message is missed by the new limit since the opening.
    ///
    /// # Errors
    /// [`SetPolicyError`]; nothing has changed then.
    pub fn set_policy(&mut self, class: Class, policy: Policy) -> Result<(), SetPolicyError> {
        self.core.set_policy(class, policy)
    }

    /// The policy of a class.
    pub fn policy(&self, class: Class) -> Option<&Policy> {
        self.core.policies.classes().get(usize::from(class.0))
    }

    /// Takes new limits, and policies by class, as [`set_policy`](Io::set_policy) does; the classes' names stay. No connection
    /// is touched: what one holds already it may keep, and a message that has begun is measured by the limit that it met.
    ///
    /// # Errors
    /// [`ReconfigureError`]; nothing has changed then.
    pub fn reconfigure(&mut self, config: Config) -> Result<(), ReconfigureError> {
        self.core.reconfigure(config)
    }

    /// Changes how many connections are held at once; if there are more, none is closed. Takes effect with the end of the turn.
    pub fn set_max_connections(&mut self, most: usize) {
        self.core.new_cap = Some(most);
    }

    /// Counts `units` of the host's own work against the budget of the turn and the share of the connection whose call
    /// this is. The engine counts one unit for each frame, each delivery and each 4 KiB of input by itself; a unit is about a
    /// microsecond of CPU. A host calls this for work that grows with what a peer sends: list entries, rows, searches.
    pub fn spend(&mut self, units: u32) {
        self.core.spend(units);
    }

    /// Says that the host has not finished with the message of this connection that it was given last. What the peer has sent behind it is
    /// not looked at, and counts as heard; [`Handler::on_continue`](crate::engine::Handler::on_continue) is called within the connection's shares of the loop's work. A step
    /// between two calls delays every other connection, so it should cost no more than some 100 units.
    ///
    /// `bytes` is the memory that the host keeps for the rest of the message. The connection holds it until `on_continue` is called
    /// next: the host must not [`charge`](Io::charge) it as well. When the connection begins to close, it holds nothing any more; in the
    /// last `on_continue` the host gives that memory up, or charges it.
    pub fn unfinished(&mut self, id: ConnId, bytes: usize) {
        self.core.set_unfinished(id, bytes);
    }

    /// Counts `bytes` that the host keeps on behalf of its peers against
    /// [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes), until [`release`](Io::release). Charge what is
    /// allocated: capacities and the overhead of each entry, not lengths.
    pub fn charge(&mut self, bytes: usize) {
        self.core.stats.host_bytes += bytes as u64;
    }

    /// Takes back a [`charge`](Io::charge).
    pub fn release(&mut self, bytes: usize) {
        self.core.stats.host_bytes = self.core.stats.host_bytes.saturating_sub(bytes as u64);
    }

    /// Returns whether the host may keep `bytes` more within [`Config::max_buffered_bytes`](crate::Config::max_buffered_bytes).
    pub fn has_room(&self, bytes: usize) -> bool {
        let most = self.core.config.max_buffered_bytes as u64;
        self.core.stats.buffered_bytes() + bytes as u64 <= most
    }

    /// Says that the client is somewhere else than the socket's other end: a trusted proxy has named it. An unknown port is 0.
    /// Acknowledgements are the proxy's then, and count for one timeout at most.
    pub fn set_peer_addr(&mut self, id: ConnId, addr: SocketAddr) {
        if let Some(conn) = self.core.table.get_mut(id) {
            conn.set_peer_addr(addr);
            conn.marks.set(Mark::Proxied);
        }
    }

    /// Has [`Handler::on_pong`](crate::engine::Handler::on_pong) called for each answered heartbeat of this connection, or not any more. An answer to a
    /// heartbeat from before proves nothing of messages.
    pub fn watch(&mut self, id: ConnId, on: bool) {
        if let Some(conn) = self.core.table.get_mut(id) {
            if on {
                if !conn.marks.has(Mark::Watched) {
                    conn.marks.set(Mark::Watched);
                    self.core.receipts.note(id, 0);
                }
            } else {
                conn.marks.take(Mark::Watched);
            }
        }
    }

    /// A connection as it is now, whatever its phase; `None` once its end was told.
    pub fn view(&self, id: ConnId) -> Option<ConnView> {
        self.core.view(id, self.now)
    }

    /// What will become of a connection if nothing more happens.
    pub fn outlook(&self, id: ConnId) -> Option<Outlook> {
        self.core.outlook(id)
    }

    /// No connection is in a slot at or above this. With [`in_slot`](Io::in_slot) a host looks at all connections, some at a
    /// time: at 100 000 connections all at once would delay every connection.
    pub fn slots(&self) -> u32 {
        self.core.table.bound()
    }

    /// The connection in a slot, in whatever phase.
    pub fn in_slot(&self, slot: u32) -> Option<ConnId> {
        self.core.table.id_in(slot)
    }

    /// The health of an open connection.
    pub fn health(&self, id: ConnId) -> Option<HealthView> {
        self.core.health(id, self.now)
    }

    /// Bytes that wait for this peer; 0 for one that is gone.
    pub fn pending(&self, id: ConnId) -> usize {
        self.core.table.get(id).map_or(0, |c| c.pending())
    }

    /// Returns whether more waits for this peer than [`Config::max_pending_bytes`](crate::Config::max_pending_bytes): it is closed
    /// unless it reads within [`Config::slow_after`](crate::Config::slow_after).
    pub fn is_over_limit(&self, id: ConnId) -> bool {
        self.pending(id) > self.core.config.max_pending_bytes
    }

    /// Where a connection comes from.
    pub fn peer_addr(&self, id: ConnId) -> Option<SocketAddr> {
        self.core.table.get(id).map(|c| c.peer_addr())
    }

    /// The class of an open connection.
    pub fn class(&self, id: ConnId) -> Option<Class> {
        self.core
            .table
            .get(id)
            .filter(|c| c.is_open())
            .map(|c| c.class)
    }

    /// The open connections of a class, by slot. Looks at every slot.
    pub fn connections(&self, class: Class) -> impl Iterator<Item = ConnId> {
        self.core
            .table
            .ids()
            .filter(move |(_, c)| c.is_open() && c.class == class)
            .map(|(id, _)| id)
    }

    /// What the loop has counted.
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// The usual answer to a load balancer's health check, for [`Handler::on_check`](crate::engine::Handler::on_check): 200
    /// `{"status":"ok"}`, or 503 `{"status":"draining"}` while a drain goes on. To OPTIONS it says which methods there are.
    pub fn health_reply(&self, request: &Request) -> Reply {
        let (status, text) = if self.is_draining() {
            (503, "draining")
        } else {
            (200, "ok")
        };
        let reply = Reply::new(status, format!("{{\"status\":\"{text}\"}}"));
        request.with_methods(reply)
    }

    /// Returns whether the gateway is going away.
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
    }

    /// If the gateway is going away: the time until it stops accepting, and the time after that by which everybody is told to
    /// leave.
    pub fn drain_left(&self) -> Option<(Micros, Micros)> {
        self.core.drain_left(self.now)
    }

    /// The delay and the spread that will hold if a drain with these is asked for now: the shorter ones, if one is going on.
    pub fn drain_with(&self, delay: Micros, spread: Micros) -> (Micros, Micros) {
        let (until, left) = self.drain_left().unwrap_or((delay, spread));
        (delay.min(until), spread.min(left))
    }

    /// As [`Remote::drain`], at once: when this returns, [`health_reply`](Io::health_reply) says 503. Returns the delay and the spread that hold.
    pub fn drain(&mut self, delay: Micros, spread: Micros) -> (Micros, Micros) {
        let holds = self.drain_with(delay, spread);
        self.core.announce_drain(delay, spread, self.now);
        holds
    }

    /// A handle for other threads.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }
}
