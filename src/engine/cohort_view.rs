//! Snapshots of cohorts, and of all heartbeats together.

use crate::base::id::Class;
use crate::base::network_block::NetworkBlock;
use crate::base::time::Micros;
use crate::health::SavedCadence;

/// The connections of one class in one part of the network, which probably share a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CohortView {
    /// The class.
    pub class: Class,
    /// The part of the network.
    pub block: NetworkBlock,
    /// Open connections.
    pub connections: u32,
    /// How many of 1 000 heartbeats are late as a rule; 20 until more is known.
    pub usual_late_permille: u32,
    /// The evidence that its peers have stopped answering together, in percent of what raises the
    /// alarm; up to 125.
    pub score_percent: u32,
    /// How many different peers had a late heartbeat since the evidence was zero, at most 8. An
    /// alarm needs five.
    pub late_peers: u8,
    /// How long ago its latest late heartbeat was found; to a second. `None` if there was none.
    pub late_ago: Option<Micros>,
    /// For how long there has been an alarm; to a second. `None` if there is none.
    pub alarmed_for: Option<Micros>,
    /// What was learned about idle gaps; `None` if intervals do not adapt.
    pub cadence: Option<CadenceView>,
}

/// What a cohort has learned about idle gaps, where intervals adapt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CadenceView {
    /// The longest idle gap that is safe: fewer than one of 100 connections die after it because of
    /// it. `None` until enough is known.
    pub safe: Option<Micros>,
    /// The longer gap that some connections try.
    pub exploring: Option<Micros>,
    /// How many connections try it.
    pub explorers: u16,
    /// After which time a longer gap may be tried; zero: now.
    pub pause: Micros,
}

/// What a cohort has learned about idle gaps, to be kept until another process restores it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a host restores it")]
pub struct SavedCohort {
    /// The class.
    pub class: Class,
    /// The part of the network.
    pub block: NetworkBlock,
    /// What was learned.
    pub cadence: SavedCadence,
}

/// Why this process itself is probably the reason for late heartbeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OwnFault {
    /// The loop did not run for a while.
    Stall,
    /// One of a hundred deadlines of the last second, or more, was handled over 0.13 s too late.
    Lateness,
    /// Servers that this side has dialled do not answer either.
    Upstreams,
}

impl OwnFault {
    /// Returns the word for it in the API and in the log.
    pub fn name(self) -> &'static str {
        match self {
            OwnFault::Stall => "stall",
            OwnFault::Lateness => "lateness",
            OwnFault::Upstreams => "upstreams",
        }
    }
}

/// The latest heartbeats of all accepted connections together: the last 1 000, or a few more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct FleetView {
    /// How many heartbeats were answered or found late. Below 1 000, they say nothing yet.
    pub judged: u64,
    /// How many of them were late.
    pub late: u64,
    /// Whether more than 30 % of 1 000 were late, in two network blocks or more, while this process
    /// was punctual. The reason is then in front of it: a load balancer, a link, a firewall.
    pub is_late: bool,
    /// Why late heartbeats are not counted now.
    pub own_fault: Option<OwnFault>,
}
