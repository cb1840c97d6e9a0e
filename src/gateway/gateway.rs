//! The gateway's state: what every product needs, the relay, further products, and the options for
//! the start.

use super::ended_legs::EndedLegs;
use super::event_log::EventLog;
use super::foresight::CohortWatch;
use super::products::Products;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::bridge::{Bridge, BridgeOptions};
use crate::engine::{ConnMap, Io, Remote, Request, TimerId};
use crate::host::{
    BootId, ClassDrain, Classes, ClosedReceiver, ClosedSender, Credentials, EventSender, Flapping,
    Histories, Identity, IgnoredForwarding, Product, Proxies, ReportInbox, ReportMode,
    ReportReceiver, ThrottleLog, UserAgents, VerdictJudge,
};
use crate::query::QueryReceiver;
use crate::relay::{ExpiredReceiver, Relay, RelaySettings};
use crate::transport::ProxyProtocol;
use ipnet::IpNet;

/// The options of a gateway at its start.
pub struct GatewayOptions {
    /// How often the statistics are logged.
    pub stats_interval: Micros,
    /// Returns how many log lines were lost so far.
    pub log_dropped: Box<dyn Fn() -> u64>,
    /// Whether trusted proxies start each connection with a header of the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// Proxies trusted to report the client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// The most connections at one time.
    pub max_connections: usize,
    /// The watchdog that checks that the loop turns, if there is one.
    pub watchdog: Option<Watchdog>,
    /// The settings of the relay: how long lost peers may take to come back, and what is kept for
    /// them.
    pub relay: RelaySettings,
    /// The secrets and lists that peers are checked against.
    pub credentials: Credentials,
    /// What is done with the reports of clients.
    pub client_reports: ReportMode,
    /// The path of the health check on the listener for peers.
    pub health_path: Box<str>,
    /// Whether the relay serves its paths.
    pub serves_relay: bool,
    /// The bridge, if there is one. Its classes follow the relay's in the engine's configuration.
    pub bridge: Option<BridgeOptions>,
    /// Further products. Their classes follow, in this order.
    pub products: Vec<Box<dyn Product>>,
    /// For each user, the packages of the apps that ran before a restart.
    pub restored: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// A watchdog that the loop notifies regularly.
pub struct Watchdog {
    /// The time between two notifications.
    pub interval: Micros,
    /// Sends a notification. It must not block.
    pub notify: Box<dyn FnMut()>,
}

/// The sending end of the queue of queries to the loop of a gateway.
pub type GatewayQueries = crate::query::QuerySender<Gateway>;

/// A query that the loop of a gateway answers in slices.
pub type GatewaySlicedQuery = crate::query::SlicedQuery<Gateway>;

/// The host of the loop in the binary.
pub struct Gateway {
    pub(super) products: Products,
    pub(super) health_path: Box<str>,
    /// Whether the relay serves its paths.
    pub(super) serves_relay: bool,
    /// The identity of each connection, from its request to its end.
    pub(super) identities: ConnMap<Identity>,
    pub(super) user_agents: UserAgents,
    pub(super) event_log: EventLog,
    pub(super) cohort_watch: CohortWatch,
    pub(super) throttle_log: ThrottleLog,
    ignored_forwarding: IgnoredForwarding,
    pub(super) queries: QueryReceiver<Gateway>,
    pub(super) closed: ClosedSender,
    pub(super) events: EventSender,
    /// The last connection of which an event told that it is healthy again.
    pub(super) told_healthy: Option<ConnId>,
    /// Legs of pairs that have ended before their partner.
    pub(super) ended_legs: EndedLegs,
    pub(super) histories: Histories,
    /// The drains of single classes that are in progress, by class.
    pub(super) drains: Vec<Option<ClassDrain>>,
    /// The classes of all products.
    pub(super) classes: Classes,
    pub(super) proxies: Proxies,
    pub(super) max_connections: usize,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) watchdog_timer: Option<TimerId>,
    pub(super) restored: Vec<(Box<str>, Vec<Box<str>>)>,
    /// The id of this run.
    pub(super) boot: BootId,
    /// The identities of products other than the relay that reconnect too often.
    pub(super) flapping: Flapping,
    /// Judges why connections of clients end.
    pub(super) judge: VerdictJudge,
    /// Where the products leave the reports of clients.
    pub(super) reports: ReportInbox,
}

