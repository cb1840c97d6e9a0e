//! What operators ask and do, through the desk. Every call is one slice of work for the loop.

use super::gateway::Gateway;
use super::handler::product;
use crate::base::cause::Cause;
use crate::base::id::ConnId;
use crate::base::time::{Micros, UnixMillis};
use crate::engine::{Class, Config, Io, Outlook, PhaseView, ReconfigureError, Stats};
use crate::host::Directory;
use crate::host::{
    AgentCount, BlockPlace, ClassDrain, Classes, Credentials, History, Identity, Row,
    UserAndPackage, Value,
};
use crate::relay::{How, RelaySettings, RelayStats, Session};
use ipnet::IpNet;
use std::sync::Arc;

/// How many identities [`Gateway::flapping`] names.
pub const FLAPPING_MAX: usize = 64;

/// Blocks that one slice names: two allocations each.
const BLOCKS_IN_A_SLICE: usize = 200;

/// What it costs to look through [`BLOCKS_MAX`](super::BLOCKS_MAX) blocks, and to sort them.
const BLOCKS_LOOK_UNITS: u32 = 60;

/// What it costs to look through all identities that have come back lately, 10 000 at most.
const FLAPPING_LOOK_UNITS: u32 = 100;

/// What it costs to look through [`USER_AGENTS_MAX`](super::USER_AGENTS_MAX) user agents for each class.
const USER_AGENTS_LOOK_UNITS: u32 = 100;

/// Identities that are shut out, in the order in which they are let in again.
#[derive(Debug, Clone)]
pub struct BlockSlice {
    /// Engine time.
    pub now: Micros,
    /// Who, each with its place.
    pub blocks: Vec<(BlockPlace, Identity)>,
    /// Whether others stand behind them.
    pub more: bool,
}

/// What is counted and measured at one moment, for metrics.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// What the loop has counted.
    pub stats: Stats,
    /// Engine time.
    pub now: Micros,
    /// Users with a connection.
    pub sessions: usize,
    /// Identities that are shut out.
    pub blocked: usize,
    /// Different user agents of the connections.
    pub user_agents: usize,
    /// Connections that became [`OTHER_USER_AGENT`](super::OTHER_USER_AGENT) because there were too many different ones, since the start.
    pub user_agents_overflowed: u64,
    /// Connections whose history is kept.
    pub histories: usize,
    /// Connections that may be held.
    pub max_connections: usize,
    /// Whether the gateway is going away.
    pub draining: bool,
    /// By class: whether newcomers of it are refused, or connections of it sent away.
    pub drained: Vec<bool>,
    /// The classes, by number, as all that is by class here.
    pub classes: Classes,
    /// Log lines lost.
    pub log_dropped: u64,
    /// What the relay has counted.
    pub relay: RelayStats,
}

/// What a gateway that runs can be told anew.
#[derive(Debug, Clone)]
pub struct Reconfiguration {
    /// Policies and limits of the loop.
    pub engine: Config,
    /// How many connections are held at once.
    pub max_connections: usize,
    /// How often the statistics are logged.
    pub stats_interval: Micros,
    /// Whose word about a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What the relay is told.
    pub relay: RelaySettings,
    /// What peers are checked against.
    pub credentials: Credentials,
}

/// What became of a kick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kick {
    /// There is no such connection.
    NoSuch,
    /// It is on its way out already. Nothing was done.
    Closing,
    /// It is being closed.
    Done {
        /// Whether its identity is refused from now on.
        blocked: bool,
    },
}

/// One connection, as much as is known.
#[derive(Debug, Clone)]
pub struct Portrait {
    /// Engine time, which its times are counted in.
    pub now: Micros,
    /// The wall clock at that moment.
    pub wall: UnixMillis,
    /// As on a page.
    pub row: Row,
    /// What will become of it.
    pub outlook: Outlook,
    /// What was kept of its life. From now on it is kept.
    pub history: Option<History>,
    /// How it took its place in its session, if it has it still.
    pub how: Option<How>,
}

