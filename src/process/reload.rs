//! A reload reads the settings again, as at the start. If there is a fault, nothing changes. No
//! connection is affected.

use super::served_paths::other_requests;
use super::upstreams::{self, OwnListeners};
use crate::base::time::Micros;
use crate::config::{self, CliAction, ReloadDiff, ResourceLimits, Settings};
use crate::engine::{Class, Io};
use crate::gateway::{Gateway, GatewayQueries, Reconfiguration};
use crate::health::{HeartbeatMode, Policy};
use crate::side::{
    self, AlertSettings, EventSettings, HttpSettings, ReloadReport, Resolver, WebhookSettings,
};
use log::LevelFilter;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The state needed to read the settings again, and to apply them.
pub(crate) struct Reloader {
    /// The command line, which does not change.
    pub args: Vec<OsString>,
    /// The current settings.
    pub settings: Settings,
    /// The gateway's own listeners.
    pub own: OwnListeners,
    /// The lookups of upstreams' host names, if there are routes.
    pub resolver: Option<Resolver>,
    /// The queue of queries to the loop.
    pub queries: GatewayQueries,
    /// The delay and the spread of a drain, shared with other threads.
    pub drain: Arc<Mutex<(Micros, Micros)>>,
    /// The alert settings, shared with the control thread.
    pub alerts: Arc<Mutex<AlertSettings>>,
    /// The settings of events, shared with the thread `jobs`.
    pub events: Arc<Mutex<EventSettings>>,
    /// The descriptor limit.
    pub descriptors: usize,
    /// The webhook settings, shared with the thread `jobs`.
    pub webhooks: Arc<Mutex<WebhookSettings>>,
    /// The settings of plain HTTP, shared with its thread.
    pub http: Arc<Mutex<HttpSettings>>,
}

impl Reloader {
    /// Reads the settings again and applies those that can change while the gateway runs. The
    /// report says what was read; the loop applies its part in its next turn.
    pub(crate) fn reload(&mut self) -> ReloadReport {
        let read = config::load(self.args.iter().cloned(), |name| std::env::var_os(name));
        let newer = match read {
            Ok(CliAction::Run(newer)) => newer,
            // The command line has not changed, and at the start it asked to run.
            Ok(CliAction::Check(_) | CliAction::Print(_)) => return ReloadReport::default(),
            Err(faults) => return log_refused(faults.iter()),
        };
        let changes = self.settings.diff(&newer);
        let settings = match self.settings.reloaded(&newer) {
            Ok(settings) => settings,
            Err(faults) => return log_refused(faults.iter()),
        };
        if let Some(setting) = settings.https_webhook()
            && self.settings.https_webhook().is_none()
            && let Err(e) = side::check_certificates()
        {
            let fault = format!("{setting} has a URL with https: {e}");
            return log_refused([fault].iter());
        }
        let mut report = ReloadReport {
            needs_restart: changes.needs_restart.clone(),
            ..ReloadReport::default()
        };
        if !changes.needs_restart.is_empty() {
            log_needs_restart(&changes.needs_restart, &self.settings);
        }
        if changes.applied.is_empty() && changes.routes.is_empty() {
            log::info!("reload changed=none");
            return report;
        }
        let routes = match settings.bridge == self.settings.bridge {
            true => None,
            false => settings.bridge.as_ref().map(|bridge| bridge.routes.clone()),
        };
        if let Some(routes) = &routes
            && let Err(e) = self.own.check(routes)
        {
            return log_refused([e].iter());
        }
        if let (Some(routes), Some(resolver)) = (&routes, &self.resolver) {
            resolver.set_names(upstreams::host_names(routes));
            resolver.wait(upstreams::LOOKUP_PATIENCE);
        }
        report.changed = in_words(&changes);
        let changed = report.changed.join(" ");
        let (old, mut new) = (self.settings.clone(), settings.clone());
        let limits = ResourceLimits {
            descriptors: self.descriptors,
            // The cgroup's limit may have changed meanwhile.
            memory: side::memory_limit(),
        };
        let mut warnings = new.fit_to(&limits);
        warnings.extend(new.warnings());
        let most = new.max_connections.unwrap_or(1);
        let alerts = new.alerts.clone();
        let pending = Arc::new(PendingReload {
            changed,
            level: settings.log_level,
            is_applied: AtomicBool::new(false),
        });
        let by_loop = pending.clone();
        let apply = move |gateway: &mut Gateway, io: &mut Io<'_>| {
            // Only the loop knows the policies that were changed live.
            let old = old.engine_config(gateway.classes());
            let held = old.classes.iter().zip(0..);
            let held: Vec<_> = held
                .map(|(class, nth)| (class.policy, io.policy(Class(nth)).copied()))
                .collect();
            let newer = Reconfiguration {
                engine: new.engine_config(gateway.classes()),
                max_connections: most,
                stats_interval: new.stats_interval,
                trusted_proxies: new.trusted_proxies.clone(),
                serves_relay: new.serves_relay,
                routes,
                drain: new.drain,
                sessions: new.sessions,
                relay: new.relay_settings(),
                credentials: new.credentials(),
                client_reports: new.client_reports,
            };
            match gateway.reconfigure(io, newer) {
                Ok(()) => {
                    by_loop.is_applied.store(true, Ordering::Release);
                    for (nth, (old, held)) in held.iter().enumerate() {
                        let new = io.policy(Class(nth as u8)).copied();
                        if let (Some(held), Some(new)) = (held, new) {
                            let name = gateway.classes().name(Class(nth as u8));
                            log_reverts(name, old, held, &new);
                        }
                    }
                }
                Err(e) => log::error!("reload refused error=\"{e}\""),
            }
        };
        if let Err(full) = self.queries.send(apply) {
            return log_refused([full].iter());
        }
        let (held, new) = (log::max_level(), settings.log_level);
        if held != self.settings.log_level && held != new {
            log::warn!(
                "reload reverts=log_level from={} to={}",
                held.as_str().to_ascii_lowercase(),
                new.as_str().to_ascii_lowercase()
            );
        }
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) =
            (settings.drain_delay, settings.drain);
        *self.alerts.lock().unwrap_or_else(PoisonError::into_inner) = alerts;
        *self.events.lock().unwrap_or_else(PoisonError::into_inner) = settings.event_settings();
        let proxies = settings.proxy_warnings();
        let warnings = warnings.iter().chain(&proxies);
        warnings.for_each(|warning| log::warn!("{warning}"));
        *self.webhooks.lock().unwrap_or_else(PoisonError::into_inner) = settings.webhook_settings();
        *self.http.lock().unwrap_or_else(PoisonError::into_inner) = settings.http;
        if self.settings.serves_relay != settings.serves_relay {
            log::warn!("reload effect={:?}", other_requests(&settings));
        }
        self.settings = settings;
        drop(pending);
        report
    }
}

