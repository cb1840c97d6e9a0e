//! The checks of upstreams that another thread makes, and what their results mean.

use super::bridge::Bridge;
use super::health_check::{HealthCheck, UpstreamNumber};
use super::route_table::LiveRoute;
use super::upstream_request::HostHeader;
use super::upstreams::{Endpoint, EndpointId, Endpoints, Listing};
use crate::base::time::Micros;
use crate::engine::DialAddress;

impl Bridge {
    /// Returns the health checks that are to be made, and the upstreams that are to be connected
    /// to.
    pub fn health_checks(&self, now: Micros) -> Vec<HealthCheck> {
        self.routes.health_checks(&self.endpoints, now)
    }

    /// Notes the result of a health check: what was wrong, if something was. After two failures in
    /// a row the upstream gets no new clients while another one is well; after one success it does
    /// again.
    pub fn health_checked(
        &mut self,
        now: Micros,
        upstream: UpstreamNumber,
        result: Result<(), String>,
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(upstream.0) {
            endpoint.checked(result.as_ref().copied().map_err(String::as_str), now);
        }
    }

    /// Notes the result of a connect to an upstream that could not be reached before.
    pub fn connect_checked(
        &mut self,
        now: Micros,
        upstream: UpstreamNumber,
        result: Result<(), String>,
    ) {
        if let Some(endpoint) = self.endpoints.get_mut(upstream.0) {
            endpoint.connected(result.as_ref().copied().map_err(String::as_str), now);
        }
    }
}

impl LiveRoute {
    /// Returns the health checks of the addresses. Without any, an address that could not be
    /// reached is connected to when its time is over: otherwise only a client would find out that
    /// it is back.
    pub(super) fn health_checks(&self, all: &Endpoints, now: Micros) -> Vec<HealthCheck> {
        let endpoints = self.endpoints.iter();
        let endpoints = endpoints.filter_map(|id| Some((*id, all.get(*id)?)));
        let wanted = endpoints.filter(|(_, endpoint)| match &self.route.health {
            Some(_) => endpoint.listing == Listing::Listed,
            None => endpoint.wants_connect(now),
        });
        let check = |(id, endpoint): (EndpointId, &Endpoint)| HealthCheck {
            upstream: UpstreamNumber(id),
            address: match &self.route.health {
                Some(_) => endpoint.address.clone(),
                None => self.with_source(&endpoint.address),
            },
            host: match &self.route.host_header {
                HostHeader::Name(name) => name.clone(),
                HostHeader::Keep | HostHeader::Upstream => endpoint.url.host_field(),
            },
            path: self.route.health.as_ref().map(|health| health.path.clone()),
            interval: match &self.route.health {
                Some(health) => health.interval,
                None => Micros::ZERO,
            },
            timeout: match &self.route.health {
                Some(health) => health.timeout,
                None => self.route.connect_timeout,
            },
        };
        wanted.map(check).collect()
    }

    /// Returns the address to connect to from a source address of the route, if it names some:
    /// another one may not reach it.
    fn with_source(&self, address: &DialAddress) -> DialAddress {
        let DialAddress::Tcp(to) = address else {
            return address.clone();
        };
        let mut sources = self.route.source_addresses.iter();
        match sources.find(|source| source.is_ipv4() == to.is_ipv4()) {
            Some(source) => DialAddress::TcpFrom(*to, *source),
            None => address.clone(),
        }
    }
}
