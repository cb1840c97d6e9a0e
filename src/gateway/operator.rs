//! The queries and commands of operators. Every call is one slice of work for the loop.

use super::foresight::{ForesightMark, ForesightSnapshot};
use super::gateway::Gateway;
use super::kick_outcome::{KickOutcome, NotBlocked};
use super::log_ties::LogTies;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::bridge::{PairForecast, PulseSessionRow, Route, RouteStats, SessionLimits, UpstreamRow};
use crate::engine::{
    Class, Config, ConnView, FleetView, Io, Outlook, PhaseView, ReconfigureError, Stats,
};
use crate::host::{
    AgentCount, BlockPlace, BlockPosition, ClassDrain, Classes, ConnRow, Credentials, Directory,
    History, Identity, LogIdentity, LogValue, OrDash, PairTarget, ReportMode, SessionCounts,
};
use crate::relay::{AttachKind, RelaySettings, RelayStats, Session};
use ipnet::IpNet;
use std::sync::Arc;

/// The most identities that [`Gateway::flapping_identities`] names.
pub const FLAPPING_MAX: usize = 64;

/// The most blocks that one slice names; each takes two allocations.
const SLICE_BLOCKS_MAX: usize = 200;

/// Work units for looking through [`BLOCKS_MAX`](super::BLOCKS_MAX) blocks, and for sorting them.
const BLOCKS_LOOK_UNITS: u32 = 60;

/// Work units for looking through all identities with recent reconnects, at most 10 000.
const FLAPPING_LOOK_UNITS: u32 = 100;

/// Work units for looking through [`USER_AGENTS_MAX`](super::USER_AGENTS_MAX) user agents for each
/// class.
const USER_AGENTS_LOOK_UNITS: u32 = 100;

/// One slice of the blocked identities, sorted by the end of their blocks.
#[derive(Debug, Clone)]
pub struct BlockSlice {
    /// The engine time of this snapshot.
    pub now: Micros,
    /// The identities, each with its position.
    pub blocks: Vec<(BlockPosition, Identity)>,
    /// Whether more blocked identities follow.
    pub more: bool,
}

/// All counters and gauges at one moment, for metrics.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counters of the loop.
    pub stats: Stats,
    /// What late heartbeats say about cohorts and about all connections.
    pub foresight: ForesightSnapshot,
    /// The engine time of this snapshot.
    pub now: Micros,
    /// Users with a connection.
    pub sessions: usize,
    /// Identities that are blocked.
    pub blocked: usize,
    /// Different user agents of the connections.
    pub user_agents: usize,
    /// Connections that were counted as [`OTHER_USER_AGENT`](super::OTHER_USER_AGENT) because there
    /// were too many different ones, since the start.
    pub user_agents_overflowed: u64,
    /// Connections with a history.
    pub histories: usize,
    /// The most connections at one time.
    pub max_connections: usize,
    /// Whether the gateway drains.
    pub draining: bool,
    /// For each class, whether a drain of the class is in progress.
    pub drained: Vec<bool>,
    /// The classes, by number: the index of everything that is by class here.
    pub classes: Classes,
    /// Log lines that were lost.
    pub log_dropped: u64,
    /// Counters of the relay.
    pub relay: RelayStats,
    /// The first upstreams behind the routes.
    pub upstreams: Vec<UpstreamRow>,
    /// How many upstreams there are.
    pub upstreams_total: usize,
    /// Counters of the pairs of each route.
    pub routes: RouteStats,
    /// Counters of the sessions that outlive their connections.
    pub pulse: SessionCounts,
    /// Whether a client may ask for such a session, or there is one.
    pub has_pulse: bool,
}

/// The settings that a running gateway can reload.
#[derive(Debug, Clone)]
pub struct Reconfiguration {
    /// Policies and limits of the loop.
    pub engine: Config,
    /// The most connections at one time.
    pub max_connections: usize,
    /// How often the statistics are logged.
    pub stats_interval: Micros,
    /// Proxies trusted to report the client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether the relay serves its paths.
    pub serves_relay: bool,
    /// The routes of the bridge; `None`: they stay as they are.
    pub routes: Option<Vec<Route>>,
    /// The time over which the pairs of removed upstreams are closed.
    pub drain: Micros,
    /// The limits of sessions that outlive their connections.
    pub sessions: SessionLimits,
    /// Settings of the relay.
    pub relay: RelaySettings,
    /// The secrets and lists that peers are checked against.
    pub credentials: Credentials,
    /// What is done with the reports of clients.
    pub client_reports: ReportMode,
}

