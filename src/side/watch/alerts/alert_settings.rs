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
    /// The time between two evaluations of the rules; at least 10 ms.
    pub interval: Micros,
    /// The time over which events are counted and percentiles are taken; at least 10 ms.
    pub window: Micros,
    /// How long a value must be clearly below its threshold before its alert is resolved.
    pub resolve: Micros,
    /// The time after which a firing alert is posted again; at least 10 ms.
    pub repeat: Micros,
    /// With fewer connections or measurements than this, rules on shares and percentiles do not
    /// fire.
    pub min_connections: u64,
    /// Threshold of `many_suspects`: suspect connections of a class, in percent of its connections.
    pub suspects_percent: u64,
    /// How long `suspects_percent` must be reached before the alert fires.
    pub suspects_for: Micros,
    /// Threshold of `stale_closes`: connections of a class closed as stale within the window, in
    /// percent of its connections.
    pub stale_percent: u64,
    /// The least number of stale connections for `stale_closes`.
    pub stale_min: u64,
    /// How long `stale_percent` must be reached before the alert fires.
    pub stale_for: Micros,
    /// Threshold of `mass_death`: identities of one class or address block that are lost within its
    /// window.
    pub mass_death: u64,
    /// For `mass_death`, the losses must also be at least this percentage of the class, or for an
    /// address block of all connections.
    pub mass_death_percent: u64,
    /// The window of `mass_death`; at least 10 ms.
    pub mass_death_window: Micros,
    /// Whether `fleet_late` reports that the heartbeats of all clients are late.
    pub fleet_late: bool,
    /// Threshold of `cohort_late`: connections of a class in one address block whose peers have
    /// stopped answering together.
    pub cohort_late: u64,
    /// Threshold of `rtt_high`: the 99th percentile of the round-trip time of heartbeats.
    pub rtt_p99: Micros,
    /// How long `rtt_p99` must be reached before the alert fires.
    pub rtt_for: Micros,
    /// Threshold of `flapping`: identities of one package, or of one class without packages, that
    /// are refused for a time because they reconnect too often.
    pub flapping: u64,
    /// How long `flapping` must be reached before the alert fires.
    pub flapping_for: Micros,
    /// Whether `app_down` reports apps with a server that is down.
    pub app_down: bool,
    /// How long an app's server must be down before `app_down` fires.
    pub app_down_for: Micros,
    /// Threshold of `verdict_jump`: ends with one verdict in 10 min; 0: off.
    pub verdict_jump: u64,
    /// Threshold of `persistent_trouble`: identities with trouble over hours; 0: off.
    pub persistent_trouble: u64,
    /// Threshold of `loop_stalls`: stalls of the loop within the window.
    pub stalls: u64,
    /// Threshold of `near_capacity`: connections in percent of their limit.
    pub capacity_percent: u64,
    /// Threshold of `at_capacity`: new connections refused within the window because the limit of
    /// connections is reached.
    pub refused: u64,
    /// Whether the descriptors, and not `MAX_CONNECTIONS` alone, limit the connections. Set by
    /// `Settings::fit`.
    pub capped_by_descriptors: bool,
    /// Threshold of `fds_near_limit`: open descriptors in percent of their limit.
    pub fds_percent: u64,
    /// Threshold of `upstream_ports_near_limit`: connections to one upstream in percent of the
    /// local ports.
    pub ports_percent: u64,
    /// Threshold of `memory_near_limit`: memory in use in percent of the nearest limit.
    pub memory_percent: u64,
    /// How long the threshold of connections, descriptors or memory must be reached before its
    /// alert fires.
    pub limits_for: Micros,
    /// Threshold of `reconnect_storm`: connections opened, and ended, within the window in percent
    /// of the open ones.
    pub storm_percent: u64,
    /// How long `storm_percent` must be reached before the alert fires.
    pub storm_for: Micros,
}

impl AlertSettings {
    /// Returns whether a rule about late heartbeats is on.
    pub(super) fn watches_late(&self) -> bool {
        self.on && (self.fleet_late || self.cohort_late > 0)
    }
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
            fleet_late: true,
            cohort_late: 5,
            rtt_p99: Micros::from_secs(5),
            rtt_for: Micros::from_secs(300),
            flapping: 1,
            flapping_for: Micros::ZERO,
            app_down: true,
            app_down_for: Micros::from_secs(60),
            verdict_jump: 20,
            persistent_trouble: 1,
            stalls: 1,
            capacity_percent: 90,
            refused: 1,
            capped_by_descriptors: false,
            fds_percent: 90,
            ports_percent: 90,
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

    pub(in crate::side) fn expose(&self) -> &str {
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