impl Gateway {
    /// Makes a gateway without connections.
    pub fn new(options: GatewayOptions) -> Self {
        let boot = BootId::random();
        let credentials = options.credentials.clone();
        let mut relay = Relay::new(options.relay, options.credentials, options.max_connections);
        let reports = ReportInbox::new(options.client_reports, boot);
        relay.set_boot(boot, reports.clone());
        let events = EventSender::default();
        relay.set_events(events.clone());
        let bridge = options.bridge.map(|options| {
            let mut bridge = Bridge::new(options, boot);
            bridge.set_events(events.clone());
            bridge.set_reports(reports.clone());
            bridge
        });
        let (mut products, classes) = Products::register(relay, bridge, options.products);
        for product in products.besides_relay() {
            product.on_credentials(&credentials);
        }
        Gateway {
            products,
            health_path: options.health_path,
            serves_relay: options.serves_relay,
            restored: options.restored,
            identities: ConnMap::new(),
            user_agents: UserAgents::default(),
            event_log: EventLog::new(options.stats_interval, options.log_dropped, classes.clone()),
            cohort_watch: CohortWatch::default(),
            throttle_log: ThrottleLog::default(),
            ignored_forwarding: IgnoredForwarding::default(),
            queries: QueryReceiver::default(),
            closed: ClosedSender::new(events.clone()),
            events,
            told_healthy: None,
            ended_legs: EndedLegs::default(),
            histories: Histories::default(),
            drains: std::iter::repeat_with(|| None)
                .take(classes.count())
                .collect(),
            classes,
            proxies: Proxies {
                protocol: options.proxy_protocol,
                trusted: options.trusted_proxies,
            },
            max_connections: options.max_connections,
            watchdog: options.watchdog,
            watchdog_timer: None,
            boot,
            flapping: Flapping::default(),
            judge: VerdictJudge::default(),
            reports,
        }
    }

    /// Starts the statistics log and the watchdog, and restores the sessions from before a restart.
    /// Call it once, before the first turn of the loop.
    pub fn start(&mut self, io: &mut Io<'_>) {
        let restored = std::mem::take(&mut self.restored);
        self.products.relay.restore(io, restored);
        self.event_log.start(io);
        self.notify_watchdog(io);
    }

    /// Returns the id of this run.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// Returns the classes of all products.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Returns the bridge, if there is one.
    pub fn bridge(&mut self) -> Option<&mut Bridge> {
        self.products.bridge()
    }

    /// Returns the sending end of the queue of queries to the loop with this handle.
    pub fn query_sender(&self, remote: Remote) -> GatewayQueries {
        self.queries.sender(remote)
    }

    /// Returns the queue of records of ended connections.
    pub fn closed_conns(&self) -> ClosedReceiver {
        self.closed.receiver()
    }

    /// Returns the queue of reports of clients.
    pub fn reports(&self) -> ReportReceiver {
        self.reports.receiver()
    }

    /// Returns the queue of peers that did not come back within their grace.
    pub fn expired_peers(&self) -> ExpiredReceiver {
        self.products.relay.expired_peers()
    }

    /// Runs slices of the queries from other threads.
    pub(super) fn run_queries(&mut self, io: &mut Io<'_>) {
        QueryReceiver::run_slices(self, |gateway| &mut gateway.queries, io);
    }

    /// Notifies the watchdog that the loop turns, and sets the timer for the next notification.
    pub(super) fn notify_watchdog(&mut self, io: &mut Io<'_>) {
        if let Some(watchdog) = &mut self.watchdog {
            (watchdog.notify)();
            self.watchdog_timer = Some(io.start_timer(watchdog.interval));
        }
    }

    /// Recounts the memory of unfinished messages, which their connections hold
    /// ([`Stats::held_bytes`](crate::engine::Stats::held_bytes)). For tests: it walks over
    /// everything.
    pub fn recount_held(&self) -> u64 {
        self.products.relay.recount_held()
    }

    /// Recounts what the relay has charged
    /// ([`Stats::host_bytes`](crate::engine::Stats::host_bytes)) over all sessions. For tests: it
    /// walks over everything.
    pub fn recount(&self) -> u64 {
        self.products.relay.recount()
    }

    /// Warns, if forwarding header fields of a request are ignored, and a warning is due.
    pub(super) fn note_forwarding(&mut self, request: &Request, now: Micros) {
        if let Some(warning) = self.ignored_forwarding.note(&self.proxies, request, now) {
            log::warn!("{warning}");
        }
    }

    /// Logs the statistics since the last call.
    pub fn log_statistics(&mut self, io: &Io<'_>) {
        self.event_log.log_statistics(
            io,
            self.products.relay.sessions.len(),
            &self.products.relay.stats,
        );
    }
}
