//! The rules that involve several fields or several routes.

use super::values::RouteValues;
use crate::config::setting_faults::SettingFaults;
use crate::config::table::{ROUTE_FIELDS, field};

/// The name of the route that the setting `UPSTREAM` makes.
pub(in crate::config) const UPSTREAM_ROUTE: &str = "default";

/// The timeout and the interval of each leg.
const POLICIES: [(usize, usize); 2] = [
    (
        field("connection_timeout_ms"),
        field("heartbeat_interval_ms"),
    ),
    (
        field("upstream_connection_timeout_ms"),
        field("upstream_heartbeat_interval_ms"),
    ),
];

/// Checks the routes against each other, and the fields of each. A field whose value is invalid by
/// itself is left out.
pub(in crate::config) fn check_routes(
    routes: &[RouteValues],
    has_upstream: bool,
    has_secret: bool,
    faults: &mut SettingFaults,
) {
    for (nth, route) in routes.iter().enumerate() {
        if route.verifies_tokens() && !has_secret {
            let allowed = "none, unless AUTH_JWT_SECRET or AUTH_JWT_SECRET_FILE is set";
            faults.push(route.fault(const { field("auth") }, allowed.to_owned()));
        }
        if route.has_dropped_cookie() {
            let allowed = "auto or always: browsers drop a cookie with SameSite=None and without \
                           Secure";
            faults.push(route.fault(const { field("sticky_secure") }, allowed.to_owned()));
        }
        let before = &routes[..nth];
        let at = const { field("name") };
        if has_upstream && route.name() == UPSTREAM_ROUTE {
            let allowed = "another name: the route of the setting UPSTREAM has this one";
            faults.push(route.fault(at, allowed.to_owned()));
        }
        let has_name = |other: &&RouteValues| !other.name().is_empty();
        let mut named = before.iter().filter(has_name);
        if named.any(|other| other.name() == route.name()) {
            let allowed = "another name: an earlier route has this one";
            faults.push(route.fault(at, allowed.to_owned()));
        }
        let path = const { field("path") };
        let place = route.place();
        let mut earlier = before.iter().filter(|other| other.place() == place);
        if place == Some((None, "")) && has_upstream {
            let allowed = "another path, or a host: UPSTREAM serves all other requests already";
            faults.push(route.fault(path, allowed.to_owned()));
        } else if place.is_some()
            && let Some(other) = earlier.next()
        {
            let allowed = format!("another path or host than that of {}", other.label);
            faults.push(route.fault(path, allowed));
        }
        for (timeout, interval) in POLICIES {
            if let (Some(t), Some(i)) = (route.number(timeout), route.number(interval))
                && t <= i
            {
                let name = ROUTE_FIELDS[interval].name;
                faults.push(route.fault(timeout, format!("more than {name}, which is {i}")));
            }
        }
    }
}
