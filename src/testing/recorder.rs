//! A host that forwards all calls to the test's host and records the endings.

use crate::base::cause::Cause;
use crate::base::id::{ConnId, TimerId};
use crate::base::time::Micros;
use crate::engine::{
    CohortView, Ending, Handler, HeartbeatText, Io, Message, Overdue, PairEnd, Pong, Preamble,
    Reply, Request, Response, ResponseVerdict, SilenceEvidence, Verdict,
};
use crate::health::{CohortChange, HealthChange};
use std::net::SocketAddr;

/// Forwards all calls to the test's host and records the endings.
pub(super) struct Recorder<H> {
    pub(super) host: H,
    pub(super) endings: Vec<(ConnId, Ending)>,
}

impl<H: Handler> Handler for Recorder<H> {
    fn on_preamble(&mut self, peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        self.host.on_preamble(peer_addr, bytes)
    }

    fn on_pong(&mut self, io: &mut Io<'_>, id: ConnId, pong: Pong) {
        self.host.on_pong(io, id, pong);
    }

    fn heartbeat_text(&mut self, io: &mut Io<'_>, id: ConnId, number: u64) -> HeartbeatText {
        self.host.heartbeat_text(io, id, number)
    }

    fn on_health_check(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Option<Reply> {
        self.host.on_health_check(io, id, request)
    }

    fn hands_over(&mut self, request: &Request) -> bool {
        self.host.hands_over(request)
    }

    fn accepts_options(&self, path: &str) -> bool {
        self.host.accepts_options(path)
    }

    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        self.host.on_request(io, id, request)
    }

    fn on_unserved(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) {
        self.host.on_unserved(io, id, request);
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        self.host.on_response(io, id, response)
    }

    fn on_pair_end(&mut self, io: &mut Io<'_>, id: ConnId, partner: ConnId, end: &PairEnd) {
        self.host.on_pair_end(io, id, partner, end);
    }

    fn on_overdue(&mut self, io: &mut Io<'_>, id: ConnId, cause: Cause) -> Overdue {
        self.host.on_overdue(io, id, cause)
    }

    fn on_would_close(&mut self, io: &mut Io<'_>, id: ConnId, silence: Micros) {
        self.host.on_would_close(io, id, silence);
    }

    fn on_false_alarm(&mut self, io: &mut Io<'_>, id: ConnId, silence: Micros) {
        self.host.on_false_alarm(io, id, silence);
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.host.on_open(io, id);
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        self.host.on_message(io, id, message);
    }

    fn on_continue(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.host.on_continue(io, id);
    }

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.host.on_health(io, id, change);
    }

    fn on_cohort(&mut self, io: &mut Io<'_>, change: CohortChange, cohort: &CohortView) {
        self.host.on_cohort(io, change, cohort);
    }

    fn peer_key(&self, id: ConnId) -> Option<u64> {
        self.host.peer_key(id)
    }

    fn on_late(&mut self, io: &mut Io<'_>, id: ConnId, evidence: &SilenceEvidence) {
        self.host.on_late(io, id, evidence);
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.host.on_writable(io, id);
    }

    fn on_mangled_pong(&mut self, io: &mut Io<'_>, id: ConnId, payload: &[u8]) {
        self.host.on_mangled_pong(io, id, payload);
    }

    fn on_throttled(&mut self, io: &mut Io<'_>, id: ConnId, waited: Micros) {
        self.host.on_throttled(io, id, waited);
    }

    fn on_drain_close(&mut self, io: &mut Io<'_>, id: ConnId) -> bool {
        self.host.on_drain_close(io, id)
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.endings.push((id, end.clone()));
        self.host.on_close(io, id, end);
    }

    fn on_reject(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.endings.push((id, end.clone()));
        self.host.on_reject(io, id, end);
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        self.host.on_timer(io, timer);
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.host.on_wake(io);
    }
}
