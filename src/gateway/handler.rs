//! The gateway's handlers for the events of the loop.

use super::client_files::{client_file, is_client_file};
use super::event_log::{self, PeerInfo};
use super::gateway::Gateway;
use super::request_checks::{blocked_verdict, drain_refusal, identity_refusal};
use super::unserved::no_such_path;
use crate::base::address_block::AddressBlock;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{
    Class, CohortView, Ending, Handler, HeartbeatText, Io, Message, Overdue, PairEnd, Pong,
    Preamble, Reply, Request, Response, ResponseVerdict, SilenceEvidence, TimerId, Verdict,
};
use crate::health::{CohortChange, HealthChange};
use crate::host::{ClientCheck, Identity, LogValue, Product, RequestDecision};
use std::net::SocketAddr;

impl Handler for Gateway {
    fn on_preamble(&mut self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        self.proxies.read_preamble(peer_addr, bytes)
    }

    fn on_health_check(&mut self, io: &mut Io<'_>, _: ConnId, request: &Request) -> Option<Reply> {
        if self.is_health_check(request) {
            return Some(io.health_reply(request));
        }
        client_file(request).filter(|_| self.serves_client())
    }

    /// Plain HTTP for a route is served by a thread of its own.
    fn hands_over(&mut self, request: &Request) -> bool {
        let is_file = is_client_file(request.path()) && self.serves_client();
        let is_own = self.is_health_check(request) || is_file;
        let mut bridge = self.bridge().filter(|_| !is_own);
        bridge
            .as_mut()
            .is_some_and(|bridge| bridge.passes_http(request))
    }

