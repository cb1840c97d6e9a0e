//! SIGHUP: the settings are read again as at the start. What is wrong changes nothing, and no connection is touched.

use pulsegate::Micros;
use pulsegate::config::{self, Command, Settings};
use pulsegate::control::AlertSettings;
use pulsegate::gateway::{Desk, Progress, Reconfiguration};
use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

/// What is needed to read the settings again, and to apply them.
pub struct Reload {
    /// The command line, which stays as it was.
    pub args: Vec<OsString>,
    /// What holds.
    pub settings: Settings,
    /// The loop.
    pub desk: Desk,
    /// The delay and the spread of a drain, which others look at, too.
    pub drain: Arc<Mutex<(Micros, Micros)>>,
    /// When alerts fire, which the side thread looks at.
    pub alerts: Arc<Mutex<AlertSettings>>,
    /// Connections that the limit of descriptors allows.
    pub room: usize,
}

impl Reload {
    /// The delay and the spread of a drain.
    pub fn drain_times(&self) -> (Micros, Micros) {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the settings again and applies what can be applied to a gateway that runs.
    pub fn run(&mut self) {
        let read = config::load(self.args.iter().cloned(), |name| std::env::var_os(name));
        let newer = match read {
            Ok(Command::Run(newer)) => newer,
            // The command line has not changed, and it asked to run.
            Ok(Command::Check(_) | Command::Print(_)) => return,
            Err(faults) => return refused(faults.iter()),
        };
        let changes = self.settings.changes(&newer);
        let settings = match self.settings.reloaded(&newer) {
            Ok(settings) => settings,
            Err(faults) => return refused(faults.iter()),
        };
        if !changes.restart.is_empty() {
            let names = changes.restart.join(",");
            log::warn!("reload settings={names} effect=\"none before a restart\"");
        }
        if changes.applied.is_empty() {
            return log::info!("reload changed=none");
        }
        let applied = changes.applied.iter();
        let words: Vec<_> = applied
            .map(|c| format!("{}={:?}->{:?}", c.name.to_ascii_lowercase(), c.old, c.new))
            .collect();
        let words = words.join(" ");
        let (new, most) = (
            settings.clone(),
            settings.max_connections.unwrap_or(self.room),
        );
        let work = Box::new(
            move |gateway: &mut pulsegate::gateway::Gateway, io: &mut pulsegate::Io<'_>| {
                let newer = Reconfiguration {
                    engine: new.engine(),
                    max_connections: most,
                    stats_interval: new.stats_interval,
                    trusted_proxies: new.trusted_proxies.clone(),
                    relay: new.relay(),
                    credentials: new.credentials(),
                };
                match gateway.reconfigure(io, newer) {
                    Ok(()) => log::info!("reload {words}"),
                    Err(e) => log::error!("reload refused error=\"{e}\""),
                }
                Progress::Done
            },
        );
        if let Err(full) = self.desk.leave(work) {
            return log::error!("reload refused error=\"{full}\"");
        }
        log::set_max_level(settings.log_level);
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) =
            (settings.drain_delay, settings.drain);
        *self.alerts.lock().unwrap_or_else(PoisonError::into_inner) = settings.alerts.clone();
        if most > self.room {
            log::warn!(
                "max_connections={most} is more than the descriptors allow, {}; accepting will pause",
                self.room
            );
        }
        self.settings = settings;
    }
}

fn refused(faults: impl Iterator<Item = impl std::fmt::Display>) {
    for fault in faults {
        log::error!("reload refused fault={:?}", fault.to_string());
    }
    log::error!("reload refused effect=\"the settings before hold\"");
}
