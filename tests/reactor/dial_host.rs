//! A reactor on a thread whose host dials: on a test's orders, and a server for each client.

use crate::sockets::{
    Calls, Client, Listener, LoopThread, PATIENCE, Server, eventually, policy, upgrade,
};
use pulsegate::engine::{
    Dial, DialAddress, DialRequest, LinkRules, PairEnd, PhaseView, Response, ResponseVerdict, Stats,
};
use pulsegate::http::HeaderValue;
use pulsegate::reactor::listen;
use pulsegate::{
    Cause, Class, ClassConfig, Config, ConnId, EndedBy, Ending, Handler, Io, Message, Micros,
    Reactor, Reply, Request, Upgrade, Verdict,
};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const CLIENT: Class = Class(0);
const SERVER: Class = Class(1);

/// A call that the host received.
#[derive(Debug, Clone)]
pub enum Told {
    /// Status and body of an answer.
    Response(u16, Vec<u8>),
    Opened,
    Message(Message),
    /// The connection ended, and its partner is to be closed.
    PairEnd(Cause),
    Closed(Ending),
}

type Order = Box<dyn FnOnce(&mut Io<'_>) + Send>;

/// What the test and the host share.
#[derive(Default)]
struct Shared {
    told: Calls<(ConnId, Told)>,
    orders: Mutex<VecDeque<Order>>,
}

impl Shared {
    fn orders(&self) -> MutexGuard<'_, VecDeque<Order>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, id: ConnId, told: Told) {
        self.told.add((id, told));
    }
}

/// Records its calls, and links each client to a server of its own.
struct Host {
    shared: Arc<Shared>,
    /// The dial for each client, but for its target.
    upstream: Option<Dial>,
    rules: LinkRules,
    /// The client of each server that was dialled for one.
    clients: HashMap<ConnId, ConnId>,
    /// The servers of clients that have no answer yet.
    waiting: HashMap<ConnId, ConnId>,
}

impl Host {
    fn new(shared: &Arc<Shared>, upstream: Option<Dial>, rules: LinkRules) -> Host {
        Host {
            shared: shared.clone(),
            upstream,
            rules,
            clients: HashMap::new(),
            waiting: HashMap::new(),
        }
    }
}

impl Handler for Host {
    fn on_request(&mut self, io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let Some(upstream) = &self.upstream else {
            return Verdict::refuse(Cause::BAD_REQUEST, 404, "this host only dials");
        };
        let mut dial = upstream.clone();
        dial.request.target = request.path().to_owned();
        match io.dial(dial) {
            Ok(server) => {
                self.clients.insert(server, id);
                self.waiting.insert(id, server);
                Verdict::DeferFor(Micros::from_secs(20))
            }
            Err(e) => Verdict::refuse(Cause::INTERNAL, 500, &e.to_string()),
        }
    }

    fn on_response(&mut self, io: &mut Io<'_>, id: ConnId, response: &Response) -> ResponseVerdict {
        let body = response.body().to_vec();
        self.shared
            .note(id, Told::Response(response.status(), body));
        let Some(client) = self.clients.get(&id).copied() else {
            return ResponseVerdict::Open;
        };
        self.waiting.remove(&client);
        if response.status() != 101 {
            let body = String::from_utf8_lossy(response.body()).into_owned();
            let reply = Reply::new(response.status(), body);
            let cause = Cause::NOT_UPGRADED;
            io.answer(client, Verdict::Reply { reply, cause });
            return ResponseVerdict::Open;
        }
        assert!(io.link(client, id, self.rules), "both are new");
        io.answer(client, Verdict::Upgrade(Upgrade::to(CLIENT)));
        ResponseVerdict::Open
    }

    fn on_open(&mut self, _: &mut Io<'_>, id: ConnId) {
        self.shared.note(id, Told::Opened);
    }

    fn on_message(&mut self, _: &mut Io<'_>, id: ConnId, message: Message) {
        self.shared.note(id, Told::Message(message));
    }

    fn on_pair_end(&mut self, io: &mut Io<'_>, id: ConnId, partner: ConnId, end: &PairEnd) {
        self.shared.note(id, Told::PairEnd(end.cause));
        let is_client = self.clients.contains_key(&partner);
        let (code, reason) = partner_close(is_client, end);
        io.close_for(partner, Cause::PARTNER_ENDED, code, &reason);
    }

