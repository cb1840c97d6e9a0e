//! Clients that asked for pulse and have no session yet.

use crate::base::id::ConnId;
use std::collections::HashMap;

/// The places that are kept when no client is left.
const PLACES_KEPT: usize = 64;

/// The clients that asked for pulse and have no session yet, each with what it waits for. There are
/// never more of them than connections.
#[derive(Debug)]
pub(crate) struct WaitingTable<W>(HashMap<ConnId, W>);

impl<W> Default for WaitingTable<W> {
    fn default() -> Self {
        WaitingTable(HashMap::new())
    }
}

impl<W> WaitingTable<W> {
    /// Sets what a client waits for.
    pub(crate) fn set(&mut self, client: ConnId, waiting: W) {
        self.0.insert(client, waiting);
    }

    /// Returns what a client waits for.
    pub(crate) fn get(&self, client: ConnId) -> Option<&W> {
        self.0.get(&client)
    }

    /// Returns what a client waits for, to be changed.
    pub(crate) fn get_mut(&mut self, client: ConnId) -> Option<&mut W> {
        self.0.get_mut(&client)
    }

    /// Takes what a client waits for: it has a session now, or was refused, or has left.
    pub(crate) fn take(&mut self, client: ConnId) -> Option<W> {
        let waiting = self.0.remove(&client);
        if self.0.is_empty() {
            self.0.shrink_to(PLACES_KEPT);
        }
        waiting
    }

    /// Returns what the clients wait for.
    pub(crate) fn values(&self) -> impl Iterator<Item = &W> {
        self.0.values()
    }

    /// Returns how many clients wait.
    #[cfg(feature = "testing")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}
