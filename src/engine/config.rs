//! The engine's configuration.

use crate::base::cause::{CauseInfo, CauseTable};
use crate::base::id::Class;
use crate::base::time::Micros;
use crate::health::{Policy, PolicyError};
use crate::wire::frame::{CONTROL_MAX, Role};

/// The engine's configuration.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct Config {
    /// The classes of peers, by [`Class`](crate::Class); at least one, at most 256.
    pub classes: Vec<ClassConfig>,
    /// The causes of the product, a table made by [`causes!`](crate::causes). Default none. They
    /// cannot change after the start.
    pub causes: &'static [CauseInfo],
    /// Time from accepting to the verdict on the request. Default 10 s.
    pub handshake_timeout: Micros,
    /// The longest request head, in bytes; 1 to 64 KiB. Default 16 KiB. A longer one is answered
    /// 431.
    pub max_head_bytes: usize,
    /// The longest message or frame accepted from a peer, in bytes. Default 1 MiB.
    pub max_message_bytes: usize,
    /// The most unsent bytes per connection; at least one message must fit. Default 4 MiB. A
    /// connection above it for [`slow_after`](Config::slow_after) without progress is closed as a
    /// slow consumer. A send that would exceed twice this limit is refused at once.
    pub max_pending_bytes: usize,
    /// How long a connection may be above `max_pending_bytes` without taking a byte. Default 1 s.
    pub slow_after: Micros,
    /// How long bytes for a linked connection may wait without one of them being sent. Its partner
    /// is not read meanwhile. Default 30 s.
    pub link_slow_after: Micros,
    /// The most bytes in buffers over all connections: unsent data, unfinished messages, and what
    /// the host charges. Default 1 GiB. Peers that have not identified themselves may use a
    /// sixteenth of it.
    pub max_buffered_bytes: usize,
    /// The most stale connections closed in a second, 0 for no limit. Default 5 000.
    pub stale_closes_per_second: u32,
    /// How intervals of heartbeats adapt to what the connections of a network survive; `None`: not
    /// at all (the default).
    pub cadence: Option<AdaptiveCadence>,
}

/// How long an interval may become that adapts to what the connections of a network survive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct AdaptiveCadence {
    /// The longest interval. Default 1 h.
    pub interval_max: Micros,
    /// A peer that is gone is found within this time, so no interval is longer than a third of it.
    /// Default 45 s, with which no interval becomes longer than 15 s.
    pub detect_within: Micros,
}

impl Default for AdaptiveCadence {
    fn default() -> Self {
        AdaptiveCadence {
            interval_max: Micros::from_secs(3_600),
            detect_within: Policy::DEFAULT.connection_timeout,
        }
    }
}

impl AdaptiveCadence {
    /// Returns the longest interval. A configured one that is longer stays.
    pub(crate) fn longest(&self) -> Micros {
        self.interval_max.min(Micros(self.detect_within.0 / 3))
    }
}

/// One class of peers.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "hosts write it down")]
pub struct ClassConfig {
    /// The name in logs and metrics.
    pub name: String,
    /// The heartbeat policy of the connections of this class.
    pub policy: Policy,
}

impl Default for Config {
    /// Returns one class, `default`, with the default policy.
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
            link_slow_after: Micros::from_secs(30),
            max_buffered_bytes: 1 << 30,
            stale_closes_per_second: 5_000,
            cadence: None,
        }
    }
}

impl Config {
    /// The least value of [`max_head_bytes`](Config::max_head_bytes): enough for a browser's plain
    /// upgrade.
    pub const HEAD_MIN: usize = 1 << 10;

    /// The greatest value of [`max_head_bytes`](Config::max_head_bytes): the most that is read at
    /// once.
    pub const HEAD_MAX: usize = 64 << 10;

    /// Returns the bytes that all peers that have not identified themselves may hold together.
    pub(crate) fn unidentified_limit(&self) -> u64 {
        self.max_buffered_bytes as u64 / 16
    }

