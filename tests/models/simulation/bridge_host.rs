//! The host: the bridge itself, and a record of what it was told.

use pulsegate::cause::Cause;
use pulsegate::engine::{
    Ending, Handler, Io, Message, Overdue, PairEnd, PhaseView, Request, Response, ResponseVerdict,
    TimerId, Verdict,
};
use pulsegate::gateway::{BootId, Bridge, BridgeOptions, Product, Proxies, Route, SessionLimits};
use pulsegate::time::Micros;
use pulsegate::{Class, ConnId, HealthChange};
use std::collections::HashMap;
use std::net::SocketAddr;

pub const CLIENT: Class = Class(0);

pub struct Host {
    pub bridge: Bridge,
    /// When the end of each connection was reported.
    pub ended: HashMap<ConnId, Micros>,
    /// The pairs that did not end with a close frame: the connection that ended, its partner, and
    /// why.
    pub pair_ends: Vec<(ConnId, ConnId, Cause)>,
    pub wrong: Vec<String>,
}

impl Host {
    pub fn new(routes: Vec<Route>) -> Self {
        let mut bridge = Bridge::new(
            BridgeOptions {
                routes,
                forwarded_https: false,
                http_pass: false,
                http_max_requests: 0,
                proxies: Proxies::default(),
                sessions: SessionLimits::default(),
            },
            BootId::default(),
        );
        bridge.on_register(CLIENT);
        Host {
            bridge,
            ended: HashMap::new(),
            pair_ends: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn report(&mut self, io: &Io<'_>, id: ConnId) {
        if self.ended.insert(id, io.now()).is_some() {
            self.wrong.push(format!("{id} was reported twice"));
        }
    }
}

/// Returns the last byte of the address that a client has: its path says so.
fn address_in(path: &str) -> Option<u8> {
    path.strip_prefix("/from-")?.parse().ok()
}

impl Handler for Host {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        if let Some(last) = address_in(request.path()) {
            io.set_peer_addr(id, SocketAddr::from(([10, 0, 0, last], 1)));
        }
        let check = self.bridge.check_client(io, id, request);
        let decision = self.bridge.on_request(io, id, request, &check);
        match decision {
            Some(decision) => decision.verdict,
            None => Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path"),
        }
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let verdict = self.bridge.on_response(io, id, response);
        verdict.unwrap_or_else(|| ResponseVerdict::Refuse("the client has left".to_owned()))
    }

    fn on_pair_end(&mut self, io: &mut Io<'_>, id: ConnId, partner: ConnId, end: &PairEnd) {
        let view = io.view(id);
        if view.is_some_and(|view| view.phase == PhaseView::Open) {
            self.wrong.push(format!("{id} is said to have ended"));
        }
        self.pair_ends.push((id, partner, end.cause));
        self.bridge.on_pair_end(io, partner, end);
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.bridge.on_health(io, id, change);
    }

    fn on_overdue(&mut self, io: &mut Io<'_>, id: ConnId, cause: Cause) -> Overdue {
        self.bridge.on_overdue(io, id, cause)
    }

    fn on_message(&mut self, _: &mut Io<'_>, id: ConnId, _: Message) {
        self.wrong
            .push(format!("a message of {id} reached the host"));
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.report(io, id);
        match end.class {
            Some(_) => self.bridge.on_close(io, id, None, end),
            None => self.bridge.on_reject(io, id, end),
        }
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.report(io, id);
        self.bridge.on_reject(io, id, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if !self.bridge.on_timer(io, timer) {
            self.wrong.push("a timer belongs to nothing".to_owned());
        }
    }
}
