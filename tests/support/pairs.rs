//! A host that puts a server behind the engine: it dials one for each client and links the two.

use pulsegate::engine::{
    ClassConfig, Dial, DialAddress, DialRequest, Io, LinkRules, PairEnd, Response, ResponseVerdict,
};
use pulsegate::testing::{Net, PeerId};
use pulsegate::{
    Cause, Class, Config, ConnId, EndedBy, Ending, Handler, Message, Micros, Policy, Reply,
    Request, Upgrade, Verdict, http::HeaderValue,
};
use std::collections::BTreeMap;

/// The class of clients.
pub const CLIENT: Class = Class(0);
/// The class of the servers behind.
pub const SERVER: Class = Class(1);

/// A host that links each client to a server of its own.
#[derive(Default)]
pub struct PairHost {
    /// The client of each server that was dialled.
    pub clients: BTreeMap<ConnId, ConnId>,
    /// The server of each client whose request is not answered yet.
    pub waiting: BTreeMap<ConnId, ConnId>,
    /// Whether clients are linked and upgraded before their servers have answered.
    pub opens_clients_first: bool,
    /// The rules of new links.
    pub rules: LinkRules,
    /// The pairs that ended otherwise than by a close frame, with the cause: the connection that
    /// ended, and its partner.
    pub ended: Vec<(ConnId, ConnId, Cause)>,
    /// Connections that would have been closed as stale: `false`. `true`: heard again, so the close
    /// would have been wrong.
    pub would_close: Vec<(ConnId, bool)>,
    /// Messages that reached the host. Linked connections have none.
    pub messages: usize,
}

/// Returns the configuration of an engine with clients and servers under these policies.
pub fn pair_config(client: Policy, server: Policy) -> Config {
    let class = |name: &str, policy| ClassConfig {
        name: name.to_owned(),
        policy,
    };
    Config {
        classes: vec![class("client", client), class("server", server)],
        ..Config::default()
    }
}

impl Handler for PairHost {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let address = DialAddress::Tcp(([127, 0, 0, 1], 80).into());
        let dial = DialRequest::new(request.path(), HeaderValue::from_static("server"));
        match io.dial(Dial::new(address, dial, SERVER)) {
            Ok(server) => {
                self.clients.insert(server, id);
                if self.opens_clients_first {
                    assert!(io.link(id, server, self.rules), "both are new");
                    return Verdict::upgrade(CLIENT);
                }
                self.waiting.insert(id, server);
                Verdict::DeferFor(Micros::from_secs(20))
            }
            Err(e) => Verdict::refuse(Cause::INTERNAL, 500, &e.to_string()),
        }
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let Some(client) = self.clients.get(&id).copied() else {
            return ResponseVerdict::Refuse("the client has gone".to_owned());
        };
        if self.waiting.remove(&client).is_none() {
            return ResponseVerdict::Open;
        }
        if response.status() != 101 {
            let body = String::from_utf8_lossy(response.body()).into_owned();
            let reply = Reply::new(response.status(), body);
            let cause = Cause::NOT_UPGRADED;
            io.answer(client, Verdict::Reply { reply, cause });
            return ResponseVerdict::Open;
        }
        assert!(io.link(client, id, self.rules), "both are new");
        let upgrade = Upgrade {
            identified: true,
            ..Upgrade::to(CLIENT)
        };
        io.answer(client, Verdict::Upgrade(upgrade));
        ResponseVerdict::Open
    }

    fn on_message(&mut self, _: &mut Io<'_>, _: ConnId, _: Message) {
        self.messages += 1;
    }

    fn on_pair_end(&mut self, io: &mut Io<'_>, id: ConnId, partner: ConnId, end: &PairEnd) {
        self.ended.push((id, partner, end.cause));
        let is_client = self.clients.contains_key(&partner);
        let code = match (is_client, end.cause) {
            (true, _) => 1001,
            (false, cause) if cause.by() == EndedBy::Operator => 1012,
            (false, cause) if cause == Cause::PROTOCOL || cause == Cause::TOO_BIG => 1011,
            (false, cause) if cause == Cause::SLOW_CONSUMER => 1013,
            (false, _) => 1012,
        };
        io.close_for(partner, Cause::PARTNER_ENDED, code, end.cause.name());
    }

    fn on_would_close(&mut self, _: &mut Io<'_>, id: ConnId, _: Micros) {
        self.would_close.push((id, false));
    }

    fn on_false_alarm(&mut self, _: &mut Io<'_>, id: ConnId, _: Micros) {
        self.would_close.push((id, true));
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        if let Some(server) = self.waiting.remove(&id) {
            // The client has left before the server answered.
            io.close(server, 1001, "client gone");
        }
        if let Some(client) = self.clients.remove(&id)
            && self.waiting.remove(&client).is_some()
        {
            let status = match end.cause {
                cause if cause == Cause::CONNECT_TIMEOUT => 504,
                cause if cause == Cause::ANSWER_TIMEOUT => 504,
                _ => 502,
            };
            let verdict = Verdict::refuse(end.cause, status, &end.reason);
            io.answer(client, verdict);
        }
    }
}

/// Connects a client, and returns it with its server.
pub fn connect_pair(net: &mut Net<PairHost>) -> (PeerId, PeerId) {
    let client = net.connect("/chat");
    net.settle();
    let servers = net.take_dialed();
    let [server] = servers[..] else {
        panic!("{} servers were dialled", servers.len());
    };
    assert!(
        net.is_open(client) && net.is_open(server),
        "{:?}",
        net.response(client)
    );
    (client, server)
}