impl Directory for Gateway {
    fn identity(&self, id: ConnId) -> Option<&Identity> {
        self.identities.get(id)
    }

    fn user_agent(&self, id: ConnId) -> Option<&Arc<str>> {
        self.user_agents.get(id)
    }
}

impl Gateway {
    /// What is counted and measured now.
    pub fn snapshot(&mut self, io: &Io<'_>) -> Snapshot {
        let drained =
            |drain: &Option<ClassDrain>| drain.as_ref().is_some_and(|d| !d.is_over(io.now()));
        Snapshot {
            stats: io.stats().clone(),
            now: io.now(),
            sessions: self.relay.sessions.len(),
            blocked: self.relay.blocks.count(io.now()),
            user_agents: self.user_agents.len(),
            user_agents_overflowed: self.user_agents.overflowed(),
            histories: self.histories.len(),
            max_connections: self.max_connections,
            draining: io.is_draining(),
            drained: self.drains.iter().map(drained).collect(),
            classes: self.classes.clone(),
            log_dropped: self.report.log_dropped(),
            relay: self.relay.stats.clone(),
        }
    }

    /// Some of the identities that are slowed now because they come back too often, and how many there are in all.
    pub fn flapping(&self, io: &mut Io<'_>) -> (Vec<Identity>, usize) {
        io.spend(FLAPPING_LOOK_UNITS);
        self.relay.flapping(FLAPPING_MAX, io.now())
    }

    /// By class: the user agents with the most open connections, at most 64, and the one with the most suspects.
    pub fn user_agents(&self, io: &mut Io<'_>) -> Vec<Vec<AgentCount>> {
        io.spend(USER_AGENTS_LOOK_UNITS);
        self.user_agents.most(self.drains.len())
    }

    /// Who a connection is.
    pub fn identity(&self, id: ConnId) -> Option<&Identity> {
        self.identities.get(id)
    }

    /// Returns whether a connection has said that it leaves, and another has its place already.
    pub fn is_leaving(&self, id: ConnId) -> bool {
        self.relay.is_leaving(id)
    }

    /// The session of a user.
    pub fn session(&self, user: &str) -> Option<&Session> {
        self.relay.sessions.get(user)
    }

    /// The sessions behind this user, in the order of their names, and how many there are in all. Nobody counts what is looked
    /// at: operators ask for [`session_slice`](Self::session_slice).
    pub fn sessions_after(
        &self,
        user: Option<&str>,
    ) -> (impl Iterator<Item = (&str, &Session)>, usize) {
        (self.relay.sessions.after(user), self.relay.sessions.len())
    }

    /// Everything about one connection. Its history is kept from now on.
    pub fn portrait(&mut self, io: &mut Io<'_>, id: ConnId) -> Option<Portrait> {
        let view = io.view(id)?;
        let mut outlook = io.outlook(id)?;
        let mut drains = self.drains.iter().flatten();
        if let Some(by) = drains.find_map(|drain| drain.sends_away(id, &view, io.now())) {
            outlook.drained(by);
        }
        self.histories.asked(io, id);
        let identity = self.identities.get(id);
        Some(Portrait {
            now: io.now(),
            wall: UnixMillis::now(),
            row: Row {
                id,
                user: identity.map(|i| i.user.clone()),
                package: identity.and_then(Identity::package).map(Box::from),
                user_agent: self.user_agents.get(id).cloned(),
                view,
            },
            outlook,
            history: self.histories.get(id).cloned(),
            how: identity.and_then(|identity| self.relay.how(id, identity)),
        })
    }

