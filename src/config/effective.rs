//! The value of every setting that holds in the end, and where it came from.

use std::ffi::OsString;
use std::fmt::Write;
use std::net::SocketAddr;

use super::Settings;
use super::faults::{Fault, Faults, Origin};
use super::table::{Fallback, SETTINGS, Setting, Value, row};
use crate::health::{HeartbeatMode, Policy};
use crate::time::Micros;

/// Every setting's value and origin, by its row in the table.
pub(super) struct Effective(Vec<Entry>);

struct Entry {
    /// `None`: there is a fault (which has been told), or nothing is given and the default is not ours to work out.
    value: Option<Value>,
    origin: Origin,
}

/// What `MAX_PENDING_BYTES` is at least by default.
const PENDING_BYTES: u64 = 4 << 20;

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
    /// Takes the flag where there is one, else the variable, else the default. A variable that a flag overrules is not
    /// looked at; an empty one counts as unset.
    pub(super) fn resolve(
        flags: Vec<Option<OsString>>,
        env: impl Fn(&str) -> Option<OsString>,
        faults: &mut Faults,
    ) -> Self {
        let mut effective = Effective(Vec::with_capacity(SETTINGS.len()));
        for (setting, flag) in SETTINGS.iter().zip(flags) {
            let variable = || env(setting.name).filter(|text| !text.is_empty());
            let given = flag
                .map(|text| (text, Origin::Flag))
                .or_else(|| variable().map(|text| (text, Origin::Variable)));
            let entry = match given {
                Some((text, origin)) => Entry {
                    value: read(setting, &text, origin, faults),
                    origin,
                },
                None => Entry {
                    value: effective.fall_back(setting),
                    origin: Origin::Default,
                },
            };
            effective.0.push(entry);
        }
        effective.check_against_each_other(faults);
        effective
    }

    /// The value of a setting that is not given; those before it in the table are known.
    fn fall_back(&self, setting: &Setting) -> Option<Value> {
        match setting.default {
            Fallback::Value(text) => setting.kind.parse(text),
            Fallback::Of(name) => self.0[row(name)].value,
            Fallback::Derived(_) if setting.name == "MAX_PENDING_BYTES" => {
                let message = self.number(const { row("MAX_MESSAGE_BYTES") })?;
                Some(Value::Number(PENDING_BYTES.max(2 * message)))
            }
            Fallback::Derived(_) => None,
        }
    }

    /// The rules of the table that name more than one setting. What is faulty by itself breaks none of them.
    fn check_against_each_other(&self, faults: &mut Faults) {
        let address = const { row("LISTEN_ADDR") };
        if let Some(listen) = self.address(address)
            && let Some(false) = self.switch(const { row("ALLOW_UNAUTHENTICATED") })
            && !listen.ip().to_canonical().is_loopback()
        {
            let allowed = "a loopback address, or ALLOW_UNAUTHENTICATED must be 1: \
                           whoever reaches any other address could connect as anybody";
            faults.push(self.fault(address, allowed.to_owned()));
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
    }

    /// The settings as the program uses them; `None` only if there was a fault.
    pub(super) fn settings(&self) -> Option<Settings> {
        let [glasses, tpa] = CLASSES.map(|(timeout, interval)| self.policy(timeout, interval));
        Some(Settings {
            glasses: glasses?,
            tpa: tpa?,
            stats_interval: self.millis(const { row("STATS_INTERVAL_MS") })?,
            handshake_timeout: self.millis(const { row("HANDSHAKE_TIMEOUT_MS") })?,
            drain_delay: self.millis(const { row("DRAIN_DELAY_MS") })?,
            drain: self.millis(const { row("DRAIN_MS") })?,
            listen_addr: self.address(const { row("LISTEN_ADDR") })?,
            allow_unauthenticated: self.switch(const { row("ALLOW_UNAUTHENTICATED") })?,
            reuse_port: self.switch(const { row("REUSE_PORT") })?,
            max_connections: self.size(const { row("MAX_CONNECTIONS") }),
            max_message_bytes: self.size(const { row("MAX_MESSAGE_BYTES") })?,
            max_pending_bytes: self.size(const { row("MAX_PENDING_BYTES") })?,
            max_buffered_bytes: self.size(const { row("MAX_BUFFERED_BYTES") })?,
            stale_closes_per_second: self
                .number(const { row("STALE_CLOSES_PER_SECOND") })
                .and_then(|n| u32::try_from(n).ok())?,
            log_level: self.word(const { row("LOG_LEVEL") })?.parse().ok()?,
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

    /// Every setting as `NAME=value # origin`: what a shell can read back to get the same settings.
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        for (setting, entry) in SETTINGS.iter().zip(&self.0) {
            let value = entry.value.map(|v| v.to_string()).unwrap_or_default();
            let _ = write!(text, "{}={value} # {}", setting.name, entry.origin);
            // A fixed default needs no explanation: it is the value itself.
            if entry.origin == Origin::Default && !matches!(setting.default, Fallback::Value(_)) {
                let _ = write!(text, ": {}", setting.default);
            }
            text.push('\n');
        }
        text
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
            value: self.0[at].value.map(|v| v.to_string()).unwrap_or_default(),
            allowed,
        }
    }

    /// A setting as another one's fault refers to it.
    fn cite(&self, at: usize) -> String {
        let value = self.0[at].value.map(|v| v.to_string()).unwrap_or_default();
        format!(
            "{}, which is {value} ({})",
            SETTINGS[at].name, self.0[at].origin
        )
    }

    fn number(&self, at: usize) -> Option<u64> {
        match self.0[at].value? {
            Value::Number(number) => Some(number),
            Value::Word(_) | Value::Switch(_) | Value::Address(_) => None,
        }
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
        match self.0[at].value? {
            Value::Word(word) => Some(word),
            Value::Number(_) | Value::Switch(_) | Value::Address(_) => None,
        }
    }

    fn switch(&self, at: usize) -> Option<bool> {
        match self.0[at].value? {
            Value::Switch(on) => Some(on),
            Value::Number(_) | Value::Word(_) | Value::Address(_) => None,
        }
    }

    fn address(&self, at: usize) -> Option<SocketAddr> {
        match self.0[at].value? {
            Value::Address(address) => Some(address),
            Value::Number(_) | Value::Word(_) | Value::Switch(_) => None,
        }
    }
}

/// The value that was given, or a fault.
fn read(setting: &Setting, text: &OsString, origin: Origin, faults: &mut Faults) -> Option<Value> {
    let value = text.to_str().and_then(|text| setting.kind.parse(text));
    if value.is_none() {
        faults.push(Fault::Value {
            name: setting.name,
            origin,
            value: text.to_string_lossy().into_owned(),
            allowed: setting.allowed(),
        });
    }
    value
}