    /// Checks that an engine can run with this configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with all faults.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut faults = Vec::new();
        if self.classes.is_empty() || self.classes.len() > 256 {
            faults.push(ConfigFault::Classes(self.classes.len()));
        }
        let causes = CauseTable::with(self.causes).faults();
        faults.extend(causes.into_iter().map(ConfigFault::Causes));
        for class in &self.classes {
            if let Err(error) = class.policy.validate() {
                let name = class.name.clone();
                faults.push(ConfigFault::Class { name, error });
            }
        }
        if self.handshake_timeout < Policy::MIN_TIME {
            faults.push(ConfigFault::HandshakeTimeout(self.handshake_timeout));
        }
        if self.slow_after < Policy::MIN_TIME {
            faults.push(ConfigFault::SlowAfter(self.slow_after));
        }
        if self.link_slow_after < Policy::MIN_TIME {
            faults.push(ConfigFault::LinkSlowAfter(self.link_slow_after));
        }
        if !(Self::HEAD_MIN..=Self::HEAD_MAX).contains(&self.max_head_bytes) {
            faults.push(ConfigFault::MaxHeadBytes(self.max_head_bytes));
        }
        if self.max_message_bytes < CONTROL_MAX {
            faults.push(ConfigFault::MaxMessageBytes(self.max_message_bytes));
        }
        let least = self
            .max_message_bytes
            .saturating_add(Role::Server.header_max());
        if self.max_pending_bytes < least {
            let bytes = self.max_pending_bytes;
            faults.push(ConfigFault::MaxPendingBytes { bytes, least });
        }
        if self.max_buffered_bytes < self.max_pending_bytes {
            faults.push(ConfigFault::MaxBufferedBytes {
                bytes: self.max_buffered_bytes,
                least: self.max_pending_bytes,
            });
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ConfigError(faults))
        }
    }
}

/// An invalid configuration. The host is at fault: nothing has started or changed, and the same
/// configuration will be refused again.
///
/// Printed as all faults in one line, each with the field, its value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", line(.0))]
pub struct ConfigError(Vec<ConfigFault>);

impl ConfigError {
    /// Returns all faults, at least one, in the order of the checks.
    pub fn faults(&self) -> &[ConfigFault] {
        &self.0
    }
}

/// One field of a [`Config`] that is out of bounds, with its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigFault {
    /// A fault in the table of causes, as text.
    #[error("{0}")]
    Causes(String),
    /// There is no class, or there are more than [`Class`] can number.
    #[error("{0} classes; 1 to 256")]
    Classes(usize),
    /// The policy of a class is invalid.
    #[error("class {name}: {error}")]
    Class {
        /// The class's name.
        name: String,
        /// Every fault of the class's policy.
        error: PolicyError,
    },
    /// The timeout is shorter than [`Policy::MIN_TIME`].
    #[error("handshake_timeout is {0}; at least {least}", least = Policy::MIN_TIME)]
    HandshakeTimeout(Micros),
    /// The time is shorter than [`Policy::MIN_TIME`].
    #[error("slow_after is {0}; at least {least}", least = Policy::MIN_TIME)]
    SlowAfter(Micros),
    /// The time is shorter than [`Policy::MIN_TIME`].
    #[error("link_slow_after is {0}; at least {least}", least = Policy::MIN_TIME)]
    LinkSlowAfter(Micros),
    /// The limit is not between [`Config::HEAD_MIN`] and [`Config::HEAD_MAX`].
    #[error(
        "max_head_bytes is {0}; {least} to {most}",
        least = Config::HEAD_MIN,
        most = Config::HEAD_MAX
    )]
    MaxHeadBytes(usize),
    /// The limit is below the length of a control frame (RFC 6455 §5.5).
    #[error("max_message_bytes is {0}; at least 125")]
    MaxMessageBytes(usize),
    /// One message of the largest size would not fit.
    #[error("max_pending_bytes is {bytes}; at least {least}, one message")]
    MaxPendingBytes {
        /// The limit, in bytes.
        bytes: usize,
        /// The least value allowed.
        least: usize,
    },
    /// The limit over all connections is below that of one.
    #[error("max_buffered_bytes is {bytes}; at least max_pending_bytes, {least}")]
    MaxBufferedBytes {
        /// The limit, in bytes.
        bytes: usize,
        /// The least value allowed.
        least: usize,
    },
}

fn line(faults: &[ConfigFault]) -> String {
    let texts: Vec<String> = faults.iter().map(ConfigFault::to_string).collect();
    texts.join("; ")
}

/// Why [`Io::set_policy`](crate::engine::Io::set_policy) failed. Nothing has changed. The host is
/// at fault; it may try another policy or class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SetPolicyError {
    /// The policy is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no such class.
    #[error("there is no class {}; there are {classes}", class.0)]
    NoSuchClass {
        /// The class that was given.
        class: Class,
        /// How many classes there are.
        classes: usize,
    },
}

/// Why [`Io::reconfigure`](crate::engine::Io::reconfigure) failed. The host is at fault; the
/// previous configuration stays in effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReconfigureError {
    /// The configuration is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The classes are fixed at the start; only their policies change.
    #[error("{given} classes; there are {classes}")]
    OtherClasses {
        /// How many classes the configuration has.
        given: usize,
        /// How many classes there are now.
        classes: usize,
    },
}
