//! Converts the effective values to the settings that the program uses.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::Settings;
use super::effective_values::{EffectiveValues, SECRETS};
use super::routes::UPSTREAM_ROUTE;
use super::secret::Secret;
use super::setting_value::SettingValue;
use super::settings::BridgeSettings;
use super::table::row;
use super::upstream_policy::upstream_policy;
use crate::base::time::Micros;
use crate::engine::AdaptiveCadence;
use crate::gateway::{
    AcceptedSubprotocols, Admission, AppRegistry, ProxyProtocol, ReplayLimits, ReportMode, Route,
    SessionLimits, Subprotocols, WebOrigin,
};
use crate::health::{AliveBy, HeartbeatMode, Policy, StaleAction};
use crate::side::HttpSettings;

/// The settings for the timeout and the ping interval of each class.
pub(super) const CLASSES: [(usize, usize); 3] = [
    (
        row("GLASSES_CONNECTION_TIMEOUT_MS"),
        row("GLASSES_HEARTBEAT_INTERVAL_MS"),
    ),
    (
        row("APP_CONNECTION_TIMEOUT_MS"),
        row("APP_HEARTBEAT_INTERVAL_MS"),
    ),
    (
        row("UPSTREAM_CONNECTION_TIMEOUT_MS"),
        row("UPSTREAM_HEARTBEAT_INTERVAL_MS"),
    ),
];

/// The settings for the subprotocols of each class, and whether a peer must choose one of them.
pub(super) const SUBPROTOCOLS: [(usize, usize); 2] = [
    (
        row("GLASSES_SUBPROTOCOLS"),
        row("GLASSES_SUBPROTOCOL_REQUIRED"),
    ),
    (row("APP_SUBPROTOCOLS"), row("APP_SUBPROTOCOL_REQUIRED")),
];

/// The longest init message of an app, in bytes. Names of 256 bytes, a key and a timestamp fit
/// easily.
const APP_INIT_BYTES: usize = 4 * 1024;

