//! What the relay is told by the settings.

use super::role::RELAY_CLASSES;
use crate::base::time::Micros;
use crate::host::Subprotocols;

/// How long what is lost is kept, and how much of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelaySettings {
    /// How long a session waits for glasses that were lost; zero: not at all.
    pub glasses_grace: Micros,
    /// How long another process on the same port may still hold sessions of the state file beside this one; zero: there is none.
    pub overlap: Micros,
    /// How long an app's place in its session waits for it; zero: not at all.
    pub tpa_grace: Micros,
    /// What is kept for one peer that is absent.
    pub replay: ReplayLimits,
    /// The types of frames that are never kept: they tell of a moment that has passed.
    pub replay_skip: Vec<Box<str>>,
    /// Whether frames that were written before the loss, and that no pong has confirmed, are sent again. They may then arrive
    /// twice; otherwise they may be lost.
    pub replay_unconfirmed: bool,
    /// How often one identity may come back, or take over, in a minute; 0: as often as it likes.
    pub flapping_limit: u32,
    /// The subprotocols of each class, by [`Class`](crate::Class).
    pub subprotocols: [Subprotocols; RELAY_CLASSES.len()],
}

/// What may wait for one peer that is absent; the oldest goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayLimits {
    /// Messages; 0: none are kept.
    pub max_messages: usize,
    /// Bytes of them together.
    pub max_bytes: usize,
    /// How long each is kept.
    pub max_age: Micros,
}

impl Default for ReplayLimits {
    /// As the settings have it by default.
    fn default() -> Self {
        ReplayLimits {
            max_messages: 256,
            max_bytes: 256 << 10,
            max_age: Micros::from_secs(30),
        }
    }
}

impl Default for RelaySettings {
    /// As the settings have it by default.
    fn default() -> Self {
        RelaySettings {
            glasses_grace: Micros::from_secs(60),
            overlap: Micros::ZERO,
            tpa_grace: Micros::from_secs(15),
            replay: ReplayLimits::default(),
            replay_skip: ["VAD", "location_update", "head_position"]
                .map(Box::from)
                .to_vec(),
            replay_unconfirmed: false,
            flapping_limit: 15,
            subprotocols: Default::default(),
        }
    }
}
