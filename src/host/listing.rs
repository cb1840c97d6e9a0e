//! Listing connections: filtered, sorted, page by page, in slices that do not delay the loop.

use super::identity::Identity;
use super::pair_target::PairTarget;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Class, CohortView, ConnView, FleetView, Io, PhaseView};
use crate::health::{HealthState, Risk};
use crate::query::SliceCost;
use ipnet::IpNet;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::sync::Arc;

/// The most connections on one page.
pub const PAGE_MAX: usize = 1_000;

/// CPU time to look at a slot and its connection, in ns; most of it is cache misses.
const SLOT_NS: u32 = 150;

/// CPU time to find where the pair of a connection leads, in ns.
const TARGET_NS: u32 = 150;

/// CPU time to find the risk of a connection, in ns.
const RISK_NS: u32 = 50;

/// CPU time to make a row, in ns.
const ROW_NS: u32 = 600;

/// CPU time to sort one entry of the page after all slots were looked at, in ns.
const SORT_NS: u32 = 60;

/// A filter of connections. A field that is `None` excludes none.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only connections of this class.
    pub class: Option<Class>,
    /// Only connections in this state.
    pub state: Option<ConnState>,
    /// Only connections of this user.
    pub user: Option<String>,
    /// Only connections of this package.
    pub package: Option<String>,
    /// Only connections with this user agent, in its escaped and cut form.
    pub user_agent: Option<String>,
    /// Only connections with an address in this block.
    pub address: Option<IpNet>,
    /// Only legs of pairs of this route, and connections that are made for it.
    pub route: Option<String>,
    /// The same for this address of an upstream.
    pub upstream: Option<String>,
    /// Only open connections of this risk or a higher one.
    pub least_risk: Option<Risk>,
}

/// The state of a connection, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnState {
    /// The connection is accepted; its request, or the answer to it, is incomplete.
    Opening,
    /// The connection is open, and the peer answers pings.
    Healthy,
    /// The connection is open, and the peer does not answer pings.
    Suspect,
    /// A close frame, or the refusal of its request, is being sent.
    Closing,
}

/// The order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// The connections with the longest silence first.
    #[default]
    Silence,
    /// The longest smoothed round-trip time first; connections without one last.
    Rtt,
    /// The oldest connections first.
    Age,
    /// The connections with the most unsent bytes first.
    Pending,
    /// The highest risk first, and of the same risk those with the most late heartbeats.
    /// Connections that are not open come last. A risk changes as time passes, so that a connection
    /// may be on two pages, or on none.
    Risk,
}

/// A position in a sorted list of connections. A page begins after such a position. It stays valid
/// while connections come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The sort key; the smallest comes first.
    pub key: u64,
    /// The connection at this position.
    pub id: ConnId,
}

/// A request for a page.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Which connections to list.
    pub filter: Filter,
    /// The order of the connections.
    pub sort: Sort,
    /// Whether to reverse the order.
    pub reverse: bool,
    /// The page begins after this position.
    pub after: Option<Position>,
    /// The most rows; at most [`PAGE_MAX`].
    pub limit: usize,
}

/// A row of a page: one connection.
#[derive(Debug, Clone)]
pub struct ConnRow {
    /// The id of the connection.
    pub id: ConnId,
    /// The user of the connection, if it was identified.
    pub user: Option<Box<str>>,
    /// The package of the connection's app, if it is an app.
    pub package: Option<Box<str>>,
    /// The `User-Agent` of its request, escaped and cut.
    pub user_agent: Option<Arc<str>>,
    /// Where its pair leads, if it is one leg of it, or is to become one.
    pub target: Option<PairTarget>,
    /// The client's address, if nothing proves the user.
    pub address: Option<IpAddr>,
    /// The risk that the next heartbeats are late, if it is open ([`Io::risk`]).
    pub risk: Option<Risk>,
    /// The connections that probably share its path, if it is open and was accepted.
    pub cohort: Option<CohortView>,
    /// The state and the counters of the connection.
    pub view: ConnView,
}

