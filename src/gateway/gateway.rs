//! The gateway itself: what every product needs, the relay, further products, and what they are told at the start.

use super::report::Report;
use crate::base::time::Micros;
use crate::desk::Tray;
use crate::engine::{Class, ConnMap, Io, Remote, TimerId};
use crate::host::{
    ClassDrain, Classes, ClosedBox, ClosedSink, Credentials, Histories, Identity, Product, Proxies,
    Throttled, UserAgents,
};
use crate::relay::{MissedBox, Relay, RelaySettings};
use crate::transport::ProxyProtocol;
use ipnet::IpNet;

/// What the gateway is told at its start.
pub struct Options {
    /// How often the statistics are logged.
    pub stats_interval: Micros,
    /// How many log lines were lost so far.
    pub log_dropped: Box<dyn Fn() -> u64>,
    /// Whether trusted proxies begin each connection with a header of the PROXY protocol.
    pub proxy_protocol: ProxyProtocol,
    /// Whose word about a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How many connections are held at once.
    pub max_connections: usize,
    /// Whoever watches that the loop turns, if anybody does.
    pub watchdog: Option<Watchdog>,
    /// How long what is lost is waited for, and what is kept of it.
    pub relay: RelaySettings,
    /// What peers are checked against.
    pub credentials: Credentials,
    /// Products besides the relay. Their classes follow the relay's in the engine's configuration, in this order.
    pub products: Vec<Box<dyn Product>>,
    /// Which packages ran for whom before a restart.
    pub restored: Vec<(Box<str>, Vec<Box<str>>)>,
}

/// Somebody who wants to hear from the loop itself, again and again.
pub struct Watchdog {
    /// How often.
    pub interval: Micros,
    /// How. It must not wait for anything.
    pub tell: Box<dyn FnMut()>,
}

/// Where other threads leave questions for the loop of a gateway.
pub type Desk = crate::desk::Desk<Gateway>;

/// A piece of work for the loop of a gateway.
pub type Work = crate::desk::Work<Gateway>;

/// The host of the loop in the binary.
pub struct Gateway {
    pub(super) relay: Relay,
    /// Who each connection is, from its request to its end.
    pub(super) identities: ConnMap<Identity>,
    pub(super) user_agents: UserAgents,
    pub(super) report: Report,
    pub(super) throttled: Throttled,
    pub(super) tray: Tray<Gateway>,
    pub(super) closed: ClosedSink,
    pub(super) histories: Histories,
    /// By class.
    pub(super) drains: Vec<Option<ClassDrain>>,
    /// Of all products.
    pub(super) classes: Classes,
    /// Products besides the relay, each with the number of its first class.
    pub(super) others: Vec<(Class, Box<dyn Product>)>,
    pub(super) proxies: Proxies,
    pub(super) max_connections: usize,
    pub(super) watchdog: Option<Watchdog>,
    pub(super) watchdog_timer: Option<TimerId>,
    pub(super) restored: Vec<(Box<str>, Vec<Box<str>>)>,
}

impl Gateway {
    /// A gateway without connections.
    pub fn new(options: Options) -> Self {
        let mut relay = Relay::new(options.relay, options.credentials, options.max_connections);
        relay.registered(Class(0));
        let mut infos = relay.classes().to_vec();
        let mut others = Vec::new();
        for mut product in options.products {
            // 256 classes at most: the engine's configuration is checked for that.
            let first = Class(infos.len() as u8);
            product.registered(first);
            infos.extend(product.classes());
            others.push((first, product));
        }
        let classes = Classes::new(infos);
        Gateway {
            relay,
            restored: options.restored,
            identities: ConnMap::new(),
            user_agents: UserAgents::default(),
            report: Report::new(options.stats_interval, options.log_dropped, classes.clone()),
            throttled: Throttled::default(),
            tray: Tray::default(),
            closed: ClosedSink::default(),
            histories: Histories::default(),
            drains: std::iter::repeat_with(|| None)
                .take(classes.count())
                .collect(),
            classes,
            others,
            proxies: Proxies {
                protocol: options.proxy_protocol,
                trusted: options.trusted_proxies,
            },
            max_connections: options.max_connections,
            watchdog: options.watchdog,
            watchdog_timer: None,
        }
    }

    /// Begins to log statistics and to report to the watchdog, and waits for whom it had before; to be called once, before the
    /// loop turns.
    pub fn start(&mut self, io: &mut Io<'_>) {
        let restored = std::mem::take(&mut self.restored);
        self.relay.restore(io, restored);
        self.report.start(io);
        self.bark(io);
    }

    /// Returns the classes of all products.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Where other threads leave work for the loop whose handle this is.
    pub fn desk(&self, remote: Remote) -> Desk {
        self.tray.desk(remote)
    }

    /// Where records of ended connections are put.
    pub fn closed(&self) -> ClosedBox {
        self.closed.shared()
    }

    /// Where those are put that were waited for in vain.
    pub fn missed(&self) -> MissedBox {
        self.relay.missed()
    }

    /// Does slices of what other threads have asked for.
    pub(super) fn do_some_work(&mut self, io: &mut Io<'_>) {
        Tray::do_some_work(self, |gateway| &mut gateway.tray, io);
    }

    /// Tells the watchdog that the loop turns, now and again and again.
    pub(super) fn bark(&mut self, io: &mut Io<'_>) {
        if let Some(watchdog) = &mut self.watchdog {
            (watchdog.tell)();
            self.watchdog_timer = Some(io.timer(watchdog.interval));
        }
    }

    /// What the relay keeps of messages that are not finished, added up anew: their connections hold it
    /// ([`Stats::held_bytes`](crate::engine::Stats::held_bytes)). For tests: it walks over everything.
    pub fn recount_held(&self) -> u64 {
        self.relay.recount_held()
    }

    /// What the relay has charged ([`Stats::host_bytes`](crate::engine::Stats::host_bytes)), added up anew over all sessions.
    /// For tests: it walks over everything.
    pub fn recount(&self) -> u64 {
        self.relay.recount()
    }

    /// Logs the statistics since the last time.
    pub fn report(&mut self, io: &Io<'_>) {
        self.report
            .statistics(io, self.relay.sessions.len(), &self.relay.stats);
    }
}
