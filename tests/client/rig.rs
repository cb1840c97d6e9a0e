//! A client and a gateway, each on an engine of its own, on virtual time.

use pulsegate::client::{
    ClientEvent, ClientId, ClientOptions, ClientPhase, FakePulse, PulseClients,
};
use pulsegate::http::{HeaderName, HeaderValue};
use pulsegate::testing::{LinkedNets, Net};
use pulsegate::{
    Cause, Class, Config, ConnId, Dial, DialAddress, DialRequest, Ending, Handler, Io, Message,
    Micros, Request, Response, ResponseVerdict, TimerId, Verdict,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A host whose clients' events a test reads.
pub struct Host {
    pub clients: PulseClients,
    pub events: Vec<(ClientId, ClientEvent)>,
}

impl Host {
    fn take(&mut self) {
        while let Some(event) = self.clients.next_event() {
            self.events.push(event);
        }
    }
}

impl Handler for Host {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::refuse(Cause::BAD_REQUEST, 404, "this host only dials")
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let verdict = self.clients.on_response(io, id, response);
        self.take();
        verdict.expect("a connection of a client")
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        assert!(self.clients.on_open(io, id));
        self.take();
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        assert_eq!(self.clients.on_message(io, id, message), None);
        self.take();
    }

    fn on_writable(&mut self, io: &mut Io<'_>, id: ConnId) {
        assert!(self.clients.on_writable(io, id));
        self.take();
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        assert!(self.clients.on_close(io, id, end));
        self.take();
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        assert!(self.clients.on_timer(io, timer));
        self.take();
    }
}

/// A client and its gateway.
pub struct Rig {
    pub nets: LinkedNets<Host, FakePulse>,
    pub id: ClientId,
    /// How far the client's clock is ahead of its timers, in microseconds.
    pub slept: Arc<AtomicU64>,
}

/// Returns options with a fixed seed.
pub fn options() -> ClientOptions {
    let mut options = ClientOptions::default();
    options.seed = 1;
    options
}

pub fn target() -> Dial {
    let address = DialAddress::Tcp(([127, 0, 0, 1], 80).into());
    let protocols = HeaderName::from_static("sec-websocket-protocol");
    let request = DialRequest::new("/chat?room=1", HeaderValue::from_static("service"))
        .with_header(protocols, HeaderValue::from_static("a, b"));
    Dial::new(address, request, Class(0))
}

impl Rig {
    /// Returns a client that is connecting to this gateway.
    pub fn new(options: ClientOptions, gateway: FakePulse) -> Self {
        Self::with_target(options, gateway, Some(target()))
    }

    pub fn with_target(options: ClientOptions, gateway: FakePulse, target: Option<Dial>) -> Self {
        let slept = Arc::new(AtomicU64::new(0));
        let ahead = Arc::clone(&slept);
        let clock = move |now| now + Micros(ahead.load(Ordering::Relaxed));
        let mut clients = PulseClients::with_clock(clock);
        let id = clients.add(options, target);
        let host = Host {
            clients,
            events: Vec::new(),
        };
        let dialer = Net::new(Config::default(), host);
        let server = Net::new(Config::default(), gateway);
        let mut rig = Rig {
            nets: LinkedNets::new(dialer, server),
            id,
            slept,
        };
        rig.client(|clients, io, id| clients.reconnect(io, id));
        rig
    }

    /// Returns a client with an open session.
    pub fn open() -> Self {
        let mut rig = Self::new(options(), FakePulse::new());
        rig.advance(10);
        assert_eq!(rig.names(), ["connecting", "opened"]);
        rig
    }

    pub fn advance(&mut self, ms: u64) {
        self.nets.advance(ms);
        self.nets.dialer.check().unwrap_or_else(|e| panic!("{e}"));
        self.nets.server.check().unwrap_or_else(|e| panic!("{e}"));
    }

    /// Lets the device sleep: its clock goes on, its timers do not.
    pub fn sleep(&mut self, ms: u64) {
        self.slept.fetch_add(ms * 1_000, Ordering::Relaxed);
    }

    /// Calls the client.
    pub fn client<T>(
        &mut self,
        call: impl FnOnce(&mut PulseClients, &mut Io<'_>, ClientId) -> T,
    ) -> T {
        let id = self.id;
        let result = self.nets.dialer.with_io(|host, io| {
            let result = call(&mut host.clients, io, id);
            host.take();
            result
        });
        self.nets.advance(0);
        result
    }

    pub fn gateway(&mut self) -> &mut FakePulse {
        self.nets.server.host()
    }

    /// Calls the gateway.
    pub fn serve<T>(&mut self, call: impl FnOnce(&mut FakePulse, &mut Io<'_>) -> T) -> T {
        let result = self.nets.server.with_io(call);
        self.nets.advance(0);
        result
    }

    pub fn send(&mut self, text: &str) {
        let sent = self.client(|clients, io, id| clients.send(io, id, Message::text(text)));
        sent.unwrap_or_else(|e| panic!("{text}: {e}"));
    }

    /// The service sends a text in the newest session.
    pub fn serve_text(&mut self, text: &str) {
        self.serve(|gateway, io| {
            let session = gateway.session().expect("a session");
            gateway
                .send(io, session, Message::text(text))
                .expect("room");
        });
    }

    pub fn events(&mut self) -> Vec<ClientEvent> {
        let events = std::mem::take(&mut self.nets.dialer.host().events);
        events.into_iter().map(|(_, event)| event).collect()
    }

    /// Returns the events since the last call in short.
    pub fn names(&mut self) -> Vec<String> {
        self.events().iter().map(name).collect()
    }

    pub fn phase(&mut self) -> ClientPhase {
        let id = self.id;
        let host = self.nets.dialer.host();
        host.clients.get(id).expect("the client").state()
    }

    /// Returns what the service has received.
    pub fn received(&mut self) -> Vec<String> {
        let received = &self.gateway().received;
        received.iter().map(|(_, m)| m.to_string()).collect()
    }
}

fn name(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Connecting(_) => "connecting".to_owned(),
        ClientEvent::Opened => "opened".to_owned(),
        ClientEvent::Resumed { .. } => "resumed".to_owned(),
        ClientEvent::Suspended { end, .. } => {
            let class = end.as_ref().map(|end| end.class);
            class.map_or("suspended".to_owned(), |class| {
                format!("suspended {class:?}")
            })
        }
        ClientEvent::Reset(_) => "reset".to_owned(),
        ClientEvent::Message(message) => format!("message {message}"),
        ClientEvent::AtRisk(is_high) => format!("at risk: {is_high}"),
        ClientEvent::Drained => "drained".to_owned(),
        ClientEvent::Closed { end, .. } => format!("closed {:?}", end.class),
        _ => "unknown".to_owned(),
    }
}
