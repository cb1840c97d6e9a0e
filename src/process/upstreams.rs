//! The upstreams that the settings name, as far as the process must know them: their host names,
//! and whether one of them is the gateway itself.

use crate::config::reaches;
use crate::engine::DialAddress;
use crate::gateway::{Route, UpstreamUrl};
use crate::side::HostName;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long the start and a reload wait for the addresses of host names.
pub(crate) const LOOKUP_PATIENCE: Duration = Duration::from_secs(2);

/// The gateway's own listeners: their settings, and where they listen.
#[derive(Debug, Clone)]
pub(crate) struct OwnListeners(Vec<(&'static str, SocketAddr)>);

impl OwnListeners {
    pub(crate) fn new(listen: SocketAddr, admin: Option<SocketAddr>) -> Self {
        let admin = admin.map(|addr| ("ADMIN_ADDR", addr));
        OwnListeners([("LISTEN_ADDR", listen)].into_iter().chain(admin).collect())
    }

    /// Returns whether a connection to `addr` surely reaches one of them.
    pub(crate) fn are_reached_by(&self, addr: SocketAddr) -> bool {
        self.0.iter().any(|(_, own)| reaches(addr, *own))
    }

    /// Checks that no upstream is one of them. The settings were checked before; their port may
    /// have been 0, or a listener inherited.
    ///
    /// # Errors
    /// The upstream that is.
    pub(crate) fn check(&self, routes: &[Route]) -> io::Result<()> {
        for (route, url) in urls(routes) {
            let Some(DialAddress::Tcp(to)) = url.fixed_address() else {
                continue;
            };
            if let Some((setting, own)) = self.0.iter().find(|(_, own)| reaches(to, *own)) {
                let what = format!(
                    "route {}: the upstream {url} is this gateway's own {setting}, {own}: it would \
                     dial itself",
                    route.name
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
        }
        Ok(())
    }
}

/// Returns the host names of all upstreams that must be looked up, each once.
pub(crate) fn host_names(routes: &[Route]) -> Vec<HostName> {
    let names = urls(routes).filter(|(_, url)| url.fixed_address().is_none());
    let names = names.filter_map(|(_, url)| url.host_and_port());
    let mut names: Vec<HostName> = names.map(|(host, port)| (host.into(), port)).collect();
    names.sort();
    names.dedup();
    names
}

fn urls(routes: &[Route]) -> impl Iterator<Item = (&Route, &UpstreamUrl)> {
    routes.iter().flat_map(|route| {
        let upstreams = route.upstreams.iter();
        upstreams.map(move |upstream| (route, &upstream.url))
    })
}
