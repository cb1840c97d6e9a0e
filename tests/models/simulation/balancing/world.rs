//! The engine, a route and its upstreams; each step is one random action and all checks.

use crate::simulation::bridge_host::Host;
use fastrand::Rng;
use pulsegate::engine::{ClassConfig, Config, DialAddress};
use pulsegate::gateway::{Route, WeightedUpstream};
use pulsegate::health::Policy;
use pulsegate::testing::{Net, OnDial, PeerId};
use pulsegate::time::Micros;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

const ROUTE: &str = "r";

/// The path of a client with an address of its own.
const SINGLE: &str = "/from-2";

const CONNECT_TIMEOUT: Micros = Micros::from_millis(700);

const ANSWER_TIMEOUT: Micros = Micros::from_millis(1_100);

/// The time for an answer of upstreams that are slow, and never fail.
const SLOW_ANSWER_TIMEOUT: Micros = Micros::from_millis(4_000);

/// The longest that a client may wait for an answer: in the queue, for four connects, for the
/// slowest answer of the last, and a margin.
const PATIENCE: Micros = Micros::from_millis(5_000 + 4 * 700 + 4_000 + 1_500);

/// The longest that a client waits alone while another one has more than its share of the places
/// at an upstream. One place is given up in each step of the queue.
const CROWDED: Micros = Micros::from_millis(1_000 + 3 * 150);

/// The longest that an address counts as one that asks: 10 s after the last dial for it.
const CONTENTION: Micros = Micros(10_000_000 + PATIENCE.0);

/// The longest that a request may wait although an upstream has room.
const ROOM_UNSEEN: Micros = Micros::from_millis(150);

const CLIENTS_MAX: usize = 12;

/// Runs one seed. The error says which promise was broken, and when.
pub fn run(seed: u64, steps: usize) -> Result<(), String> {
    let mut world = World::new(seed);
    for step in 0..steps {
        world.act();
        world
            .check()
            .map_err(|e| format!("seed {seed}, step {step}, {}: {e}", world.net.now()))?;
    }
    world
        .finish()
        .map_err(|e| format!("seed {seed}, at the end: {e}"))
}

struct World {
    rng: Rng,
    net: Net<Host>,
    /// The ports of the upstreams that the settings have.
    listed: BTreeSet<u16>,
    drained: BTreeSet<u16>,
    /// Whether upstreams are only slow: they take every connection and reset none.
    is_calm: bool,
    max_dialing: u32,
    max_age: Option<Micros>,
    /// Clients without an answer, and since when they wait.
    waiting: Vec<(PeerId, Micros)>,
    /// Of these the one from an address of its own; all others share one.
    single: Option<PeerId>,
    /// When each of the two addresses last asked.
    asked: [Option<Micros>; 2],
    /// Since when the single one waits, although another gives way to it.
    crowded_since: Option<Micros>,
    open: Vec<PeerId>,
    servers: Vec<Server>,
    /// When a connection to an upstream last ended before it was open. The request is not sent to
    /// that one again.
    failed: BTreeMap<u16, Micros>,
    /// Since when an upstream has room although a request waits.
    room_since: Option<Micros>,
}