impl EffectiveValues {
    /// Returns the settings that the program uses; `None` only if there was a fault.
    pub(super) fn settings(&self) -> Option<Settings> {
        let policies = CLASSES.map(|(timeout, interval)| self.policy(timeout, interval));
        let [glasses, app, upstream] = policies;
        Some(Settings {
            bridge: self.bridge()?,
            serves_relay: self.serves_relay(),
            client: Policy {
                alive_by: self.alive_by(const { row("ALIVE_BY") })?,
                late: self.switch(const { row("LATE") })?,
                when_stale: self.stale_action(const { row("CLIENT_JUDGE") })?,
                ..self.policy(
                    const { row("CONNECTION_TIMEOUT_MS") },
                    const { row("HEARTBEAT_INTERVAL_MS") },
                )?
            },
            upstream: Policy {
                alive_by: self.alive_by(const { row("UPSTREAM_ALIVE_BY") })?,
                late: self.switch(const { row("UPSTREAM_LATE") })?,
                when_stale: self.stale_action(const { row("UPSTREAM_JUDGE") })?,
                ..upstream_policy(upstream?)
            },
            link_slow_after: self.millis(const { row("SLOW_MS") })?,
            http: self.http()?,
            pulse: self.switch(const { row("PULSE") })?,
            accept_per_second: self.accept_rate()?,
            sessions: self.session_limits()?,
            client_reports: self.report_mode()?,
            ready_needs_upstream: self.switch(const { row("READY_NEEDS_UPSTREAM") })?,
            health_path: self.http_path(const { row("HEALTH_PATH") })?,
            glasses: Policy {
                alive_by: self.alive_by(const { row("GLASSES_ALIVE_BY") })?,
                late: self.switch(const { row("GLASSES_LATE") })?,
                ..glasses?
            },
            app: Policy {
                alive_by: self.alive_by(const { row("APP_ALIVE_BY") })?,
                late: self.switch(const { row("APP_LATE") })?,
                first_message_timeout: Some(self.millis(const { row("APP_INIT_TIMEOUT_MS") })?),
                first_message_bytes: Some(APP_INIT_BYTES),
                ..app?
            },
            cadence: self.cadence()?,
            cadence_file: self.path(const { row("CADENCE_FILE") }),
            stats_interval: self.millis(const { row("STATS_INTERVAL_MS") })?,
            handshake_timeout: self.millis(const { row("HANDSHAKE_TIMEOUT_MS") })?,
            drain_delay: self.millis(const { row("DRAIN_DELAY_MS") })?,
            drain: self.millis(const { row("DRAIN_MS") })?,
            listen_addr: self.address(const { row("LISTEN_ADDR") })?,
            allow_unauthenticated: self.switch(const { row("ALLOW_UNAUTHENTICATED") })?,
            reuse_port: self.switch(const { row("REUSE_PORT") })?,
            admin_addr: self.address(const { row("ADMIN_ADDR") }),
            admin_token: self.secret(const { row("ADMIN_TOKEN") }),
            admin_hosts: self.host_names(const { row("ADMIN_HOSTS") })?.to_vec(),
            auth_jwt_secret: self.secret(const { row("AUTH_JWT_SECRET") }),
            jwt_leeway: self.millis(const { row("AUTH_JWT_LEEWAY_MS") })?,
            apps: self.apps(),
            app_admission: match self.word(const { row("APP_ADMISSION") })? {
                "key" => Admission::Key,
                _ => Admission::Started,
            },
            allowed_origins: self.origins(const { row("ALLOWED_ORIGINS") })?.to_vec(),
            glasses_grace: self.millis(const { row("GLASSES_GRACE_MS") })?,
            app_grace: self.millis(const { row("APP_GRACE_MS") })?,
            replay: ReplayLimits {
                max_messages: self.size(const { row("REPLAY_MAX_MESSAGES") })?,
                max_bytes: self.size(const { row("REPLAY_MAX_BYTES") })?,
                max_age: self.millis(const { row("REPLAY_MAX_AGE_MS") })?,
            },
            replay_skip: self.types(const { row("REPLAY_SKIP") })?.to_vec(),
            replay_unconfirmed: self.word(const { row("REPLAY_UNCONFIRMED") })? == "on",
            glasses_connection_state: self.switch(const { row("GLASSES_CONNECTION_STATE") })?,
            flapping_limit: self
                .number(const { row("FLAPPING_LIMIT") })
                .and_then(|n| u32::try_from(n).ok())?,
            subprotocols: {
                let [glasses, app] = SUBPROTOCOLS.map(|(accepted, required)| {
                    Some(Subprotocols {
                        accepted: self.subprotocols(accepted)?.clone(),
                        required: self.switch(required)?,
                    })
                });
                [glasses?, app?]
            },
            app_websocket_url: self.url(const { row("APP_WEBSOCKET_URL") }),
            webhook_timeout: self.millis(const { row("WEBHOOK_TIMEOUT_MS") })?,
            webhook_allow: self.networks_if_given(const { row("WEBHOOK_ALLOW") })?,
            state_file: self.path(const { row("STATE_FILE") }),
            alerts: self.alerts()?,
            events_url: self.webhook_url(const { row("EVENTS_URL") }),
            events_secret: self.secret(const { row("EVENTS_SECRET") }),
            events_kept: self.size(const { row("EVENTS_KEPT") })?,
            proxy_protocol: match self.word(const { row("PROXY_PROTOCOL") })? {
                "v1" => ProxyProtocol::V1,
                "v2" => ProxyProtocol::V2,
                _ => ProxyProtocol::Off,
            },
            trusted_proxies: self.networks(const { row("TRUSTED_PROXIES") })?.to_vec(),
            max_connections: self.size(const { row("MAX_CONNECTIONS") }),
            max_head_bytes: self.size(const { row("MAX_HEAD_BYTES") })?,
            max_message_bytes: self.size(const { row("MAX_MESSAGE_BYTES") })?,
            max_pending_bytes: self.size(const { row("MAX_PENDING_BYTES") })?,
            slow_after: self.millis(const { row("SLOW_CONSUMER_MS") })?,
            max_buffered_bytes: self.size(const { row("MAX_BUFFERED_BYTES") }),
            stale_closes_per_second: self
                .number(const { row("STALE_CLOSES_PER_SECOND") })
                .and_then(|n| u32::try_from(n).ok())?,
            log_json: self.word(const { row("LOG_FORMAT") })? == "json",
            log_level: self.word(const { row("LOG_LEVEL") })?.parse().ok()?,
            config_file: self.path(const { row("CONFIG_FILE") }),
            config_watch: self.switch(const { row("CONFIG_WATCH") })?,
            effective: self.clone(),
        })
    }

