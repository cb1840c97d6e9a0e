//! Many connections lost at once: of one class, or of one address block. Then it is the network between, not the peers.
//!
//! What is counted is who was lost, and not how often: one client that comes back and is lost again all the time is one.

use super::agents::{Agents, Common};
use crate::base::bounded;
use crate::base::cause::Cause;
use crate::base::time::Micros;
use crate::engine::Class;
use crate::gateway::{Classes, Closed, OTHER_USER_AGENT};
use ipnet::IpNet;
use std::collections::hash_map::RandomState;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::Arc;

/// Losses that are remembered: as many as records of ended connections come at a time.
const DEATHS_MAX: usize = 10_000;

/// How many windows are looked back over, to know what is usual.
const USUAL_WINDOWS: u64 = 5;

/// So many times more than usual is not usual.
const UNUSUAL: u64 = 4;

/// A class that is lost from so many blocks at once is named itself, instead of each block.
const MANY_BLOCKS: usize = 3;

/// A connection that nobody wanted to end.
#[derive(Debug, Clone)]
pub(super) struct Death {
    /// By the monotonic clock, as all that is compared with it: the wall clock may step.
    pub(super) at: Micros,
    pub(super) class: usize,
    /// Whose it was; the same for all connections of one identity.
    pub(super) who: u64,
    pub(super) block: IpNet,
    pub(super) cause: Cause,
    /// Its user agent, if it is known, and if the connection said whose it was.
    pub(super) agent: Option<Arc<str>>,
}

/// The latest losses, oldest first.
#[derive(Debug, Default)]
pub(super) struct Deaths {
    /// Nobody outside can make names that count as one.
    hasher: RandomState,
    latest: VecDeque<Death>,
}

/// What has lost many of its connections at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MassDeath {
    pub(super) of: Group,
    /// How many identities there were.
    pub(super) count: u64,
    /// How many it takes.
    pub(super) needed: u64,
    /// Of which class most of them were.
    pub(super) class: usize,
    /// How many of them were of it.
    pub(super) of_class: u64,
    /// From how many blocks they came.
    pub(super) blocks: usize,
    /// How most of them ended, and how many of them did.
    pub(super) cause: (Cause, u64),
    /// Their user agents.
    pub(super) agents: Agents,
}

/// What they have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Group {
    Class(usize),
    Block(IpNet),
}

/// What it takes to be many.
#[derive(Debug, Clone)]
pub(super) struct Many {
    pub(super) least: u64,
    pub(super) percent: u64,
    pub(super) window: Micros,
    /// Connections before, by class.
    pub(super) live: Vec<u64>,
}

impl Deaths {
    /// Takes note of connections that have ended, if they were lost.
    pub(super) fn note<'a>(&mut self, closed: impl IntoIterator<Item = &'a Closed>) {
        for closed in closed {
            if let Some(class) = closed.end.class
                && closed.end.lost
            {
                let address = closed.end.peer_addr.ip();
                let who = self.who(closed);
                // A stranger must not name a client in what an operator is told.
                let agent = closed.user_agent.clone().filter(|_| !closed.is_anonymous());
                self.add(Death {
                    at: closed.at.raw,
                    class: class.0.into(),
                    who,
                    block: block_of(address),
                    cause: closed.end.cause,
                    agent: agent.filter(|name| **name != *OTHER_USER_AGENT),
                });
            }
        }
    }

    /// Whose connection it was: its identity's. Who has none, or a name that we gave and that nobody has twice, is known by
    /// the address.
    fn who(&self, closed: &Closed) -> u64 {
        if closed.is_anonymous() {
            return self.hasher.hash_one(closed.end.peer_addr.ip());
        }
        self.hasher.hash_one((&closed.user, &closed.package))
    }

    pub(super) fn add(&mut self, death: Death) {
        bounded::push(&mut self.latest, DEATHS_MAX, death);
    }

    /// The user agents of the identities of a class that were lost as stale since then.
    pub(super) fn stale(&self, class: usize, since: Micros) -> Agents {
        let is_wanted = |d: &&Death| d.class == class && d.at > since && d.cause == Cause::STALE;
        let mut seen = HashSet::new();
        let lost = self.latest.iter().filter(is_wanted);
        lost.filter(|d| seen.insert(d.who))
            .map(|d| d.agent.as_ref())
            .collect()
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.latest.len()
    }

    /// Forgets what is too old to matter: to a mass death within `many`, and to what is counted over `window`.
    pub(super) fn forget(&mut self, now: Micros, many: Micros, interval: Micros, window: Micros) {
        let matters = Micros(many.0.saturating_mul(USUAL_WINDOWS + 1)) + interval;
        let matters = matters.max(window);
        let is_old = |death: &Death| now - death.at > matters;
        while self.latest.front().is_some_and(is_old) {
            self.latest.pop_front();
        }
    }

    /// What has lost many at once in the time since the last look, or just before it; one answer for each class at most.
    pub(super) fn mass(&self, now: Micros, interval: Micros, many: &Many) -> Vec<MassDeath> {
        let since = now - (interval + many.window);
        let all: u64 = many.live.iter().sum();
        let mut by_block: HashMap<IpNet, Vec<&Death>> = HashMap::new();
        for death in &self.latest {
            by_block.entry(death.block).or_default().push(death);
        }
        let mut found: Vec<MassDeath> = by_block
            .iter()
            .filter_map(|(block, deaths)| at_once(Group::Block(*block), deaths, since, many, all))
            .collect();
        // What a block explains is told once.
        let explained: Vec<Group> = found.iter().map(|mass| mass.of).collect();
        let is_open = |d: &&Death| !explained.contains(&Group::Block(d.block));
        for class in 0..many.live.len() {
            let deaths = self.latest.iter().filter(|d| d.class == class);
            let deaths: Vec<&Death> = deaths.filter(is_open).collect();
            let group = Group::Class(class);
            found.extend(at_once(group, &deaths, since, many, many.live[class]));
        }
        (0..many.live.len())
            .filter_map(|class| merge(found.iter().filter(|mass| mass.class == class)))
            .collect()
    }
}