/// A connection that the bridge has made.
struct Server {
    peer: PeerId,
    port: u16,
    has_agreed: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let class = |name: &str| ClassConfig {
            name: name.to_owned(),
            policy: Policy::default(),
        };
        let config = Config {
            classes: vec![class("client"), class("upstream")],
            ..Config::default()
        };
        let listed = BTreeSet::from([81, 82]);
        let (max_dialing, max_age) = (rng.u32(1..4), rng.bool().then(|| Micros::from_secs(3)));
        let is_calm = rng.bool();
        let routes = vec![route(&listed, max_dialing, max_age, is_calm)];
        World {
            net: Net::new(config, Host::new(routes)),
            rng,
            listed,
            drained: BTreeSet::new(),
            is_calm,
            max_dialing,
            max_age,
            waiting: Vec::new(),
            single: None,
            asked: [None; 2],
            crowded_since: None,
            open: Vec::new(),
            servers: Vec::new(),
            failed: BTreeMap::new(),
            room_since: None,
        }
    }

    fn act(&mut self) {
        let on_dial = match self.rng.u8(0..8) {
            0..=2 if !self.is_calm => OnDial::Agree,
            _ if self.is_calm => OnDial::Accept,
            3..=5 => OnDial::Accept,
            6 => OnDial::Wait,
            _ => OnDial::Fail(ErrorKind::ConnectionRefused),
        };
        self.net.set_on_dial(on_dial);
        match self.rng.u8(0..20) {
            0..=7 if self.waiting.len() + self.open.len() < CLIENTS_MAX => {
                self.connect();
            }
            8..=10 => self.server_speaks(),
            11 => self.client_leaves(),
            12 => self.drain_or_resume(),
            13 => self.reload(),
            _ => {
                let ms = self.rng.u64(1..1_200);
                self.net.advance(ms);
            }
        }
        self.net.settle();
    }

    /// A client comes: from the address that most have, or the only one of another.
    fn connect(&mut self) {
        let is_single = self.single.is_none() && self.rng.u8(0..4) == 0;
        let path = if is_single { SINGLE } else { "/from-1" };
        let client = self.net.connect(path);
        self.waiting.push((client, self.net.now()));
        self.asked[usize::from(is_single)] = Some(self.net.now());
        if is_single {
            self.single = Some(client);
        }
    }

    /// A server agrees, or ends its connection.
    fn server_speaks(&mut self) {
        let alive = |server: &&mut Server| self.net.ending(server.peer).is_none();
        let alive: Vec<&mut Server> = self.servers.iter_mut().filter(alive).collect();
        if alive.is_empty() {
            return;
        }
        let nth = self.rng.usize(0..alive.len());
        let server = &*alive[nth];
        let (peer, may_agree) = (server.peer, !server.has_agreed);
        match self.rng.u8(0..3) {
            0 if !self.is_calm || !may_agree => self.net.reset(peer),
            _ if may_agree && self.net.request(peer).is_some() => self.net.agree(peer, ""),
            _ => {}
        }
    }

    fn client_leaves(&mut self) {
        let waiting = self.waiting.iter().map(|(client, _)| *client);
        let all: Vec<PeerId> = waiting.chain(self.open.iter().copied()).collect();
        if let Some(nth) = (!all.is_empty()).then(|| self.rng.usize(0..all.len())) {
            self.net.reset(all[nth]);
        }
    }

    fn drain_or_resume(&mut self) {
        let ports: Vec<u16> = self.listed.iter().copied().collect();
        let port = ports[self.rng.usize(0..ports.len())];
        let name = format!("127.0.0.1:{port}");
        let spread = Micros::from_millis(self.rng.u64(0..2_000));
        let is_drained = self.drained.contains(&port);
        self.net.with_io(|host, io| match is_drained {
            true => {
                let resumed = host.bridge.resume_upstream(io.now(), ROUTE, &name);
                assert_eq!(resumed, Some(true));
            }
            false => {
                let drained = host.bridge.drain_upstream(io, ROUTE, &name, spread);
                assert!(drained.is_some(), "{name}");
            }
        });
        match is_drained {
            true => self.drained.remove(&port),
            false => self.drained.insert(port),
        };
    }

    /// The settings name other upstreams, and another limit of requests.
    fn reload(&mut self) {
        let mut listed: BTreeSet<u16> = (81..85).filter(|_| self.rng.bool()).collect();
        listed.insert(self.rng.u16(81..85));
        self.max_dialing = self.rng.u32(1..4);
        let routes = vec![route(&listed, self.max_dialing, self.max_age, self.is_calm)];
        let spread = Micros::from_millis(self.rng.u64(0..2_000));
        self.net
            .with_io(|host, io| host.bridge.set_routes(io, routes, spread));
        self.listed = listed;
        // A drain ends when the settings no longer have the upstream.
        let listed = &self.listed;
        self.drained.retain(|port| listed.contains(port));
    }

    fn check(&mut self) -> Result<(), String> {
        self.net.check().map_err(|e| e.to_string())?;
        if let Some(wrong) = self.net.host().wrong.first() {
            return Err(wrong.clone());
        }
        self.note_dials()?;
        self.check_clients()?;
        self.check_rows()?;
        self.check_queue()?;
        self.check_single()
    }

    /// Notes the connections that the bridge has begun in this step, and checks where they go.
    fn note_dials(&mut self) -> Result<(), String> {
        let addresses = self.net.dialed_addresses();
        let peers = self.net.take_dialed();
        for (peer, address) in peers.into_iter().zip(addresses) {
            let DialAddress::Tcp(address) = address else {
                return Err(format!("{address:?} was dialled"));
            };
            let port = address.port();
            if !self.listed.contains(&port) || self.drained.contains(&port) {
                return Err(format!("{port} was dialled, which takes no clients"));
            }
            self.servers.push(Server {
                peer,
                port,
                has_agreed: false,
            });
            let under_way = self.dialing(port);
            if under_way > u64::from(self.max_dialing) {
                return Err(format!("{under_way} requests wait for {port}"));
            }
        }
        for server in &mut self.servers {
            server.has_agreed |= self.net.is_open(server.peer);
        }
        let (net, failed) = (&self.net, &mut self.failed);
        self.servers.retain(|server| {
            let has_ended = net.ending(server.peer).is_some();
            if has_ended && !server.has_agreed {
                failed.insert(server.port, net.now());
            }
            !has_ended
        });
        Ok(())
    }

    /// Returns how many requests wait for an answer of an upstream.
    fn dialing(&self, port: u16) -> u64 {
        let dialing = self.servers.iter().filter(|server| {
            let is_waiting = !server.has_agreed && !self.net.is_open(server.peer);
            server.port == port && is_waiting && self.net.ending(server.peer).is_none()
        });
        dialing.count() as u64
    }

    /// Checks that every client gets an answer in time.
    fn check_clients(&mut self) -> Result<(), String> {
        let now = self.net.now();
        let (net, open) = (&self.net, &mut self.open);
        self.waiting.retain(|(client, _)| {
            if net.is_open(*client) {
                open.push(*client);
            }
            let is_answered = net.is_open(*client) || net.response(*client).is_some();
            !is_answered && net.ending(*client).is_none()
        });
        open.retain(|client| net.ending(*client).is_none());
        let single = self.single;
        let waits = self
            .waiting
            .iter()
            .any(|(client, _)| Some(*client) == single);
        self.single = single.filter(|_| waits);
        let longest = self.waiting.iter().map(|(_, since)| now - *since).max();
        match longest {
            Some(longest) if longest > PATIENCE => Err(format!("a client waits for {longest}")),
            _ => Ok(()),
        }
    }

    /// Checks what operators see of each upstream against its connections.
    fn check_rows(&mut self) -> Result<(), String> {
        let rows = self.rows();
        for row in &rows {
            let alive = self.servers.iter().filter(|s| s.port == row.port);
            let (agreed, waiting): (Vec<_>, Vec<_>) = alive.partition(|s| s.has_agreed);
            let counted = (row.pairs, row.dialing);
            let real = (agreed.len() as u64, waiting.len() as u64);
            if counted != real {
                return Err(format!("{}: counted {counted:?}, real {real:?}", row.port));
            }
            let is_listed = self.listed.contains(&row.port);
            if !is_listed && counted == (0, 0) {
                return Err(format!("{} is kept, and unused", row.port));
            }
        }
        let missing = self
            .listed
            .iter()
            .find(|port| rows.iter().all(|row| row.port != **port));
        missing.map_or(Ok(()), |port| Err(format!("{port} is missing")))
    }

    /// Checks that no request waits for long while an upstream has room.
    fn check_queue(&mut self) -> Result<(), String> {
        let (queued, _) = self.net.host().bridge.kept();
        let charged = self.net.engine().stats().host_bytes;
        if (queued == 0) != (charged == 0) {
            return Err(format!("{queued} requests wait, charged {charged} bytes"));
        }
        let now = self.net.now();
        // While both addresses ask, a place is left to the one that has none.
        let asks = |at: &Option<Micros>| at.is_some_and(|at| now - at <= CONTENTION);
        let is_contended = self.asked.iter().all(asks);
        let most = match self.max_dialing {
            1 => 1,
            most => u64::from(most) - u64::from(is_contended),
        };
        let has_room = self.usable().any(|port| self.dialing(port) < most);
        if queued == 0 || !has_room {
            self.room_since = None;
            return Ok(());
        }
        let since = *self.room_since.get_or_insert(now);
        match now - since > ROOM_UNSEEN {
            true => Err(format!("{queued} requests wait, and an upstream has room")),
            false => Ok(()),
        }
    }

    /// Returns the upstreams that any request may go to.
    fn usable(&self) -> impl Iterator<Item = u16> {
        let now = self.net.now();
        let candidates = self.listed.difference(&self.drained).copied();
        candidates.filter(move |port| {
            let failed = self.failed.get(port);
            failed.is_none_or(|failed| now - *failed > PATIENCE)
        })
    }

    /// Checks that the client with an address of its own does not wait for long while an upstream
    /// has room for it, or the other address has two places there.
    fn check_single(&mut self) -> Result<(), String> {
        // What an upstream has not read yet may be its request.
        let may_be_its = |server: &Server| {
            let request = self.net.request(server.peer);
            !server.has_agreed && request.is_none_or(|head| head.contains(SINGLE))
        };
        let is_queued = self.single.is_some() && !self.servers.iter().any(may_be_its);
        let is_due = |port| self.dialing(port) >= 2 || self.dialing(port) == 0;
        let mut usable = self.listed.difference(&self.drained).copied();
        if !self.is_calm || !is_queued || !usable.any(is_due) {
            self.crowded_since = None;
            return Ok(());
        }
        let now = self.net.now();
        let since = *self.crowded_since.get_or_insert(now);
        match now - since > CROWDED {
            true => Err("a client waits, and another one has all places".to_owned()),
            false => Ok(()),
        }
    }

    fn rows(&mut self) -> Vec<Row> {
        let now = self.net.now();
        let (rows, total) = self.net.host().bridge.upstreams(now);
        assert_eq!(rows.len(), total);
        let rows = rows.into_iter().map(|row| Row {
            port: row
                .address
                .rsplit(':')
                .next()
                .and_then(|p| p.parse().ok())
                .expect("a port"),
            pairs: row.pairs,
            dialing: row.dialing,
        });
        rows.collect()
    }

    /// Lets all clients leave; then nothing may be left.
    fn finish(mut self) -> Result<(), String> {
        self.net.set_on_dial(OnDial::Agree);
        for _ in 0..100 {
            self.net.advance(100);
            self.net.settle();
            self.check()?;
        }
        if let Some((client, _)) = self.waiting.first() {
            return Err(format!("{client:?} still waits"));
        }
        for client in std::mem::take(&mut self.open) {
            self.net.reset(client);
        }
        for _ in 0..100 {
            self.net.advance(100);
            self.net.settle();
            self.check()?;
        }
        let kept = self.net.host().bridge.kept();
        if kept != (0, 0) || !self.servers.is_empty() {
            return Err(format!("{kept:?} is kept, {} servers", self.servers.len()));
        }
        Ok(())
    }
}

/// What operators see of an upstream.
struct Row {
    port: u16,
    pairs: u64,
    dialing: u64,
}

fn route(ports: &BTreeSet<u16>, max_dialing: u32, max_age: Option<Micros>, is_calm: bool) -> Route {
    let upstream = |port: &u16| WeightedUpstream::parse(&format!("http://127.0.0.1:{port}"));
    let upstreams = ports.iter().map(|port| upstream(port).expect("a location"));
    Route {
        connect_timeout: CONNECT_TIMEOUT,
        answer_timeout: match is_calm {
            true => SLOW_ANSWER_TIMEOUT,
            false => ANSWER_TIMEOUT,
        },
        max_dialing,
        max_age,
        ..Route::to(ROUTE, upstreams.collect())
    }
}