    /// Returns the settings of the bridge; `None` inside if there is no route.
    fn bridge(&self) -> Option<Option<BridgeSettings>> {
        if !self.has_routes() {
            return Some(None);
        }
        let close = self.policy(
            const { row("CONNECTION_TIMEOUT_MS") },
            const { row("HEARTBEAT_INTERVAL_MS") },
        )?;
        let of_file: Option<Vec<Route>> = self.routes.iter().map(|r| r.route(&close)).collect();
        let mut routes = of_file?;
        if self.has_upstream() {
            routes.push(self.upstream_route()?);
        }
        Some(Some(BridgeSettings {
            routes,
            forwarded_https: self.word(const { row("FORWARDED_PROTO") })? == "https",
            http_pass: self.word(const { row("HTTP_PASS") })? == "on",
        }))
    }

    /// Returns the settings of adaptive cadence; `None` inside if it is off.
    fn cadence(&self) -> Option<Option<AdaptiveCadence>> {
        let cadence = AdaptiveCadence {
            interval_max: self.millis(const { row("HEARTBEAT_MAX_MS") })?,
            detect_within: self
                .millis(const { row("DETECT_WITHIN_MS") })
                .or_else(|| self.millis(const { row("CONNECTION_TIMEOUT_MS") }))?,
        };
        let is_on = self.switch(const { row("ADAPTIVE_CADENCE") })?;
        Some(is_on.then_some(cadence))
    }

    /// Returns the settings of plain HTTP.
    fn http(&self) -> Option<HttpSettings> {
        let time = |at: usize| Some(self.millis(at)?.as_duration());
        Some(HttpSettings {
            head_max: self.size(const { row("MAX_HEAD_BYTES") })?,
            head_timeout: time(const { row("HANDSHAKE_TIMEOUT_MS") })?,
            answer_timeout: time(const { row("HTTP_ANSWER_TIMEOUT_MS") })?,
            body_idle: time(const { row("HTTP_BODY_IDLE_MS") })?,
            keep_alive: time(const { row("HTTP_KEEP_ALIVE_MS") })?,
            upstream_keep_alive: time(const { row("UPSTREAM_KEEP_ALIVE_MS") })?,
            max_requests: self.size(const { row("HTTP_MAX_REQUESTS") })?,
        })
    }

    fn report_mode(&self) -> Option<ReportMode> {
        let word = self.word(const { row("CLIENT_REPORTS") })?;
        ReportMode::ALL.into_iter().find(|mode| mode.name() == word)
    }

    fn accept_rate(&self) -> Option<u32> {
        let rate = self.number(const { row("ACCEPT_RATE") })?;
        u32::try_from(rate).ok()
    }

    /// Returns the limits of sessions that outlive their connections.
    fn session_limits(&self) -> Option<SessionLimits> {
        Some(SessionLimits {
            hold: self.millis(const { row("HOLD_MS") })?,
            holds_max: self.size(const { row("HOLDS_MAX") })?,
            hold_bytes_max: self.size(const { row("HOLD_MAX_BYTES") })?,
            holds_per_identity: self.size(const { row("HOLDS_PER_IDENTITY") })?,
            session_max: self.millis(const { row("PULSE_SESSION_MAX_MS") })?,
        })
    }

    /// Returns the route that the setting `UPSTREAM` makes.
    fn upstream_route(&self) -> Option<Route> {
        let value = |at: usize| self.values[at].value.as_ref();
        let SettingValue::Upstream(upstream) = value(const { row("UPSTREAM") })? else {
            return None;
        };
        let host_header = value(const { row("UPSTREAM_HOST_HEADER") })?;
        let SettingValue::HostHeader(host_header) = host_header else {
            return None;
        };
        let most = self.number(const { row("UPSTREAM_MAX_MESSAGE_BYTES") })?;
        Some(Route {
            host_header: host_header.clone(),
            connect_timeout: self.millis(const { row("UPSTREAM_CONNECT_TIMEOUT_MS") })?,
            answer_timeout: self.millis(const { row("UPSTREAM_ANSWER_TIMEOUT_MS") })?,
            max_message_bytes: u32::try_from(most).unwrap_or(u32::MAX),
            pulse: self.switch(const { row("PULSE") })?,
            accept_per_second: self.accept_rate()?,
            ..Route::to(UPSTREAM_ROUTE, vec![upstream.clone().into()])
        })
    }

    fn stale_action(&self, at: usize) -> Option<StaleAction> {
        Some(match self.word(at)? {
            "report" => StaleAction::Report,
            _ => StaleAction::Close,
        })
    }

    fn alive_by(&self, at: usize) -> Option<AliveBy> {
        Some(AliveBy::parse(self.word(at)?))
    }

    fn http_path(&self, at: usize) -> Option<Box<str>> {
        let SettingValue::HttpPath(path) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(path.clone())
    }