/// One answer for a class: the class if it is lost in many places, else the block that has lost most.
fn merge<'a>(found: impl Iterator<Item = &'a MassDeath>) -> Option<MassDeath> {
    let mut found: Vec<&MassDeath> = found.collect();
    found.sort_by_key(|mass| std::cmp::Reverse(mass.count));
    let most = (*found.first()?).clone();
    let is_everywhere = |mass: &&MassDeath| matches!(mass.of, Group::Class(_));
    if found.len() < MANY_BLOCKS && !found.iter().any(is_everywhere) {
        return Some(most);
    }
    Some(MassDeath {
        of: Group::Class(most.class),
        count: found.iter().map(|mass| mass.count).sum(),
        blocks: found.iter().map(|mass| mass.blocks).sum(),
        agents: found.iter().map(|mass| &mass.agents).sum(),
        ..most
    })
}

/// The most identities that a group has lost within one window that ends after `since`, if that is many and not usual.
fn at_once(
    of: Group,
    deaths: &[&Death],
    since: Micros,
    many: &Many,
    live: u64,
) -> Option<MassDeath> {
    let span = many.window;
    let needed = many.least.max((live * many.percent).div_ceil(100));
    let (mut from, mut best, mut count) = (0, 0..0, 0);
    // How often each was lost within the window.
    let mut often: HashMap<u64, usize> = HashMap::new();
    for (to, death) in deaths.iter().enumerate() {
        *often.entry(death.who).or_default() += 1;
        while deaths[from].at + span <= death.at {
            if let Some(times) = often.get_mut(&deaths[from].who) {
                *times -= 1;
                if *times == 0 {
                    often.remove(&deaths[from].who);
                }
            }
            from += 1;
        }
        if death.at > since && often.len() > count {
            (best, count) = (from..to + 1, often.len());
        }
    }
    let count = count as u64;
    let first = deaths.get(best.start)?.at;
    let before = &deaths[..best.start];
    // Each once for each of the windows before.
    let windows_ago = |d: &Death| (first - d.at).0.checked_div(span.0);
    let usual: HashSet<(u64, Option<u64>)> = before
        .iter()
        .map(|d| (d.who, windows_ago(d)))
        .filter(|(_, ago)| ago.is_none_or(|ago| ago < USUAL_WINDOWS))
        .collect();
    let usual = usual.len() as u64 / USUAL_WINDOWS;
    if count < needed.max(1) || count < UNUSUAL * usual {
        return None;
    }
    let mut seen = HashSet::new();
    let lost: Vec<&Death> = deaths[best]
        .iter()
        .filter(|d| seen.insert(d.who))
        .copied()
        .collect();
    let by_class = |class| lost.iter().filter(|d| d.class == class).count();
    let class = (0..many.live.len()).max_by_key(|class| by_class(*class))?;
    let mut blocks: Vec<IpNet> = lost.iter().map(|d| d.block).collect();
    blocks.sort_unstable();
    blocks.dedup();
    let with = |cause: Cause| {
        let is = |d: &&&Death| d.cause == cause;
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
        blocks: blocks.len(),
        cause: (cause, with(cause)),
        agents: lost.iter().map(|d| d.agent.as_ref()).collect(),
    })
}

impl MassDeath {
    /// What has happened, in words. `common` is the user agent that most of them had.
    pub(super) fn summary(
        &self,
        classes: &Classes,
        window: Micros,
        common: Option<&Common>,
    ) -> String {
        // As many classes as there are at all: `u8` holds their numbers.
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
            Group::Class(class) if self.blocks == 1 => format!("of class {}", name(class)),
            Group::Class(class) => format!(
                "of class {} from {} address blocks",
                name(class),
                self.blocks
            ),
            Group::Block(block) => format!("from {block}"),
        };
        let of_class = match self.of {
            Group::Class(_) => String::new(),
            Group::Block(_) => format!("{} of them of class {}, ", self.of_class, name(self.class)),
        };
        let why = match (common, self.of) {
            (None, _) => ": it is the network or a proxy, not the peers".to_owned(),
            (Some(common), Group::Class(_)) => {
                format!("; {common}: look at that client's release")
            }
            (Some(common), Group::Block(_)) => {
                format!("; {common}: look at that client's release, or at this block's network")
            }
        };
        format!(
            "{} connections {whose} were lost within {} s, {of_class}{most} of them {cause}{why}",
            self.count,
            window.as_secs_f64()
        )
    }
}

/// The block in which an address's neighbours are: /24, or /48 of IPv6.
pub(super) fn block_of(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new_assert(address, bits).trunc()
}
