//! Mass deaths: many connections of one class or one address block that are lost at once. Then the
//! network is the likely reason, not the peers.
//!
//! Identities are counted, not losses: one client that reconnects and is lost again and again
//! counts once.

use super::agents::{AgentTally, CommonAgent};
use crate::base::bounded;
use crate::base::cause::Cause;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::engine::Class;
use crate::gateway::{Classes, ClosedConn, OTHER_USER_AGENT};
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

/// The number of losses that are kept: as many as the queue of ended connections holds.
const LOSSES_MAX: usize = 10_000;

/// The number of earlier windows whose losses define the usual number.
const USUAL_WINDOWS: u64 = 5;

/// Losses are unusual if they are at least this many times the usual number.
const UNUSUAL_FACTOR: u64 = 4;

/// If a class is lost from this many blocks at once, the class is reported instead of each block.
const BLOCKS_OF_CLASS_MIN: usize = 3;

/// A connection that was lost.
#[derive(Debug, Clone)]
pub(super) struct Loss {
    /// When the connection was lost, by the monotonic clock, because the wall clock may step.
    pub(super) at: Micros,
    pub(super) class: usize,
    /// A hash of the identity; equal for all connections of one identity.
    pub(super) identity: u64,
    pub(super) block: NetworkBlock,
    pub(super) cause: Cause,
    /// The user agent, if it is known and the connection has an identity.
    pub(super) agent: Option<Arc<str>>,
}

/// The latest losses, oldest first.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Seeded at random, so that peers cannot choose identities with the same hash.
    hasher: RandomState,
    latest: VecDeque<Loss>,
}

/// A group that has lost many of its connections at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MassDeath {
    pub(super) of: Group,
    /// The number of identities that were lost.
    pub(super) count: u64,
    /// The number of lost identities that is needed for an alert.
    pub(super) needed: u64,
    /// The class of most of the lost connections.
    pub(super) class: usize,
    /// How many of the lost connections were of that class.
    pub(super) of_class: u64,
    /// The address blocks that the lost connections came from.
    pub(super) blocks: Vec<NetworkBlock>,
    /// The most frequent cause, and the number of connections that ended for it.
    pub(super) cause: (Cause, u64),
    /// The user agents of the lost connections.
    pub(super) agents: AgentTally,
}

/// What the lost connections have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Class(usize),
    Block(NetworkBlock),
}

/// The thresholds of the alert `mass_death`.
#[derive(Debug, Clone)]
pub(super) struct MassDeathLimits {
    pub(super) least: u64,
    pub(super) percent: u64,
    pub(super) window: Micros,
    /// The number of connections before the loss, by class.
    pub(super) live: Vec<u64>,
}

