//! From a request to a session, or to a refusal that a browser can read.

use super::live_session::LiveSession;
use super::session_key::SessionKey;
use super::session_table::SessionLeg;
use super::waiting_clients::{ResumingClient, WaitingClient};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::bridge::acceptance::Acceptance;
use crate::bridge::bridge::Bridge;
use crate::bridge::end_to_end::Field;
use crate::bridge::pending::PendingRequest;
use crate::bridge::request_queue::QueuedRequest;
use crate::bridge::request_refusals::{Refusal, busy};
use crate::bridge::route::Route;
use crate::engine::{DialRequest, Io, Message, Reply, Request, Upgrade, Verdict};
use crate::health::Policy;
use crate::host::{
    HelloTerms, OpenRefusal, PairTarget, first_subprotocol, pulse_policy, session_wish,
};
use crate::pulse::{PulseSession, ResumeToken, hello_frame};
use crate::wire::http::header::SEC_WEBSOCKET_PROTOCOL;

/// How long a client that wants its session back may take to name it.
const FIRST_FRAME: Micros = Micros::from_secs(10);

impl Bridge {
    /// Answers the request of a client. A client that asked for pulse learns of a refusal from a
    /// frame: a browser shows its page neither the status nor the header fields of an answer.
    pub(in crate::bridge) fn answer(&mut self, io: &mut Io<'_>, client: ConnId, verdict: Verdict) {
        let Verdict::Reply { reply, cause } = verdict else {
            return io.answer(client, verdict);
        };
        match self.sessions.waiting.take(client) {
            Some(WaitingClient::Unopened(protocol)) => {
                let refusal = OpenRefusal::of(&reply, cause);
                let verdict = self.open_refused(client, refusal, protocol);
                io.answer(client, verdict);
            }
            Some(WaitingClient::Dialing | WaitingClient::Resuming(_)) => {
                self.refuse_open(io, client, &OpenRefusal::of(&reply, cause));
            }
            Some(refused @ WaitingClient::Refused(_)) => {
                self.sessions.waiting.set(client, refused);
            }
            None => io.answer(client, Verdict::Reply { reply, cause }),
        }
    }

    /// Answers a request for pulse that is refused before it was passed on. `None`: it does not
    /// ask for pulse.
    pub(in crate::bridge) fn refuse_request(
        &mut self,
        client: ConnId,
        request: &Request,
        (reply, cause): (&Reply, Cause),
    ) -> Option<Verdict> {
        let live = self.routes.find(request)?;
        let asks = live.route.pulse && request.upgrade_refusal().is_none();
        session_wish(request).filter(|_| asks)?;
        let refusal = OpenRefusal::of(reply, cause);
        Some(self.open_refused(client, refusal, first_subprotocol(request)))
    }

    fn open_refused(
        &mut self,
        client: ConnId,
        refusal: OpenRefusal,
        protocol: Option<String>,
    ) -> Verdict {
        let waiting = WaitingClient::Refused(refusal);
        self.sessions.waiting.set(client, waiting);
        Verdict::Upgrade(Upgrade {
            protocol,
            identified: true,
            ..Upgrade::to(self.client_class())
        })
    }

    /// Notes a client that asked for pulse, and whose WebSocket opens with the upstream's answer.
    pub(in crate::bridge) fn await_answer(&mut self, client: ConnId, request: &Request) {
        let waiting = WaitingClient::Unopened(first_subprotocol(request));
        self.sessions.waiting.set(client, waiting);
    }

    /// Opens the WebSocket of a client that wants its session back: its first message names it.
    pub(in crate::bridge) fn await_token(
        &mut self,
        io: &mut Io<'_>,
        mut pending: Box<PendingRequest>,
        request: DialRequest,
    ) -> Result<Verdict, Refusal> {
        let client = pending.client;
        pending.dialed_at = io.now();
        let policy = Policy {
            first_message_timeout: Some(FIRST_FRAME),
            ..self.pulse_policy(io, &pending.route)
        };
        let protocol = pending.session.as_ref().and_then(|owner| owner.protocol());
        let protocol = protocol.map(str::to_owned);
        let queued = QueuedRequest {
            pending,
            request,
            until: Micros::ZERO,
        };
        let charged = queued.allocated();
        if !io.has_room(charged) {
            return Err(busy(client));
        }
        io.charge(charged);
        let QueuedRequest {
            pending, request, ..
        } = queued;
        let resuming = ResumingClient {
            pending,
            request,
            charged,
        };
        let waiting = WaitingClient::Resuming(Box::new(resuming));
        self.sessions.waiting.set(client, waiting);
        Ok(Verdict::Upgrade(Upgrade {
            protocol,
            policy: Some(policy),
            ..Upgrade::to(self.client_class())
        }))
    }

    /// Refuses a client whose WebSocket is open.
    pub(super) fn refuse_open(&mut self, io: &mut Io<'_>, client: ConnId, refusal: &OpenRefusal) {
        self.sessions.counts.refused += 1;
        refusal.send(io, client);
    }

