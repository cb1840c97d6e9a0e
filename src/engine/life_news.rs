//! What a sign of life changes for the host.

use crate::base::time::Micros;
use crate::engine::message::Pong;
use crate::health::HealthChange;

/// What the host must be told after input of a peer.
#[derive(Debug, Default)]
pub(crate) struct LifeNews {
    /// The peer is not suspect any more.
    pub(crate) change: Option<HealthChange>,
    /// The peer was said to be stale, after this silence.
    pub(crate) false_alarm: Option<Micros>,
    /// The latest heartbeat is answered.
    pub(crate) pong: Option<Pong>,
}