    fn policy(&self, timeout: usize, interval: usize) -> Option<Policy> {
        Some(Policy {
            heartbeat_interval: self.millis(interval)?,
            connection_timeout: self.millis(timeout)?,
            close_timeout: self.millis(const { row("CLOSE_TIMEOUT_MS") })?,
            mode: match self.word(const { row("HEARTBEAT_MODE") })? {
                "idle" => HeartbeatMode::Idle,
                _ => HeartbeatMode::Always,
            },
            ..Policy::default()
        })
    }

    pub(super) fn number(&self, at: usize) -> Option<u64> {
        let SettingValue::Number(number) = *self.values[at].value.as_ref()? else {
            return None;
        };
        Some(number)
    }

    pub(super) fn millis(&self, at: usize) -> Option<Micros> {
        self.number(at).map(Micros::from_millis)
    }

    /// Returns a size; on a 32-bit machine, values that do not fit become the largest size.
    pub(super) fn size(&self, at: usize) -> Option<usize> {
        let number = self.number(at)?;
        Some(usize::try_from(number).unwrap_or(usize::MAX))
    }

    pub(super) fn word(&self, at: usize) -> Option<&'static str> {
        let SettingValue::Word(word) = *self.values[at].value.as_ref()? else {
            return None;
        };
        Some(word)
    }

    /// Returns the files whose content is part of the settings.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let config_file = self.path(const { row("CONFIG_FILE") });
        let contents = self.values.iter().filter_map(|entry| match &entry.value {
            Some(SettingValue::SecretFile(path, _) | SettingValue::AppsFile(path, _)) => {
                Some(path.clone())
            }
            _ => None,
        });
        config_file.into_iter().chain(contents).collect()
    }

    pub(super) fn switch(&self, at: usize) -> Option<bool> {
        let SettingValue::Switch(on) = *self.values[at].value.as_ref()? else {
            return None;
        };
        Some(on)
    }

    pub(super) fn address(&self, at: usize) -> Option<SocketAddr> {
        let SettingValue::Address(address) = *self.values[at].value.as_ref()? else {
            return None;
        };
        Some(address)
    }

    /// Returns a path, unless the content of its file was already read.
    pub(super) fn path(&self, at: usize) -> Option<PathBuf> {
        let SettingValue::Path(path) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(path.clone())
    }

    /// Returns the networks of a setting that allows more if it is absent than if it is empty.
    fn networks_if_given(&self, at: usize) -> Option<Option<Vec<IpNet>>> {
        if self.is_absent(at) {
            return Some(None);
        }
        Some(Some(self.networks(at)?.to_vec()))
    }

    /// Returns the networks; an absent setting is an empty list.
    pub(super) fn networks(&self, at: usize) -> Option<&[IpNet]> {
        if self.is_absent(at) {
            return Some(&[]);
        }
        let SettingValue::Networks(networks) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(networks)
    }

    /// Returns the origins; an absent setting is an empty list.
    pub(super) fn origins(&self, at: usize) -> Option<&[WebOrigin]> {
        if self.is_absent(at) {
            return Some(&[]);
        }
        let SettingValue::Origins(origins) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(origins)
    }

    pub(super) fn types(&self, at: usize) -> Option<&[Box<str>]> {
        let SettingValue::FrameTypes(types) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(types)
    }

    pub(super) fn subprotocols(&self, at: usize) -> Option<&AcceptedSubprotocols> {
        let SettingValue::Subprotocols(accepted) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(accepted)
    }

    /// Returns the host names; an absent setting is an empty list.
    fn host_names(&self, at: usize) -> Option<&[Box<str>]> {
        if self.is_absent(at) {
            return Some(&[]);
        }
        let SettingValue::HostNames(names) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(names)
    }

    pub(super) fn url(&self, at: usize) -> Option<String> {
        let SettingValue::Url(url) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(url.clone())
    }

    pub(super) fn apps(&self) -> Option<AppRegistry> {
        let at = const { row("APPS_FILE") };
        let SettingValue::AppsFile(_, apps) = self.values[at].value.as_ref()? else {
            return None;
        };
        Some(apps.clone())
    }

    /// Returns the secret of the row `at`, given directly or by its file.
    pub(super) fn secret(&self, at: usize) -> Option<Secret> {
        let (secret, file) = SECRETS.into_iter().find(|(secret, _)| *secret == at)?;
        let given = |at: usize| {
            let value = self.values[at].value.as_ref()?;
            let (SettingValue::Secret(secret) | SettingValue::SecretFile(_, secret)) = value else {
                return None;
            };
            Some(secret.clone())
        };
        given(secret).or_else(|| given(file))
    }
}
