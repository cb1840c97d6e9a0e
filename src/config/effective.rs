//! The value of every setting that holds in the end, and where it came from.

use std::ffi::{OsStr, OsString};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;

use super::Settings;
use super::changes::{Change, Changes};
use super::faults::{Fault, Faults, Origin};
use super::file::{File, Said, beginning};
use super::regular;
use super::secret::Secret;
use super::table::{Fallback, Kind, SETTINGS, Setting, Value, row};
use crate::gateway::{Admission, Apps, ProxyProtocol, ReplayLimits, WebOrigin};
use crate::health::{HeartbeatMode, Policy};
use crate::time::Micros;

/// Every setting's value and origin, by its row in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effective(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    /// `None`: there is a fault, which has been told.
    value: Option<Value>,
    origin: Origin,
}

/// Where a value comes from is no part of what holds.
impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Eq for Entry {}

/// What `MAX_PENDING_BYTES` is at least by default.
const PENDING_BYTES: u64 = 4 << 20;

/// The file of a secret has a line.
const SECRET_FILE: usize = 64 << 10;

/// Ten thousand apps with the longest names, keys and addresses, and room.
const APPS_FILE: usize = 16 << 20;

/// The secrets, and the settings that name a file with each.
const SECRETS: [(usize, usize); 2] = [
    (row("AUTH_JWT_SECRET"), row("AUTH_JWT_SECRET_FILE")),
    (row("ADMIN_TOKEN"), row("ADMIN_TOKEN_FILE")),
];

/// The settings of which one must be given, or anybody may connect.
const CREDENTIALS: [usize; 3] = [
    row("AUTH_JWT_SECRET"),
    row("AUTH_JWT_SECRET_FILE"),
    row("APPS_FILE"),
];

/// The longest header of a frame (RFC 6455 §5.2).
const FRAME_HEADER: u64 = 14;

/// The settings that say when a connection of one class is stale, and how often it is pinged.
const CLASSES: [(usize, usize); 2] = [
    (
        row("GLASSES_CONNECTION_TIMEOUT_MS"),
        row("GLASSES_HEARTBEAT_INTERVAL_MS"),
    ),
    (
        row("TPA_CONNECTION_TIMEOUT_MS"),
        row("TPA_HEARTBEAT_INTERVAL_MS"),
    ),
];

impl Effective {
    /// Takes the flag where there is one, else the variable, else what the file says, else the default. What is overruled
    /// is not looked at; an empty variable counts as unset.
    pub(super) fn resolve(
        flags: Vec<Option<OsString>>,
        env: impl Fn(&str) -> Option<OsString>,
        faults: &mut Faults,
    ) -> Self {
        let mut effective = Effective(Vec::with_capacity(SETTINGS.len()));
        // The first row says which.
        let mut file = File::none();
        for (at, (setting, flag)) in SETTINGS.iter().zip(flags).enumerate() {
            let variable = || env(setting.name).filter(|text| !text.is_empty());
            let given = flag
                .map(|text| (text, Origin::Flag))
                .or_else(|| variable().map(|text| (text, Origin::Variable)));
            let entry = match given {
                Some((text, origin)) => Entry {
                    value: read(setting, &text, origin, faults),
                    origin,
                },
                None => effective.file_or_default(setting, file.said(at), faults),
            };
            effective.0.push(entry);
            if at == const { row("CONFIG_FILE") } {
                file = effective.file(faults);
            }
        }
        for (secret, file) in SECRETS {
            effective.read_secret(secret, file, faults);
        }
        effective.read_apps(faults);
        effective.check_against_each_other(faults);
        effective
    }

    /// The file with settings that `CONFIG_FILE` names.
    fn file(&self, faults: &mut Faults) -> File {
        let at = const { row("CONFIG_FILE") };
        match self.path(at) {
            Some(path) => File::read(&path, faults).unwrap_or_else(|allowed| {
                faults.push(self.fault(at, allowed));
                File::unknown()
            }),
            None if self.is_absent(at) => File::none(),
            None => File::unknown(),
        }
    }

