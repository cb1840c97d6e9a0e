//! The gateway's settings: read from flags and environment variables, checked, all faults told at once.

mod arguments;
mod effective;
mod faults;
mod pages;
mod table;

pub use faults::{Fault, Faults, Origin};
pub use pages::markdown_table;
pub use table::{Audience, Fallback, Kind, SETTINGS, Setting, Unit};

use std::ffi::OsString;
use std::net::SocketAddr;

use log::LevelFilter;

use crate::engine::{ClassConfig, Config};
use crate::gateway::CLASS_NAMES;
use crate::health::{HeartbeatMode, Policy};
use crate::time::Micros;
use arguments::{Arguments, Ask};
use effective::Effective;

/// What the command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Run the gateway.
    Run(Settings),
    /// The settings were to be checked, and they are right. There is nothing else to do.
    Check(Settings),
    /// Print this to standard output as it is. There is nothing else to do.
    Print(String),
}

/// Reads `args` (without the program's name) and the variables of `env` ([`std::env::var_os`]).
///
/// A flag wins over its variable, which is then not looked at. An empty variable counts as unset; variables that are not
/// in the table are nobody's business.
///
/// # Errors
/// Every fault of the command line and of the settings, in one error. `--help` and `--version` are answered whatever else
/// is wrong.
pub fn load(
    args: impl IntoIterator<Item = OsString>,
    env: impl Fn(&str) -> Option<OsString>,
) -> Result<Command, Faults> {
    let mut faults = Faults::default();
    let arguments = Arguments::split(args, &mut faults);
    match arguments.ask {
        Ask::Help => return Ok(Command::Print(pages::help())),
        Ask::Version => return Ok(Command::Print(version())),
        Ask::Run | Ask::Check | Ask::PrintConfig => {}
    }
    let effective = Effective::resolve(arguments.given, env, &mut faults);
    match effective.settings() {
        Some(settings) if faults.is_empty() => Ok(match arguments.ask {
            Ask::PrintConfig => Command::Print(effective.print()),
            Ask::Check => Command::Check(settings),
            Ask::Run | Ask::Help | Ask::Version => Command::Run(settings),
        }),
        _ => Err(faults),
    }
}

fn version() -> String {
    concat!("pulsegate ", env!("CARGO_PKG_VERSION"), "\n").to_owned()
}

/// The settings that hold, checked: within their bounds and fit for each other. [`SETTINGS`] says what each is for.
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
    /// Where to listen; a loopback address unless `allow_unauthenticated`. The port may be 0.
    pub listen_addr: SocketAddr,
    /// Whether anybody who reaches `listen_addr` may connect, wherever they are.
    pub allow_unauthenticated: bool,
    /// Whether to set `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// Connections at once; `None`: what the limit of file descriptors allows.
    pub max_connections: Option<usize>,
    /// Largest message and frame of a peer, in bytes; at least 125.
    pub max_message_bytes: usize,
    /// Unsent bytes per connection; at least a message and its frame header.
    pub max_pending_bytes: usize,
    /// Bytes in buffers of all connections together; at least `max_pending_bytes`.
    pub max_buffered_bytes: usize,
    /// Stale connections closed in a second; 0: no limit.
    pub stale_closes_per_second: u32,
    /// What is logged; never `Off`.
    pub log_level: LevelFilter,
}

impl Settings {
    /// What the gateway's loop is told: classes by their names, policies and limits.
    pub fn engine(&self) -> Config {
        let [glasses, tpa] = CLASS_NAMES.map(str::to_owned);
        Config {
            classes: vec![
                ClassConfig {
                    name: glasses,
                    policy: self.glasses,
                },
                ClassConfig {
                    name: tpa,
                    policy: self.tpa,
                },
            ],
            handshake_timeout: self.handshake_timeout,
            max_message_bytes: self.max_message_bytes,
            max_pending_bytes: self.max_pending_bytes,
            max_buffered_bytes: self.max_buffered_bytes,
            stale_closes_per_second: self.stale_closes_per_second,
        }
    }

    /// The effective settings for the log line of the start: `key=value`, the keys being the variables in small letters.
    ///
    /// Put the real number into `max_connections` first if it came from the limit of file descriptors; it says `unknown`
    /// otherwise.
    pub fn describe(&self) -> String {
        let max_connections = match self.max_connections {
            Some(n) => n.to_string(),
            None => "unknown".to_owned(),
        };
        let mode = match self.glasses.mode {
            HeartbeatMode::Always => "always",
            HeartbeatMode::Idle => "idle",
        };
        let pairs: [(&str, &dyn std::fmt::Display); 19] = [
            ("listen_addr", &self.listen_addr),
            (
                "allow_unauthenticated",
                &u8::from(self.allow_unauthenticated),
            ),
            ("stats_interval_ms", &self.stats_interval.as_millis()),
            ("max_connections", &max_connections),
            ("max_message_bytes", &self.max_message_bytes),
            ("log_level", &self.log_level.as_str().to_ascii_lowercase()),
            ("drain_ms", &self.drain.as_millis()),
            ("drain_delay_ms", &self.drain_delay.as_millis()),
            (
                "glasses_heartbeat_interval_ms",
                &self.glasses.heartbeat_interval.as_millis(),
            ),
            (
                "glasses_connection_timeout_ms",
                &self.glasses.connection_timeout.as_millis(),
            ),
            (
                "tpa_heartbeat_interval_ms",
                &self.tpa.heartbeat_interval.as_millis(),
            ),
            (
                "tpa_connection_timeout_ms",
                &self.tpa.connection_timeout.as_millis(),
            ),
            ("heartbeat_mode", &mode),
            ("handshake_timeout_ms", &self.handshake_timeout.as_millis()),
            ("close_timeout_ms", &self.glasses.close_timeout.as_millis()),
            ("max_pending_bytes", &self.max_pending_bytes),
            ("max_buffered_bytes", &self.max_buffered_bytes),
            ("stale_closes_per_second", &self.stale_closes_per_second),
            ("reuse_port", &u8::from(self.reuse_port)),
        ];
        pairs.map(|(key, value)| format!("{key}={value}")).join(" ")
    }
}
