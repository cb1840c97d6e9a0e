//! One upstream as operators see it.

use super::handshake_stats::HandshakeStats;
use crate::base::time::Micros;
use std::fmt;
use std::sync::Arc;

/// One upstream as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpstreamRow {
    /// The name of the route.
    pub route: Arc<str>,
    /// The location that the route names.
    pub url: String,
    /// The address with its port, or the path of a Unix socket; empty if none is known.
    pub address: String,
    /// The weight.
    pub weight: u32,
    /// Whether it gets new clients.
    pub state: UpstreamCondition,
    /// How long it is still avoided.
    pub avoided_for: Micros,
    /// Connections that are one leg of a pair.
    pub pairs: u64,
    /// Connections that are being made, or whose request is not answered.
    pub dialing: u64,
    /// Legs whose last ping has been unanswered for a whole interval.
    pub suspects: u64,
    /// Its handshakes since the start.
    pub handshakes: HandshakeStats,
    /// Since when it is in this state: engine time; 0: since the start.
    pub since: Micros,
    /// Why it is in this state; empty: since the start.
    pub reason: String,
    /// Whether its service has answered no ping, and nothing else since.
    pub is_frozen: bool,
    /// Connections to it from each of the route's source addresses; 0 for a Unix socket, which
    /// needs no ports.
    pub per_source: u64,
}

/// Whether an upstream gets new clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamCondition {
    /// It does.
    Up,
    /// Its name was not found yet.
    Unresolved,
    /// Its health checks fail, and it is avoided while another one is up.
    Unhealthy,
    /// It could not be reached, and is avoided while another one is up.
    Avoided,
    /// Its service answers no pings, and is avoided while another one is up.
    Unresponsive,
    /// Its service refuses or breaks off the last requests, and is tried now and then while
    /// another one is up.
    Refusing,
    /// An operator has drained it.
    Drained,
    /// Its name no longer has this address.
    Vanished,
    /// The settings no longer have it.
    Removed,
}

impl UpstreamCondition {
    /// All conditions.
    pub const ALL: [UpstreamCondition; 9] = [
        UpstreamCondition::Up,
        UpstreamCondition::Unresolved,
        UpstreamCondition::Unhealthy,
        UpstreamCondition::Avoided,
        UpstreamCondition::Unresponsive,
        UpstreamCondition::Refusing,
        UpstreamCondition::Drained,
        UpstreamCondition::Vanished,
        UpstreamCondition::Removed,
    ];

    /// Returns whether something is wrong with the upstream: it should get clients, and cannot
    /// serve them. One that refuses answers them itself.
    pub fn is_failing(self) -> bool {
        match self {
            UpstreamCondition::Unresolved
            | UpstreamCondition::Unhealthy
            | UpstreamCondition::Avoided
            | UpstreamCondition::Unresponsive => true,
            UpstreamCondition::Up
            | UpstreamCondition::Refusing
            | UpstreamCondition::Drained
            | UpstreamCondition::Vanished
            | UpstreamCondition::Removed => false,
        }
    }

    /// Returns the name in the API and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            UpstreamCondition::Up => "up",
            UpstreamCondition::Unresolved => "unresolved",
            UpstreamCondition::Unhealthy => "unhealthy",
            UpstreamCondition::Avoided => "avoided",
            UpstreamCondition::Unresponsive => "unresponsive",
            UpstreamCondition::Refusing => "refusing",
            UpstreamCondition::Drained => "drained",
            UpstreamCondition::Vanished => "vanished",
            UpstreamCondition::Removed => "removed",
        }
    }
}

impl fmt::Display for UpstreamCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