    /// A setting that neither a flag nor a variable gives; those before it in the table are known.
    fn file_or_default(&self, setting: &Setting, said: &Said, faults: &mut Faults) -> Entry {
        let value = match said {
            Said::Nothing => {
                return Entry {
                    value: self.fall_back(setting),
                    origin: Origin::Default,
                };
            }
            Said::Text(text) => read(setting, OsStr::new(text), Origin::File, faults),
            Said::WrongType(is) => {
                faults.push(Fault::WrongType {
                    name: setting.name,
                    is,
                    allowed: setting.allowed(),
                });
                None
            }
            Said::Unknown => None,
        };
        Entry {
            value,
            origin: Origin::File,
        }
    }

    /// The value of a setting that is not given; those before it in the table are known.
    fn fall_back(&self, setting: &Setting) -> Option<Value> {
        match setting.default {
            Fallback::Value(text) => setting.kind.parse(text),
            Fallback::Of(name) => self.0[row(name)].value.clone(),
            Fallback::Derived(_) if setting.name == "MAX_PENDING_BYTES" => {
                let message = self.number(const { row("MAX_MESSAGE_BYTES") })?;
                Some(Value::Number(PENDING_BYTES.max(2 * message)))
            }
            Fallback::Derived(_) | Fallback::Nothing => Some(Value::Nothing),
        }
    }

    /// Puts the secret beside the path of its file. If it is given by itself, too, that is the fault, and this one is not
    /// looked at.
    fn read_secret(&mut self, secret: usize, file: usize, faults: &mut Faults) {
        let Some(path) = self.path(file) else { return };
        if self.holds(secret) {
            return;
        }
        let read = regular::read(&path, SECRET_FILE).and_then(|content| {
            str::from_utf8(content.trim_ascii_end())
                .ok()
                .and_then(Secret::parse)
                .ok_or_else(|| format!("a file that holds {}", Secret::ALLOWED))
        });
        self.put(file, read.map(|s| Value::SecretFile(path, s)), faults);
    }

    /// Puts the apps beside the path of their file.
    fn read_apps(&mut self, faults: &mut Faults) {
        let at = const { row("APPS_FILE") };
        let Some(path) = self.path(at) else { return };
        let read = regular::read(&path, APPS_FILE).and_then(|content| Apps::parse(&content));
        self.put(at, read.map(|apps| Value::AppsFile(path, apps)), faults);
    }

    /// What was found where a setting points, or the fault of that.
    fn put(&mut self, at: usize, found: Result<Value, String>, faults: &mut Faults) {
        self.0[at].value = match found {
            Ok(value) => Some(value),
            Err(allowed) => {
                faults.push(self.fault(at, allowed));
                None
            }
        };
    }

    /// The rules of the table that name more than one setting. What is faulty by itself breaks none of them.
    fn check_against_each_other(&self, faults: &mut Faults) {
        let address = const { row("LISTEN_ADDR") };
        if let Some(listen) = self.address(address)
            && let Some(false) = self.switch(const { row("ALLOW_UNAUTHENTICATED") })
            && !listen.ip().to_canonical().is_loopback()
            && CREDENTIALS.iter().all(|at| self.is_absent(*at))
        {
            let allowed = "a loopback address, or AUTH_JWT_SECRET, AUTH_JWT_SECRET_FILE or APPS_FILE must be given, \
                           or ALLOW_UNAUTHENTICATED must be 1: \
                           whoever reaches any other address could connect as anybody";
            faults.push(self.fault(address, allowed.to_owned()));
        }

        for (secret, file) in SECRETS {
            if self.holds(secret) && self.holds(file) {
                let (name, origin) = (SETTINGS[secret].name, self.0[secret].origin);
                faults.push(self.fault(file, format!("left out: {name} is given ({origin})")));
            }
        }
        let admin = const { row("ADMIN_ADDR") };
        if let Some(Value::Address(address)) = &self.0[admin].value
            && !address.ip().to_canonical().is_loopback()
            && self.is_absent(const { row("ADMIN_TOKEN") })
            && self.is_absent(const { row("ADMIN_TOKEN_FILE") })
        {
            let allowed = "a loopback address or off, or ADMIN_TOKEN or ADMIN_TOKEN_FILE must be given: \
                           whoever reaches any other address could close every connection";
            faults.push(self.fault(admin, allowed.to_owned()));
        }

        // Two classes that both inherit the general pair have one fault, not two.
        let mut told = Vec::new();
        for (timeout, interval) in CLASSES {
            let (timeout, interval) = (self.source(timeout), self.source(interval));
            if let (Some(t), Some(i)) = (self.number(timeout), self.number(interval))
                && t <= i
                && !told.contains(&(timeout, interval))
            {
                faults.push(self.fault(timeout, format!("more than {}", self.cite(interval))));
                told.push((timeout, interval));
            }
        }

        let pending = const { row("MAX_PENDING_BYTES") };
        let message = const { row("MAX_MESSAGE_BYTES") };
        if let (Some(p), Some(m)) = (self.number(pending), self.number(message))
            && p < m + FRAME_HEADER
        {
            let allowed = format!("at least {}, and {FRAME_HEADER} more", self.cite(message));
            faults.push(self.fault(pending, allowed));
        }

        let buffered = const { row("MAX_BUFFERED_BYTES") };
        if let (Some(b), Some(p)) = (self.number(buffered), self.number(pending))
            && b < p
        {
            faults.push(self.fault(buffered, format!("at least {}", self.cite(pending))));
        }

        let protocol = const { row("PROXY_PROTOCOL") };
        if let Some(word) = self.word(protocol)
            && let Some(networks) = self.networks(const { row("TRUSTED_PROXIES") })
            && word != "off"
            && networks.is_empty()
        {
            let allowed = "off, or TRUSTED_PROXIES must name at least one: \
                           whoever connects could claim to be anybody";
            faults.push(self.fault(protocol, allowed.to_owned()));
        }
    }

