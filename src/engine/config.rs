//! What an engine is told at its start.

use crate::cause::{CauseInfo, CauseTable};
use crate::health::Policy;
use crate::time::Micros;
use crate::wire::frame::{CONTROL_MAX, Role};

/// What an engine is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The classes of peers, by [`Class`](crate::Class); at least one, at most 256.
    pub classes: Vec<ClassConfig>,
    /// The causes of the product, a table made by [`causes!`](crate::causes). Default none. They stay as they are at the start.
    pub causes: &'static [CauseInfo],
    /// Time from accepting to the verdict on the request. Default 10 s.
    pub handshake_timeout: Micros,
    /// The longest request head, in bytes; 1 to 64 KiB. Default 16 KiB. A longer one is answered 431.
    pub max_head_bytes: usize,
    /// The longest message, and frame, taken from a peer, in bytes. Default 1 MiB.
    pub max_message_bytes: usize,
    /// The most unsent bytes per connection; room for one message at least. Default 4 MiB. A connection above it for
    /// [`slow_after`](Config::slow_after) without progress is closed as a slow consumer; twice as much is refused at once.
    pub max_pending_bytes: usize,
    /// How long a connection may be above `max_pending_bytes` without taking a byte. Default 1 s.
    pub slow_after: Micros,
    /// The most bytes in buffers over all connections: unsent, of unfinished messages, and what the host charges. Default
    /// 1 GiB. Peers that have not introduced themselves may use a sixteenth of it.
    pub max_buffered_bytes: usize,
    /// The most stale connections closed in a second, 0 for no limit. Default 5 000.
    pub stale_closes_per_second: u32,
}

/// One class of peers.
#[derive(Debug, Clone)]
pub struct ClassConfig {
    /// The name in logs and metrics.
    pub name: String,
    /// How its connections are supervised.
    pub policy: Policy,
}

impl Default for Config {
    /// One class, `default`, with the default policy.
    fn default() -> Self {
        Config {
            classes: vec![ClassConfig {
                name: "default".to_owned(),
                policy: Policy::default(),
            }],
            causes: &[],
            handshake_timeout: Micros::from_secs(10),
            max_head_bytes: 16 << 10,
            max_message_bytes: 1 << 20,
            max_pending_bytes: 4 << 20,
            slow_after: Micros::from_secs(1),
            max_buffered_bytes: 1 << 30,
            stale_closes_per_second: 5_000,
        }
    }
}

impl Config {
    /// The least that [`max_head_bytes`](Config::max_head_bytes) may be: what a plain upgrade of a browser needs.
    pub const HEAD_LEAST: usize = 1 << 10;

    /// The most that [`max_head_bytes`](Config::max_head_bytes) may be: what is read at once.
    pub const HEAD_MOST: usize = 64 << 10;

    /// Bytes that all peers together may hold that have not introduced themselves.
    pub(crate) fn strangers_bytes(&self) -> u64 {
        self.max_buffered_bytes as u64 / 16
    }

    /// Returns whether an engine can run with this.
    ///
    /// # Errors
    /// Every fault in one text, each with the field, its value and what is allowed.
    pub fn validate(&self) -> Result<(), String> {
        let mut faults = Vec::new();
        if self.classes.is_empty() || self.classes.len() > 256 {
            faults.push(format!("{} classes; 1 to 256", self.classes.len()));
        }
        faults.extend(CauseTable::with(self.causes).faults());
        for class in &self.classes {
            if let Err(e) = class.policy.validate() {
                faults.push(format!("class {}: {e}", class.name));
            }
        }
        if self.handshake_timeout < Policy::LEAST {
            faults.push(format!(
                "handshake_timeout is {}; at least {}",
                self.handshake_timeout,
                Policy::LEAST
            ));
        }
        if self.slow_after < Policy::LEAST {
            faults.push(format!(
                "slow_after is {}; at least {}",
                self.slow_after,
                Policy::LEAST
            ));
        }
        if !(Self::HEAD_LEAST..=Self::HEAD_MOST).contains(&self.max_head_bytes) {
            faults.push(format!(
                "max_head_bytes is {}; {} to {}",
                self.max_head_bytes,
                Self::HEAD_LEAST,
                Self::HEAD_MOST
            ));
        }
        if self.max_message_bytes < CONTROL_MAX {
            faults.push(format!(
                "max_message_bytes is {}; at least {CONTROL_MAX}",
                self.max_message_bytes
            ));
        }
        let least = self
            .max_message_bytes
            .saturating_add(Role::Server.header_max());
        if self.max_pending_bytes < least {
            faults.push(format!(
                "max_pending_bytes is {}; at least {least}, one message",
                self.max_pending_bytes
            ));
        }
        if self.max_buffered_bytes < self.max_pending_bytes {
            faults.push(format!(
                "max_buffered_bytes is {}; at least max_pending_bytes, {}",
                self.max_buffered_bytes, self.max_pending_bytes
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("; "))
        }
    }
}