/// One page of the list.
#[derive(Debug, Clone, Default)]
pub struct ConnPage {
    /// Engine time of the page, to which the times in its rows refer.
    pub now: Micros,
    /// The wall clock at that moment.
    pub wall: UnixMillis,
    /// The connections in order, each with its position: a page that was cut short continues after
    /// the position of its last row.
    pub rows: Vec<(Position, ConnRow)>,
    /// The latest heartbeats of all connections together.
    pub fleet: FleetView,
    /// How many connections match the filter, on all pages.
    pub matched: usize,
    /// The position after which the next page begins, if there is one.
    pub next: Option<Position>,
}

/// What the listing needs to know about a connection from the host.
pub trait Directory {
    /// Returns the identity of a connection, if it was identified.
    fn identity(&self, id: ConnId) -> Option<&Identity>;

    /// Returns the `User-Agent` of a connection's request, escaped and cut.
    fn user_agent(&self, id: ConnId) -> Option<&Arc<str>>;

    /// Returns where the pair of a connection leads, which is linked to `partner`.
    fn target(&self, id: ConnId, partner: Option<ConnId>) -> Option<PairTarget>;

    /// Returns the other leg of a connection that belongs to a session and is not linked.
    fn session_partner(&self, id: ConnId) -> Option<ConnId>;
}

/// A query in progress. It looks at each slot once and keeps only the best, so it takes no more
/// memory than a page.
#[derive(Debug)]
pub struct Search {
    query: PageRequest,
    slot: u32,
    best: BinaryHeap<Position>,
    /// Whether more connections follow after the page.
    more: bool,
    chosen: Option<std::vec::IntoIter<Position>>,
    last: Option<Position>,
    page: ConnPage,
}

impl ConnState {
    /// All states of a connection.
    pub const ALL: [ConnState; 4] = [
        ConnState::Opening,
        ConnState::Healthy,
        ConnState::Suspect,
        ConnState::Closing,
    ];

    /// Returns the state of a connection.
    pub fn of(view: &ConnView) -> Self {
        match (view.phase, view.health.state) {
            (PhaseView::Opening { .. } | PhaseView::Dialing { .. }, _) => ConnState::Opening,
            (PhaseView::Closing { .. }, _) => ConnState::Closing,
            (PhaseView::Open, HealthState::Healthy) => ConnState::Healthy,
            (PhaseView::Open, HealthState::Suspect) => ConnState::Suspect,
        }
    }

    /// Returns the name in metrics and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            ConnState::Opening => "opening",
            ConnState::Healthy => "healthy",
            ConnState::Suspect => "suspect",
            ConnState::Closing => "closing",
        }
    }
}

impl Search {
    /// Starts a search.
    pub fn new(query: PageRequest) -> Self {
        Search {
            query: PageRequest {
                limit: query.limit.clamp(1, PAGE_MAX),
                ..query
            },
            slot: 0,
            best: BinaryHeap::new(),
            more: false,
            chosen: None,
            last: None,
            page: ConnPage::default(),
        }
    }

    /// Runs one slice of the search. Returns the page once it is complete.
    pub fn step(&mut self, peers: &impl Directory, io: &mut Io<'_>) -> Option<ConnPage> {
        let mut slice_cost = SliceCost::default();
        let page = self.slice(peers, io, &mut slice_cost);
        slice_cost.spend(io);
        page
    }

    fn slice(
        &mut self,
        peers: &impl Directory,
        io: &Io<'_>,
        slice_cost: &mut SliceCost,
    ) -> Option<ConnPage> {
        let target_ns = TARGET_NS * u32::from(self.query.filter.is_of_pairs());
        let slot_ns = SLOT_NS + target_ns + RISK_NS * u32::from(self.query.is_of_risk());
        while self.slot < io.slots() {
            if slice_cost.is_spent() {
                return None;
            }
            slice_cost.add(slot_ns);
            if let Some(id) = io.id_in_slot(self.slot) {
                self.consider(peers, io, id);
            }
            self.slot += 1;
        }
        if self.chosen.is_none() {
            let sorting = SORT_NS * self.best.len() as u32;
            if slice_cost.is_exceeded_by(sorting) {
                return None;
            }
            slice_cost.add(sorting);
        }
        let best = &mut self.best;
        let chosen = self
            .chosen
            .get_or_insert_with(|| std::mem::take(best).into_sorted_vec().into_iter());
        while !slice_cost.is_spent()
            && let Some(place) = chosen.next()
        {
            slice_cost.add(ROW_NS);
            self.last = Some(place);
            // The connection may have ended since.
            if let Some(mut view) = io.view(place.id) {
                view.partner = view.partner.or_else(|| peers.session_partner(place.id));
                self.page
                    .rows
                    .push((place, ConnRow::of(peers, io, place.id, view)));
            }
        }
        if chosen.len() > 0 {
            return None;
        }
        self.page.now = io.now();
        self.page.wall = UnixMillis::now();
        self.page.fleet = io.fleet();
        self.page.next = self.last.filter(|_| self.more);
        Some(std::mem::take(&mut self.page))
    }