    /// Closes a connection in the operator's name with this reason, and refuses its identity for the time of `block`, if any.
    /// Its product is told first ([`Product::on_block`]).
    /// What was done stands in the log, whoever still waits for the answer.
    pub fn kick(&mut self, io: &mut Io<'_>, id: ConnId, reason: &str, block: Micros) -> Kick {
        match io.view(id).map(|view| view.phase) {
            None => return Kick::NoSuch,
            Some(PhaseView::Closing { .. }) => return Kick::Closing,
            Some(PhaseView::Opening { .. } | PhaseView::Open) => {}
        }
        let identity = self.identities.get(id).cloned();
        let blocked = block > Micros::ZERO
            && (identity.as_ref()).is_some_and(|identity| self.block(io, identity, block));
        if let Some(identity) = identity.as_ref().filter(|_| blocked) {
            let product = product(&mut self.relay, &mut self.others, identity.class);
            product.on_block(io, identity);
        }
        // Nothing more happens to one that its product has closed already.
        io.close(id, Cause::KICKED.close_code(), reason);
        log::warn!(
            "operator action=kick id={id} {} block_ms={} blocked={blocked} reason={}",
            UserAndPackage(identity.as_ref()),
            block.as_millis(),
            Value(reason)
        );
        Kick::Done { blocked }
    }

    /// Refuses an identity for a time. `false`: 1 000 are refused already, or it is a generated name, which nobody has twice.
    fn block(&mut self, io: &Io<'_>, identity: &Identity, span: Micros) -> bool {
        let generated = self.is_generated(Some(identity));
        let blocks = &mut self.relay.blocks;
        !generated && blocks.block(identity.clone(), io.now() + span, io.now())
    }

    /// Lets the identities of this user and package in again, of every class. Returns whether one was refused.
    pub fn unblock(&mut self, user: &str, package: Option<&str>) -> bool {
        self.relay.blocks.lift(user, package)
    }

    /// One slice of those who are refused, from behind this place on, at most `most` of them; see [`BlockSlice`].
    pub fn blocked(
        &mut self,
        io: &mut Io<'_>,
        after: Option<BlockPlace>,
        most: usize,
    ) -> BlockSlice {
        let most = most.min(BLOCKS_IN_A_SLICE);
        let (blocks, more) = self.relay.blocks.after(after, most, io.now());
        io.spend(BLOCKS_LOOK_UNITS + blocks.len() as u32 / 2);
        BlockSlice {
            now: io.now(),
            blocks,
            more,
        }
    }

    /// Closes the connections of a class evenly over `spread`, and refuses newcomers of it for `refuse`. A drain of the class
    /// that is still going on is given up for this one. Returns how many there are to close.
    pub fn drain_class(
        &mut self,
        io: &mut Io<'_>,
        class: Class,
        spread: Micros,
        refuse: Micros,
    ) -> u64 {
        self.stop_drain(io, class);
        let live = io.stats().classes[usize::from(class.0)].live;
        self.drains[usize::from(class.0)] = Some(ClassDrain::start(io, class, spread, refuse));
        live
    }

    /// Sends nobody of a class away any more, and lets newcomers in. Returns whether there was anything to stop.
    pub fn stop_drain(&mut self, io: &mut Io<'_>, class: Class) -> bool {
        let drain = self.drains[usize::from(class.0)].take();
        drain.is_some_and(|mut drain| {
            drain.stop(io);
            !drain.is_over(io.now())
        })
    }

    /// Takes new settings. No connection is touched: who is here stays, also if it would not be let in now. Only apps that are
    /// not known any more are stopped, over as many turns as it takes ([`SLICE_UNITS`](super::SLICE_UNITS)).
    ///
    /// # Errors
    /// [`ReconfigureError`]; nothing has changed then.
    pub fn reconfigure(
        &mut self,
        io: &mut Io<'_>,
        newer: Reconfiguration,
    ) -> Result<(), ReconfigureError> {
        io.reconfigure(newer.engine)?;
        self.max_connections = newer.max_connections;
        io.set_max_connections(newer.max_connections);
        self.report.set_interval(io, newer.stats_interval);
        self.proxies.trusted = newer.trusted_proxies;
        let begins = self
            .relay
            .reconfigure(newer.relay, newer.credentials, newer.max_connections);
        if begins {
            let sweep = |gateway: &mut Gateway, io: &mut Io<'_>| gateway.relay.sweep_apps(io);
            self.tray.begin(io, Box::new(sweep));
        }
        Ok(())
    }
}