/// Logs the settings that change only with a restart.
fn log_needs_restart(names: &[&str], current: &Settings) {
    let (routes, others): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| **name == "route");
    if !others.is_empty() {
        let names = others.join(",");
        log::warn!("reload settings={names} effect=\"these changes need a restart\"");
    }
    if !routes.is_empty() {
        log::warn!("reload settings=route effect=\"{}\"", route_effect(current));
    }
}

/// Returns why a reload does not add the first route, or remove the last one.
fn route_effect(current: &Settings) -> &'static str {
    match current.bridge {
        None => {
            "the gateway started without a service, so the first [[route]] is served after a \
                 restart"
        }
        Some(_) => {
            "the file has no [[route]]: the routes stay, because a file that is half \
                    written would remove them; only a restart removes the last one"
        }
    }
}

/// A reload that two threads apply: the loop and the signal thread. When both have dropped their
/// reference, the log level is set and a line reports that the reload is complete.
struct PendingReload {
    /// The changes, in words.
    changed: String,
    /// The new log level.
    level: LevelFilter,
    /// Whether the loop has applied its part.
    is_applied: AtomicBool,
}

impl Drop for PendingReload {
    fn drop(&mut self) {
        if !*self.is_applied.get_mut() {
            return;
        }
        // The line must be written if the old level or the new one allows it.
        if self.level >= log::Level::Info {
            log::set_max_level(self.level);
        }
        log::info!("reload {}", self.changed);
        log::set_max_level(self.level);
    }
}

/// Returns the changes that are applied, as `key=value`.
fn in_words(changes: &ReloadDiff) -> Vec<String> {
    let applied = changes.applied.iter();
    let mut words: Vec<_> = applied
        .map(|c| format!("{}={:?}->{:?}", c.name.to_ascii_lowercase(), c.old, c.new))
        .collect();
    if !changes.routes.is_empty() {
        let routes: Vec<_> = changes.routes.iter().map(ToString::to_string).collect();
        words.push(format!("routes={:?}", routes.join(" ")));
    }
    words
}

/// Logs what happens to a class's policy that was changed live: the old settings had `old`, the
/// loop had `held`, and now it is `new`.
fn log_reverts(class: &str, old: &Policy, held: &Policy, new: &Policy) {
    let fields = policy_fields(old)
        .into_iter()
        .zip(policy_fields(held))
        .zip(policy_fields(new));
    let reverted: Vec<String> = fields
        .filter(|(((_, old), (_, held)), (_, new))| held != old && held != new)
        .map(|((_, (name, held)), (_, new))| format!("{name}={held:?}->{new:?}"))
        .collect();
    if !reverted.is_empty() {
        log::warn!("reload reverts=policy class={class} {}", reverted.join(" "));
    }
}

/// Returns the fields of a policy that can be changed live, with the names of the API.
fn policy_fields(policy: &Policy) -> [(&'static str, String); 5] {
    let ms = |time: Micros| time.as_millis().to_string();
    let mode = match policy.mode {
        HeartbeatMode::Always => "always",
        HeartbeatMode::Idle => "idle",
    };
    [
        ("heartbeat_interval_ms", ms(policy.heartbeat_interval)),
        ("connection_timeout_ms", ms(policy.connection_timeout)),
        ("suspect_after", policy.suspect_after.to_string()),
        ("close_timeout_ms", ms(policy.close_timeout)),
        ("heartbeat_mode", mode.to_owned()),
    ]
}

fn log_refused(faults: impl Iterator<Item = impl std::fmt::Display>) -> ReloadReport {
    let faults: Vec<String> = faults.map(|fault| fault.to_string()).collect();
    for fault in &faults {
        log::error!("reload refused fault={fault:?}");
    }
    log::error!("reload refused effect=\"the old settings stay in force\"");
    ReloadReport {
        faults,
        ..ReloadReport::default()
    }
}