    /// The settings as the program uses them; `None` only if there was a fault.
    pub(super) fn settings(&self) -> Option<Settings> {
        let [glasses, tpa] = CLASSES.map(|(timeout, interval)| self.policy(timeout, interval));
        Some(Settings {
            glasses: glasses?,
            tpa: Policy {
                first_message_timeout: Some(self.millis(const { row("TPA_INIT_TIMEOUT_MS") })?),
                ..tpa?
            },
            stats_interval: self.millis(const { row("STATS_INTERVAL_MS") })?,
            handshake_timeout: self.millis(const { row("HANDSHAKE_TIMEOUT_MS") })?,
            drain_delay: self.millis(const { row("DRAIN_DELAY_MS") })?,
            drain: self.millis(const { row("DRAIN_MS") })?,
            listen_addr: self.address(const { row("LISTEN_ADDR") })?,
            allow_unauthenticated: self.switch(const { row("ALLOW_UNAUTHENTICATED") })?,
            reuse_port: self.switch(const { row("REUSE_PORT") })?,
            admin_addr: self.address(const { row("ADMIN_ADDR") }),
            admin_token: self.secret(const { row("ADMIN_TOKEN") }),
            auth_jwt_secret: self.secret(const { row("AUTH_JWT_SECRET") }),
            apps: self.apps(),
            app_admission: match self.word(const { row("APP_ADMISSION") })? {
                "key" => Admission::Key,
                _ => Admission::Started,
            },
            allowed_origins: self.origins(const { row("ALLOWED_ORIGINS") })?.to_vec(),
            glasses_grace: self.millis(const { row("GLASSES_GRACE_MS") })?,
            tpa_grace: self.millis(const { row("TPA_GRACE_MS") })?,
            replay: ReplayLimits {
                max_messages: self.size(const { row("REPLAY_MAX_MESSAGES") })?,
                max_bytes: self.size(const { row("REPLAY_MAX_BYTES") })?,
                max_age: self.millis(const { row("REPLAY_MAX_AGE_MS") })?,
            },
            replay_skip: self.types(const { row("REPLAY_SKIP") })?.to_vec(),
            replay_unconfirmed: self.word(const { row("REPLAY_UNCONFIRMED") })? == "on",
            flapping_limit: self
                .number(const { row("FLAPPING_LIMIT") })
                .and_then(|n| u32::try_from(n).ok())?,
            app_websocket_url: self.url(const { row("APP_WEBSOCKET_URL") }),
            webhook_timeout: self.millis(const { row("WEBHOOK_TIMEOUT_MS") })?,
            state_file: self.path(const { row("STATE_FILE") }),
            proxy_protocol: match self.word(const { row("PROXY_PROTOCOL") })? {
                "v1" => ProxyProtocol::V1,
                "v2" => ProxyProtocol::V2,
                _ => ProxyProtocol::Off,
            },
            trusted_proxies: self.networks(const { row("TRUSTED_PROXIES") })?.to_vec(),
            max_connections: self.size(const { row("MAX_CONNECTIONS") }),
            max_message_bytes: self.size(const { row("MAX_MESSAGE_BYTES") })?,
            max_pending_bytes: self.size(const { row("MAX_PENDING_BYTES") })?,
            max_buffered_bytes: self.size(const { row("MAX_BUFFERED_BYTES") })?,
            stale_closes_per_second: self
                .number(const { row("STALE_CLOSES_PER_SECOND") })
                .and_then(|n| u32::try_from(n).ok())?,
            log_level: self.word(const { row("LOG_LEVEL") })?.parse().ok()?,
            config_file: self.path(const { row("CONFIG_FILE") }),
            effective: self.clone(),
        })
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

    /// Every setting as `NAME=value # origin`: what a shell can read back to get the same settings, but for secrets.
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        for (at, (setting, entry)) in SETTINGS.iter().zip(&self.0).enumerate() {
            let value = shell_word(self.text(at));
            let _ = write!(text, "{}={value} # {}", setting.name, entry.origin);
            // A fixed default needs no explanation: it is the value itself.
            if entry.origin == Origin::Default && !matches!(setting.default, Fallback::Value(_)) {
                let _ = write!(text, ": {}", setting.default);
            }
            text.push('\n');
        }
        text
    }

