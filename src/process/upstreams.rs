//! The upstreams that the settings name, as far as the process must know them: their host names,
//! and whether one of them is the gateway itself.

use crate::engine::DialAddress;
use crate::gateway::{Route, UpstreamUrl};
use crate::side::HostName;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the start and a reload wait for the addresses of host names.
pub(crate) const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// Returns the host names of all upstreams that must be looked up, each once.
pub(crate) fn host_names(routes: &[Route]) -> Vec<HostName> {
    let names = urls(routes).filter(|(_, url)| url.fixed_address().is_none());
    let names = names.filter_map(|(_, url)| url.host_and_port());
    let mut names: Vec<HostName> = names.map(|(host, port)| (host.into(), port)).collect();
    names.sort();
    names.dedup();
    names
}

/// Checks that no upstream is this gateway itself, which listens on `listen`.
///
/// # Errors
/// The upstream that is.
pub(crate) fn check_not_own(routes: &[Route], listen: SocketAddr) -> io::Result<()> {
    let is_own = |url: &UpstreamUrl| match url.fixed_address() {
        Some(DialAddress::Tcp(addr)) => reaches_itself(addr, listen),
        _ => false,
    };
    match urls(routes).find(|(_, url)| is_own(url)) {
        None => Ok(()),
        Some((route, url)) => {
            let what = format!(
                "route {}: the upstream {url} is this gateway's own LISTEN_ADDR, {listen}: it \
                 would dial itself",
                route.name
            );
            Err(io::Error::new(io::ErrorKind::InvalidInput, what))
        }
    }
}

/// Returns whether a connection to `addr` surely reaches a listener on `listen`.
pub(crate) fn reaches_itself(addr: SocketAddr, listen: SocketAddr) -> bool {
    let [to, own] = [addr, listen].map(|addr| addr.ip().to_canonical());
    // A connection to 0.0.0.0 or :: reaches this machine, on its loopback address (ip(7)).
    let is_here = to.is_loopback() || to.is_unspecified();
    let is_heard = own.is_unspecified() || own.is_loopback() && to.is_unspecified();
    addr.port() == listen.port() && (to == own || is_here && is_heard)
}

fn urls(routes: &[Route]) -> impl Iterator<Item = (&Route, &UpstreamUrl)> {
    routes.iter().flat_map(|route| {
        let upstreams = route.upstreams.iter();
        upstreams.map(move |upstream| (route, &upstream.url))
    })
}