    fn consider(&mut self, peers: &impl Directory, io: &Io<'_>, id: ConnId) {
        let Some(view) = io.view(id) else {
            return;
        };
        let filter = &self.query.filter;
        let user_agent = || peers.user_agent(id).map(|name| &**name);
        let target = || peers.target(id, view.partner);
        let risk = match self.query.is_of_risk() {
            true => io.risk(id),
            false => None,
        };
        if (filter.least_risk.is_some() && risk < filter.least_risk)
            || !filter.admits(&view, peers.identity(id), user_agent)
            || !filter.admits_pair(target)
        {
            return;
        }
        self.page.matched += 1;
        let place = Position {
            key: self.query.key(&view, risk),
            id,
        };
        if self.query.after.is_some_and(|after| place <= after) {
            return;
        }
        self.best.push(place);
        if self.best.len() > self.query.limit {
            self.best.pop();
            self.more = true;
        }
    }
}

impl ConnRow {
    /// Makes the row of a connection with this view.
    pub(crate) fn of(peers: &impl Directory, io: &Io<'_>, id: ConnId, view: ConnView) -> Self {
        let identity = peers.identity(id);
        ConnRow {
            id,
            user: identity.map(|i| i.user.clone()),
            package: identity.and_then(Identity::package).map(Box::from),
            user_agent: peers.user_agent(id).cloned(),
            target: peers.target(id, view.partner),
            address: identity.and_then(|i| i.address.as_deref().copied()),
            risk: io.risk(id),
            cohort: io.cohort(id),
            view,
        }
    }
}

impl PageRequest {
    /// Returns whether the risk of each connection must be known.
    fn is_of_risk(&self) -> bool {
        self.sort == Sort::Risk || self.filter.least_risk.is_some()
    }

    /// Returns the sort key, smallest first. It uses absolute times, not durations, so that
    /// positions do not move while time passes.
    fn key(&self, view: &ConnView, risk: Option<Risk>) -> u64 {
        let key = match self.sort {
            Sort::Silence => view.heard.0,
            Sort::Age => view.since.0,
            Sort::Rtt => u64::MAX - u64::from(view.health.rtt.srtt_us().unwrap_or(0)),
            Sort::Pending => u64::MAX - view.pending as u64,
            Sort::Risk => {
                let risk = risk.map_or(0, |risk| risk as u64 + 1);
                u64::MAX - (risk << 8 | u64::from(view.late_history.count()))
            }
        };
        if self.reverse { u64::MAX - key } else { key }
    }
}

impl Filter {
    fn admits<'a>(
        &self,
        view: &ConnView,
        identity: Option<&Identity>,
        user_agent: impl Fn() -> Option<&'a str>,
    ) -> bool {
        let is = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|w| found == Some(w))
        };
        self.class.is_none_or(|class| view.class == Some(class))
            && self.state.is_none_or(|state| ConnState::of(view) == state)
            && self
                .address
                .is_none_or(|block| block.contains(&view.peer_addr.ip()))
            && is(&self.user, identity.map(|i| &*i.user))
            && is(&self.package, identity.and_then(Identity::package))
            && (self.user_agent.is_none() || is(&self.user_agent, user_agent()))
    }

    /// Returns whether the filter asks where a pair leads.
    fn is_of_pairs(&self) -> bool {
        self.route.is_some() || self.upstream.is_some()
    }

    fn admits_pair(&self, target: impl FnOnce() -> Option<PairTarget>) -> bool {
        if !self.is_of_pairs() {
            return true;
        }
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == found)
        };
        target().is_some_and(|target| {
            is(&self.route, &target.route) && is(&self.upstream, &target.upstream)
        })
    }
}
