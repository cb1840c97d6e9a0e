//! The settings that hold, and what each part of the gateway is told of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use log::LevelFilter;

use super::changes::Changes;
use super::effective::Effective;
use super::faults::Faults;
use super::secret::Secret;
use super::table::row;
use crate::base::time::Micros;
use crate::engine::Config;
use crate::gateway::{
    Admission, Apps, CAUSES, Classes, Credentials, ProxyProtocol, RELAY_CLASSES, RelaySettings,
    ReplayLimits, Subprotocols, WebOrigin,
};
use crate::health::Policy;
use crate::side::{AlertSettings, WebhookSettings, WebhookUrl};

/// The settings that hold, checked: within their bounds and fit for each other. [`SETTINGS`](super::SETTINGS) says what each is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How connections of glasses are supervised.
    pub glasses: Policy,
    /// How connections of third-party apps are supervised.
    pub tpa: Policy,
    /// Time from one line of statistics to the next; at least 10 ms.
    pub stats_interval: Micros,
    /// Time from an accepted connection to the answer to its request; at least 10 ms.
    pub handshake_timeout: Micros,
    /// How long connections are still accepted after draining began; may be zero.
    pub drain_delay: Micros,
    /// Time over which the connections are closed evenly; zero: all at once.
    pub drain: Micros,
    /// Where to listen; a loopback address unless there are credentials or `allow_unauthenticated`. The port may be 0.
    pub listen_addr: SocketAddr,
    /// Whether every client that reaches `listen_addr` may connect, from any address.
    pub allow_unauthenticated: bool,
    /// Whether to set `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// Where the operator's endpoints listen; a loopback address unless `admin_token`. The port may be 0. `None`: nowhere.
    pub admin_addr: Option<SocketAddr>,
    /// What a request to `admin_addr` must bring, whichever way it was given.
    pub admin_token: Option<Secret>,
    /// The names, beside `localhost`, under which `admin_addr` may be asked without a token; in small letters.
    pub admin_hosts: Vec<Box<str>>,
    /// What tokens of glasses are signed with, whichever way it was given.
    pub auth_jwt_secret: Option<Secret>,
    /// How long a token counts before and after its time; may be zero.
    pub jwt_leeway: Micros,
    /// The apps that may connect.
    pub apps: Option<Apps>,
    /// When an app with the right key is let in.
    pub app_admission: Admission,
    /// The pages that may connect.
    pub allowed_origins: Vec<WebOrigin>,
    /// How long a session waits for its glasses; may be zero.
    pub glasses_grace: Micros,
    /// How long a session waits for an app; may be zero.
    pub tpa_grace: Micros,
    /// What is kept for a peer that is absent.
    pub replay: ReplayLimits,
    /// The types of frames that are not kept.
    pub replay_skip: Vec<Box<str>>,
    /// Whether frames in doubt are sent again.
    pub replay_unconfirmed: bool,
    /// Returns and takeovers of one identity in a minute; 0: no limit.
    pub flapping_limit: u32,
    /// The subprotocols of glasses and of third-party apps.
    pub subprotocols: [Subprotocols; 2],
    /// Where apps are told to connect. `None`: it follows from where we listen.
    pub app_websocket_url: Option<String>,
    /// How long an app may take to answer a webhook; at least 10 ms.
    pub webhook_timeout: Micros,
    /// The networks that webhooks may go to. `None`: all but link-local ones and metadata services.
    pub webhook_allow: Option<Vec<IpNet>>,
    /// The file that keeps which apps each user has started.
    pub state_file: Option<PathBuf>,
    /// When alerts fire, and where they are sent.
    pub alerts: AlertSettings,
    /// Whether connections begin with a proxy's header.
    pub proxy_protocol: ProxyProtocol,
    /// Whose headers count, IPv4 as IPv4; at least one unless `proxy_protocol` is off.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections at once; `None`: what the limit of file descriptors allows.
    pub max_connections: Option<usize>,
    /// Longest request head, in bytes; 1 to 64 KiB.
    pub max_head_bytes: usize,
    /// Largest message and frame of a peer, in bytes; at least 125.
    pub max_message_bytes: usize,
    /// Unsent bytes per connection; at least a message and its frame header.
    pub max_pending_bytes: usize,
    /// How long more than that may wait for a peer that reads nothing.
    pub slow_after: Micros,
    /// Bytes in buffers of all connections together; at least `max_pending_bytes`. `None`: what memory allows.
    pub max_buffered_bytes: Option<usize>,
    /// Stale connections closed in a second; 0: no limit.
    pub stale_closes_per_second: u32,
    /// Whether log lines are JSON.
    pub log_json: bool,
    /// What is logged; never `Off`.
    pub log_level: LevelFilter,
    /// The file with settings.
    pub config_file: Option<PathBuf>,
    /// All of it as it stood before it was taken apart, to compare and to describe.
    pub(super) effective: Effective,
}

