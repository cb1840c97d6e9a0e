//! A host that only dials, and records its calls.

use pulsegate::engine::{Dial, DialAddress, DialError, DialRequest, Io, Response, ResponseVerdict};
use pulsegate::http::HeaderValue;
use pulsegate::testing::{Net, OnDial, PeerId};
use pulsegate::{
    Cause, Class, Config, ConnId, Ending, Handler, HealthChange, HealthState, Message, Request,
    Verdict,
};

/// A call that the host received.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    /// Status and body of an answer, and whether the body was cut.
    Response(u16, Vec<u8>, bool),
    Opened,
    Message(Message),
    Health(HealthState),
    Writable,
    Closed(Cause),
}

/// What the host does in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Does {
    #[default]
    Nothing,
    /// Refuses the 101.
    Refuses,
    /// Closes the connection in [`Handler::on_response`].
    ClosesInResponse,
    /// Closes the connection in [`Handler::on_open`].
    ClosesInOpen,
}

/// A host that only dials, and records its calls.
#[derive(Default)]
pub struct Dialer {
    pub diary: Vec<(ConnId, Told)>,
    pub does: Does,
    /// Connections that were dialled and have not ended.
    pub owed: Vec<ConnId>,
}

impl Dialer {
    fn note(&mut self, id: ConnId, told: Told) {
        self.diary.push((id, told));
    }

    /// Dials a server.
    pub fn dial(&mut self, io: &mut Io<'_>, dial: Dial) -> Result<ConnId, DialError> {
        let id = io.dial(dial)?;
        self.owed.push(id);
        Ok(id)
    }

    /// Returns the calls for one connection.
    pub fn told(&self, id: ConnId) -> Vec<Told> {
        let of_it = |(about, told): &(ConnId, Told)| (*about == id).then(|| told.clone());
        self.diary.iter().filter_map(of_it).collect()
    }
}

impl Handler for Dialer {
    fn on_request(&mut self, _: &mut Io<'_>, _: ConnId, _: &Request) -> Verdict {
        Verdict::refuse(Cause::BAD_REQUEST, 404, "this host only dials")
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let body = response.body().to_vec();
        self.note(
            id,
            Told::Response(response.status(), body, response.is_body_cut()),
        );
        match self.does {
            Does::Refuses => return ResponseVerdict::Refuse("wrong subprotocol".to_owned()),
            Does::ClosesInResponse => io.close(id, 4_000, "no longer wanted"),
            Does::Nothing | Does::ClosesInOpen => {}
        }
        ResponseVerdict::Open
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        self.note(id, Told::Opened);
        if self.does == Does::ClosesInOpen {
            io.close(id, 4_000, "no longer wanted");
        }
    }

    fn on_message(&mut self, _: &mut Io<'_>, id: ConnId, message: Message) {
        self.note(id, Told::Message(message));
    }

    fn on_health(&mut self, _: &mut Io<'_>, id: ConnId, change: HealthChange) {
        self.note(id, Told::Health(change.state));
    }

    fn on_writable(&mut self, _: &mut Io<'_>, id: ConnId) {
        self.note(id, Told::Writable);
    }

    fn on_close(&mut self, _: &mut Io<'_>, id: ConnId, end: &Ending) {
        let place = self.owed.iter().position(|owed| *owed == id);
        let place = place.expect("dialled, and told of the end once");
        self.owed.remove(place);
        self.note(id, Told::Closed(end.cause));
    }

    fn on_reject(&mut self, _: &mut Io<'_>, id: ConnId, end: &Ending) {
        panic!("{id} was dialled, so its end is told by on_close: {end:?}");
    }
}

/// Returns a dial with default parameters.
pub fn dial() -> Dial {
    let address = DialAddress::Tcp(([127, 0, 0, 1], 80).into());
    let request = DialRequest::new("/chat?room=1", HeaderValue::from_static("server"));
    Dial::new(address, request, Class(0))
}

/// Creates an engine with a host that only dials.
pub fn dialer(config: Config) -> Net<Dialer> {
    Net::new(config, Dialer::default())
}

/// Dials, and returns the id. The driver has not connected yet.
pub fn dialed(net: &mut Net<Dialer>, dial: Dial) -> ConnId {
    let id = net.with_io(|host, io| host.dial(io, dial));
    id.expect("a dial")
}

/// Dials, and returns the server, which has accepted and has not answered.
pub fn accepted(net: &mut Net<Dialer>) -> PeerId {
    net.set_on_dial(OnDial::Accept);
    dialed(net, dial());
    net.settle();
    only_server(net)
}

/// Dials, and returns the server, which has agreed.
pub fn opened(net: &mut Net<Dialer>) -> PeerId {
    net.set_on_dial(OnDial::Agree);
    dialed(net, dial());
    net.settle();
    let server = only_server(net);
    assert!(net.is_open(server), "{:?}", net.ending(server));
    server
}

/// Returns the one server that was dialled.
#[track_caller]
pub fn only_server(net: &mut Net<Dialer>) -> PeerId {
    let servers = net.take_dialed();
    let [server] = servers[..] else {
        panic!("{} servers were dialled", servers.len());
    };
    server
}

/// Returns the host's calls for one connection.
pub fn told_of(net: &mut Net<Dialer>, server: PeerId) -> Vec<Told> {
    let id = net.id(server);
    net.host().told(id)
}