/// All that is known about one connection.
#[derive(Debug, Clone)]
pub struct ConnSnapshot {
    /// Engine time, to which the times in here refer.
    pub now: Micros,
    /// The wall clock at that moment.
    pub wall: UnixMillis,
    /// The connection's row, as in a list of connections.
    pub row: ConnRow,
    /// What will happen to the connection if nothing more is sent or received.
    pub outlook: Outlook,
    /// The latest heartbeats of all connections together.
    pub fleet: FleetView,
    /// What will become of its pair, if it is one leg of it.
    pub pair: Option<PairForecast>,
    /// Its session, if it has one that outlives its client's connection.
    pub session: Option<PulseSessionRow>,
    /// The connection's history so far, if one was kept. A history is kept from now on.
    pub history: Option<History>,
    /// How the connection joined its session (first, resume or takeover), if it still belongs to
    /// it.
    pub how: Option<AttachKind>,
}

impl Directory for Gateway {
    fn identity(&self, id: ConnId) -> Option<&Identity> {
        self.identities.get(id)
    }

    fn user_agent(&self, id: ConnId) -> Option<&Arc<str>> {
        self.user_agents.get(id)
    }

    fn target(&self, id: ConnId, partner: Option<ConnId>) -> Option<PairTarget> {
        let bridge = self.products.shared_bridge()?;
        bridge.target(id).or_else(|| bridge.target(partner?))
    }

    fn session_partner(&self, id: ConnId) -> Option<ConnId> {
        self.products.shared_bridge()?.session_partner(id)
    }
}

impl Gateway {
    /// Returns all counters and gauges.
    pub fn snapshot(&mut self, io: &Io<'_>) -> Snapshot {
        // It is asked for every few seconds, so that stalls are dated well.
        self.judge.look(io.now(), io.stats().stalled);
        let drained =
            |drain: &Option<ClassDrain>| drain.as_ref().is_some_and(|d| !d.is_over(io.now()));
        let bridge = self.products.bridge();
        let of_bridge = bridge.map(|bridge| {
            let counts = bridge.session_counts().clone();
            let has_pulse = bridge.has_pulse() || counts.attached + counts.held > 0;
            let upstreams = bridge.upstreams(io.now());
            (upstreams, bridge.stats().clone(), (counts, has_pulse))
        });
        let ((upstreams, upstreams_total), routes, (mut pulse, has_pulse)) =
            of_bridge.unwrap_or_default();
        pulse.add(self.products.relay.pulse_counts());
        Snapshot {
            stats: io.stats().clone(),
            foresight: self.cohort_watch.snapshot(io),
            now: io.now(),
            sessions: self.products.relay.sessions.len(),
            blocked: self.products.relay.blocks.count(io.now()),
            user_agents: self.user_agents.len(),
            user_agents_overflowed: self.user_agents.overflowed(),
            histories: self.histories.len(),
            max_connections: self.max_connections,
            draining: io.is_draining(),
            drained: self.drains.iter().map(drained).collect(),
            classes: self.classes.clone(),
            log_dropped: self.event_log.log_dropped(),
            relay: self.products.relay.stats.clone(),
            upstreams,
            upstreams_total,
            pulse,
            has_pulse,
            routes,
        }
    }

    /// Returns a value that differs after [`Snapshot::foresight`] has changed in what operators are
    /// told at once. It costs less than a snapshot.
    pub fn foresight_mark(&self, io: &Io<'_>) -> ForesightMark {
        self.cohort_watch.mark(io)
    }

    /// Returns some of the identities that are refused now because they reconnect too often, and
    /// how many there are in all.
    pub fn flapping_identities(&self, io: &mut Io<'_>) -> (Vec<Identity>, usize) {
        io.spend(FLAPPING_LOOK_UNITS);
        self.products.relay.flapping(FLAPPING_MAX, io.now())
    }

    /// Returns by class at most 64 user agents with the most open connections, and the remaining
    /// one with the most suspects.
    pub fn top_user_agents(&self, io: &mut Io<'_>) -> Vec<Vec<AgentCount>> {
        io.spend(USER_AGENTS_LOOK_UNITS);
        self.user_agents.top(self.drains.len())
    }

    /// Returns the identity of a connection.
    pub fn identity(&self, id: ConnId) -> Option<&Identity> {
        self.identities.get(id)
    }

    /// Returns whether a connection has announced its departure and its slot is already taken.
    pub fn is_leaving(&self, id: ConnId) -> bool {
        self.products.relay.is_leaving(id)
    }

    /// Returns the session of a user.
    pub fn session(&self, user: &str) -> Option<&Session> {
        self.products.relay.sessions.get(user)
    }

