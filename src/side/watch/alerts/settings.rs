//! What alerts are told: thresholds, times, and where they are sent.

use crate::base::time::Micros;
use std::fmt;

/// What alerts are told. A threshold of 0 is never reached: that rule is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// Whether there are any.
    pub on: bool,
    /// Where they are posted.
    pub webhook: Option<WebhookUrl>,
    /// How often the rules are looked at; at least 10 ms.
    pub interval: Micros,
    /// The time over which events are counted and percentiles are taken; at least 10 ms.
    pub window: Micros,
    /// How long a value must be clearly below its threshold before its alert is resolved.
    pub resolve: Micros,
    /// How often a firing alert is posted again; at least 10 ms.
    pub repeat: Micros,
    /// With fewer connections, or measurements, shares and percentiles say nothing.
    pub min_connections: u64,
    /// Suspects of a class, in percent of its connections.
    pub suspects_percent: u64,
    /// For how long.
    pub suspects_for: Micros,
    /// Connections of a class closed as stale within the window, in percent of those that there were.
    pub stale_percent: u64,
    /// At least so many of them.
    pub stale_min: u64,
    /// For how long.
    pub stale_for: Micros,
    /// Connections of one class or address block lost at once.
    pub mass_death: u64,
    /// At least so many percent of the class, or for a block of all.
    pub mass_death_percent: u64,
    /// What at once means; at least 10 ms.
    pub mass_death_window: Micros,
    /// Round-trip time of the slowest hundredth of heartbeats.
    pub rtt_p99: Micros,
    /// For how long.
    pub rtt_for: Micros,
    /// Identities of one package, or of one class without packages, that are slowed because they come back too often.
    pub flapping: u64,
    /// For how long.
    pub flapping_for: Micros,
    /// Whether apps are told of whose server is down.
    pub app_down: bool,
    /// For how long.
    pub app_down_for: Micros,
    /// Stalls of the loop within the window.
    pub stalls: u64,
    /// Connections, in percent of those that may be held at once.
    pub capacity_percent: u64,
    /// Newcomers refused within the window because as many connections are here as may be.
    pub refused: u64,
    /// Whether the descriptors allow no more connections than may be held at once. Set by `Settings::fit`.
    pub capped_by_descriptors: bool,
    /// Open descriptors, in percent of the limit.
    pub fds_percent: u64,
    /// Memory, in percent of the nearest limit.
    pub memory_percent: u64,
    /// For how long connections, descriptors or memory.
    pub limits_for: Micros,
    /// Connections opened and ended within the window, in percent of those that there are.
    pub storm_percent: u64,
    /// For how long.
    pub storm_for: Micros,
}

impl Default for AlertSettings {
    /// Those that hold if nothing is given.
    fn default() -> Self {
        AlertSettings {
            on: true,
            webhook: None,
            interval: Micros::from_secs(10),
            window: Micros::from_secs(60),
            resolve: Micros::from_secs(60),
            repeat: Micros::from_secs(4 * 60 * 60),
            min_connections: 50,
            suspects_percent: 10,
            suspects_for: Micros::from_secs(120),
            stale_percent: 5,
            stale_min: 50,
            stale_for: Micros::from_secs(60),
            mass_death: 50,
            mass_death_percent: 2,
            mass_death_window: Micros::from_secs(20),
            rtt_p99: Micros::from_secs(5),
            rtt_for: Micros::from_secs(300),
            flapping: 1,
            flapping_for: Micros::ZERO,
            app_down: true,
            app_down_for: Micros::from_secs(60),
            stalls: 1,
            capacity_percent: 90,
            refused: 1,
            capped_by_descriptors: false,
            fds_percent: 90,
            memory_percent: 90,
            limits_for: Micros::from_secs(60),
            storm_percent: 50,
            storm_for: Micros::from_secs(180),
        }
    }
}

/// Where alerts are posted. Such a URL often has a password in its path, so it is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Box<str>);

impl WebhookUrl {
    /// The one that this is, checked already.
    pub fn new(url: &str) -> Self {
        WebhookUrl(url.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether it begins with `https`.
    pub fn is_https(&self) -> bool {
        self.0
            .split(':')
            .next()
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