    /// Returns whether OPTIONS is allowed for this path: for the health check, because HAProxy
    /// sends OPTIONS by default.
    fn accepts_options(&self, path: &str) -> bool {
        path == &*self.health_path
    }

    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let verdict = self.decide(io, id, request);
        let Verdict::Reply { reply, cause } = &verdict else {
            return verdict;
        };
        let mut products = self.products.all();
        let opened = products.find_map(|product| product.refuse_open(id, request, reply, *cause));
        opened.unwrap_or(verdict)
    }

    fn on_unserved(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        if let Some(client) = self.proxies.client_addr(request) {
            io.set_peer_addr(id, client);
        }
        self.user_agents.on_request(id, request);
    }

    fn heartbeat_text(&mut self, io: &mut Io<'_>, id: ConnId, number: u64) -> HeartbeatText {
        match io.class(id) {
            Some(class) => self.products.of(class).heartbeat_text(io, id, number),
            None => HeartbeatText::of_number(number),
        }
    }

    fn on_drain_close(&mut self, io: &mut Io<'_>, id: ConnId) -> bool {
        let class = io.class(id);
        class.is_none_or(|class| self.products.of(class).on_drain_close(io, id))
    }

    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, pong: Pong) {
        let has_history = self.histories.on_pong(id, pong.rtt);
        let mut is_wanted = false;
        if let Some(identity) = self.identities.get(id) {
            let product = self.products.of(identity.class);
            is_wanted = product.on_pong(io, id, identity, pong.received);
        }
        if !has_history && !is_wanted {
            io.report_pongs(id, false);
        }
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let mut products = self.products.besides_relay();
        let verdict = products.find_map(|product| product.on_response(io, id, response));
        let unknown = || ResponseVerdict::Refuse("no product has dialled this server".to_owned());
        verdict.unwrap_or_else(unknown)
    }

    fn on_pair_end(&mut self, io: &mut Io<'_>, _: ConnId, partner: ConnId, end: &PairEnd) {
        let product = self.products.of(end.class);
        product.on_pair_end(io, partner, end);
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.histories.on_open(io, id);
        if let Some(class) = io.class(id) {
            self.user_agents.on_open(id, class);
            self.tell_opened(io, id);
            self.products.of(class).on_leg_open(io, id);
        }
        if let Some(identity) = self.identities.get(id).cloned() {
            self.open_identified(io, id, &identity);
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let Some(class) = io.class(id) else { return };
        let Some(message) = self.products.of(class).on_leg_message(io, id, message) else {
            return;
        };
        if let Some(identity) = self.identities.get(id) {
            let product = self.products.of(identity.class);
            return product.on_message(io, id, identity, message);
        }
        let product = self.products.of(class);
        if let Some(identity) = product.on_introduction(io, id, &message) {
            let blocked = self
                .products
                .relay
                .blocks
                .remaining(&identity, io.now())
                .is_some();
            self.identities.insert(id, identity.clone());
            self.user_agents.on_identified(id, None);
            self.tell_identified(io, id);
            if blocked {
                // The relay refuses such a peer itself, in the words of its SDK.
                let cause = Cause::BLOCKED;
                io.close_for(id, cause, cause.close_code(), "blocked by the operator");
            } else {
                self.open_identified(io, id, &identity);
            }
        }
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        if let Some(identity) = self.identities.get(id) {
            let product = self.products.of(identity.class);
            product.on_continue(io, id, identity);
        }
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.histories.on_health(io, id, change);
        self.tell_health(io, id, change);
        let is_identified = self.identities.get(id).is_some();
        self.user_agents.on_health(id, change.state, is_identified);
        if let Some(class) = io.class(id) {
            self.products.of(class).on_health(io, id, change);
        }
        if log::log_enabled!(log::Level::Debug) {
            let user = self.identities.get(id).map_or("", |i| &i.user);
            log::debug!(
                "health id={id} user={} state={} silence_ms={} unanswered={}",
                LogValue(user),
                event_log::state_name(change.state),
                change.silence.as_millis(),
                change.unanswered
            );
        }
    }

    fn on_late(&mut self, _: &mut Io<'_>, id: ConnId, evidence: &SilenceEvidence) {
        let user = self.identities.get(id).map_or("", |i| &i.user);
        event_log::log_late(id, user, evidence);
    }

    fn on_cohort(&mut self, io: &mut Io<'_>, change: CohortChange, cohort: &CohortView) {
        self.cohort_watch
            .on_cohort(io, change, cohort, &self.classes);
    }

    fn peer_key(&self, id: ConnId) -> Option<u64> {
        let identity = self.identities.get(id)?;
        Some(self.cohort_watch.peer_number(identity))
    }

    fn on_overdue(&mut self, io: &mut Io<'_>, id: ConnId, cause: Cause) -> Overdue {
        match io.class(id) {
            Some(class) => {
                let product = self.products.of(class);
                product.on_overdue(io, id, cause)
            }
            None => Overdue::Close,
        }
    }

    fn on_would_close(&mut self, io: &mut Io<'_>, id: ConnId, silence: Micros) {
        let peer = PeerInfo(self.identities.get(id), self.user_agents.name(id));
        self.event_log.log_would_close(io, id, peer, silence);
        self.tell_would_close(io, id, silence);
    }

    fn on_false_alarm(&mut self, io: &mut Io<'_>, id: ConnId, silence: Micros) {
        let peer = PeerInfo(self.identities.get(id), self.user_agents.name(id));
        self.event_log.log_false_alarm(io, id, peer, silence);
        self.tell_false_alarm(io, id, silence);
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        if let Some(class) = io.class(id) {
            self.products.of(class).on_leg_writable(io, id);
        }
        if let Some(identity) = self.identities.get(id) {
            let product = self.products.of(identity.class);
            product.on_writable(io, id, identity);
        }
    }

    fn on_mangled_pong(&mut self, io: &mut Io<'_>, id: ConnId, payload: &[u8]) {
        let user_agent = self.user_agents.name(id);
        let peer = PeerInfo(self.identities.get(id), user_agent);
        self.event_log.log_mangled_pong(io, id, peer, payload);
    }

    fn on_throttled(&mut self, io: &mut Io<'_>, id: ConnId, waited: Micros) {
        let identity = self.identities.get(id);
        let address = io.peer_addr(id).map(|addr| AddressBlock::of(addr.ip()));
        let now = io.now();
        if let Some(waited) = self.throttle_log.add(identity, address, waited, now) {
            let user_agent = self.user_agents.name(id);
            self.event_log
                .log_throttled(io, id, PeerInfo(identity, user_agent), waited);
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        let user_agent = self.user_agents.remove(id, identity.is_some());
        let told = self.tell_end(io, id, end);
        self.log_end(io, id, (identity.as_ref(), user_agent.as_ref()), end, &told);
        let is_failed_dial = self.is_failed_dial(id, end);
        match end.class {
            Some(class) => {
                let product = self.products.of(class);
                product.on_close(io, id, identity.as_ref(), end);
            }
            // A product let it in, and its upgrade failed.
            None => self.notify_reject(io, id, end),
        }
        let history = self.histories.take(id);
        // The record of its client tells the same, and in an outage there are many.
        if is_failed_dial {
            return;
        }
        self.record_end(id, (identity, user_agent), history, told);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let identity = self.identities.remove(id);
        let user_agent = self.user_agents.remove(id, identity.is_some());
        let told = self.tell_end(io, id, end);
        self.notify_reject(io, id, end);
        self.log_end(io, id, (identity.as_ref(), user_agent.as_ref()), end, &told);
        self.record_end(id, (identity, user_agent), None, told);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if self.watchdog_timer == Some(timer) {
            self.notify_watchdog(io);
        } else if !self.drains_on_timer(io, timer) && !self.products_on_timer(io, timer) {
            self.event_log.on_timer(
                io,
                timer,
                self.products.relay.sessions.len(),
                &self.products.relay.stats,
            );
        }
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.run_queries(io);
    }
}

impl Gateway {
    /// Decides on a request: the products are asked one after another.
    fn decide(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        if let Some(client) = self.proxies.client_addr(request) {
            io.set_peer_addr(id, client);
        }
        self.note_forwarding(request, io.now());
        // This includes refused requests: their records name it.
        self.user_agents.on_request(id, request);
        let mut asked = None;
        let (relay, others) = self.products.relay_and_others();
        for product in others {
            let mut check = product.check_client(io, id, request);
            let refused = match check.refusal.take() {
                Some((cause, reply)) => Some(Verdict::Reply { reply, cause }),
                None => drain_refusal(&self.drains, check.classes.clone(), request, io.now())
                    .or_else(|| {
                        let (blocks, flapping) = (&mut relay.blocks, &mut self.flapping);
                        identity_refusal(blocks, flapping, &check, io.now())
                    }),
            };
            let class = Class(check.classes.start);
            asked = match refused {
                None => product.on_request(io, id, request, &check),
                Some(verdict) => {
                    product.on_refused(id, request);
                    Some(RequestDecision {
                        class,
                        identity: None,
                        verdict,
                    })
                }
            };
            if let Some(decision) = &mut asked {
                decision.identity = decision.identity.take().or(check.identity);
                break;
            }
        }
        if asked.is_none() && self.serves_relay {
            let check = ClientCheck::default();
            asked = (self.products.relay).on_request(io, id, request, &check);
        }
        let Some(RequestDecision {
            class,
            identity,
            verdict,
        }) = asked
        else {
            return Verdict::refuse(Cause::BAD_REQUEST, 404, &no_such_path(request));
        };
        // This includes refused requests: their records name it.
        if let Some(identity) = identity {
            let blocked = self.products.relay.blocks.remaining(&identity, io.now());
            self.identities.insert(id, identity);
            self.user_agents.on_identified(id, Some(request));
            if let (Verdict::Upgrade(_) | Verdict::Defer | Verdict::DeferFor(_), Some(left)) =
                (&verdict, blocked)
            {
                return blocked_verdict(left);
            }
        }
        if let Verdict::Upgrade(_) | Verdict::Defer | Verdict::DeferFor(_) = &verdict
            && let Some(refusal) =
                drain_refusal(&self.drains, class.0..class.0 + 1, request, io.now())
        {
            return refusal;
        }
        verdict
    }

    /// Handles an open connection with a known identity.
    fn open_identified(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        let product = self.products.of(identity.class);
        let how = product.on_open(io, id, identity);
        if log::log_enabled!(log::Level::Debug) {
            let user_agent = self.user_agents.name(id);
            self.event_log
                .log_open(io, id, PeerInfo(Some(identity), user_agent), how);
        }
    }

    /// Returns whether a product generated the user name of this identity.
    pub(super) fn is_generated(&mut self, identity: Option<&Identity>) -> bool {
        identity.is_some_and(|identity| {
            let product = self.products.of(identity.class);
            product.is_generated(&identity.user)
        })
    }

    /// Tells each product that a connection has ended before it opened, so that it forgets what it
    /// kept of the request.
    fn notify_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        for product in self.products.all() {
            product.on_reject(io, id, end);
        }
    }

    /// Passes a timer to the products. Returns whether it belongs to one of them.
    fn products_on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let mut products = self.products.all();
        products.any(|product| product.on_timer(io, timer))
    }

    /// Passes a timer to the drains. Returns whether it belongs to one of them.
    fn drains_on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        let products = &mut self.products;
        let mut drains = self.drains.iter_mut().flatten();
        drains.any(|drain| {
            let product = products.of(drain.class());
            drain.on_timer(io, timer, product)
        })
    }
}
