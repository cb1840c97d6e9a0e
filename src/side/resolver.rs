//! The thread `resolver`: looks up the host names of upstreams, again and again.
//!
//! The standard library's lookup blocks and tells no time to live, so each name is looked up every
//! 30 s. A lookup that fails changes nothing.

use super::lock::lock;
use super::priority;
use crate::base::time::{Micros, Timestamp};
use crate::gateway::GatewayQueries;
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time between two lookups of a name.
const INTERVAL: Micros = Micros::from_secs(30);

/// The time until a name is looked up again that has failed.
const RETRY: Micros = Micros::from_secs(1);

/// A host name and a port.
pub type HostName = (Box<str>, u16);

/// A handle to the thread `resolver`.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    names: Vec<HostName>,
    /// Counts the changes of `names`.
    version: u64,
    /// The version of which all names have been looked up.
    done: u64,
}

impl Resolver {
    /// Starts the thread, which runs until the process ends. It sends the addresses of these names
    /// to the bridge of the loop. `is_own` says whether an address reaches this gateway itself;
    /// such an address is left out.
    ///
    /// # Errors
    /// The system's error about the thread.
    pub fn start(
        queries: GatewayQueries,
        names: Vec<HostName>,
        is_own: impl Fn(SocketAddr) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                names,
                version: 1,
                done: 0,
            }),
            changed: Condvar::new(),
        });
        let worker = Worker {
            shared: shared.clone(),
            queries,
            is_own: Box::new(is_own),
            failing: HashSet::new(),
        };
        std::thread::Builder::new()
            .name("resolver".to_owned())
            .spawn(move || worker.run())?;
        Ok(Resolver { shared })
    }

    /// Replaces the names. The new ones are looked up at once.
    pub fn set_names(&self, names: Vec<HostName>) {
        let mut state = lock(&self.shared.state);
        if state.names != names {
            state.names = names;
            state.version += 1;
            self.shared.changed.notify_all();
        }
    }

    /// Waits until the addresses of all names were sent to the loop, or a lookup has failed, but no
    /// longer than `patience`.
    pub fn wait(&self, patience: Duration) {
        let state = lock(&self.shared.state);
        let is_busy = |state: &mut State| state.done < state.version;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(state, patience, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

struct Worker {
    shared: Arc<Shared>,
    queries: GatewayQueries,
    is_own: Box<dyn Fn(SocketAddr) -> bool + Send>,
    /// The names whose last lookup failed.
    failing: HashSet<HostName>,
}

impl Worker {
    fn run(mut self) {
        priority::lower_priority();
        let mut looked_up: Vec<(HostName, Timestamp)> = Vec::new();
        loop {
            let (names, version) = {
                let state = lock(&self.shared.state);
                (state.names.clone(), state.version)
            };
            looked_up.retain(|(name, _)| names.contains(name));
            self.failing.retain(|name| names.contains(name));
            for name in &names {
                let last = looked_up.iter().position(|(other, _)| other == name);
                let is_due = last.is_none_or(|at| self.left(&looked_up[at]) == Micros::ZERO);
                if is_due {
                    if let Some(at) = last {
                        looked_up.swap_remove(at);
                    }
                    self.look_up(name);
                    looked_up.push((name.clone(), Timestamp::now()));
                }
            }
            let left = looked_up.iter().map(|entry| self.left(entry)).min();
            let left = left.unwrap_or(INTERVAL).as_duration();
            let mut state = lock(&self.shared.state);
            state.done = version;
            self.shared.changed.notify_all();
            let is_same = |state: &mut State| state.version == version;
            let waited = self.shared.changed.wait_timeout_while(state, left, is_same);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Returns the time until a name is to be looked up again.
    fn left(&self, (name, last): &(HostName, Timestamp)) -> Micros {
        let interval = match self.failing.contains(name) {
            true => RETRY,
            false => INTERVAL,
        };
        interval - Timestamp::now().since(*last)
    }

    fn look_up(&mut self, name: &HostName) {
        let (host, port) = name;
        let found = (&**host, *port).to_socket_addrs().map(Vec::from_iter);
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return self.failed(name, "the name has no address"),
            Err(e) => return self.failed(name, &e.to_string()),
        };
        let (own, addresses): (Vec<_>, Vec<_>) =
            addresses.into_iter().partition(|addr| (self.is_own)(*addr));
        if let Some(own) = own.first() {
            let what = format!("{own} is this gateway's own address, and it would dial itself");
            self.failed(name, &what);
        } else if self.failing.remove(name) {
            log::info!("dns host={host} port={port} outcome=found");
        }
        let host = host.clone();
        let port = *port;
        let sent = self.queries.send(move |gateway, io| {
            let now = Some(io.now());
            let bridge = gateway.bridge();
            if bridge.is_some_and(|bridge| bridge.set_addresses(&host, port, &addresses, now)) {
                let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                log::info!(
                    "dns host={host} port={port} addresses={}",
                    addresses.join(",")
                );
            }
        });
        if let Err(full) = sent {
            log::warn!("dns outcome=\"not applied\" error=\"{full}\"");
        }
    }

    /// Notes a failure, and logs the first one of several.
    fn failed(&mut self, name: &HostName, what: &str) {
        if self.failing.insert(name.clone()) {
            let (host, port) = name;
            log::warn!(
                "dns host={host} port={port} outcome=failed error={what:?} effect=\"the addresses \
                 that are known stay in use\""
            );
        }
    }
}
