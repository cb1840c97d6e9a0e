//! What clients have asked for that are no leg of a pair yet: their lines and records name it when
//! they are refused, or leave.

use crate::base::id::ConnId;
use crate::host::PairTarget;
use std::collections::HashMap;
use std::sync::Arc;

/// The places that the table keeps when it is empty.
const PLACES_KEPT: usize = 64;

/// What a client has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// The route, and the last upstream that was dialled for the client.
    pub(crate) target: PairTarget,
    /// The last connection to an upstream that was made for it.
    pub(crate) dial: Option<ConnId>,
}

/// What each client has asked for, from its request until it is one leg of a pair or has ended. So
/// there are never more of them than connections.
#[derive(Debug, Default)]
pub(super) struct AskedClients(HashMap<ConnId, Box<Asked>>);

impl AskedClients {
    /// Notes the request of a client for a route.
    pub(super) fn add(&mut self, client: ConnId, route: Arc<str>) {
        let upstream = Arc::default();
        let target = PairTarget { route, upstream };
        let asked = Asked { target, dial: None };
        self.0.insert(client, Box::new(asked));
    }

    /// Notes the connection to an upstream that was made for a client.
    pub(super) fn dialed(&mut self, client: ConnId, dial: ConnId, upstream: Arc<str>) {
        if let Some(asked) = self.0.get_mut(&client) {
            asked.target.upstream = upstream;
            asked.dial = Some(dial);
        }
    }

    /// Returns what a client has asked for.
    pub(super) fn get(&self, client: ConnId) -> Option<&Asked> {
        self.0.get(&client).map(|asked| &**asked)
    }

    /// Forgets a client that is one leg of a pair, or has ended.
    pub(super) fn remove(&mut self, client: ConnId) {
        self.0.remove(&client);
        if self.0.is_empty() {
            self.0.shrink_to(PLACES_KEPT);
        }
    }

    /// Returns how many clients have asked.
    #[cfg(feature = "testing")]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