impl Settings {
    /// What the gateway's loop is told: these classes, with the policies that the settings name, and limits.
    pub fn engine(&self, classes: &Classes) -> Config {
        let mut configs = classes.configs();
        for (info, policy) in RELAY_CLASSES.iter().zip([self.glasses, self.tpa]) {
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
            max_buffered_bytes: self.buffered(),
            stale_closes_per_second: self.stale_closes_per_second,
        }
    }

    /// What peers are checked against.
    pub fn credentials(&self) -> Credentials {
        Credentials::new(
            self.auth_jwt_secret.as_ref().map(Secret::expose),
            self.apps.clone(),
            self.app_admission,
            self.allowed_origins.clone(),
        )
        .with_leeway(self.jwt_leeway)
    }

    /// What webhooks are held against when they are sent.
    pub fn webhooks(&self) -> WebhookSettings {
        WebhookSettings {
            allow: self.webhook_allow.clone(),
            apps: self.apps.clone(),
        }
    }

    /// What an operator must know of proxies that are trusted, each in one sentence.
    pub fn proxy_warnings(&self) -> Vec<String> {
        /// No private network is larger: 10.0.0.0/8 (RFC 1918), fc00::/7 (RFC 4193).
        const LEAST_BITS: [u8; 2] = [8, 7];
        let is_world = |network: &&IpNet| match network {
            IpNet::V4(v4) => v4.prefix_len() < LEAST_BITS[0],
            IpNet::V6(v6) => v6.prefix_len() < LEAST_BITS[1],
        };
        let large = self.trusted_proxies.iter().filter(is_world);
        large
            .map(|network| {
                format!(
                    "TRUSTED_PROXIES={:?}: this is no network of proxies; whoever connects from it is believed to be where they \
                     say, in logs, filters and alerts",
                    network.to_string()
                )
            })
            .collect()
    }

    /// The setting that names a webhook over `https`, if any does: certificates are needed for it.
    pub fn https_webhook(&self) -> Option<&'static str> {
        let alerts = self.alerts.webhook.as_ref();
        if self.apps.as_ref().is_some_and(Apps::has_https_webhook) {
            Some("APPS_FILE")
        } else if alerts.is_some_and(WebhookUrl::is_https) {
            Some("ALERT_WEBHOOK_URL")
        } else {
            None
        }
    }

    /// What the relay is told.
    pub fn relay(&self) -> RelaySettings {
        RelaySettings {
            glasses_grace: self.glasses_grace,
            overlap: if self.reuse_port {
                self.drain_delay + self.drain
            } else {
                Micros::ZERO
            },
            tpa_grace: self.tpa_grace,
            replay: self.replay,
            replay_skip: self.replay_skip.clone(),
            replay_unconfirmed: self.replay_unconfirmed,
            flapping_limit: self.flapping_limit,
            subprotocols: self.subprotocols.clone(),
        }
    }

    /// What an operator should know of settings that are allowed: one text each, with numbers.
    pub fn warnings(&self) -> Vec<String> {
        self.effective.warnings()
    }

    /// The effective settings for the log line of the start: `key=value`, the keys being the variables in small letters.
    ///
    /// [`fit`](Self::fit) the settings first: of what follows from the machine it says `unknown` otherwise.
    pub fn describe(&self) -> String {
        let mut line = String::new();
        let known = |number: Option<usize>| number.map_or("unknown".to_owned(), |n| n.to_string());
        for (setting, words) in self.effective.in_words() {
            let value = match setting.name {
                "MAX_CONNECTIONS" => known(self.max_connections),
                "MAX_BUFFERED_BYTES" => known(self.max_buffered_bytes),
                // Also one from a file.
                name if self.effective.secret(row(name)).is_some() => "set".to_owned(),
                _ if words == Secret::HIDDEN => "set".to_owned(),
                _ if words.contains([' ', '"', '\\', '=']) => format!("{words:?}"),
                _ => words,
            };
            let space = if line.is_empty() { "" } else { " " };
            line = line + space + &setting.key() + "=" + &value;
        }
        line
    }

    /// What differs in `newer`, which was read in the same way later. Secrets are named and not shown.
    ///
    /// What comes from another setting differs with it. `max_connections` is compared as it was given.
    pub fn changes(&self, newer: &Settings) -> Changes {
        self.effective.changes(&newer.effective)
    }

    /// What holds after a reload: what [`changes`](Self::changes) calls applied is `newer`'s, the rest stays.
    ///
    /// # Errors
    /// What does not fit together so, although each of the two does by itself: `TRUSTED_PROXIES` may be emptied together
    /// with `PROXY_PROTOCOL`, but that waits for a restart. And what keeps peers out and is not given any more: credentials,
    /// `ALLOWED_ORIGINS`, `WEBHOOK_ALLOW`, `TRUSTED_PROXIES`.
    pub fn reloaded(&self, newer: &Settings) -> Result<Settings, Faults> {
        let mut faults = Faults::default();
        let effective = self.effective.reloaded(&newer.effective, &mut faults);
        match effective.settings() {
            Some(settings) if faults.is_empty() => Ok(settings),
            _ => Err(faults),
        }
    }
}
