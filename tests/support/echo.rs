//! Shared by several test files: a host that echoes and records its calls, and frames of every
//! shape.

use pulsegate::ConnId;
use pulsegate::cause::{Cause, EndCode};
use pulsegate::engine::{
    Class, Config, Ending, Handler, Io, Message, Reply, Request, TimerId, Verdict,
};
use pulsegate::health::{HealthChange, HealthState};
use pulsegate::testing::{Net, PeerId, Received, client_frame};
pub use pulsegate::wire::frame::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT};

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

pub fn text(payload: &str) -> Vec<u8> {
    client_frame(FIN | TEXT, payload.as_bytes())
}

pub fn binary(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | BINARY, payload)
}

pub fn ping(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | PING, payload)
}

pub fn pong(payload: &[u8]) -> Vec<u8> {
    client_frame(FIN | PONG, payload)
}

/// Returns a close frame with any code.
pub fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    client_frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

/// Returns bytes that are not all the same.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i * 7 + i / 251) as u8).collect()
}

/// Separates data frames and control frames. A control frame may be sent before waiting data, so
/// only the order within each kind is fixed. Asserts that nothing follows a close frame.
pub fn sorted_out(received: Vec<Received>) -> (Vec<Received>, Vec<Received>) {
    let end = received
        .iter()
        .position(|r| matches!(r, Received::Close(..)));
    assert!(
        end.is_none_or(|at| at + 1 == received.len()),
        "frames behind a close frame: {received:?}"
    );
    received
        .into_iter()
        .partition(|r| matches!(r, Received::Message(_)))
}