    /// Every setting that is not just what others fall back to, with its value in words.
    pub(super) fn in_words(&self) -> impl Iterator<Item = (&'static Setting, String)> {
        let is_general = |name: &str| {
            SETTINGS
                .iter()
                .any(|s| matches!(s.default, Fallback::Of(general) if general == name))
        };
        SETTINGS
            .iter()
            .enumerate()
            .filter(move |(_, setting)| !is_general(setting.name))
            .map(|(at, setting)| (setting, self.words(at)))
    }

    /// How `newer` differs.
    pub(super) fn changes(&self, newer: &Self) -> Changes {
        let mut changes = Changes::default();
        for (at, setting) in SETTINGS.iter().enumerate() {
            if self.0[at] == newer.0[at] {
                continue;
            }
            if setting.reload {
                changes.applied.push(Change {
                    name: setting.name,
                    old: self.words(at),
                    new: newer.words(at),
                });
            } else {
                changes.restart.push(setting.name);
            }
        }
        changes
    }

    /// What holds after a reload: of `newer` what a reload applies, of this the rest.
    pub(super) fn reloaded(&self, newer: &Self, faults: &mut Faults) -> Self {
        let rows = SETTINGS.iter().zip(self.0.iter().zip(&newer.0));
        let rows = rows.map(|(setting, (old, new))| if setting.reload { new } else { old });
        let effective = Effective(rows.cloned().collect());
        effective.check_against_each_other(faults);
        effective
    }

    /// The row that the value in `row` was given in.
    fn source(&self, at: usize) -> usize {
        match (self.0[at].origin, SETTINGS[at].default) {
            (Origin::Default, Fallback::Of(name)) => row(name),
            _ => at,
        }
    }

    fn fault(&self, at: usize, allowed: String) -> Fault {
        Fault::Value {
            name: SETTINGS[at].name,
            origin: self.0[at].origin,
            value: self.text(at),
            allowed,
        }
    }

    /// A setting as another one's fault refers to it.
    fn cite(&self, at: usize) -> String {
        format!(
            "{}, which is {} ({})",
            SETTINGS[at].name,
            self.text(at),
            self.0[at].origin
        )
    }

    /// The value as an operator would write it.
    fn text(&self, at: usize) -> String {
        let value = self.0[at].value.as_ref();
        value.map(Value::to_string).unwrap_or_default()
    }

    /// The value, or in words that there is none.
    fn words(&self, at: usize) -> String {
        let text = self.text(at);
        if self.is_absent(at) {
            SETTINGS[at].default.to_string()
        } else if text.is_empty() {
            Fallback::Nothing.to_string()
        } else {
            text
        }
    }

