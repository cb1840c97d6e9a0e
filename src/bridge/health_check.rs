//! Active health checks: what is asked of an upstream, and what comes of it.

use super::upstreams::EndpointId;
use crate::base::time::Micros;
use crate::engine::DialAddress;
use crate::wire::http::HeaderValue;

/// A health check that is to be made again and again, or a connect that is to be tried once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The number of the upstream.
    pub upstream: UpstreamNumber,
    /// Its address.
    pub address: DialAddress,
    /// The value of Host.
    pub host: HeaderValue,
    /// The path that must be answered with a status below 400; `None`: it is enough that the
    /// upstream accepts a connection.
    pub path: Option<Box<str>>,
    /// The time from one check to the next; 0: the upstream is listed when the next one is due.
    pub interval: Micros,
    /// The most time for the answer, or for connecting.
    pub timeout: Micros,
}

/// The number of an upstream, which no other one has in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamNumber(pub(super) EndpointId);
