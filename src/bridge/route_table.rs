//! The routes in force: which of them serves a request, and the addresses of each.

use super::handshake_stats::HandshakeStats;
use super::health_check::HealthCheck;
use super::known_addresses::KnownAddresses;
use super::recent_blocks::RecentBlocks;
use super::request_queue::{QueuedRequest, RequestQueue};
use super::route::Route;
use super::upstream::UpstreamUrl;
use super::upstream_row::{UpstreamCondition, UpstreamRow};
use super::upstreams::{
    Choice, ChoiceRules, Endpoint, EndpointId, Endpoints, Listing, RefusalGuard, RequestKind, Wish,
};
use crate::base::address_block::AddressBlock;
use crate::base::time::Micros;
use crate::engine::{DialAddress, Request};
use crate::host::ipv6_literal;
use std::sync::Arc;

/// A route with its addresses.
#[derive(Debug)]
pub(super) struct LiveRoute {
    pub(super) route: Arc<Route>,
    pub(super) name: Arc<str>,
    /// All addresses, also those that are not listed any more and still have connections.
    pub(super) endpoints: Vec<EndpointId>,
    /// Where the next search for an address starts.
    pub(super) start: usize,
    /// The clients that have asked last.
    pub(super) recent: RecentBlocks,
    /// Requests that wait until an address has room for another one.
    pub(super) queue: RequestQueue,
}

impl LiveRoute {
    fn new(route: Route) -> Self {
        LiveRoute {
            name: Arc::from(&*route.name),
            route: Arc::new(route),
            endpoints: Vec::new(),
            start: 0,
            recent: RecentBlocks::default(),
            queue: RequestQueue::default(),
        }
    }

    /// Returns how many addresses clients may go to.
    pub(super) fn listed(&self, all: &Endpoints) -> usize {
        let listed = |id: &&EndpointId| {
            let endpoint = all.get(**id);
            endpoint.is_some_and(|e| e.listing == Listing::Listed)
        };
        self.endpoints.iter().filter(listed).count()
    }

    /// Returns the best address for a request of a client, but none of `tried`. `max_dialing` does
    /// not count plain HTTP.
    pub(super) fn choose(
        &mut self,
        all: &Endpoints,
        tried: &[EndpointId],
        wish: &Wish,
        (client, kind): (AddressBlock, RequestKind),
        now: Micros,
    ) -> Choice {
        self.start = self.start.wrapping_add(1);
        self.recent.note(client, now);
        let rules = self.rules(client, kind, now);
        all.choose(&self.endpoints, tried, self.start, wish, rules, now)
    }

    /// Returns whether other clients have asked lately.
    pub(super) fn is_contended(&self, client: AddressBlock, now: Micros) -> bool {
        self.recent.has_other(client, now)
    }

    /// Returns the rules for a request of a client: those of today, as it may have waited over a
    /// reload.
    pub(super) fn rules(
        &self,
        client: AddressBlock,
        kind: RequestKind,
        now: Micros,
    ) -> ChoiceRules {
        ChoiceRules {
            max_dialing: match kind {
                RequestKind::WebSocket => u64::from(self.route.max_dialing),
                RequestKind::Http => u64::MAX,
            },
            slow_start: self.route.slow_start,
            kind,
            client,
            is_contended: kind == RequestKind::WebSocket && self.recent.has_other(client, now),
        }
    }

    /// Returns how many different clients have asked lately; 3 are as good as more.
    pub(super) fn known_clients(&self, now: Micros) -> usize {
        self.recent.count_within(RefusalGuard::WINDOW, now)
    }

    /// Returns whether all addresses are drained, and there are some.
    pub(super) fn is_drained(&self, all: &Endpoints) -> bool {
        let endpoints = self.endpoints.iter().filter_map(|id| all.get(*id));
        let mut listed = endpoints
            .filter(|e| e.listing == Listing::Listed)
            .peekable();
        listed.peek().is_some() && listed.all(|endpoint| endpoint.is_drained)
    }

    /// Returns whether one of the addresses may get another request.
    pub(super) fn has_room(&self, all: &Endpoints) -> bool {
        let most = u64::from(self.route.max_dialing);
        let mut endpoints = self.endpoints.iter().filter_map(|id| all.get(*id));
        endpoints.any(|endpoint| endpoint.has_room(most))
    }

