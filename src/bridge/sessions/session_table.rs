//! All sessions, and how they are found.

use super::hold_book::{BookedHold, HoldAccounts, HoldBook};
use super::live_session::{ClientPlace, LiveSession};
use super::session_due::{Due, SessionDues};
use super::session_key::SessionKey;
use super::session_limits::SessionLimits;
use super::session_tie::SessionTie;
use super::waiting_clients::WaitingClient;
use crate::base::id::ConnId;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::host::{LineBudget, SessionCounts, TokenTable, WaitingTable};
use std::collections::{BTreeMap, HashMap};

/// The entries that each table keeps when it is empty.
const PLACES_KEPT: usize = 64;

/// Which side of a session a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionLeg {
    /// The client's connection.
    Client(SessionKey),
    /// The connection to the upstream.
    Upstream(SessionKey),
}

/// How an upstream is told that its client has left for good, once it has taken what the client
/// sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LastClose {
    pub(super) code: u16,
    pub(super) reason: Box<str>,
}

/// All sessions, and how they are found.
#[derive(Debug, Default)]
pub(in crate::bridge) struct SessionTable {
    pub(super) limits: SessionLimits,
    pub(super) live: BTreeMap<SessionKey, Box<LiveSession>>,
    pub(super) legs: HashMap<ConnId, SessionLeg>,
    pub(super) tokens: TokenTable<SessionKey>,
    /// The sessions that wait. Change it with the methods of the table, which count.
    pub(super) holds: HoldBook,
    pub(super) dues: SessionDues,
    /// Clients that have no session yet.
    pub(super) waiting: WaitingTable<WaitingClient>,
    /// Upstreams whose clients have left for good.
    pub(super) last_closes: HashMap<ConnId, LastClose>,
    /// Connections that are about to end, and what their records say. There are never more of them
    /// than connections.
    pub(super) leaving: HashMap<ConnId, SessionTie>,
    pub(super) reset_lines: LineBudget,
    pub(super) hold_lines: LineBudget,
    pub(super) counts: SessionCounts,
    last_key: u64,
}

impl SessionTable {
    /// Makes the table, without sessions.
    pub(in crate::bridge) fn new(limits: SessionLimits) -> Self {
        SessionTable {
            limits,
            ..SessionTable::default()
        }
    }

    /// Changes the limits. Holds that have begun keep their time.
    pub(in crate::bridge) fn set_limits(&mut self, limits: SessionLimits) {
        self.limits = limits;
    }

    /// Returns the counters and gauges.
    pub(in crate::bridge) fn counts(&self) -> &SessionCounts {
        &self.counts
    }

    /// Adds a session. Its connections are found from now on.
    pub(super) fn add(&mut self, session: LiveSession) -> SessionKey {
        self.last_key += 1;
        let key = SessionKey(self.last_key);
        if let Some(client) = session.client() {
            self.legs.insert(client, SessionLeg::Client(key));
        }
        if let Some(upstream) = session.upstream() {
            self.legs.insert(upstream, SessionLeg::Upstream(key));
        }
        self.live.insert(key, Box::new(session));
        self.counts.opened += 1;
        self.counts.attached += 1;
        self.sync_tokens(key);
        key
    }

    /// Removes a session from every table. Its connections are no legs any more.
    pub(super) fn take(&mut self, key: SessionKey) -> Option<Box<LiveSession>> {
        let mut session = self.live.remove(&key)?;
        for leg in [session.client(), session.upstream()].into_iter().flatten() {
            self.legs.remove(&leg);
        }
        if !sabotage::on(Bug::TokenKept) {
            self.tokens.remove(session.tokens.as_ref());
        }
        self.dues.disarm_all(&mut session.times, key);
        match &session.place {
            ClientPlace::Attached(_) => self.counts.attached -= 1,
            ClientPlace::Held(hold) => {
                let hold = hold.booked(key);
                self.forget_hold(hold, session.charged);
            }
        }
        if self.live.is_empty() {
            self.legs.shrink_to(PLACES_KEPT);
        }
        Some(session)
    }

    /// Counts a session among those that wait, with the bytes that are charged for it.
    pub(super) fn note_hold(&mut self, key: SessionKey, since: Micros) -> Option<HoldAccounts> {
        let session = self.live.get(&key)?;
        let identity = session.owner.identity.as_ref();
        let entry = (key, since, session.charged);
        let accounts = self.holds.add(entry, identity, session.block);
        self.count_holds();
        Some(accounts)
    }

    /// Counts a session no longer among those that wait.
    pub(super) fn forget_hold(&mut self, hold: BookedHold, charged: usize) {
        self.holds.remove(hold, charged);
        self.count_holds();
    }

    /// Counts other bytes for a session that waits.
    pub(super) fn resize_hold(&mut self, hold: BookedHold, before: usize, now: usize) {
        self.holds.resize(hold, before, now);
        self.count_holds();
    }

    const fn count_holds(&mut self) {
        self.counts.held = self.holds.held() as u64;
        self.counts.held_bytes = self.holds.bytes() as u64;
    }

    /// Forgets what ties a connection to its session: it has ended.
    pub(in crate::bridge) fn forget_leaving(&mut self, id: ConnId) {
        self.leaving.remove(&id);
        if self.leaving.is_empty() {
            self.leaving.shrink_to(PLACES_KEPT);
        }
    }

    /// Finds the session by the tokens that are valid now, and by no others.
    pub(super) fn sync_tokens(&mut self, key: SessionKey) {
        let Some(session) = self.live.get_mut(&key) else {
            return;
        };
        let tokens = session.pulse.tokens();
        self.tokens.update(key, &mut session.tokens, tokens);
    }

    /// Sets when something is due for a session, unless it is due earlier.
    pub(super) fn arm(&mut self, key: SessionKey, due: Due, at: Micros) {
        if let Some(session) = self.live.get_mut(&key) {
            self.dues.arm(&mut session.times, (key, due), at);
        }
    }

    /// Sets that something is not due any more.
    pub(super) fn disarm(&mut self, key: SessionKey, due: Due) {
        if let Some(session) = self.live.get_mut(&key) {
            self.dues.disarm(&mut session.times, (key, due));
        }
    }

    /// Returns how many entries all tables have. For tests.
    #[cfg(feature = "testing")]
    pub(in crate::bridge) fn kept(&self) -> usize {
        self.live.len()
            + self.legs.len()
            + self.tokens.len()
            + self.holds.len()
            + self.dues.len()
            + self.waiting.len()
            + self.last_closes.len()
            + self.leaving.len()
    }
}
