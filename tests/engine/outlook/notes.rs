//! A host that records events and their times, and what an outlook says.

use crate::nets::{one_class, timed};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{
    Cause, Class, Config, ConnId, Ending, Handler, HealthChange, HealthState, Io, Message, Micros,
    Outlook, Policy, Pong, Preamble, Reply, Request, Upgrade, Verdict,
};
use std::net::SocketAddr;

/// How late an event may be: by a beat of 10 ms, and the tick of 5 ms after it.
pub const LATE: Micros = Micros::from_millis(15);

/// Records events and their times.
#[derive(Default)]
pub struct Notes {
    pub suspect_at: Vec<(ConnId, Micros)>,
    pub closed: Vec<(ConnId, Micros, Cause)>,
    pub rtts: Vec<(ConnId, Micros)>,
    pub requests: Vec<SocketAddr>,
    pub encrypted: Vec<bool>,
    pub preamble: Option<&'static [u8]>,
}

impl Handler for Notes {
    fn on_preamble(&mut self, _peer_addr: SocketAddr, bytes: &[u8]) -> Preamble {
        let Some(wanted) = self.preamble else {
            return Preamble::None;
        };
        match bytes.get(..wanted.len()) {
            Some(start) if start == wanted => Preamble::Whole {
                len: wanted.len(),
                client: Some(CLIENT.parse().expect("an address")),
                encrypted: wanted == ENCRYPTED,
            },
            Some(_) => Preamble::Invalid("not the preamble"),
            None if wanted.starts_with(bytes) => Preamble::Partial,
            None => Preamble::Invalid("not the preamble"),
        }
    }

    fn on_health_check(&mut self, io: &mut Io<'_>, _: ConnId, request: &Request) -> Option<Reply> {
        (request.path() == "/healthz").then(|| io.health_reply(request))
    }

    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, request: &Request) -> Verdict {
        self.requests.push(request.peer_addr());
        self.encrypted.push(request.is_encrypted());
        Verdict::Upgrade(Upgrade {
            policy: (request.path() == "/own").then(|| timed(10, 30)),
            ..Upgrade::to(Class(0))
        })
    }

    fn on_message(&mut self, _io: &mut Io<'_>, _id: ConnId, _message: Message) {}

    fn on_health(&mut self, io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        if change.state == HealthState::Suspect {
            self.suspect_at.push((id, io.now()));
        }
    }

    fn on_pong(&mut self, _io: &mut Io<'_>, id: ConnId, pong: Pong) {
        self.rtts.push((id, pong.rtt));
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.closed.push((id, io.now(), end.cause));
    }
}

/// The preamble that says that the client uses TLS.
pub const ENCRYPTED: &[u8] = b"PROXY with TLS\r\n";

pub const CLIENT: &str = "192.0.2.7:1234";

pub fn net(policy: Policy) -> Net<Notes> {
    let config = Config {
        // Many dead connections end at the same moment here.
        stale_closes_per_second: 0,
        ..one_class(policy)
    };
    Net::new(config, Notes::default())
}

pub fn outlook(net: &mut Net<Notes>, peer: PeerId) -> Outlook {
    let id = net.id(peer);
    net.with_io(|_, io| io.outlook(id)).expect("it is here")
}

/// Returns the number of pings sent.
pub fn pings(net: &Net<Notes>) -> u64 {
    net.engine().stats().pings()
}

/// Returns whether `at` fits an event that was predicted for `predicted`.
pub fn came_true(predicted: Micros, at: Micros) -> bool {
    at >= predicted && at <= predicted + LATE
}