    /// Adds addresses that are new, lists those that are there again, and marks those that are gone
    /// as not listed. New ones start slowly, unless `now` is `None`, at the start.
    fn reconcile(&mut self, all: &mut Endpoints, known: &KnownAddresses, now: Option<Micros>) {
        let mut wanted: Vec<(&UpstreamUrl, u32, DialAddress)> = Vec::new();
        for upstream in &self.route.upstreams {
            let addresses = known.of(&upstream.url).into_iter();
            wanted.extend(addresses.map(|address| (&upstream.url, upstream.weight, address)));
        }
        for id in &self.endpoints {
            let Some(endpoint) = all.get_mut(*id) else {
                continue;
            };
            let is_same = |(url, _, address): &(&UpstreamUrl, u32, DialAddress)| {
                **url == endpoint.url && *address == endpoint.address
            };
            let has_url = |url: &UpstreamUrl| self.route.upstreams.iter().any(|u| u.url == *url);
            match wanted.iter().position(is_same) {
                Some(at) => {
                    endpoint.weight = wanted.remove(at).1;
                    endpoint.listing = Listing::Listed;
                }
                None if has_url(&endpoint.url) => endpoint.listing = Listing::Vanished,
                None => endpoint.remove(),
            }
            if self.route.health.is_none() {
                endpoint.forget_checks();
            }
        }
        self.endpoints.retain(|id| all.remove_unused(*id).is_none());
        let room = Endpoints::MAX.saturating_sub(all.len());
        if wanted.len() > room {
            log::warn!(
                "route name={} addresses_left_out={} reason=\"there are {} addresses in all\"",
                self.name,
                wanted.len() - room,
                Endpoints::MAX
            );
        }
        for (url, weight, address) in wanted.into_iter().take(room) {
            let mut endpoint = Endpoint::new(self.name.clone(), url.clone(), address, weight);
            if let Some(now) = now {
                endpoint.begin(now);
            }
            self.endpoints.push(all.add(endpoint));
        }
    }

    /// Removes the route: its pairs are to be closed. Returns the requests that wait in its queue.
    fn remove(mut self, all: &mut Endpoints) -> Vec<QueuedRequest> {
        for id in self.endpoints {
            if let Some(endpoint) = all.get_mut(id) {
                endpoint.remove();
                all.remove_unused(id);
            }
        }
        std::iter::from_fn(|| self.queue.pop()).collect()
    }
}

/// The routes in force, in the order in which they are compared with a request.
#[derive(Debug, Default)]
pub(super) struct RouteTable(Vec<LiveRoute>);

impl RouteTable {
    /// Returns the route that serves a request: of those with the request's host the one with the
    /// longest path, or else of those without a host.
    pub(super) fn find(&self, request: &Request) -> Option<&LiveRoute> {
        let host = host_name(request);
        let mut routes = self.0.iter();
        routes.find(|live| live.route.serves(&host, request.path()))
    }

    /// Returns the settings of the route with this name.
    pub(super) fn named(&self, name: &str) -> Option<&Route> {
        let mut routes = self.0.iter();
        routes
            .find(|live| *live.route.name == *name)
            .map(|live| &*live.route)
    }

    /// Returns the route with this name, to change it.
    pub(super) fn by_name(&mut self, name: &str) -> Option<&mut LiveRoute> {
        self.0.iter_mut().find(|live| *live.route.name == *name)
    }

    /// Replaces all routes. One that is the same as before, or has the same name, keeps its
    /// addresses, its connections and its queue. Returns the requests that wait for routes that are
    /// gone.
    pub(super) fn set(
        &mut self,
        routes: Vec<Route>,
        all: &mut Endpoints,
        known: &KnownAddresses,
        now: Option<Micros>,
    ) -> Vec<QueuedRequest> {
        let mut old = std::mem::take(&mut self.0);
        for route in routes {
            let before = old.iter().position(|live| live.route.name == route.name);
            let live = match before.map(|at| old.swap_remove(at)) {
                Some(live) if *live.route == route => live,
                Some(live) => {
                    let route = Arc::new(route);
                    let mut live = LiveRoute { route, ..live };
                    live.reconcile(all, known, now);
                    live
                }
                None => {
                    // All its addresses begin at once, so none of them slowly.
                    let mut live = LiveRoute::new(route);
                    live.reconcile(all, known, None);
                    live
                }
            };
            self.0.push(live);
        }
        let stranded = old.into_iter().flat_map(|live| live.remove(all)).collect();
        let is_general = |live: &LiveRoute| live.route.host.is_none();
        self.0.sort_by(|a, b| {
            let by_host = is_general(a).cmp(&is_general(b));
            by_host.then(b.route.path.len().cmp(&a.route.path.len()))
        });
        stranded
    }

