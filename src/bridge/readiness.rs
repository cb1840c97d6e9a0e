//! Whether each route has an upstream that is up.

use super::bridge::Bridge;
use super::route_table::LiveRoute;
use super::upstream_row::UpstreamCondition;
use super::upstreams::{Endpoint, Endpoints, Listing};

/// How many routes without an upstream that is up are named at once.
const ROUTES_NAMED: usize = 3;

/// How many upstreams of such a route are named.
const UPSTREAMS_NAMED: usize = 5;

impl Bridge {
    /// Returns which routes have no upstream that is up, with the state of each upstream; `None` if
    /// all have one.
    pub fn not_served(&self) -> Option<String> {
        let routes = self.routes.iter();
        let mut down: Vec<_> = routes
            .filter_map(|live| Some((&live.route.name, live.not_served(&self.endpoints)?)))
            .map(|(route, why)| format!("the route {route} has no upstream that is up: {why}"))
            .collect();
        let more = down.len().saturating_sub(ROUTES_NAMED);
        down.truncate(ROUTES_NAMED);
        if more > 0 {
            down.push(format!("and {more} more routes"));
        }
        (!down.is_empty()).then(|| down.join("; "))
    }
}

impl LiveRoute {
    /// Returns why the route is not served: the conditions of its upstreams. `None` if one of them
    /// is up.
    fn not_served(&self, all: &Endpoints) -> Option<String> {
        let endpoints = self.endpoints.iter().filter_map(|id| all.get(*id));
        let mut listed: Vec<_> = endpoints
            .filter(|endpoint| endpoint.listing == Listing::Listed)
            .collect();
        // One that refuses still gets requests, and the service answers them itself.
        let is_served = |e: &&Endpoint| {
            matches!(
                e.condition(),
                UpstreamCondition::Up | UpstreamCondition::Refusing
            )
        };
        if listed.iter().any(is_served) {
            return None;
        }
        let count = listed.len();
        listed.truncate(UPSTREAMS_NAMED);
        let named = listed.iter();
        let named: Vec<_> = named
            .map(|e| format!("{} is {}", e.target().upstream, e.condition()))
            .collect();
        Some(match count.checked_sub(UPSTREAMS_NAMED) {
            _ if count == 0 => "no address is known".to_owned(),
            Some(more) if more > 0 => format!("{}, and {more} more", named.join(", ")),
            _ => named.join(", "),
        })
    }
}