    fn on_close(&mut self, io: &mut Io<'_>, id: ConnId, end: &Ending) {
        if let Some(server) = self.waiting.remove(&id) {
            io.close_for(server, Cause::PARTNER_ENDED, 1001, "client lost");
        }
        if let Some(client) = self.clients.remove(&id)
            && self.waiting.remove(&client).is_some()
        {
            let is_late = [Cause::CONNECT_TIMEOUT, Cause::ANSWER_TIMEOUT].contains(&end.cause);
            let status = if is_late { 504 } else { 502 };
            io.answer(client, Verdict::refuse(end.cause, status, &end.reason));
        }
        self.shared.note(id, Told::Closed(end.clone()));
    }

    fn on_reject(&mut self, _: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.shared.note(id, Told::Closed(end.clone()));
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        loop {
            let order = self.shared.orders().pop_front();
            match order {
                Some(order) => order(io),
                None => return,
            }
        }
    }
}

/// Returns what one leg is told of the end of the other (`is_client`: the client's ended).
fn partner_close(is_client: bool, end: &PairEnd) -> (u16, String) {
    let cause = end.cause;
    let what = match cause {
        cause if cause == Cause::STALE => end.reason.split(',').next().unwrap_or_default(),
        cause if cause.by() == EndedBy::Operator => {
            return (1001 + 11 * u16::from(!is_client), end.reason.to_string());
        }
        cause => cause.name(),
    };
    let is_fault = [Cause::PROTOCOL, Cause::TOO_BIG].contains(&cause);
    match is_client {
        true => (1001, format!("client lost: {what}")),
        false if is_fault => (1011, format!("upstream closed: {what}")),
        false if cause == Cause::SLOW_CONSUMER => (1013, format!("upstream lost: {what}")),
        false => (1012, format!("upstream lost: {what}")),
    }
}

/// Returns a dial of this address, with default parameters.
pub fn dial(address: DialAddress) -> Dial {
    let request = DialRequest::new("/chat", HeaderValue::from_static("server"));
    Dial::new(address, request, SERVER)
}

/// Returns a configuration with clients and servers under the policy of these tests.
pub fn config() -> Config {
    let class = |name: &str| ClassConfig {
        name: name.to_owned(),
        policy: policy(),
    };
    Config {
        classes: vec![class("client"), class("server")],
        ..Config::default()
    }
}

/// A running reactor with a [`Host`]; stopped when dropped.
pub struct DialHost {
    pub addr: SocketAddr,
    thread: LoopThread,
    shared: Arc<Shared>,
}

impl DialHost {
    /// Starts a host that only dials, without a listener.
    pub fn start() -> DialHost {
        let shared = Arc::new(Shared::default());
        let host = Host::new(&shared, None, LinkRules::default());
        let create = move || Reactor::without_listener(config(), host).expect("a reactor");
        Self::run(create, shared)
    }

    /// Starts a host that dials this server for each client.
    pub fn in_front_of(upstream: &Listener) -> DialHost {
        Self::start_with(config(), Some(upstream.address()), LinkRules::default())
    }

    /// Opens a client and its server.
    #[track_caller]
    pub fn pair(&self, upstream: &Listener) -> (Client, Server) {
        let mut client = Client::connect(self.addr);
        client.write(upgrade("/chat").as_bytes());
        let server = upstream.open();
        client.switched();
        (client, server)
    }

    /// Starts a host that dials this server for each client, and waits this long for its answer.
    pub fn waiting_for(upstream: &Listener, answer_timeout: Micros) -> DialHost {
        let mut dial = dial(upstream.address());
        dial.answer_timeout = answer_timeout;
        Self::start_dialing(config(), Some(dial), LinkRules::default())
    }

    pub fn start_with(config: Config, upstream: Option<DialAddress>, rules: LinkRules) -> DialHost {
        Self::start_dialing(config, upstream.map(dial), rules)
    }

    fn start_dialing(config: Config, upstream: Option<Dial>, rules: LinkRules) -> DialHost {
        let shared = Arc::new(Shared::default());
        let host = Host::new(&shared, upstream, rules);
        let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
        let create = move || Reactor::new(config, listener, 1_000, host).expect("a reactor");
        Self::run(create, shared)
    }

    fn run(
        create: impl FnOnce() -> Reactor<Host> + Send + 'static,
        shared: Arc<Shared>,
    ) -> DialHost {
        let thread = LoopThread::spawn(create);
        DialHost {
            addr: thread.addr,
            thread,
            shared,
        }
    }