    /// Returns whether a route has an upstream with this host name and port.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        let upstreams = self.0.iter().flat_map(|live| &live.route.upstreams);
        let mut names = upstreams.filter_map(|upstream| upstream.url.host_and_port());
        names.any(|name| name == (host, port))
    }

    /// Applies new addresses of names to all routes.
    pub(super) fn reconcile(
        &mut self,
        all: &mut Endpoints,
        known: &KnownAddresses,
        now: Option<Micros>,
    ) {
        let routes = self.0.iter_mut();
        routes.for_each(|live| live.reconcile(all, known, now));
    }

    /// Returns the upstreams whose names were not found yet.
    pub(super) fn unresolved(&self, known: &KnownAddresses) -> Vec<UpstreamRow> {
        let routes = self.0.iter();
        let upstreams = routes.flat_map(|live| {
            let upstreams = live.route.upstreams.iter();
            upstreams.map(move |upstream| (live, upstream))
        });
        let unresolved = upstreams.filter(|(_, upstream)| known.of(&upstream.url).is_empty());
        unresolved
            .map(|(live, upstream)| UpstreamRow {
                route: live.name.clone(),
                url: upstream.url.to_string(),
                address: String::new(),
                weight: upstream.weight,
                state: UpstreamCondition::Unresolved,
                avoided_for: Micros::ZERO,
                pairs: 0,
                dialing: 0,
                suspects: 0,
                handshakes: HandshakeStats::default(),
                since: Micros::ZERO,
                reason: "its name was not found yet".to_owned(),
                is_frozen: false,
                per_source: 0,
            })
            .collect()
    }

    /// Returns the health checks of all addresses.
    pub(super) fn health_checks(&self, all: &Endpoints, now: Micros) -> Vec<HealthCheck> {
        let routes = self.0.iter();
        routes
            .flat_map(|live| live.health_checks(all, now))
            .collect()
    }

    /// Returns all routes.
    pub(super) fn iter(&self) -> impl Iterator<Item = &LiveRoute> {
        self.0.iter()
    }

    /// Returns all routes, to change them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut LiveRoute> {
        self.0.iter_mut()
    }

    /// Forgets an address of a route that is gone.
    pub(super) fn forget(&mut self, route: &str, id: EndpointId) {
        if let Some(live) = self.by_name(route) {
            live.endpoints.retain(|other| *other != id);
        }
    }
}

