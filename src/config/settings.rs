//! The effective settings, and the parts of them that each component gets.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use log::LevelFilter;

use super::effective_values::EffectiveValues;
use super::reload_diff::ReloadDiff;
use super::secret::Secret;
use super::setting_faults::SettingFaults;
use super::table::row;
use crate::base::time::Micros;
use crate::engine::{AdaptiveCadence, Config};
use crate::gateway::{
    Admission, AppRegistry, BRIDGE_CLASSES, CAUSES, Classes, Credentials, PostSigner,
    ProxyProtocol, RELAY_CLASSES, RelaySettings, ReplayLimits, ReportMode, Route, SessionLimits,
    Subprotocols, WebOrigin,
};
use crate::health::Policy;
use crate::side::{AlertSettings, EventSettings, HttpSettings, WebhookSettings, WebhookUrl};

/// The settings of the bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeSettings {
    /// The routes, at least one. That of the setting `UPSTREAM` is among them.
    pub routes: Vec<Route>,
    /// Whether services are told that every client uses https. It changes with a restart only.
    pub forwarded_https: bool,
    /// Whether plain HTTP requests are passed, too. It changes with a restart only.
    pub http_pass: bool,
}

/// The effective settings. All values are checked: each is within its bounds and they fit together.
/// [`SETTINGS`](super::SETTINGS) describes each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The services behind the gateway, if there are any.
    pub bridge: Option<BridgeSettings>,
    /// Whether the relay serves its paths: no route takes all of them.
    pub serves_relay: bool,
    /// The heartbeat policy for clients of the service.
    pub client: Policy,
    /// The heartbeat policy for connections to the service.
    pub upstream: Policy,
    /// How long a linked connection may take no byte of what waits for it.
    pub link_slow_after: Micros,
    /// The settings of plain HTTP.
    pub http: HttpSettings,
    /// Whether clients may ask for sessions that outlive their connections.
    pub pulse: bool,
    /// How many clients a second may come back after all were lost at once.
    pub accept_per_second: u32,
    /// The limits of sessions that outlive their connections.
    pub sessions: SessionLimits,
    /// What is done with the reports of clients.
    pub client_reports: ReportMode,
    /// Whether the gateway is ready only if each route has an upstream that is up.
    pub ready_needs_upstream: bool,
    /// The path of the health check.
    pub health_path: Box<str>,
    /// The heartbeat policy for connections of glasses.
    pub glasses: Policy,
    /// The heartbeat policy for connections of third-party apps.
    pub app: Policy,
    /// How intervals of heartbeats adapt to what the connections of a network survive; `None`: not
    /// at all.
    pub cadence: Option<AdaptiveCadence>,
    /// The file that stores what was learned for that.
    pub cadence_file: Option<PathBuf>,
    /// The time from one line of statistics to the next; at least 10 ms.
    pub stats_interval: Micros,
    /// The time limit from accepting a connection to answering its request; at least 10 ms.
    pub handshake_timeout: Micros,
    /// How long connections are still accepted after a drain has begun; may be zero.
    pub drain_delay: Micros,
    /// The time over which a drain closes the connections evenly; zero: all at once.
    pub drain: Micros,
    /// The listener's address; a loopback address unless there are credentials or
    /// `allow_unauthenticated`. The port may be 0.
    pub listen_addr: SocketAddr,
    /// Whether every client that reaches `listen_addr` may connect, from any address.
    pub allow_unauthenticated: bool,
    /// Whether to set `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// The admin listener's address; a loopback address unless there is an `admin_token`. The port
    /// may be 0. `None`: there is none.
    pub admin_addr: Option<SocketAddr>,
    /// The token that a request to `admin_addr` must have, given directly or by a file.
    pub admin_token: Option<Secret>,
    /// The host names that requests without a token to `admin_addr` may use, besides `localhost`;
    /// in lower case.
    pub admin_hosts: Vec<Box<str>>,
    /// The key that signs the tokens of glasses, given directly or by a file.
    pub auth_jwt_secret: Option<Secret>,
    /// How long before its claim `nbf` and after its claim `exp` a token is still valid; may be
    /// zero.
    pub jwt_leeway: Micros,
    /// The apps that may connect.
    pub apps: Option<AppRegistry>,
    /// When an app with the right key is accepted.
    pub app_admission: Admission,
    /// The origins of pages that may connect.
    pub allowed_origins: Vec<WebOrigin>,
    /// How long a session waits for its glasses; may be zero.
    pub glasses_grace: Micros,
    /// How long a session waits for an app; may be zero.
    pub app_grace: Micros,
    /// The limits of the frames that are kept for an absent peer.
    pub replay: ReplayLimits,
    /// The types of frames that are never kept.
    pub replay_skip: Vec<Box<str>>,
    /// Whether unconfirmed frames are sent again.
    pub replay_unconfirmed: bool,
    /// Whether apps are told when the connection of their glasses is lost, and when they are back.
    pub glasses_connection_state: bool,
    /// The limit of resumes and takeovers of one identity per minute; 0: no limit.
    pub flapping_limit: u32,
    /// The subprotocols of glasses and of third-party apps.
    pub subprotocols: [Subprotocols; 2],
    /// The URL to which apps connect. `None`: it is derived from the listener's address.
    pub app_websocket_url: Option<String>,
    /// How long an app may take to answer a webhook; at least 10 ms.
    pub webhook_timeout: Micros,
    /// The networks that webhooks may be sent to. `None`: all but link-local ones and metadata
    /// services.
    pub webhook_allow: Option<Vec<IpNet>>,
    /// The file that stores which apps each user has started.
    pub state_file: Option<PathBuf>,
    /// When alerts fire, and where they are sent.
    pub alerts: AlertSettings,
    /// Where events are posted.
    pub events_url: Option<WebhookUrl>,
    /// The key that signs the posts of events, given directly or by a file.
    pub events_secret: Option<Secret>,
    /// The most events that are kept; at least 100.
    pub events_kept: usize,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: ProxyProtocol,
    /// The proxies with trusted headers; IPv4-mapped addresses as IPv4. At least one unless
    /// `proxy_protocol` is off.
    pub trusted_proxies: Vec<IpNet>,
    /// The limit of concurrent connections; `None`: what the descriptor limit allows.
    pub max_connections: Option<usize>,
    /// The longest request head, in bytes; 1 to 64 KiB.
    pub max_head_bytes: usize,
    /// The largest message and frame of a peer, in bytes; at least 125.
    pub max_message_bytes: usize,
    /// The limit of unsent bytes per connection; at least a message and its frame header.
    pub max_pending_bytes: usize,
    /// How long a connection may be above `max_pending_bytes` while its peer reads nothing.
    pub slow_after: Micros,
    /// The limit of bytes in the buffers of all connections; at least `max_pending_bytes`. `None`:
    /// what memory allows.
    pub max_buffered_bytes: Option<usize>,
    /// The limit of stale connections closed per second; 0: no limit.
    pub stale_closes_per_second: u32,
    /// Whether log lines are JSON.
    pub log_json: bool,
    /// The log level; never `Off`.
    pub log_level: LevelFilter,
    /// The settings file.
    pub config_file: Option<PathBuf>,
    /// Whether a change of a file of settings causes a reload.
    pub config_watch: bool,
    /// All settings in the form of the table, to compare and to describe them.
    pub(super) effective: EffectiveValues,
}

