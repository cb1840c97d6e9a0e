//! Finding connections: filtered, sorted, a page at a time, and in slices that do not hold the loop up.

use super::identity::Identity;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::desk::Effort;
use crate::engine::{Class, ConnView, Io, PhaseView};
use crate::health::State;
use ipnet::IpNet;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The most connections on one page.
pub const PAGE_MAX: usize = 1_000;

/// What it costs to look at a slot and the connection in it, most of it cache misses.
const SLOT_NS: u32 = 150;

/// What it costs to make a row.
const ROW_NS: u32 = 500;

/// What it costs to put a place of the page in order, when all slots were looked at.
const SORT_NS: u32 = 60;

/// Which connections are wanted. What is `None` excludes nobody.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this class.
    pub class: Option<Class>,
    /// In this state.
    pub state: Option<ConnState>,
    /// Of this user.
    pub user: Option<String>,
    /// Of this package.
    pub package: Option<String>,
    /// With this user agent, as kept: escaped and cut.
    pub user_agent: Option<String>,
    /// From this block of addresses.
    pub address: Option<IpNet>,
}

/// How a connection is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnState {
    /// Accepted; its request, or our answer, is not complete.
    Opening,
    /// Open, and it answers.
    Healthy,
    /// Open, and it does not.
    Suspect,
    /// A close frame, or the refusal of its request, is on the way.
    Closing,
}

/// What comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sort {
    /// Who was silent for longest.
    #[default]
    Silence,
    /// The longest smoothed round-trip time; who has none yet is last.
    Rtt,
    /// The oldest.
    Age,
    /// The most bytes that wait to be sent.
    Pending,
}

/// A place in a sorted list: a page begins behind it. It stays true while connections come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The key that is sorted by; the smallest comes first.
    pub key: u64,
    /// Who stands there.
    pub id: ConnId,
}

/// What is asked.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Who is wanted.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Whether in the reverse of it.
    pub reverse: bool,
    /// The place behind which the page begins.
    pub after: Option<Position>,
    /// How many; at most [`PAGE_MAX`].
    pub limit: usize,
}

/// A connection on a page.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub id: ConnId,
    /// Who it is, if its request said so.
    pub user: Option<Box<str>>,
    /// Which package of that user.
    pub package: Option<Box<str>>,
    /// What its request named as `User-Agent`, as kept: escaped and cut.
    pub user_agent: Option<Arc<str>>,
    /// How it is.
    pub view: ConnView,
}

/// The answer.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Engine time, which its times are counted in.
    pub now: Micros,
    /// The wall clock at that moment.
    pub wall: UnixMillis,
    /// The connections, in order, each with its place: a page that ends earlier goes on behind the place of its last row.
    pub rows: Vec<(Position, Row)>,
    /// How many fit the filter, on all pages.
    pub matched: usize,
    /// Where the next page begins, if there is one.
    pub next: Option<Position>,
}

/// What a search is told of connections besides what the engine knows.
pub trait Directory {
    /// The identity of a connection, if it has introduced itself.
    fn identity(&self, id: ConnId) -> Option<&Identity>;

    /// The `User-Agent` of a connection's request, as kept: escaped and cut.
    fn user_agent(&self, id: ConnId) -> Option<&Arc<str>>;
}

/// A query at work. It looks at the slots once, keeping only the best, so it takes a page of memory and no more.
#[derive(Debug)]
pub struct Search {
    query: Query,
    slot: u32,
    best: BinaryHeap<Position>,
    /// Somebody stands behind the page.
    more: bool,
    chosen: Option<std::vec::IntoIter<Position>>,
    last: Option<Position>,
    page: Page,
}

impl ConnState {
    /// All of them.
    pub const ALL: [ConnState; 4] = [
        ConnState::Opening,
        ConnState::Healthy,
        ConnState::Suspect,
        ConnState::Closing,
    ];

    /// The word of a connection.
    pub fn of(view: &ConnView) -> Self {
        match (view.phase, view.health.state) {
            (PhaseView::Opening { .. }, _) => ConnState::Opening,
            (PhaseView::Closing { .. }, _) => ConnState::Closing,
            (PhaseView::Open, State::Healthy) => ConnState::Healthy,
            (PhaseView::Open, State::Suspect) => ConnState::Suspect,
        }
    }

    /// As it stands in metrics and in the API.
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
    /// Begins with nothing found.
    pub fn new(query: Query) -> Self {
        Search {
            query: Query {
                limit: query.limit.clamp(1, PAGE_MAX),
                ..query
            },
            slot: 0,
            best: BinaryHeap::new(),
            more: false,
            chosen: None,
            last: None,
            page: Page::default(),
        }
    }

    /// Goes on for one slice. Returns the page, once it is complete.
    pub fn step(&mut self, peers: &impl Directory, io: &mut Io<'_>) -> Option<Page> {
        let mut effort = Effort::default();
        let page = self.slice(peers, io, &mut effort);
        effort.spend(io);
        page
    }

    fn slice(&mut self, peers: &impl Directory, io: &Io<'_>, effort: &mut Effort) -> Option<Page> {
        while self.slot < io.slots() {
            if effort.is_spent() {
                return None;
            }
            effort.add(SLOT_NS);
            if let Some(id) = io.in_slot(self.slot) {
                self.consider(peers, io, id);
            }
            self.slot += 1;
        }
        if self.chosen.is_none() {
            let sorting = SORT_NS * self.best.len() as u32;
            if effort.is_too_much(sorting) {
                return None;
            }
            effort.add(sorting);
        }
        let best = &mut self.best;
        let chosen = self
            .chosen
            .get_or_insert_with(|| std::mem::take(best).into_sorted_vec().into_iter());
        while !effort.is_spent()
            && let Some(place) = chosen.next()
        {
            effort.add(ROW_NS);
            self.last = Some(place);
            // It may have ended since.
            if let Some(view) = io.view(place.id) {
                let identity = peers.identity(place.id);
                let package = identity.and_then(Identity::package).map(Box::from);
                let row = Row {
                    id: place.id,
                    user: identity.map(|i| i.user.clone()),
                    package,
                    user_agent: peers.user_agent(place.id).cloned(),
                    view,
                };
                self.page.rows.push((place, row));
            }
        }
        if chosen.len() > 0 {
            return None;
        }
        self.page.now = io.now();
        self.page.wall = UnixMillis::now();
        self.page.next = self.last.filter(|_| self.more);
        Some(std::mem::take(&mut self.page))
    }

    fn consider(&mut self, peers: &impl Directory, io: &Io<'_>, id: ConnId) {
        let Some(view) = io.view(id) else {
            return;
        };
        let filter = &self.query.filter;
        let user_agent = || peers.user_agent(id).map(|name| &**name);
        if !filter.admits(&view, peers.identity(id), user_agent) {
            return;
        }
        self.page.matched += 1;
        let place = Position {
            key: self.query.key(&view),
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

impl Query {
    /// Smallest first. Absolute times and not spans, so that a place does not move while time goes by.
    fn key(&self, view: &ConnView) -> u64 {
        let key = match self.sort {
            Sort::Silence => view.heard.0,
            Sort::Age => view.since.0,
            Sort::Rtt => u64::MAX - u64::from(view.health.rtt.srtt_us().unwrap_or(0)),
            Sort::Pending => u64::MAX - view.pending as u64,
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
}