/// Returns the host that a client addresses, in lower case, without a port and without a dot at the
/// end; empty if there is none.
fn host_name(request: &Request) -> String {
    let host = request.host();
    let text = host.as_ref().and_then(|host| host.to_str().ok());
    let text = text.unwrap_or_default();
    let name = match text.rsplit_once(':') {
        // A colon inside brackets belongs to an IPv6 address (RFC 3986 §3.2.2).
        Some((name, port)) if !port.contains(']') => name,
        _ => text,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    ipv6_literal(name).unwrap_or_else(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bridge::upstream::WeightedUpstream;

    fn route(name: &str, host: Option<&str>, path: &str, upstreams: &[&str]) -> Route {
        let upstreams = upstreams.iter().map(|text| WeightedUpstream::parse(text));
        Route {
            host: host.map(Box::from),
            path: path.into(),
            ..Route::to(name, upstreams.map(|u| u.expect("valid")).collect())
        }
    }

    fn found(table: &RouteTable, host: &str, path: &str) -> String {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let live = table.find(&Request::of(&head));
        live.map(|live| live.route.name.to_string())
            .unwrap_or_default()
    }

    fn client() -> AddressBlock {
        AddressBlock::of(std::net::Ipv4Addr::LOCALHOST.into())
    }

    #[test]
    fn a_host_comes_first_and_then_the_longest_path() {
        let mut table = RouteTable::default();
        let routes = vec![
            route("all", None, "", &["http://a"]),
            route("long", None, "/a/b", &["http://a"]),
            route("short", None, "/a", &["http://a"]),
            route("host", Some("h.example"), "/a", &["http://a"]),
        ];
        table.set(
            routes,
            &mut Endpoints::default(),
            &KnownAddresses::default(),
            None,
        );
        for (host, path, name) in [
            ("x", "/", "all"),
            ("x", "/a", "short"),
            ("x", "/a/b", "long"),
            ("x", "/a/bc", "short"),
            ("x", "/a/b?/a", "long"),
            ("h.example", "/a/b", "host"),
            ("H.Example.:8080", "/a", "host"),
            ("h.example", "/b", "all"),
            ("h.example.org", "/a", "short"),
            ("[::1]:80", "/a", "short"),
        ] {
            assert_eq!(found(&table, host, path), name, "{host} {path}");
        }
        table.set(
            vec![route("v6", Some("[::1]"), "/x", &["http://a"])],
            &mut Endpoints::default(),
            &KnownAddresses::default(),
            None,
        );
        assert_eq!(found(&table, "[::1]:80", "/x"), "v6");
        assert_eq!(found(&table, "[::1]", "/y"), "");
        // One address may be written in several ways (RFC 5952).
        assert_eq!(found(&table, "[0:0::0:1]:80", "/x"), "v6");
        assert_eq!(found(&table, "[::2]", "/x"), "");
    }

    fn listing(all: &Endpoints, leg: crate::base::id::ConnId) -> Option<Listing> {
        Some(all.get(all.of_leg(leg)?)?.listing)
    }

    /// Returns the listed addresses of a route, sorted.
    fn listed(table: &mut RouteTable, all: &Endpoints, name: &str) -> Vec<String> {
        let live = table.by_name(name).expect("a route");
        let endpoints = live.endpoints.iter().filter_map(|id| all.get(*id));
        let listed = endpoints.filter(|e| e.listing == Listing::Listed);
        let mut listed: Vec<String> = listed
            .map(|e| format!("{:?} {}", e.address, e.weight))
            .collect();
        listed.sort();
        listed
    }

    #[test]
    fn new_settings_keep_what_is_the_same() {
        let (mut table, mut all) = (RouteTable::default(), Endpoints::default());
        let known = KnownAddresses::default();
        let two = route("r", None, "", &["http://127.0.0.1:1", "http://127.0.0.1:2"]);
        table.set(vec![two.clone()], &mut all, &known, None);
        let kept = table.by_name("r").expect("there").endpoints.clone();
        let leg = crate::base::id::ConnId::new(1, 1);
        all.dialed(leg, kept[0], client());
        all.opened(leg);

        table.set(vec![two], &mut all, &known, None);
        assert_eq!(table.by_name("r").expect("there").endpoints, kept);

        let other = ["http://127.0.0.1:2 weight=3", "http://127.0.0.1:3"];
        table.set(vec![route("r", None, "/r", &other)], &mut all, &known, None);
        assert_eq!(
            listed(&mut table, &all, "r"),
            ["Tcp(127.0.0.1:2) 3", "Tcp(127.0.0.1:3) 1"]
        );
        assert_eq!(
            (all.begin_leaving(1), listing(&all, leg)),
            (1, Some(Listing::Removed))
        );
        // An upstream that is named again before its last pair has ended goes on.
        let again = ["http://127.0.0.1:1"];
        table.set(vec![route("r", None, "/r", &again)], &mut all, &known, None);
        assert_eq!(listed(&mut table, &all, "r"), ["Tcp(127.0.0.1:1) 1"]);
        assert_eq!(all.begin_leaving(1), 0);

        table.set(Vec::new(), &mut all, &known, None);
        assert_eq!(all.begin_leaving(1), 1);
        assert!(
            all.ended(leg, Micros::ZERO).is_some(),
            "the last of a route that is gone"
        );
    }

    #[test]
    fn an_address_that_a_name_no_longer_has_keeps_its_pairs() {
        let (mut table, mut all) = (RouteTable::default(), Endpoints::default());
        let mut known = KnownAddresses::default();
        let address = |last| std::net::SocketAddr::from(([127, 0, 0, last], 80));
        table.set(
            vec![route("r", None, "", &["http://a"])],
            &mut all,
            &known,
            None,
        );
        assert_eq!(listed(&mut table, &all, "r"), Vec::<String>::new());
        known.set("a", 80, &[address(1), address(2)]);
        table.reconcile(&mut all, &known, None);
        assert_eq!(listed(&mut table, &all, "r").len(), 2);
        let first = table.by_name("r").expect("there").endpoints[0];
        let leg = crate::base::id::ConnId::new(1, 1);
        all.dialed(leg, first, client());
        known.set("a", 80, &[address(2), address(3)]);
        table.reconcile(&mut all, &known, None);
        assert_eq!(listing(&all, leg), Some(Listing::Vanished));
        assert_eq!(all.begin_leaving(1), 0);
        let (gone, _) = all.ended(leg, Micros::ZERO).expect("the last one");
        table.forget("r", gone);
        assert_eq!(table.by_name("r").expect("there").endpoints.len(), 2);
    }
}
