//! A host that echoes and records its calls, and what it and the engine say of a connection.

use crate::nets::check_invariants;
use pulsegate::ConnId;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{
    Class, Config, Ending, Handler, Io, Message, Reply, Request, TimerId, Verdict,
};
use pulsegate::health::{HealthChange, HealthState};
use pulsegate::testing::{Net, PeerId};

/// A call that the host received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    Opened,
    Message(Message),
    Health(HealthState),
    Writable,
    Closed,
    Rejected,
    Timer(TimerId),
    Woken,
}

/// A host that upgrades `/` and echoes, upgrades `/sink` and sends nothing, defers `/defer`,
/// answers `/healthz`, and answers 404 elsewhere.
#[derive(Default)]
pub struct Host {
    pub diary: Vec<(Option<ConnId>, Told)>,
    /// Connections with Upgrade or Defer that still need their one `on_close`.
    pub owed: Vec<ConnId>,
    sinks: Vec<ConnId>,
}

impl Handler for Host {
    fn on_health_check(&mut self, io: &mut Io<'_>, _: ConnId, request: &Request) -> Option<Reply> {
        (request.path() == "/healthz").then(|| io.health_reply(request))
    }

    fn accepts_options(&self, path: &str) -> bool {
        path == "/healthz"
    }

    fn on_request(&mut self, _: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let verdict = match request.path() {
            "/" => Verdict::upgrade(Class(0)),
            "/sink" => {
                self.sinks.push(id);
                Verdict::upgrade(Class(0))
            }
            "/defer" => Verdict::Defer,
            _ => return Verdict::refuse(Cause::BAD_REQUEST, 404, "no such path"),
        };
        self.owed.push(id);
        verdict
    }

    fn on_open(&mut self, _: &mut Io<'_>, id: ConnId) {
        self.diary.push((Some(id), Told::Opened));
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        self.diary.push((Some(id), Told::Message(message.clone())));
        if !self.sinks.contains(&id) {
            io.send(id, message);
        }
    }

    fn on_health(&mut self, _: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.diary.push((Some(id), Told::Health(change.state)));
    }

    fn on_writable(&mut self, _: &mut Io<'_>, id: ConnId) {
        self.diary.push((Some(id), Told::Writable));
    }

    fn on_close(&mut self, _: &mut Io<'_>, id: ConnId, _: &Ending) {
        self.diary.push((Some(id), Told::Closed));
    }

    fn on_reject(&mut self, _: &mut Io<'_>, id: ConnId, _: &Ending) {
        self.diary.push((Some(id), Told::Rejected));
    }

    fn on_timer(&mut self, _: &mut Io<'_>, timer: TimerId) {
        self.diary.push((None, Told::Timer(timer)));
    }

    fn on_wake(&mut self, _: &mut Io<'_>) {
        self.diary.push((None, Told::Woken));
    }
}

/// Returns the code in the peer's close frame, if that ended the connection.
pub fn peer_code(end: &Ending) -> Option<u16> {
    match end.code {
        EndCode::Close(code) if end.cause == Cause::PEER_CLOSED => Some(code),
        _ => None,
    }
}

/// Creates a server with the echoing host.
pub fn server(config: Config) -> Net<Host> {
    Net::new(config, Host::default())
}

/// Connects a peer that answers nothing by itself: the test scripts it.
pub fn scripted(net: &mut Net<Host>, path: &str) -> PeerId {
    let peer = net.connect(path);
    assert!(net.is_open(peer), "{:?}", net.response(peer));
    net.mute(peer);
    peer
}

/// Returns how a connection ended, without what depends on time.
pub fn end_of(net: &Net<Host>, peer: PeerId) -> Option<(Cause, EndCode, String, bool)> {
    net.ending(peer)
        .map(|e| (e.cause, e.code, e.reason.to_string(), e.clean))
}

/// Returns the host's calls for one connection.
pub fn told_of(net: &mut Net<Host>, peer: PeerId) -> Vec<Told> {
    let id = net.id(peer);
    let of_it = |(about, told): &(Option<ConnId>, Told)| (*about == Some(id)).then(|| told.clone());
    net.host().diary.iter().filter_map(of_it).collect()
}

/// Checks that all connections have ended and were reported once: `on_close` for each Upgrade or
/// Defer, `on_reject` for the others.
pub fn check_all_ended(net: &mut Net<Host>) {
    check_invariants(net);
    let host = net.host();
    let told = |what: Told| {
        let ids = host.diary.iter().filter(|(_, told)| *told == what);
        let mut ids: Vec<ConnId> = ids.filter_map(|(id, _)| *id).collect();
        ids.sort();
        ids
    };
    let (closed, rejected) = (told(Told::Closed), told(Told::Rejected));
    let mut owed = host.owed.clone();
    owed.sort();
    assert_eq!(closed, owed, "one on_close for each Upgrade and Defer");
    assert!(rejected.windows(2).all(|w| w[0] != w[1]), "told twice");
    assert_eq!(closed.len() + rejected.len(), net.endings().len());
    assert!(net.engine().is_empty());
}
