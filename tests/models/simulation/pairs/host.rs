//! The host: the bridge itself, and a record of what it was told.

use super::world::MAX_MESSAGE;
use pulsegate::cause::Cause;
use pulsegate::engine::{
    Ending, Handler, Io, Message, Overdue, PairEnd, PhaseView, Request, Response, ResponseVerdict,
    Verdict,
};
use pulsegate::gateway::{Bridge, BridgeOptions, Product, Proxies, Route, WeightedUpstream};
use pulsegate::time::Micros;
use pulsegate::{Class, ConnId, HealthChange};
use std::collections::HashMap;

pub(super) const CLIENT: Class = Class(0);

pub(super) const CONNECT_TIMEOUT: Micros = Micros::from_millis(700);

pub(super) const ANSWER_TIMEOUT: Micros = Micros::from_millis(1_100);

pub(super) struct Host {
    bridge: Bridge,
    /// When the end of each connection was reported.
    pub(super) ended: HashMap<ConnId, Micros>,
    /// The pairs that did not end with a close frame: the connection that ended, its partner, and
    /// why.
    pub(super) pair_ends: Vec<(ConnId, ConnId, Cause)>,
    pub(super) wrong: Vec<String>,
}

impl Host {
    pub(super) fn new(limits_messages: bool) -> Self {
        let upstream = WeightedUpstream::parse("http://127.0.0.1:80").expect("a location");
        let mut bridge = Bridge::new(BridgeOptions {
            routes: vec![Route {
                connect_timeout: CONNECT_TIMEOUT,
                answer_timeout: ANSWER_TIMEOUT,
                max_message_bytes: if limits_messages { MAX_MESSAGE } else { 0 },
                ..Route::to("default", vec![upstream])
            }],
            forwarded_https: false,
            proxies: Proxies::default(),
        });
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

impl Handler for Host {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let decision = self.bridge.on_request(io, id, request);
        decision.expect("the bridge serves every path").verdict
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
}
