//! The gateway, clients and services; each step is one random action and all checks.

use super::ground_truth::{Tally, Truth};
use super::visitor::Visitor;
use crate::fleet::Fleet;
use fastrand::Rng;
use pulsegate::gateway::{
    BRIDGE_CLASSES, BridgeOptions, Gateway, Proxies, RELAY_CLASSES, RelaySettings, RequestKey,
    Route, RouteIdentity, SessionLimits, WeightedUpstream,
};
use pulsegate::testing::{Net, OnDial, PeerId};
use pulsegate::time::Micros;
use pulsegate::{Class, ClassConfig, Policy};
use std::collections::{HashMap, HashSet};

pub const CLIENTS: Class = Class(RELAY_CLASSES.len() as u8);
pub const SERVICES: Class = Class(CLIENTS.0 + 1);

/// The name of the route.
pub const ROUTE: &str = "r";

/// The address of its upstream.
pub const UPSTREAM: &str = "127.0.0.1:81";

/// The silence after which a client is lost.
pub const CLIENT_TIMEOUT: Micros = Micros::from_secs(6);

/// How long an upstream may be kept waiting, although its client is away.
pub const FULL_TIME: Micros = Micros::from_secs(15);

/// Runs one seed. The error says which promise was broken, and when.
pub fn run(seed: u64, steps: usize) -> Result<(), String> {
    run_counted(seed, steps).map(|_| ())
}

/// Runs one seed. Returns what has happened.
pub fn run_counted(seed: u64, steps: usize) -> Result<Tally, String> {
    let mut world = World::new(seed);
    for step in 0..steps {
        let done = world.step();
        done.map_err(|e| format!("seed {seed}, step {step}, {}: {e}", world.net.now()))?;
    }
    let now = world.net.now();
    world
        .finish()
        .map_err(|e| format!("seed {seed}, at the end, {now}: {e}"))
}

pub struct World {
    pub rng: Rng,
    pub net: Net<Gateway>,
    pub limits: SessionLimits,
    /// The most sessions that wait for clients of one address.
    pub holds_per_address: usize,
    /// The age at which sessions are closed.
    pub max_age: Option<Micros>,
    pub visitors: Vec<Visitor>,
    pub sessions: Vec<Truth>,
    /// The session of each service's connection.
    pub by_service: HashMap<PeerId, usize>,
    /// Connections to services that have not answered.
    pub dialing: Vec<PeerId>,
    /// The visitor of each attempt.
    pub attempts: Vec<usize>,
    /// Connections that their clients have left, without a word to the gateway.
    pub abandoned: Vec<PeerId>,
    /// Connections that break a rule, and what they do: see `misdeeds.rs`.
    pub culprits: Vec<super::misdeeds::Culprit>,
    /// All tokens that were offered: none is offered twice.
    pub offered: HashSet<String>,
    /// Since when the engine drains, and how many sessions waited then.
    pub draining: Option<u64>,
    pub draining_since: Micros,
    pub is_upstream_drained: bool,
    pub was_upstream_drained: bool,
    /// Until when the last drain of a class closes connections. New ones may have begun before it.
    pub drained_until: Micros,
    /// Until when each user is blocked.
    pub blocked: HashMap<usize, Micros>,
    pub tally: Tally,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let is_narrow = rng.u8(0..4) == 0;
        let limits = SessionLimits {
            hold: Micros::from_secs([4, 12, 25][rng.usize(0..3)]),
            holds_max: if is_narrow {
                [2, 32][rng.usize(0..2)]
            } else {
                1_000
            },
            hold_bytes_max: if is_narrow { 100_000 } else { 64 << 20 },
            holds_per_identity: if is_narrow { rng.usize(1..3) } else { 8 },
            session_max: Micros::from_secs(3_600),
        };
        let max_age = (rng.u8(0..6) == 0).then(|| Micros::from_secs(60));
        let net = net(route(max_age), limits);
        let count = rng.usize(2..6);
        // If few sessions may wait, each client has its own address: an address has only a part.
        let address = |n: usize| {
            [
                127,
                0,
                0,
                if limits.holds_max == 2 {
                    n as u8 + 2
                } else {
                    1
                },
            ]
        };
        let visitor = |n: usize| Visitor {
            address: address(n).into(),
            ..Visitor::new(n / 2, (n % 3 == 1).then_some("chat"))
        };
        World {
            visitors: (0..count).map(visitor).collect(),
            rng,
            net,
            limits,
            holds_per_address: (limits.holds_max / 16).max(1),
            max_age,
            sessions: Vec::new(),
            by_service: HashMap::new(),
            dialing: Vec::new(),
            attempts: Vec::new(),
            abandoned: Vec::new(),
            culprits: Vec::new(),
            offered: HashSet::new(),
            draining: None,
            draining_since: Micros::ZERO,
            is_upstream_drained: false,
            was_upstream_drained: false,
            drained_until: Micros::ZERO,
            blocked: HashMap::new(),
            tally: Tally::default(),
        }
    }

    pub fn is_narrow(&self) -> bool {
        self.limits.holds_max < 100
    }

    fn step(&mut self) -> Result<(), String> {
        self.tally.steps += 1;
        self.act()?;
        self.settle()?;
        self.check()
    }

    /// Lets everything that is due happen, and each side hear of it.
    pub fn settle(&mut self) -> Result<(), String> {
        self.net.settle();
        self.meet_services();
        self.net.settle();
        self.hear_services()?;
        self.hear_clients()?;
        self.net.settle();
        Ok(())
    }

    /// Lets time pass; clients and services hear what was sent to them every now and then.
    pub fn pass(&mut self, ms: u64) -> Result<(), String> {
        let mut left = ms;
        while left > 0 {
            let slice = left.min(500);
            self.net.advance(slice);
            left -= slice;
            self.settle()?;
        }
        Ok(())
    }
}

fn route(max_age: Option<Micros>) -> Route {
    let upstream = WeightedUpstream::parse(&format!("http://{UPSTREAM}")).expect("a location");
    Route {
        pulse: true,
        identity: Some(RouteIdentity::Key(
            RequestKey::parse("query:user").expect("a key"),
        )),
        max_age,
        slow_start: Micros::ZERO,
        ..Route::to(ROUTE, vec![upstream])
    }
}

fn net(route: Route, limits: SessionLimits) -> Net<Gateway> {
    let bridge = BridgeOptions {
        routes: vec![route],
        forwarded_https: false,
        http_pass: false,
        http_max_requests: 0,
        proxies: Proxies::default(),
        sessions: limits,
    };
    let policies = [
        Policy {
            heartbeat_interval: Micros::from_secs(2),
            connection_timeout: CLIENT_TIMEOUT,
            close_timeout: Micros::from_secs(1),
            ..Policy::DEFAULT
        },
        BRIDGE_CLASSES[1].policy,
    ];
    let fleet = Fleet::tuned(RelaySettings::default(), None, |options, config| {
        options.bridge = Some(bridge);
        options.serves_relay = false;
        let classes = BRIDGE_CLASSES.iter().zip(policies);
        config
            .classes
            .extend(classes.map(|(info, policy)| ClassConfig {
                name: info.name.to_owned(),
                policy,
            }));
        config.max_message_bytes = 120_000;
        config.max_pending_bytes = 400_000;
    });
    let mut net = fleet.net;
    net.set_on_dial(OnDial::Accept);
    net
}