impl Losses {
    /// Records connections that have ended, if they were lost.
    pub(super) fn record<'a>(&mut self, closed: impl IntoIterator<Item = &'a ClosedConn>) {
        for closed in closed {
            if let Some(class) = closed.end.class
                && closed.end.lost
            {
                let address = closed.end.peer_addr.ip();
                let identity = self.identity_hash(closed);
                // An anonymous peer must not choose text in an operator's alert.
                let agent = closed.user_agent.clone().filter(|_| !closed.is_anonymous());
                self.add(Loss {
                    at: closed.at.raw,
                    class: class.0.into(),
                    identity,
                    block: NetworkBlock::of(address),
                    cause: closed.end.cause,
                    agent: agent.filter(|name| **name != *OTHER_USER_AGENT),
                });
            }
        }
    }

    /// Returns a hash of the connection's identity. A connection without an identity, or with a
    /// generated name, counts by its address.
    fn identity_hash(&self, closed: &ClosedConn) -> u64 {
        if closed.is_anonymous() {
            return self.hasher.hash_one(closed.end.peer_addr.ip());
        }
        self.hasher.hash_one((&closed.user, &closed.package))
    }

    pub(super) fn add(&mut self, loss: Loss) {
        bounded::push(&mut self.latest, LOSSES_MAX, loss);
    }

    /// Returns the user agents of the identities of a class that were lost as stale since `since`.
    pub(super) fn stale_agents(&self, class: usize, since: Micros) -> AgentTally {
        let is_wanted = |d: &&Loss| d.class == class && d.at > since && d.cause == Cause::STALE;
        let mut seen = HashSet::new();
        let lost = self.latest.iter().filter(is_wanted);
        lost.filter(|d| seen.insert(d.identity))
            .map(|d| d.agent.as_ref())
            .collect()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.latest.len()
    }

    /// Forgets losses that are too old for a mass death (`mass_window`) and for other counts
    /// (`window`).
    pub(super) fn forget(
        &mut self,
        now: Micros,
        mass_window: Micros,
        interval: Micros,
        window: Micros,
    ) {
        let kept_span = Micros(mass_window.0.saturating_mul(USUAL_WINDOWS + 1)) + interval;
        let kept_span = kept_span.max(window);
        let is_old = |loss: &Loss| now - loss.at > kept_span;
        while self.latest.front().is_some_and(is_old) {
            self.latest.pop_front();
        }
    }

    /// Returns the groups that have lost many connections since the last evaluation, or just before
    /// it; at most one for each class.
    pub(super) fn mass_deaths(
        &self,
        now: Micros,
        interval: Micros,
        limits: &MassDeathLimits,
    ) -> Vec<MassDeath> {
        let since = now - (interval + limits.window);
        let all: u64 = limits.live.iter().sum();
        let mut by_block: HashMap<NetworkBlock, Vec<&Loss>> = HashMap::new();
        for loss in &self.latest {
            by_block.entry(loss.block).or_default().push(loss);
        }
        let mut found: Vec<MassDeath> = by_block
            .iter()
            .filter_map(|(block, losses)| {
                find_mass_death(Group::Block(*block), losses, since, limits, all)
            })
            .collect();
        // A loss that a block explains is reported once.
        let explained: Vec<Group> = found.iter().map(|mass| mass.of).collect();
        let is_open = |d: &&Loss| !explained.contains(&Group::Block(d.block));
        for class in 0..limits.live.len() {
            let losses = self.latest.iter().filter(|d| d.class == class);
            let losses: Vec<&Loss> = losses.filter(is_open).collect();
            let group = Group::Class(class);
            found.extend(find_mass_death(
                group,
                &losses,
                since,
                limits,
                limits.live[class],
            ));
        }
        (0..limits.live.len())
            .filter_map(|class| merge(found.iter().filter(|mass| mass.class == class)))
            .collect()
    }
}

/// Merges the findings for a class: returns the class if it is lost in many places, otherwise the
/// block that has lost most.
fn merge<'a>(found: impl Iterator<Item = &'a MassDeath>) -> Option<MassDeath> {
    let mut found: Vec<&MassDeath> = found.collect();
    found.sort_by_key(|mass| std::cmp::Reverse(mass.count));
    let most = (*found.first()?).clone();
    let is_everywhere = |mass: &&MassDeath| matches!(mass.of, Group::Class(_));
    if found.len() < BLOCKS_OF_CLASS_MIN && !found.iter().any(is_everywhere) {
        return Some(most);
    }
    Some(MassDeath {
        of: Group::Class(most.class),
        count: found.iter().map(|mass| mass.count).sum(),
        blocks: distinct(found.iter().flat_map(|mass| mass.blocks.iter().copied())),
        agents: found.iter().map(|mass| &mass.agents).sum(),
        ..most
    })
}

