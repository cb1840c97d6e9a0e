//! Linked pairs without sockets, for benchmarks: a host that dials a server for each client and
//! links the two.

use pulsegate::engine::{Engine, FlushOutcome};
use pulsegate::{
    Class, ClassConfig, Config, ConnId, Dial, DialAddress, DialRequest, Ending, Handler,
    HealthChange, Io, LinkRules, Message, Micros, Policy, Request, Response, ResponseVerdict,
    Upgrade, Verdict, http::HeaderValue,
};
use std::io::IoSlice;
use std::net::SocketAddr;
use tungstenite::handshake::derive_accept_key;

const CLIENT: Class = Class(0);
const SERVER: Class = Class(1);

/// Links each client to a server, and expects no errors.
#[derive(Default)]
pub struct PairHost {
    /// The client whose request is not answered yet.
    waiting: Option<ConnId>,
}

impl Handler for PairHost {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let address = DialAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 80)));
        let dial = DialRequest::new(request.path(), HeaderValue::from_static("server"));
        io.dial(Dial::new(address, dial, SERVER)).expect("a dial");
        self.waiting = Some(id);
        Verdict::DeferFor(Micros::from_secs(20))
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, _: &Response) -> ResponseVerdict {
        let client = self.waiting.take().expect("a client");
        assert!(io.link(client, id, LinkRules::default()), "both are new");
        let upgrade = Upgrade {
            identified: true,
            ..Upgrade::to(CLIENT)
        };
        io.answer(client, Verdict::Upgrade(upgrade));
        ResponseVerdict::Open
    }

    fn on_message(&mut self, _io: &mut Io<'_>, id: ConnId, message: Message) {
        panic!("{id} sent {message:?}");
    }

    fn on_health(&mut self, _io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        panic!("{id}: {change:?}");
    }

    fn on_close(&mut self, _io: &mut Io<'_>, id: ConnId, end: &Ending) {
        panic!("{id}: {end:?}");
    }
}

/// Creates an engine for pairs; both legs have the default policy.
pub fn pair_engine() -> Engine<PairHost> {
    let class = |name: &str| ClassConfig {
        name: name.to_owned(),
        policy: Policy::default(),
    };
    let config = Config {
        classes: vec![class("client"), class("server")],
        ..Config::default()
    };
    Engine::new(config, PairHost::default(), Box::new(|| ())).expect("a valid configuration")
}

/// Opens a pair: a client, and the server that was dialled for it.
pub fn open_pair(engine: &mut Engine<PairHost>, now: Micros) -> (ConnId, ConnId) {
    let client = engine.accept(SocketAddr::from(([127, 0, 0, 1], 1)), false, now);
    engine.on_bytes(client, UPGRADE.as_bytes(), now);
    let mut dials = Vec::new();
    engine.take_dials(&mut dials);
    let [(server, _)] = dials[..] else {
        panic!("{} servers were dialled", dials.len());
    };
    engine.on_connected(server, now);
    let request = flush_all(engine, now);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("Sec-WebSocket-Key: "));
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        derive_accept_key(key.expect("a key").as_bytes())
    );
    engine.on_bytes(server, response.as_bytes(), now);
    let answer = flush_all(engine, now);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer:?}");
    (client, server)
}

/// Ends the turn: writes what waits, and returns it.
fn flush_all(engine: &mut Engine<PairHost>, now: Micros) -> String {
    let (mut dirty, mut all) = (Vec::new(), Vec::new());
    engine.take_dirty(&mut dirty);
    for id in dirty {
        let mut socket = |slices: &[IoSlice<'_>]| {
            slices.iter().for_each(|slice| all.extend_from_slice(slice));
            Ok(slices.iter().map(|s| s.len()).sum())
        };
        assert_eq!(engine.flush(id, now, &mut socket), FlushOutcome::Done);
    }
    engine.reap(now, &mut |id, _| panic!("{id} was closed"));
    String::from_utf8(all).expect("a head")
}

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\n\
                       Upgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