    /// Whether there is a value, and no fault in it.
    fn holds(&self, at: usize) -> bool {
        self.0[at].value.is_some() && !self.is_absent(at)
    }

    /// Whether there is none. Of a faulty one, or with a file that cannot be read, that is not known.
    fn is_absent(&self, at: usize) -> bool {
        self.0[at].value == Some(Value::Nothing)
    }

    fn number(&self, at: usize) -> Option<u64> {
        let Value::Number(number) = *self.0[at].value.as_ref()? else {
            return None;
        };
        Some(number)
    }

    fn millis(&self, at: usize) -> Option<Micros> {
        self.number(at).map(Micros::from_millis)
    }

    /// On a machine of 32 bits the largest sizes are the largest that there are.
    fn size(&self, at: usize) -> Option<usize> {
        let number = self.number(at)?;
        Some(usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn word(&self, at: usize) -> Option<&'static str> {
        let Value::Word(word) = *self.0[at].value.as_ref()? else {
            return None;
        };
        Some(word)
    }

    fn switch(&self, at: usize) -> Option<bool> {
        let Value::Switch(on) = *self.0[at].value.as_ref()? else {
            return None;
        };
        Some(on)
    }

    fn address(&self, at: usize) -> Option<SocketAddr> {
        let Value::Address(address) = *self.0[at].value.as_ref()? else {
            return None;
        };
        Some(address)
    }

    /// Not yet one whose content was read.
    fn path(&self, at: usize) -> Option<PathBuf> {
        let Value::Path(path) = self.0[at].value.as_ref()? else {
            return None;
        };
        Some(path.clone())
    }

    /// None are none.
    fn networks(&self, at: usize) -> Option<&[IpNet]> {
        if self.is_absent(at) {
            return Some(&[]);
        }
        let Value::Networks(networks) = self.0[at].value.as_ref()? else {
            return None;
        };
        Some(networks)
    }

    /// None are none.
    fn origins(&self, at: usize) -> Option<&[WebOrigin]> {
        if self.is_absent(at) {
            return Some(&[]);
        }
        let Value::Origins(origins) = self.0[at].value.as_ref()? else {
            return None;
        };
        Some(origins)
    }

    fn types(&self, at: usize) -> Option<&[Box<str>]> {
        let Value::FrameTypes(types) = self.0[at].value.as_ref()? else {
            return None;
        };
        Some(types)
    }

    fn url(&self, at: usize) -> Option<String> {
        let Value::Url(url) = self.0[at].value.as_ref()? else {
            return None;
        };
        Some(url.clone())
    }

    fn apps(&self) -> Option<Apps> {
        let at = const { row("APPS_FILE") };
        let Value::AppsFile(_, apps) = self.0[at].value.as_ref()? else {
            return None;
        };
        Some(apps.clone())
    }

    /// The secret of the row `at`, given by itself or in its file.
    pub(super) fn secret(&self, at: usize) -> Option<Secret> {
        let (secret, file) = SECRETS.into_iter().find(|(secret, _)| *secret == at)?;
        let given = |at: usize| {
            let value = self.0[at].value.as_ref()?;
            let (Value::Secret(secret) | Value::SecretFile(_, secret)) = value else {
                return None;
            };
            Some(secret.clone())
        };
        given(secret).or_else(|| given(file))
    }
}

/// The value that was given, or a fault.
fn read(setting: &Setting, text: &OsStr, origin: Origin, faults: &mut Faults) -> Option<Value> {
    let value = text.to_str().and_then(|text| setting.kind.parse(text));
    if value.is_none() {
        let text = text.to_string_lossy();
        faults.push(Fault::Value {
            name: setting.name,
            origin,
            value: match (setting.kind, origin) {
                (Kind::Secret, _) => Secret::HIDDEN.to_owned(),
                (_, Origin::File) => beginning(&text),
                (_, Origin::Default | Origin::Variable | Origin::Flag) => text.into_owned(),
            },
            allowed: setting.allowed(),
        });
    }
    value
}

/// In quotes only what a shell would not take as it is: a path may have anything in it.
fn shell_word(text: String) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "._-+:@%,/[]*".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
