//! The relay as a product of the gateway.

use super::jobs::StopReason;
use super::relay::Relay;
use super::role::{APP, GLASSES, RELAY_CLASSES};
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::engine::{
    Class, Ending, HeartbeatText, Io, Message, Reply, Request, TimerId, Upgrade, Verdict,
};
use crate::host::{
    ClassInfo, ClientCheck, Credentials, Identity, LogValue, Product, RequestDecision,
};

impl Relay {
    /// Returns the class that a path asks for.
    pub(super) fn class_of(path: &str) -> Option<Class> {
        match path {
            "/glasses-ws" => Some(GLASSES),
            "/tpa-ws" | "/app-ws" => Some(APP),
            _ => None,
        }
    }

    /// Decides on a request for a class.
    fn decide(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        class: Class,
    ) -> (Option<Identity>, Verdict) {
        // A request without an upgrade to WebSocket is answered first: the loop answers 426.
        if !request.is_upgrade() {
            return (None, Verdict::upgrade(class));
        }
        if let Some(origin) = self.credentials.refused_origin(request) {
            let origin = LogValue(&origin);
            let why = format!("the page's origin {origin} is not in ALLOWED_ORIGINS");
            return (None, Verdict::refuse(Cause::BLOCKED, 403, &why));
        }
        let protocol = self.settings.subprotocols[usize::from(class.0)].choose(request);
        let protocol = match protocol {
            Ok(protocol) => protocol,
            Err(reply) => {
                let cause = Cause::BAD_REQUEST;
                return (None, Verdict::Reply { reply, cause });
            }
        };
        io.spend(Credentials::token_units(request));
        let asked = if class == GLASSES {
            self.identify_glasses(request).map(Some)
        } else {
            self.identify_app(request)
        };
        let identity = match asked {
            Ok(identity) => identity,
            Err((cause, reply)) => return (None, Verdict::Reply { reply, cause }),
        };
        let identified = identity.is_some();
        if let Some(identity) = &identity {
            if let Some((cause, reply)) = self.refuses(identity, io.now()) {
                return (Some(identity.clone()), Verdict::Reply { reply, cause });
            }
        } else {
            self.keep_headers(io, id, request);
        }
        let upgrade = Upgrade {
            identified,
            protocol,
            ..Upgrade::to(class)
        };
        (identity, Verdict::Upgrade(upgrade))
    }
}

impl Product for Relay {
    fn classes(&self) -> &'static [ClassInfo] {
        &RELAY_CLASSES
    }

    /// The relay is the first product, so its classes are [`GLASSES`] and [`APP`].
    fn on_register(&mut self, first: Class) {
        debug_assert_eq!(first, GLASSES);
    }

    fn on_request(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        request: &Request,
        _: &ClientCheck,
    ) -> Option<RequestDecision> {
        let class = Relay::class_of(request.path())?;
        self.note_wish(io, id, request);
        let (identity, mut verdict) = self.decide(io, id, request, class);
        if let Verdict::Upgrade(upgrade) = &mut verdict {
            self.admit_wish(io, id, identity.as_ref(), upgrade);
        }
        Some(RequestDecision {
            class,
            identity,
            verdict,
        })
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) -> &'static str {
        if let Some(how) = self.open_wish(io, id, identity) {
            return how;
        }
        let introduction = self.pending_introductions.take_introduction(id);
        self.attach_role(io, id, identity, introduction).name()
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, message: Message) {
        self.handle_message(io, id, identity, message);
    }

    fn on_introduction(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        message: &Message,
    ) -> Option<Identity> {
        if self.is_resuming(id) {
            return self.claim_session(io, id, message);
        }
        let read = self.read_introduction(io, id, message);
        self.count_handled(io, id, message.len());
        let (identity, introduction) = read?;
        self.pending_introductions
            .keep_introduction(id, introduction);
        Some(identity)
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        self.continue_message(io, id, identity);
    }

    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity, received: u32) -> bool {
        self.confirm(io, id, identity, received)
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId, identity: &Identity) {
        self.resume_apps(io, id, identity);
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, identity: Option<&Identity>, end: &Ending) {
        self.forget_conn(io, id);
        if let Some(identity) = identity {
            self.end_conn(io, id, identity, end);
        }
        self.end_pulse_conn(io, id, end);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, _end: &Ending) {
        self.forget_introduction(io, id);
        self.pulse.take_waiting(io, id);
    }

    fn on_leg_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.open_pulse(io, id);
    }

    fn on_leg_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) -> Option<Message> {
        self.read_pulse(io, id, message)
    }

    fn on_leg_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.pulse.on_writable(io, id);
    }

    fn heartbeat_text(&mut self, io: &mut Io<'_>, id: ConnId, number: u64) -> HeartbeatText {
        let first_ms = self.first_ms(io);
        self.pulse.heartbeat(io, id, (number, first_ms))
    }

    fn refuse_open(
        &mut self,
        id: ConnId,
        request: &Request,
        reply: &Reply,
        cause: Cause,
    ) -> Option<Verdict> {
        self.refuse_wish(id, request, reply, cause)
    }

    fn on_drain_close(&mut self, io: &mut Io<'_>, id: ConnId) -> bool {
        self.say_bye(io, id, "restart");
        true
    }

    /// Stops a blocked app: tells the app and its server in the terms of the SDK, and does not ask
    /// it back.
    fn on_block(&mut self, io: &mut Io<'_>, identity: &Identity) {
        if let Some(package) = identity.package() {
            let (cause, why) = (Cause::KICKED, StopReason::SystemStop);
            self.stop_app(io, &identity.user, package, cause, why);
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) -> bool {
        self.handle_timer(io, timer)
    }

    fn is_generated(&self, user: &str) -> bool {
        self.is_generated_name(user)
    }
}