    /// Returns the sessions after this user, in the order of their names, and how many there are in
    /// all. This call spends no work units: operators use [`session_slice`](Self::session_slice).
    pub fn sessions_after(
        &self,
        user: Option<&str>,
    ) -> (impl Iterator<Item = (&str, &Session)>, usize) {
        (
            self.products.relay.sessions.after(user),
            self.products.relay.sessions.len(),
        )
    }

    /// Returns all that is known about one connection. Its history is kept from now on.
    pub fn inspect(&mut self, io: &mut Io<'_>, id: ConnId) -> Option<ConnSnapshot> {
        let (view, outlook) = self.outlook(io, id)?;
        let mut view = view;
        let pair = self.forecast(io, id, (view, outlook));
        view.partner = view.partner.or_else(|| self.session_partner(id));
        self.histories.on_inspect(io, id);
        let identity = self.identities.get(id);
        Some(ConnSnapshot {
            now: io.now(),
            wall: UnixMillis::now(),
            row: ConnRow::of(self, io, id, view),
            outlook,
            fleet: io.fleet(),
            pair,
            session: self
                .products
                .shared_bridge()
                .and_then(|bridge| bridge.pulse_session_of(id)),
            history: self.histories.get(id).cloned(),
            how: identity.and_then(|identity| self.products.relay.attach_kind(id, identity)),
        })
    }

    /// Returns the state of a connection and its outlook, with what drains and the bridge will do.
    fn outlook(&self, io: &Io<'_>, id: ConnId) -> Option<(ConnView, Outlook)> {
        let (view, mut outlook) = (io.view(id)?, io.outlook(id)?);
        if let Some(bridge) = self.products.shared_bridge() {
            bridge.correct_outlook(id, &view, &mut outlook);
        }
        let mut drains = self.drains.iter().flatten();
        if let Some(by) = drains.find_map(|drain| drain.close_deadline(id, &view, io.now())) {
            outlook.drained(by);
        }
        Some((view, outlook))
    }

    /// Returns what will become of the pair of a connection with this outlook.
    fn forecast(
        &self,
        io: &Io<'_>,
        id: ConnId,
        outlook: (ConnView, Outlook),
    ) -> Option<PairForecast> {
        let partner = io.partner(id)?;
        let bridge = self.products.shared_bridge()?;
        let other = (partner, self.outlook(io, partner)?);
        bridge.forecast((id, outlook), other, io.now())
    }

    /// Closes a connection for the operator with this reason, and blocks its identity for the time
    /// of `block`, if any. The identity of a pair belongs to its client, so a block of the other
    /// leg closes and blocks the client. If there is nothing to block, nothing is closed.
    /// Its product is told first ([`Product::on_block`]).
    /// The result is logged even if the caller no longer waits for it.
    pub fn kick(
        &mut self,
        io: &mut Io<'_>,
        id: ConnId,
        reason: &str,
        block: Micros,
    ) -> KickOutcome {
        match io.view(id).map(|view| view.phase) {
            // It may be one that was handed over.
            None => return self.kick_http(io, id, reason, block),
            Some(PhaseView::Closing { .. }) => return KickOutcome::Closing,
            Some(PhaseView::Opening { .. } | PhaseView::Dialing { .. } | PhaseView::Open) => {}
        }
        let partner = io.partner(id).or_else(|| self.session_partner(id));
        let blocked = block > Micros::ZERO;
        let client = partner.filter(|partner| {
            blocked && self.identities.get(id).is_none() && self.identities.get(*partner).is_some()
        });
        let (id, other) = match client {
            Some(client) => (client, Some(id)),
            None => (id, partner),
        };
        let identity = self.identities.get(id).cloned();
        if blocked && let Err(why) = self.block(io, identity.as_ref(), block) {
            return KickOutcome::NotBlocked(why);
        }
        if let Some(identity) = identity.as_ref().filter(|_| blocked) {
            let product = self.products.of(identity.class);
            product.on_block(io, identity);
        }
        // This does nothing if the product has already closed the connection.
        io.close(id, Cause::KICKED.close_code(), reason);
        if let Some(identity) = identity.as_ref().filter(|_| blocked) {
            self.close_identity(io, identity.clone(), reason);
        }
        log::warn!(
            "operator action=kick id={id} {} address={} block_ms={} blocked={blocked} reason={}{}",
            LogIdentity(identity.as_ref()),
            OrDash(identity.as_ref().and_then(|i| i.address.as_deref())),
            block.as_millis(),
            LogValue(reason),
            LogTies {
                partner: other,
                ..LogTies::default()
            }
        );
        KickOutcome::Done { blocked, partner }
    }

