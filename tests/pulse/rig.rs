//! The gateway on virtual time, between clients that a test writes by hand and services that do
//! only what it tells them.

use crate::fleet::Fleet;
use pulsegate::gateway::{
    BRIDGE_CLASSES, BridgeOptions, Credentials, Gateway, Proxies, RELAY_CLASSES, RelaySettings,
    RequestKey, Route, RouteIdentity, SessionCounts, SessionLimits, WeightedUpstream,
};
use pulsegate::pulse::{GatewayFrame, Hello};
use pulsegate::testing::{
    Net, OnDial, PeerId, Received, client_frame, frame_of_server, upgrade_request,
};
use pulsegate::wire::frame::{CLOSE, FIN};
use pulsegate::{Class, ClassConfig, Config, Message, Micros};
use std::net::IpAddr;

/// The class of clients.
pub const CLIENTS: Class = Class(RELAY_CLASSES.len() as u8);

/// The class of connections to services.
pub const SERVICES: Class = Class(CLIENTS.0 + 1);

/// The only upstream.
pub const UPSTREAM: &str = "127.0.0.1:81";

/// A second, in the unit of [`Rig::pass`].
pub const S: u64 = 1_000;

pub struct Rig {
    pub net: Net<Gateway>,
    /// The address of the next client.
    pub address: IpAddr,
}

/// A client with a session, and its service.
pub struct Pair {
    pub client: PeerId,
    pub service: PeerId,
    pub hello: Hello,
}

impl Rig {
    /// Starts a gateway with one route that allows pulse.
    pub fn new() -> Self {
        Self::tuned(|_, _, _| {})
    }

    /// Starts a gateway with these limits.
    pub fn with(limits: SessionLimits) -> Self {
        Self::tuned(|_, of_rig, _| *of_rig = limits)
    }

    pub fn tuned(tune: impl FnOnce(&mut Route, &mut SessionLimits, &mut Config)) -> Self {
        Self::guarded(Credentials::default(), tune)
    }

    /// Starts a gateway that checks tokens.
    pub fn guarded(
        credentials: Credentials,
        tune: impl FnOnce(&mut Route, &mut SessionLimits, &mut Config),
    ) -> Self {
        let fleet = Fleet::tuned(RelaySettings::default(), None, |options, config| {
            let classes = BRIDGE_CLASSES.map(|info| ClassConfig {
                name: info.name.to_owned(),
                policy: info.policy,
            });
            config.classes.extend(classes);
            let (mut route, mut limits) = (route(), SessionLimits::default());
            tune(&mut route, &mut limits, config);
            options.serves_relay = false;
            options.credentials = credentials;
            options.bridge = Some(BridgeOptions {
                routes: vec![route],
                forwarded_https: false,
                http_pass: false,
                http_max_requests: 0,
                proxies: Proxies::default(),
                sessions: limits,
            });
        });
        let mut net = fleet.net;
        net.set_on_dial(OnDial::Accept);
        let address = IpAddr::from([127, 0, 0, 1]);
        Rig { net, address }
    }

    /// Sends a request for a WebSocket with these lines, each ended by CRLF.
    pub fn ask(&mut self, target: &str, lines: &str) -> PeerId {
        let client = self.net.open_socket_from(self.address);
        let request = upgrade_request(target);
        let (head, _) = request.split_at(request.len() - 2);
        let request = format!("{head}{lines}\r\n");
        self.net.write(client, request.as_bytes());
        self.net.settle();
        client
    }

    /// Returns the connection to the service that was made last.
    #[track_caller]
    pub fn dialed(&mut self) -> PeerId {
        self.net.settle();
        let dialed = self.net.take_dialed();
        assert_eq!(dialed.len(), 1, "connections to the service");
        dialed[0]
    }

    /// Opens a session.
    #[track_caller]
    pub fn open(&mut self) -> Pair {
        self.open_as("/?pulse=1", "")
    }

    #[track_caller]
    pub fn open_as(&mut self, target: &str, lines: &str) -> Pair {
        let client = self.ask(target, lines);
        let service = self.dialed();
        self.net.agree(service, "");
        self.net.settle();
        let hello = self.hello(client);
        Pair {
            client,
            service,
            hello,
        }
    }