    /// Begins a session: the upstream has accepted its request. Returns whether its client is
    /// still there.
    pub(in crate::bridge) fn open_session(
        &mut self,
        io: &mut Io<'_>,
        upstream: ConnId,
        pending: &mut PendingRequest,
        (accepted, cookie): (Acceptance, Option<Field>),
    ) -> bool {
        let client = pending.client;
        let Some(mut owner) = pending.session.take() else {
            return false;
        };
        let mut fields = accepted.headers;
        let chosen = fields
            .iter()
            .find(|(name, _)| *name == SEC_WEBSOCKET_PROTOCOL);
        let chosen = chosen.and_then(|(_, value)| value.to_str().ok());
        let is_open = match self.sessions.waiting.take(client) {
            Some(WaitingClient::Unopened(_)) => false,
            Some(WaitingClient::Dialing) if owner.protocol() == chosen => true,
            Some(WaitingClient::Dialing) => {
                let chosen = chosen.unwrap_or("none");
                let why = format!(
                    "the upstream chose the subprotocol {chosen}, which is not that \
                                   of the session"
                );
                let reply = Reply::error(502, &why);
                self.refuse_open(io, client, &OpenRefusal::of(&reply, Cause::BAD_ANSWER));
                return false;
            }
            _ => return false,
        };
        owner.set_protocol(chosen);
        let offer = ResumeToken::new(io.random_bytes());
        let pulse = PulseSession::new(offer, self.message_bytes_max(io, &pending.route));
        let legs = (client, upstream);
        let target = self.target(upstream).unwrap_or_else(|| PairTarget {
            route: owner.route().clone(),
            upstream: "".into(),
        });
        let leads = (pending.route.clone(), target);
        let session = LiveSession::new(pulse, *owner, leads, pending.block, legs, io.now());
        let key = self.sessions.add(session);
        self.charge_session(io, key);
        self.plan_session_expiry(io, key, pending.expires);
        if is_open {
            io.resume_reading(client);
            self.greet(io, key, offer, false, 0);
        } else {
            fields.extend(cookie);
            let upgrade = Upgrade {
                headers: fields,
                policy: Some(self.pulse_policy(io, &pending.route)),
                identified: true,
                ..Upgrade::to(self.client_class())
            };
            io.answer(client, Verdict::Upgrade(upgrade));
        }
        true
    }

    /// Handles a connection of the bridge that has opened.
    pub(in crate::bridge) fn leg_opened(&mut self, io: &mut Io<'_>, id: ConnId) {
        match self.sessions.waiting.get(id) {
            Some(WaitingClient::Refused(refusal)) => {
                let refusal = refusal.clone();
                self.sessions.waiting.take(id);
                return self.refuse_open(io, id, &refusal);
            }
            Some(_) => return,
            None => {}
        }
        if let Some(SessionLeg::Client(key)) = self.sessions.legs.get(&id).copied()
            && let Some(session) = self.sessions.live.get(&key)
            && let Some(offer) = session.pulse.tokens().offered()
        {
            self.greet(io, key, offer, false, 0);
        }
    }

    /// Sends the hello on the client's connection, which is open, and then what waits for it.
    pub(super) fn greet(
        &mut self,
        io: &mut Io<'_>,
        key: SessionKey,
        offer: ResumeToken,
        resumed: bool,
        rx: u64,
    ) {
        let Some(session) = self.sessions.live.get_mut(&key) else {
            return;
        };
        let Some(client) = session.client() else {
            return;
        };
        let route = session.route.clone();
        let most = self.message_bytes_max(io, &route);
        let terms = HelloTerms {
            offer,
            resumed,
            rx,
            hold: self.sessions.limits.hold,
            // A text that begins with 0x01 is one byte longer on the wire.
            message_bytes_max: most.min(io.max_message_bytes() - 1),
            first_ms: self.first_ms(io, &route),
            report_bytes: self.reports.report_bytes(),
        };
        let hello = terms.hello(io, self.boot, client);
        let first_ms = hello.retry.first_ms;
        if let Some(session) = self.sessions.live.get_mut(&key)
            && let Some((leg, pulse)) = session.attached()
        {
            pulse.note_first_ms(first_ms);
            leg.is_open = true;
        }
        io.send(client, Message::text(hello_frame(&hello)));
        self.send_more(io, key);
    }

    /// Returns the time over which clients spread their first tries after all were lost at once,
    /// in milliseconds.
    pub(super) fn first_ms(&self, io: &Io<'_>, route: &Route) -> u64 {
        let class = usize::from(self.client_class().0);
        let clients = io.stats().classes.get(class).map_or(0, |class| class.live);
        clients * 1_000 / u64::from(route.accept_per_second.max(1))
    }

    /// Returns the largest message of a route, in bytes.
    pub(super) fn message_bytes_max(&self, io: &Io<'_>, route: &Route) -> usize {
        let most = io.max_message_bytes();
        match route.max_message_bytes {
            0 => most,
            of_route => most.min(of_route as usize),
        }
    }

    /// Returns the policy of the route's clients that speak pulse. Their heartbeats are texts, so
    /// what a proxy answers on its own says nothing of them.
    fn pulse_policy(&self, io: &Io<'_>, route: &Route) -> Policy {
        let of_class = io.policy(self.client_class());
        let policy = route.client_policy.or(of_class.copied());
        pulse_policy(policy.unwrap_or(Policy::DEFAULT))
    }
}