    /// Holds the loop, inside a call of its handler, until the returned gate is dropped.
    #[track_caller]
    pub fn hold(&self) -> Sender<()> {
        let (gate, opened) = channel::<()>();
        let (reached, is_reached) = channel();
        let order = move |_: &mut Io<'_>| {
            let _ = reached.send(());
            // The gate sends nothing: it is dropped.
            let _ = opened.recv();
        };
        self.shared.orders().push_back(Box::new(order));
        self.thread.remote.wake();
        is_reached.recv_timeout(PATIENCE).expect("the loop turns");
        gate
    }

    /// Returns the two connections of the pair that opened last: the client's, and the server's.
    #[track_caller]
    pub fn last_pair(&self) -> (ConnId, ConnId) {
        self.with_io(|io| {
            let ids = (0..io.slots()).filter_map(|slot| io.id_in_slot(slot));
            let linked = ids.filter(|id| io.view(*id).is_some_and(|v| v.dialed));
            let newest = linked.max_by_key(|id| io.view(*id).map(|v| v.since));
            let server = newest.expect("a dialled connection");
            (io.partner(server).expect("a partner"), server)
        })
    }

    /// Calls `act` on the loop's thread, and returns its result.
    #[track_caller]
    pub fn with_io<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Io<'_>) -> T + Send + 'static,
    ) -> T {
        let (done, result) = channel();
        let order = move |io: &mut Io<'_>| {
            let _ = done.send(act(io));
        };
        self.shared.orders().push_back(Box::new(order));
        self.thread.remote.wake();
        result.recv_timeout(PATIENCE).expect("the loop turns")
    }

    /// Waits until this is true on the loop's thread.
    #[track_caller]
    pub fn await_io(
        &self,
        what: &str,
        is_so: impl Fn(&mut Io<'_>) -> bool + Clone + Send + 'static,
    ) {
        eventually(what, || self.with_io(is_so.clone()).then_some(()));
    }

    #[track_caller]
    pub fn dial(&self, dial: Dial) -> ConnId {
        self.with_io(|io| io.dial(dial)).expect("a dial")
    }

    /// Waits until `find` finds something in the host's calls.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, find: impl Fn(&[(ConnId, Told)]) -> Option<T>) -> T {
        self.shared.told.wait_for(what, find)
    }

    /// Waits until the host was told this of a connection.
    #[track_caller]
    pub fn await_told<T>(&self, what: &str, id: ConnId, find: impl Fn(&Told) -> Option<T>) -> T {
        self.wait_for(what, |told| {
            let mut of_it = told.iter().filter(|(about, _)| *about == id);
            of_it.find_map(|(_, told)| find(told))
        })
    }

    /// Waits for the end of a connection.
    #[track_caller]
    pub fn ending(&self, id: ConnId) -> Ending {
        self.await_told("an end", id, |told| match told {
            Told::Closed(end) => Some(end.clone()),
            _ => None,
        })
    }

    /// Waits until a connection is open.
    #[track_caller]
    pub fn await_open(&self, id: ConnId) {
        self.await_told("an open connection", id, |told| {
            matches!(told, Told::Opened).then_some(())
        });
    }

    /// Returns the phase of a connection.
    #[track_caller]
    pub fn phase(&self, id: ConnId) -> Option<PhaseView> {
        self.with_io(move |io| io.view(id).map(|view| view.phase))
    }

    #[track_caller]
    pub fn stats(&self) -> Stats {
        self.with_io(|io| io.stats().clone())
    }

    /// Stops the loop and checks its accounts: each connection has ended and was reported once.
    #[track_caller]
    pub fn stop(self) -> Stats {
        self.thread.remote.stop();
        self.wait_for_end()
    }

    /// Waits for the end of the loop, which was requested before, and checks its accounts.
    #[track_caller]
    pub fn wait_for_end(&self) -> Stats {
        let stats = self.thread.wait_for_end();
        let told = self.shared.told.lock();
        let ends = told.iter().filter(|(_, t)| matches!(t, Told::Closed(_)));
        let mut ids: Vec<ConnId> = ends.map(|(id, _)| *id).collect();
        ids.sort();
        assert!(ids.windows(2).all(|two| two[0] != two[1]), "told twice");
        assert_eq!(ids.len() as u64, stats.accepted + stats.dialed);
        assert_eq!((stats.live(), stats.dialed_here), (0, 0));
        assert_eq!((stats.pending_bytes, stats.held_bytes), (0, 0));
        drop(told);
        stats
    }
}
