//! The settings of alerts: thresholds, times, and the webhook.

use crate::base::time::Micros;
use std::fmt;

/// The settings of alerts. A threshold of 0 is never reached: that rule is off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertSettings {
    /// Whether alerts are on.
    pub on: bool,
    /// Where alerts are posted.
    pub webhook: Option<WebhookUrl>,
    /// The time from one look to the next; at least 10 ms.
    pub interval: Micros,
    /// The time over which events are counted and percentiles are taken; at least 10 ms.
    pub window: Micros,
    /// How long a value must be clearly below its threshold before its alert is resolved.
    pub resolve: Micros,
    /// The time after which a firing alert is posted again; at least 10 ms.
    pub repeat: Micros,
    /// With fewer connections, or measurements, shares and percentiles are ignored.
    pub min_connections: u64,
    /// Suspects of a class, in percent of its connections.
    pub suspects_percent: u64,
    /// How long suspects must exceed it.
    pub suspects_for: Micros,
    /// Connections of a class closed as stale within the window, in percent of its connections.
    pub stale_percent: u64,
    /// The least number of them.
    pub stale_min: u64,
    /// How long they must exceed it.
    pub stale_for: Micros,
    /// Connections of one class or address block lost at once.
    pub mass_death: u64,
    /// The least percentage of the class, or for a block of all connections.
    pub mass_death_percent: u64,
    /// The window that counts as "at once"; at least 10 ms.
    pub mass_death_window: Micros,
    /// The 99th percentile of the round-trip time of heartbeats.
    pub rtt_p99: Micros,
    /// How long it must exceed it.
    pub rtt_for: Micros,
    /// Identities of one package, or of one class without packages, that are delayed because they
    /// reconnect too often.
    pub flapping: u64,
    /// How long there must be that many.
    pub flapping_for: Micros,
    /// Whether to report apps with a server that is down.
    pub app_down: bool,
    /// How long the server must be down.
    pub app_down_for: Micros,
    /// Stalls of the loop within the window.
    pub stalls: u64,
    /// Connections, in percent of their limit.
    pub capacity_percent: u64,
    /// New connections refused within the window because the limit of connections is reached.
    pub refused: u64,
    /// Whether the descriptors, and not `MAX_CONNECTIONS` alone, limit the connections. Set by
    /// `Settings::fit`.
    pub capped_by_descriptors: bool,
    /// Open descriptors, in percent of the limit.
    pub fds_percent: u64,
    /// Memory, in percent of the nearest limit.
    pub memory_percent: u64,
    /// How long connections, descriptors or memory must exceed it.
    pub limits_for: Micros,
    /// Connections opened and ended within the window, in percent of the open ones.
    pub storm_percent: u64,
    /// How long they must exceed it.
    pub storm_for: Micros,
}

impl Default for AlertSettings {
    /// Returns the default settings.
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

/// The URL to which alerts are posted. It often has a secret in its path, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Box<str>);

impl WebhookUrl {
    /// Wraps a URL that was checked already.
    pub fn new(url: &str) -> Self {
        WebhookUrl(url.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Returns whether the URL begins with `https`.
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
