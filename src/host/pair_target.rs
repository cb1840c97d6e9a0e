//! Where a pair leads.

use std::sync::Arc;

/// Where a pair leads: to an upstream of a route. Records and rows share the two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairTarget {
    /// The name of the route.
    pub route: Arc<str>,
    /// The address of the upstream; empty if none was chosen for the client.
    pub upstream: Arc<str>,
}
