//! Connections to upstreams that wait for their next request.

use super::upstream_conn::UpstreamConn;
use crate::gateway::UpstreamNumber;
use crate::side::lock::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

/// The most connections that wait, for each upstream and in all. They are not counted under the
/// limit on connections, so they must fit into the descriptors that are kept for other uses.
const PER_UPSTREAM: usize = 64;
const IN_ALL: usize = 128;

/// Connections to upstreams that wait for their next request, and since when.
#[derive(Debug, Default)]
pub(super) struct UpstreamPool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// The newest last.
    by_upstream: HashMap<UpstreamNumber, Vec<(Instant, UpstreamConn)>>,
    count: usize,
}

impl UpstreamPool {
    /// Takes the connection to an upstream that waits for the shortest time, if that is less than
    /// `most`. A service may be closing one that has waited for long.
    pub(super) fn take(&self, upstream: UpstreamNumber, most: Duration) -> Option<UpstreamConn> {
        let mut idle = lock(&self.0);
        let conns = idle.by_upstream.get_mut(&upstream)?;
        let now = Instant::now();
        let mut taken = 0;
        let found = loop {
            let Some((since, conn)) = conns.pop() else {
                break None;
            };
            taken += 1;
            match conn.is_closed() {
                true => {}
                false if now - since < most => break Some(conn),
                // This one and all before it may serve another request that can be repeated.
                false => {
                    conns.push((since, conn));
                    taken -= 1;
                    break None;
                }
            }
        };
        if conns.is_empty() {
            idle.by_upstream.remove(&upstream);
        }
        idle.count -= taken;
        found
    }

    /// Keeps a connection once it can serve another request. It is dropped if there are too many,
    /// or if the upstream closes it.
    pub(super) fn put_when_ready(
        self: &Arc<Self>,
        upstream: UpstreamNumber,
        mut conn: UpstreamConn,
    ) {
        let pool = self.clone();
        tokio::spawn(async move {
            if conn.is_reusable().await {
                pool.put(upstream, conn);
            }
        });
    }

    fn put(&self, upstream: UpstreamNumber, conn: UpstreamConn) {
        let mut idle = lock(&self.0);
        if idle.count >= IN_ALL {
            return;
        }
        let conns = idle.by_upstream.entry(upstream).or_default();
        if conns.len() < PER_UPSTREAM {
            conns.push((Instant::now(), conn));
            idle.count += 1;
        }
    }

    /// Drops all connections: descriptors are short.
    pub(super) fn clear(&self) {
        *lock(&self.0) = Idle::default();
    }

    /// Drops the connections that have waited for as long as `keep_alive`, or were closed.
    pub(super) fn expire(&self, keep_alive: Duration) {
        let now = Instant::now();
        let mut idle = lock(&self.0);
        idle.by_upstream.retain(|_, conns| {
            conns.retain(|(since, conn)| now - *since < keep_alive && !conn.is_closed());
            !conns.is_empty()
        });
        idle.count = idle.by_upstream.values().map(Vec::len).sum();
    }
}