/// Returns the most identities that a group has lost within one window that ends after `since`, if
/// that is many and unusual.
fn find_mass_death(
    of: Group,
    losses: &[&Loss],
    since: Micros,
    limits: &MassDeathLimits,
    live: u64,
) -> Option<MassDeath> {
    let span = limits.window;
    let needed = limits.least.max((live * limits.percent).div_ceil(100));
    let (mut from, mut best, mut count) = (0, 0..0, 0);
    // How many times each identity was lost within the window.
    let mut often: HashMap<u64, usize> = HashMap::new();
    for (to, loss) in losses.iter().enumerate() {
        *often.entry(loss.identity).or_default() += 1;
        while losses[from].at + span <= loss.at {
            if let Some(times) = often.get_mut(&losses[from].identity) {
                *times -= 1;
                if *times == 0 {
                    often.remove(&losses[from].identity);
                }
            }
            from += 1;
        }
        if loss.at > since && often.len() > count {
            (best, count) = (from..to + 1, often.len());
        }
    }
    let count = count as u64;
    let first = losses.get(best.start)?.at;
    let before = &losses[..best.start];
    // Each identity once for each of the earlier windows.
    let windows_ago = |d: &Loss| (first - d.at).0.checked_div(span.0);
    let usual: HashSet<(u64, Option<u64>)> = before
        .iter()
        .map(|d| (d.identity, windows_ago(d)))
        .filter(|(_, ago)| ago.is_none_or(|ago| ago < USUAL_WINDOWS))
        .collect();
    let usual = usual.len() as u64 / USUAL_WINDOWS;
    if count < needed.max(1) || count < UNUSUAL_FACTOR * usual {
        return None;
    }
    let mut seen = HashSet::new();
    let lost: Vec<&Loss> = losses[best]
        .iter()
        .filter(|d| seen.insert(d.identity))
        .copied()
        .collect();
    let by_class = |class| lost.iter().filter(|d| d.class == class).count();
    let class = (0..limits.live.len()).max_by_key(|class| by_class(*class))?;
    let with = |cause: Cause| {
        let is = |d: &&&Loss| d.cause == cause;
        lost.iter().filter(is).count() as u64
    };
    let mut causes: Vec<Cause> = lost.iter().map(|d| d.cause).collect();
    causes.sort_unstable_by_key(|cause| cause.index());
    causes.dedup();
    let cause = causes.into_iter().max_by_key(|cause| with(*cause))?;
    Some(MassDeath {
        of,
        count,
        needed,
        class,
        of_class: by_class(class) as u64,
        blocks: distinct(lost.iter().map(|d| d.block)),
        cause: (cause, with(cause)),
        agents: lost.iter().map(|d| d.agent.as_ref()).collect(),
    })
}

fn distinct(blocks: impl Iterator<Item = NetworkBlock>) -> Vec<NetworkBlock> {
    let mut blocks: Vec<NetworkBlock> = blocks.collect();
    blocks.sort_unstable();
    blocks.dedup();
    blocks
}

impl MassDeath {
    /// Describes the loss in words. `common` is the user agent that most of them had.
    pub(super) fn summary(
        &self,
        classes: &Classes,
        window: Micros,
        common: Option<&CommonAgent>,
    ) -> String {
        // There are at most as many classes as a `u8` can number.
        let name = |class: usize| classes.name(Class(class as u8));
        let (cause, with) = self.cause;
        let most = if with == self.count {
            "all"
        } else if with * 2 > self.count {
            "most"
        } else {
            "some"
        };
        let whose = match self.of {
            Group::Class(class) if self.blocks.len() == 1 => format!("of class {}", name(class)),
            Group::Class(class) => format!(
                "of class {} from {} address blocks",
                name(class),
                self.blocks.len()
            ),
            Group::Block(block) => format!("from {block}"),
        };
        let of_class = match self.of {
            Group::Class(_) => String::new(),
            Group::Block(_) => format!("{} of them of class {}, ", self.of_class, name(self.class)),
        };
        let why = match (common, self.of) {
            (None, _) => ": the cause is the network or a proxy, not the peers".to_owned(),
            (Some(common), Group::Class(_)) => {
                format!("; {common}: check that client's release")
            }
            (Some(common), Group::Block(_)) => {
                format!("; {common}: check that client's release, or this block's network")
            }
        };
        format!(
            "{} connections {whose} were lost within {} s, {of_class}{most} of them {cause}{why}",
            self.count,
            window.as_secs_f64()
        )
    }
}
