//! The settings of the relay.

use super::role::RELAY_CLASSES;
use crate::base::time::Micros;
use crate::host::Subprotocols;

/// The settings of the relay: how long a lost peer may take to come back, and how much is kept for
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySettings {
    /// How long a session waits for lost glasses; 0: not at all.
    pub glasses_grace: Micros,
    /// How long an older gateway process on the same port may still hold sessions of the state
    /// file; 0: there is none.
    pub overlap: Micros,
    /// How long a session keeps the slot of a lost app; 0: not at all.
    pub app_grace: Micros,
    /// Limits of what is kept for one absent peer.
    pub replay: ReplayLimits,
    /// Types of frames that are never kept, because they are worthless when late.
    pub replay_skip: Vec<Box<str>>,
    /// Whether frames are sent again that were written before the loss and that no pong has
    /// confirmed. With it they may arrive twice; without it they may be lost.
    pub replay_unconfirmed: bool,
    /// Whether apps are told when the connection of their glasses is lost, and when they are back.
    pub glasses_connection_state: bool,
    /// How often an identity may reconnect, or take over its slot, in a minute; 0: no limit.
    pub flapping_limit: u32,
    /// Whether peers may ask for sessions that outlive their connections (`?pulse=1`).
    pub pulse: bool,
    /// How many peers a second may come back after all were lost at once.
    pub accept_per_second: u32,
    /// The subprotocols of each class, by [`Class`](crate::Class).
    pub subprotocols: [Subprotocols; RELAY_CLASSES.len()],
}

/// Limits of what is kept for one absent peer; the oldest frames are dropped first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// The most messages; 0: none are kept.
    pub max_messages: usize,
    /// The most bytes of all messages together.
    pub max_bytes: usize,
    /// The longest time that a message is kept.
    pub max_age: Micros,
}

impl Default for ReplayLimits {
    /// Returns the defaults, which are those of the settings.
    fn default() -> Self {
        ReplayLimits {
            max_messages: 256,
            max_bytes: 256 << 10,
            max_age: Micros::from_secs(30),
        }
    }
}

impl Default for RelaySettings {
    /// Returns the defaults, which are those of the settings.
    fn default() -> Self {
        RelaySettings {
            glasses_grace: Micros::from_secs(60),
            overlap: Micros::ZERO,
            app_grace: Micros::from_secs(15),
            replay: ReplayLimits::default(),
            replay_skip: ["VAD", "location_update", "head_position"]
                .map(Box::from)
                .to_vec(),
            replay_unconfirmed: false,
            glasses_connection_state: false,
            flapping_limit: 15,
            pulse: false,
            accept_per_second: 5_000,
            subprotocols: Default::default(),
        }
    }
}
