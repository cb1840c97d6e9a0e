//! What a host may choose for a client.

use super::reconnect_rule::ReconnectRule;
use crate::base::time::Micros;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// What a host may choose for a client.
#[derive(Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// Whether the gateway is asked for pulse. Default true. Otherwise the client is a plain
    /// WebSocket that reconnects, for a service without a gateway.
    pub is_pulse: bool,
    /// The most bytes of messages that wait to be sent or acknowledged. Default 1 MiB. It should be
    /// at most [`Config::max_pending_bytes`](crate::Config::max_pending_bytes) of the loop.
    pub max_buffered_bytes: usize,
    /// The longest time that a try takes, the hello not included. Default 10 s.
    pub open_timeout: Micros,
    /// Whether the gateway is told how earlier connections ended. Default true.
    pub has_reports: bool,
    /// The id of the connection that an earlier process of this program had, if that process did
    /// not end it: [`SessionTerms::id`](super::SessionTerms::id), which the host keeps where it
    /// outlives the process, and forgets when it closes the client. The first report says that the
    /// program has started anew since. Default none.
    pub earlier_conn: Option<Box<str>>,
    /// The seed of the random numbers that spread tries. Default random.
    pub seed: u32,
    /// A function that is asked at each end. Default none: the class decides.
    pub reconnect_rule: Option<ReconnectRule>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            is_pulse: true,
            max_buffered_bytes: 1 << 20,
            open_timeout: Micros::from_secs(10),
            has_reports: true,
            earlier_conn: None,
            // The keys of a hash map come from the system's randomness.
            seed: RandomState::new().build_hasher().finish() as u32,
            reconnect_rule: None,
        }
    }
}