    /// Opens a session whose client has proved that it has the hello.
    #[track_caller]
    pub fn proved(&mut self) -> Pair {
        let pair = self.open();
        self.say(pair.client, r#"{"rx":0}"#);
        pair
    }

    /// Opens a connection that wants the session of a hello back, with this many messages.
    #[track_caller]
    pub fn resume(&mut self, hello: &Hello, rx: u64) -> PeerId {
        self.resume_as("/?pulse=1&resume=1a2b3c4d", "", hello, rx)
    }

    #[track_caller]
    pub fn resume_as(&mut self, target: &str, lines: &str, hello: &Hello, rx: u64) -> PeerId {
        let client = self.ask(target, lines);
        let head = self.net.response(client).unwrap_or_default();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let token = hello.resume.as_str();
        self.say(client, &format!(r#"{{"resume":"{token}","rx":{rx}}}"#));
        client
    }

    /// Returns the hello that a client gets next.
    #[track_caller]
    pub fn hello(&mut self, client: PeerId) -> Hello {
        let heard = self.net.received(client);
        let Some(Received::Message(Message::Text(text))) = heard.first() else {
            panic!("no hello: {heard:?}, {:?}", self.net.response(client));
        };
        let json = text
            .as_str()
            .strip_prefix('\u{1}')
            .expect("a control frame");
        match GatewayFrame::parse(json) {
            Ok(GatewayFrame::Hello(hello)) => {
                assert_eq!(heard.len(), 1, "more than a hello: {heard:?}");
                *hello
            }
            other => panic!("{other:?} instead of a hello"),
        }
    }

    /// Sends a control frame of a client.
    pub fn say(&mut self, client: PeerId, json: &str) {
        self.text(client, &format!("\u{1}{json}"));
    }

    /// Sends a text of either side.
    pub fn text(&mut self, peer: PeerId, text: &str) {
        self.net.send(peer, Message::text(text.to_owned()));
        self.net.settle();
    }

    /// Closes from either side.
    pub fn close(&mut self, peer: PeerId, code: u16, reason: &str) {
        let payload = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
        let is_client = self
            .net
            .request(peer)
            .is_none_or(|head| head.starts_with("HTTP/"));
        let frame = match is_client {
            true => client_frame(FIN | CLOSE, &payload),
            false => frame_of_server(FIN | CLOSE, &payload),
        };
        self.net.write(peer, &frame);
        self.net.settle();
    }

    /// Resets the connection of a client.
    pub fn cut(&mut self, client: PeerId) {
        self.net.reset(client);
        self.net.settle();
    }

    pub fn pass(&mut self, ms: u64) {
        self.net.advance(ms);
    }

    /// Returns what a peer has heard, one line for each frame: texts as they are, and other frames
    /// by name. A control frame of pulse begins with its escape.
    pub fn heard(&mut self, peer: PeerId) -> Vec<String> {
        let line = |received: Received| match received {
            Received::Message(Message::Text(text)) => text.as_str().to_owned(),
            Received::Message(message) => format!("binary {:?}", message.into_data()),
            Received::Close(code, reason) => format!("close {code} {reason}").trim_end().to_owned(),
            Received::Ping(_) => "ping".to_owned(),
            Received::Pong(payload) => format!("pong {}", String::from_utf8_lossy(&payload)),
            Received::Fragment(first, _) => format!("fragment {first}"),
        };
        self.net.received(peer).into_iter().map(line).collect()
    }

    pub fn counts(&mut self) -> SessionCounts {
        let bridge = self.net.host().bridge().expect("a bridge");
        bridge.session_counts().clone()
    }

    /// Asserts that the gateway keeps nothing, and that nothing is charged.
    #[track_caller]
    pub fn assert_empty(&mut self) {
        self.pass(10 * S);
        let kept = self.net.host().bridge().expect("a bridge").kept();
        assert_eq!(kept, (0, 0));
        assert_eq!(self.net.engine().stats().host_bytes, 0);
    }
}

fn route() -> Route {
    let upstream = WeightedUpstream::parse(&format!("http://{UPSTREAM}")).expect("a location");
    let key = RequestKey::parse("query:user").expect("a key");
    Route {
        pulse: true,
        identity: Some(RouteIdentity::Key(key)),
        slow_start: Micros::ZERO,
        ..Route::to("r", vec![upstream])
    }
}

/// Returns a control frame as it is heard.
pub fn control(json: &str) -> String {
    format!("\u{1}{json}")
}
