//! The queues of the routes: requests that wait until an upstream has room for them.

use super::bridge::Bridge;
use super::handshake_failure::HandshakeFailure;
use super::handshake_stats::HandshakeResult;
use super::pair_ends::GOING_AWAY;
use super::pending::PendingRequest;
use super::queue_lane::Lane;
use super::queue_service::{CROWD_LOOK, Served};
use super::request_queue::QueuedRequest;
use super::request_refusals::{Refusal, busy, unreachable, with_retry_after};
use super::route::Route;
use super::upstreams::{Choice, EndpointId};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::{DialRequest, Io, Verdict};
use std::sync::Arc;

/// How long a request waits until an upstream has room for it.
pub(super) const QUEUE_PATIENCE: Micros = Micros::from_secs(5);

/// How many upstreams are compared in one unit of work.
pub(super) const UPSTREAMS_PER_UNIT: u32 = 8;

/// How many requests of a queue are looked at in one step.
const QUEUE_LOOK: usize = 64;

/// After this time a request gets the place of one of a client that has more of them.
const CROWDED_AFTER: Micros = Micros::from_secs(1);

/// The time from one search for expired requests to the next.
const QUEUE_STEP: Micros = Micros::from_millis(100);

impl Bridge {
    /// Lets a request wait until an upstream of its route has room for it. If too many wait, one of
    /// a client with more of them gives way.
    pub(super) fn enqueue(
        &mut self,
        io: &mut Io<'_>,
        pending: Box<PendingRequest>,
        request: DialRequest,
        lane: Lane,
    ) -> Result<(), Refusal> {
        let (client, block) = (pending.client, pending.block);
        let route = pending.route.clone();
        let Some(live) = self.routes.by_name(&route.name) else {
            return Err(unreachable());
        };
        let queued = QueuedRequest {
            pending,
            request,
            until: io.now() + QUEUE_PATIENCE,
        };
        let bytes = queued.allocated();
        if !io.has_room(bytes) {
            return Err(busy(client));
        }
        let mut given_way = None;
        if live.queue.is_full() {
            let given = live.queue.give_way(block).ok_or_else(|| busy(client))?;
            given_way = Some(given.pending.client);
        }
        let ticket = live.queue.push(queued, lane);
        io.charge(bytes);
        self.queued.insert(client, (route, bytes, ticket));
        if let Some(other) = given_way {
            self.unqueue(io, other);
            self.answer_crowded(io, other);
        }
        self.set_queue_timer(io);
        Ok(())
    }

    /// Answers requests that wait for routes which are gone.
    pub(super) fn refuse_stranded(&mut self, io: &mut Io<'_>, stranded: Vec<QueuedRequest>) {
        for queued in stranded {
            let client = queued.pending.client;
            self.unqueue(io, client);
            self.refuse_left(io, client, &HandshakeFailure::RouteRemoved);
        }
    }

    /// Answers a request whose upstream takes no clients any more.
    pub(super) fn refuse_left(&mut self, io: &mut Io<'_>, client: ConnId, why: &HandshakeFailure) {
        let reply = with_retry_after(why.reply(), client.generation());
        let cause = Cause::DRAINING;
        self.answer(io, client, Verdict::Reply { reply, cause });
    }

    /// Notes that the request of a client waits no longer. Returns the route of its queue, and its
    /// ticket there.
    fn unqueue(&mut self, io: &mut Io<'_>, client: ConnId) -> Option<(Arc<Route>, u64)> {
        let (route, bytes, ticket) = self.queued.remove(&client)?;
        io.release(bytes);
        Some((route, ticket))
    }

    /// Removes the request of a client that has left from its queue, if it is in one.
    pub(super) fn leave_queue(&mut self, io: &mut Io<'_>, client: ConnId) {
        if let Some((route, ticket)) = self.unqueue(io, client)
            && let Some(live) = self.routes.by_name(&route.name)
        {
            live.queue.remove(ticket);
        }
    }

    /// Passes on requests of a route that wait, as far as upstreams have room: `freed`, or any of
    /// them if that is `None`.
    pub(super) fn serve_queue(&mut self, io: &mut Io<'_>, route: &str, freed: Option<EndpointId>) {
        if sabotage::on(Bug::QueueForgotten) {
            return;
        }
        let Some(live) = self
            .routes
            .by_name(route)
            .filter(|live| !live.queue.is_empty())
        else {
            return;
        };
        let mut round = live.begin_round(&self.endpoints, freed, io.now());
        let units = 1 + live.listed(&self.endpoints) as u32 / UPSTREAMS_PER_UNIT;
        for _ in 0..QUEUE_LOOK {
            let live = self.routes.by_name(route);
            let served = live.and_then(|l| l.serve_next(&self.endpoints, &mut round, io.now()));
            io.spend(units);
            let (queued, choice) = match served {
                Some(Served::Chosen(queued, choice)) => (*queued, choice),
                Some(Served::Waits) => continue,
                None => break,
            };
            let client = queued.pending.client;
            self.unqueue(io, client);
            let dialed = match choice {
                Choice::Endpoint(id) => self.dial_to(io, id, queued.pending, queued.request),
                _ => Err(self.no_upstream(route, client.generation())),
            };
            if let Err((cause, reply)) = dialed {
                self.answer(io, client, Verdict::Reply { reply, cause });
            }
        }
    }

    /// Gives up dials of clients that hold most places of an upstream, for requests of others that
    /// have waited for a second.
    fn relieve_crowds(&mut self, io: &mut Io<'_>, route: &str) {
        let before = io.now() + QUEUE_PATIENCE - CROWDED_AFTER;
        let Some(live) = self.routes.by_name(route) else {
            return;
        };
        let upstreams = live.listed(&self.endpoints) as u32;
        let clients = live.queue.len().min(CROWD_LOOK) as u32;
        io.spend(clients * (1 + upstreams / UPSTREAMS_PER_UNIT));
        for leg in live.giving_way(&self.endpoints, before, io.now()) {
            // One that was answered is closing anyway.
            let Some(pending) = self.pending.take(leg) else {
                continue;
            };
            self.count_handshake(leg, HandshakeResult::Abandoned);
            io.close_for(leg, Cause::AT_CAPACITY, GOING_AWAY, "another client's turn");
            self.answer_crowded(io, pending.client);
        }
    }

    /// Answers the requests that have waited in a queue for too long, and passes on others: an
    /// upstream may have been added or resumed.
    pub(super) fn expire_queues(&mut self, io: &mut Io<'_>) {
        self.queue_timer = None;
        let now = io.now();
        let (mut expired, mut waiting) = (Vec::new(), Vec::new());
        for live in self.routes.iter_mut() {
            let queue = std::iter::from_fn(|| live.queue.pop_expired(now));
            expired.extend(queue.map(|queued| queued.pending.client));
            if !live.queue.is_empty() {
                waiting.push(live.route.name.clone());
            }
        }
        for client in expired {
            self.unqueue(io, client);
            let (cause, reply) = busy(client);
            self.answer(io, client, Verdict::Reply { reply, cause });
        }
        for route in &waiting {
            self.serve_queue(io, route, None);
            self.relieve_crowds(io, route);
        }
        if !waiting.is_empty() {
            self.set_queue_timer(io);
        }
    }

    fn set_queue_timer(&mut self, io: &mut Io<'_>) {
        if self.queue_timer.is_none() {
            self.queue_timer = Some(io.start_timer(QUEUE_STEP));
        }
    }
}
