//! The thread `resolver`: looks up the host names of upstreams, again and again.
//!
//! The standard library's lookup blocks and tells no time to live, so each name is looked up every
//! 30 s. A lookup that fails changes nothing.

use super::lock::lock;
use super::priority;
use crate::base::time::{Micros, Timestamp};
use crate::gateway::GatewayQueries;
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The time between two lookups of a name.
const INTERVAL: Micros = Micros::from_secs(30);

/// The time until a name is looked up again that has failed.
const RETRY: Micros = Micros::from_secs(1);

/// The most lookups at one time.
const THREADS: usize = 8;

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
            looked_up: HashMap::new(),
            failing: HashSet::new(),
            sent: HashMap::new(),
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
    /// When each name was looked up last.
    looked_up: HashMap<HostName, Timestamp>,
    /// The names whose last lookup failed.
    failing: HashSet<HostName>,
    /// The addresses that the loop was sent.
    sent: HashMap<HostName, Vec<SocketAddr>>,
}

/// What a name server says of a name.
type Found = (HostName, Result<Vec<SocketAddr>, String>);

impl Worker {
    fn run(mut self) {
        priority::lower_priority();
        loop {
            let (names, version) = {
                let state = lock(&self.shared.state);
                (state.names.clone(), state.version)
            };
            self.looked_up.retain(|name, _| names.contains(name));
            self.failing.retain(|name| names.contains(name));
            self.sent.retain(|name, _| names.contains(name));
            let due: Vec<HostName> = names
                .into_iter()
                .filter(|name| self.left(name) == Micros::ZERO)
                .collect();
            self.look_up_all(due);
            let left = self.looked_up.keys().map(|name| self.left(name)).min();
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
    fn left(&self, name: &HostName) -> Micros {
        let Some(last) = self.looked_up.get(name) else {
            return Micros::ZERO;
        };
        let interval = match self.failing.contains(name) {
            true => RETRY,
            false => INTERVAL,
        };
        interval - Timestamp::now().since(*last)
    }

    /// Looks up names, some at a time, so that a name server that does not answer delays few of
    /// them. What was found is sent to the loop as it comes.
    fn look_up_all(&mut self, names: Vec<HostName>) {
        let next = AtomicUsize::new(0);
        let (tell, told) = channel::<Found>();
        std::thread::scope(|scope| {
            for _ in 0..THREADS.min(names.len()) {
                let (tell, next, names) = (tell.clone(), &next, &names);
                scope.spawn(move || {
                    while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // The receiver lives as long as this scope.
                        let _ = tell.send((name.clone(), look_up(name)));
                    }
                });
            }
            drop(tell);
            while let Ok(first) = told.recv() {
                let found: Vec<Found> = std::iter::once(first).chain(told.try_iter()).collect();
                self.apply(found);
            }
        });
    }

    /// Sends addresses that are others than before to the loop, all in one query.
    fn apply(&mut self, found: Vec<Found>) {
        let mut changed: Vec<(HostName, Vec<SocketAddr>)> = Vec::new();
        for (name, result) in found {
            self.looked_up.insert(name.clone(), Timestamp::now());
            let addresses = match result {
                Ok(addresses) => addresses,
                Err(why) => {
                    self.failed(&name, &why);
                    continue;
                }
            };
            let (own, mut addresses): (Vec<_>, Vec<_>) =
                addresses.into_iter().partition(|addr| (self.is_own)(*addr));
            if let Some(own) = own.first() {
                let what = format!("{own} is this gateway's own address, and it would dial itself");
                self.failed(&name, &what);
            } else if self.failing.remove(&name) {
                log::info!("dns host={} port={} outcome=found", name.0, name.1);
            }
            addresses.sort();
            if !addresses.is_empty() && self.sent.get(&name) != Some(&addresses) {
                changed.push((name, addresses));
            }
        }
        if changed.is_empty() {
            return;
        }
        let news = changed.clone();
        let sent = self.queries.send(move |gateway, io| {
            let now = Some(io.now());
            let Some(bridge) = gateway.bridge() else {
                return;
            };
            for ((host, port), addresses) in news {
                if bridge.set_addresses(&host, port, &addresses, now) {
                    let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                    log::info!(
                        "dns host={host} port={port} addresses={}",
                        addresses.join(",")
                    );
                }
            }
        });
        match sent {
            Ok(()) => self.sent.extend(changed),
            Err(full) => {
                log::warn!("dns outcome=\"not applied\" error=\"{full}\"");
                // They are looked up again after a second.
                self.failing
                    .extend(changed.into_iter().map(|(name, _)| name));
            }
        }
    }

    /// Notes a failure, and logs the first one of several.
    fn failed(&mut self, name: &HostName, what: &str) {
        if self.failing.insert(name.clone()) {
            let (host, port) = name;
            let effect = match self.sent.contains_key(name) {
                true => "the addresses that are known stay in use",
                false => "no address is known, so its clients are answered 502",
            };
            log::warn!(
                "dns host={host} port={port} outcome=failed error={what:?} effect=\"{effect}\""
            );
        }
    }
}

/// Asks for the addresses of a name.
fn look_up((host, port): &HostName) -> Result<Vec<SocketAddr>, String> {
    let found = (&**host, *port).to_socket_addrs().map(Vec::from_iter);
    match found {
        Ok(addresses) if addresses.is_empty() => Err("the name has no address".to_owned()),
        Ok(addresses) => Ok(addresses),
        Err(e) => Err(e.to_string()),
    }
}