impl Settings {
    /// Returns the configuration of the gateway's loop: these classes, with the policies that the
    /// settings name, and the limits.
    pub fn engine_config(&self, classes: &Classes) -> Config {
        let mut configs = classes.configs();
        let policies = [self.glasses, self.app, self.client, self.upstream];
        for (info, policy) in RELAY_CLASSES.iter().chain(&BRIDGE_CLASSES).zip(policies) {
            let of_this = configs.iter_mut().filter(|config| config.name == info.name);
            of_this.for_each(|config| config.policy = policy);
        }
        Config {
            classes: configs,
            causes: &CAUSES,
            handshake_timeout: self.handshake_timeout,
            max_head_bytes: self.max_head_bytes,
            max_message_bytes: self.max_message_bytes,
            max_pending_bytes: self.max_pending_bytes,
            slow_after: self.slow_after,
            max_buffered_bytes: self.buffered_bytes(),
            stale_closes_per_second: self.stale_closes_per_second,
            link_slow_after: self.link_slow_after,
            cadence: self.cadence,
        }
    }

    /// Returns what peers are checked against.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(
            self.auth_jwt_secret.as_ref().map(Secret::expose),
            self.apps.clone(),
            self.app_admission,
            self.allowed_origins.clone(),
        )
        .with_leeway(self.jwt_leeway)
    }

    /// Returns the settings that webhooks are checked against when they are sent.
    pub fn webhook_settings(&self) -> WebhookSettings {
        WebhookSettings {
            allow: self.webhook_allow.clone(),
            apps: self.apps.clone(),
        }
    }

    /// Returns where events are posted.
    pub fn event_settings(&self) -> EventSettings {
        let secret = self.events_secret.as_ref();
        EventSettings {
            url: self.events_url.clone(),
            signer: secret.map(|secret| PostSigner::new(secret.expose())),
        }
    }

    /// Returns the files whose content is part of the settings.
    pub fn files(&self) -> Vec<PathBuf> {
        self.effective.files()
    }

    /// Returns warnings about trusted proxies, one sentence each.
    pub fn proxy_warnings(&self) -> Vec<String> {
        /// The largest private networks: 10.0.0.0/8 (RFC 1918), fc00::/7 (RFC 4193).
        const LEAST_BITS: [u8; 2] = [8, 7];
        let is_world = |network: &&IpNet| match network {
            IpNet::V4(v4) => v4.prefix_len() < LEAST_BITS[0],
            IpNet::V6(v6) => v6.prefix_len() < LEAST_BITS[1],
        };
        let large = self.trusted_proxies.iter().filter(is_world);
        large
            .map(|network| {
                format!(
                    "TRUSTED_PROXIES={:?}: this network is very large; logs, filters and alerts \
                     believe any client address that a peer from it reports",
                    network.to_string()
                )
            })
            .collect()
    }

    /// Returns the setting that names an `https` webhook, if there is one: it needs certificates.
    pub fn https_webhook(&self) -> Option<&'static str> {
        let alerts = self.alerts.webhook.as_ref();
        if self
            .apps
            .as_ref()
            .is_some_and(AppRegistry::has_https_webhook)
        {
            Some("APPS_FILE")
        } else if alerts.is_some_and(WebhookUrl::is_https) {
            Some("ALERT_WEBHOOK_URL")
        } else if self.events_url.as_ref().is_some_and(WebhookUrl::is_https) {
            Some("EVENTS_URL")
        } else {
            None
        }
    }

    /// Returns the settings of the relay.
    pub fn relay_settings(&self) -> RelaySettings {
        RelaySettings {
            glasses_grace: self.glasses_grace,
            overlap: if self.reuse_port {
                self.drain_delay + self.drain
            } else {
                Micros::ZERO
            },
            app_grace: self.app_grace,
            replay: self.replay,
            replay_skip: self.replay_skip.clone(),
            replay_unconfirmed: self.replay_unconfirmed,
            glasses_connection_state: self.glasses_connection_state,
            flapping_limit: self.flapping_limit,
            pulse: self.pulse,
            accept_per_second: self.accept_per_second,
            subprotocols: self.subprotocols.clone(),
        }
    }

    /// Returns warnings about settings that are allowed: one text each, with numbers.
    pub fn warnings(&self) -> Vec<String> {
        self.effective.warnings()
    }

    /// Returns the effective settings for the log line of the start: `key=value`, with the
    /// variable's name in lower case as the key.
    ///
    /// Call [`fit_to`](Self::fit_to) first: otherwise settings that follow from the machine show as
    /// `unknown`.
    pub fn describe(&self) -> String {
        let mut line = String::new();
        let known = |number: Option<usize>| number.map_or("unknown".to_owned(), |n| n.to_string());
        for (setting, description) in self.effective.described() {
            let value = match setting.name {
                "MAX_CONNECTIONS" => known(self.max_connections),
                "MAX_BUFFERED_BYTES" => known(self.max_buffered_bytes),
                // Also a secret from a file.
                name if self.effective.secret(row(name)).is_some() => "set".to_owned(),
                _ if description == Secret::HIDDEN => "set".to_owned(),
                _ if description.contains([' ', '"', '\\', '=']) => format!("{description:?}"),
                _ => description,
            };
            let space = if line.is_empty() { "" } else { " " };
            line = line + space + &setting.key() + "=" + &value;
        }
        line
    }

    /// Returns the differences in `newer`, which was read later in the same way. Secrets are named
    /// and not shown.
    ///
    /// A setting that is derived from another one changes with it. `max_connections` is compared as
    /// it was given.
    pub fn diff(&self, newer: &Settings) -> ReloadDiff {
        self.effective.diff(&newer.effective)
    }

    /// Returns the settings after a reload: those that [`diff`](Self::diff) calls applied are
    /// `newer`'s, the rest stays.
    ///
    /// # Errors
    /// Settings that do not fit together, although both versions are valid. For example,
    /// `TRUSTED_PROXIES` may be emptied together with `PROXY_PROTOCOL`, but the latter waits for a
    /// restart. Also restrictions that are no longer given: credentials, `ALLOWED_ORIGINS`,
    /// `WEBHOOK_ALLOW`, `TRUSTED_PROXIES`.
    pub fn reloaded(&self, newer: &Settings) -> Result<Settings, SettingFaults> {
        let mut faults = SettingFaults::default();
        let effective = self.effective.reloaded(&newer.effective, &mut faults);
        match effective.settings() {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => Err(faults),
        }
    }
}