    /// Blocks an identity for a time.
    ///
    /// # Errors
    /// Why it is not blocked.
    pub(super) fn block(
        &mut self,
        io: &Io<'_>,
        identity: Option<&Identity>,
        span: Micros,
    ) -> Result<(), NotBlocked> {
        let identity = identity.ok_or(NotBlocked::Unnamed)?;
        if self.is_generated(Some(identity)) {
            return Err(NotBlocked::Generated);
        }
        let blocks = &mut self.products.relay.blocks;
        let is_blocked = blocks.block(identity.clone(), io.now() + span, io.now());
        is_blocked.then_some(()).ok_or(NotBlocked::Full)
    }

    /// Unblocks the identities of this user and package at these places, of every class. Returns
    /// how many were blocked. The result is logged even if the caller no longer waits for it.
    pub fn unblock(
        &mut self,
        io: &Io<'_>,
        user: &str,
        package: Option<&str>,
        place: BlockPlace,
    ) -> usize {
        let blocks = &mut self.products.relay.blocks;
        let lifted = blocks.unblock(user, package, place, io.now());
        if lifted > 0 {
            log::warn!(
                "operator action=unblock user={} package={} address={place} lifted={lifted}",
                LogValue(user),
                LogValue(package.unwrap_or("-"))
            );
        }
        lifted
    }

    /// Returns one slice of the blocked identities after this position, at most `most` of them; see
    /// [`BlockSlice`].
    pub fn block_slice(
        &mut self,
        io: &mut Io<'_>,
        after: Option<BlockPosition>,
        most: usize,
    ) -> BlockSlice {
        let most = most.min(SLICE_BLOCKS_MAX);
        let (blocks, more) = self.products.relay.blocks.after(after, most, io.now());
        io.spend(BLOCKS_LOOK_UNITS + blocks.len() as u32 / 2);
        BlockSlice {
            now: io.now(),
            blocks,
            more,
        }
    }

    /// Closes the connections of a class evenly over `spread`, and refuses new ones for `refuse`.
    /// It replaces a drain of the class that is still under way. Returns how many connections it
    /// will close.
    pub fn drain_class(
        &mut self,
        io: &mut Io<'_>,
        class: Class,
        spread: Micros,
        refuse: Micros,
    ) -> u64 {
        self.stop_drain(io, class);
        let live = io.stats().classes[usize::from(class.0)].live;
        let product = self.products.of(class);
        let drain = ClassDrain::start(io, class, (spread, refuse), product);
        self.drains[usize::from(class.0)] = Some(drain);
        live
    }

    /// Stops the drain of a class: no more connections are closed, and new ones are admitted.
    /// Returns whether there was a drain.
    pub fn stop_drain(&mut self, io: &mut Io<'_>, class: Class) -> bool {
        let drain = self.drains[usize::from(class.0)].take();
        drain.is_some_and(|mut drain| {
            drain.stop(io);
            !drain.is_over(io.now())
        })
    }

    /// Applies new settings. Existing connections stay, even if they would no longer be admitted.
    /// Only apps that are no longer known are stopped, over as many turns as needed
    /// ([`SLICE_UNITS`](super::SLICE_UNITS)).
    ///
    /// # Errors
    /// [`ReconfigureError`]; then nothing has changed.
    pub fn reconfigure(
        &mut self,
        io: &mut Io<'_>,
        newer: Reconfiguration,
    ) -> Result<(), ReconfigureError> {
        io.reconfigure(newer.engine)?;
        self.max_connections = newer.max_connections;
        io.set_max_connections(newer.max_connections);
        self.event_log.set_interval(io, newer.stats_interval);
        self.proxies.trusted = newer.trusted_proxies;
        for product in self.products.besides_relay() {
            product.on_proxies(&self.proxies);
            product.on_credentials(&newer.credentials);
        }
        self.serves_relay = newer.serves_relay;
        self.reports.set_mode(newer.client_reports);
        if let Some(bridge) = self.products.bridge() {
            bridge.set_session_limits(newer.sessions);
        }
        if let (Some(bridge), Some(routes)) = (self.products.bridge(), newer.routes) {
            bridge.set_routes(io, routes, newer.drain);
        }
        let begins =
            self.products
                .relay
                .reconfigure(newer.relay, newer.credentials, newer.max_connections);
        if begins {
            let scan =
                |gateway: &mut Gateway, io: &mut Io<'_>| gateway.products.relay.run_reload_scan(io);
            self.queries.start_sliced(io, Box::new(scan));
        }
        Ok(())
    }
}
