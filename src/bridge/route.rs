//! A route: which requests it serves, and where they go.

use super::balance::Balance;
use super::route_identity::{RouteAuth, RouteIdentity};
use super::sticky::StickyCookie;
use super::upstream::WeightedUpstream;
use super::upstream_request::HostHeader;
use crate::base::time::Micros;
use crate::engine::Request;
use crate::health::Policy;
use crate::host::{WebOrigin, foreign_origin};
use std::borrow::Cow;
use std::net::IpAddr;

/// A route: which requests it serves, and where they go.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct Route {
    /// The name, unique among the routes.
    pub name: Box<str>,
    /// The host that the client must address, in lower case and without a port; `None`: any.
    pub host: Option<Box<str>>,
    /// The path that is served, with all paths below it; without a slash at its end, so empty for
    /// all paths.
    pub path: Box<str>,
    /// Whether the upstream sees the path without the route's own.
    pub strip_prefix: bool,
    /// The Host that the upstream sees.
    pub host_header: HostHeader,
    /// The upstreams, at least one.
    pub upstreams: Vec<WeightedUpstream>,
    /// The origins of pages that may connect; `None`: the upstream decides.
    pub allowed_origins: Option<Vec<WebOrigin>>,
    /// The policy of clients, if it is not that of their class.
    pub client_policy: Option<Policy>,
    /// The policy of connections to the upstream, if it is not that of their class.
    pub upstream_policy: Option<Policy>,
    /// The most time for connecting to one address.
    pub connect_timeout: Micros,
    /// The most time for the upstream's answer to a request.
    pub answer_timeout: Micros,
    /// The longest message, in bytes on the wire; 0: no limit.
    pub max_message_bytes: u32,
    /// How an upstream is chosen for a new client.
    pub balance: Balance,
    /// The cookie that leads a client back to its upstream.
    pub sticky: Option<StickyCookie>,
    /// The time over which an upstream that comes back gets its part of the clients.
    pub slow_start: Micros,
    /// The most requests that wait for the answer of one upstream; at least 1.
    pub max_dialing: u32,
    /// The health check of the upstreams.
    pub health: Option<RouteHealth>,
    /// The addresses of this machine from which upstreams are reached, in turn; empty: the kernel
    /// chooses.
    pub source_addresses: Vec<IpAddr>,
    /// The age at which pairs are closed, 10 % less or more; `None`: at none.
    pub max_age: Option<Micros>,
    /// Where the name of a client stands in its request.
    pub identity: Option<RouteIdentity>,
    /// Which clients are accepted.
    pub auth: RouteAuth,
    /// How many connections of one identity are accepted in a minute; 0: any number.
    pub flapping_limit: u32,
    /// Whether clients may ask for sessions that outlive their connections (`?pulse=1`).
    pub pulse: bool,
    /// How many clients a second the services behind the route accept, at least 1: clients that
    /// were all lost at once come back no faster.
    pub accept_per_second: u32,
}

/// The health check of a route's upstreams.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct RouteHealth {
    /// The path that must be answered with a status below 400.
    pub path: Box<str>,
    /// The time from one check to the next.
    pub interval: Micros,
    /// The most time for the answer.
    pub timeout: Micros,
}

impl Route {
    /// Returns a route for all requests to these upstreams, with the default for every other
    /// parameter.
    pub fn to(name: &str, upstreams: Vec<WeightedUpstream>) -> Self {
        Route {
            name: name.into(),
            host: None,
            path: "".into(),
            strip_prefix: false,
            host_header: HostHeader::Keep,
            upstreams,
            allowed_origins: None,
            client_policy: None,
            upstream_policy: None,
            connect_timeout: Micros::from_secs(3),
            answer_timeout: Micros::from_secs(10),
            max_message_bytes: 0,
            balance: Balance::default(),
            sticky: None,
            slow_start: Micros::from_secs(30),
            max_dialing: 200,
            health: None,
            source_addresses: Vec::new(),
            max_age: None,
            identity: None,
            auth: RouteAuth::None,
            flapping_limit: 0,
            pulse: false,
            accept_per_second: 5_000,
        }
    }

    /// Returns whether the route serves this path of this host, which is in lower case. Paths are
    /// compared as they were sent, byte by byte.
    pub(super) fn serves(&self, host: &str, path: &str) -> bool {
        let is_host = self.host.as_ref().is_none_or(|own| **own == *host);
        is_host && self.below(path).is_some()
    }

    /// Returns the rest of a path that is served; `None` for another path.
    fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&*self.path)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    /// Returns the path that the upstream sees.
    pub(super) fn upstream_path<'a>(&self, path: &'a str) -> &'a str {
        if !self.strip_prefix {
            return path;
        }
        match self.below(path) {
            Some("") => "/",
            Some(rest) => rest,
            None => path,
        }
    }

    /// Returns whether the token of a request is read.
    pub(super) fn reads_token(&self) -> bool {
        self.auth == RouteAuth::Jwt || matches!(self.identity, Some(RouteIdentity::JwtClaim(_)))
    }

    /// Returns the origin of a page that may not connect; `None` if the request has no such origin.
    pub(super) fn refused_origin<'a>(&self, request: &'a Request) -> Option<Cow<'a, str>> {
        foreign_origin(request, self.allowed_origins.as_ref()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, host: Option<&str>, strip_prefix: bool) -> Route {
        Route {
            host: host.map(Box::from),
            path: path.into(),
            strip_prefix,
            ..Route::to("r", Vec::new())
        }
    }

    #[test]
    fn a_path_is_a_prefix_of_whole_segments() {
        let app = route("/app", None, true);
        for (path, served, stripped) in [
            ("/app", true, "/"),
            ("/app/", true, "/"),
            ("/app/x", true, "/x"),
            ("/app/x/app", true, "/x/app"),
            ("/app//x", true, "//x"),
            ("/apple", false, "/apple"),
            ("/App", false, "/App"),
            ("/", false, "/"),
            ("//app", false, "//app"),
            ("/%61pp", false, "/%61pp"),
        ] {
            assert_eq!(app.serves("h", path), served, "{path}");
            assert_eq!(app.upstream_path(path), stripped, "{path}");
            assert_eq!(route("/app", None, false).upstream_path(path), path);
            let all = route("", None, true);
            assert!(all.serves("h", path));
            assert_eq!(all.upstream_path(path), path);
        }
    }

    #[test]
    fn a_host_must_be_the_same() {
        let of_host = route("", Some("a.example"), false);
        for (host, served) in [("a.example", true), ("b.a.example", false), ("", false)] {
            assert_eq!(of_host.serves(host, "/"), served, "{host}");
        }
    }
}
