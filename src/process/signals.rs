//! The signals. SIGTERM and SIGINT drain (or shorten a drain by the API); a second one stops, a
//! third one exits. SIGUSR1 logs the statistics; SIGHUP reads the settings again.

use super::reload::Reloader;
use crate::base::time::Micros;
use crate::gateway::GatewayQueries;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Starts the shutdown: the delay before accepting stops, and the spread of the closes.
pub(crate) type StartDrain = Arc<dyn Fn(Micros, Micros) + Send + Sync>;

/// Installs the handlers, so that no signal ends the process by default. Signals that arrive before
/// [`start_thread`] are queued.
///
/// SIGXFSZ arrives when a file would exceed the limit of its size (`RLIMIT_FSIZE`, `ulimit -f`).
/// With a handler the write fails instead, and is reported like any other failure.
///
/// # Errors
/// If they cannot be installed.
pub(crate) fn install_handlers() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGXFSZ])
}

/// Starts the thread that handles signals, and the thread `reload`, so that a long reload delays no
/// other signal. They run until the process ends.
///
/// # Errors
/// If a thread cannot be started.
pub(crate) fn start_threads(
    mut signals: Signals,
    queries: GatewayQueries,
    drain: StartDrain,
    drain_times: Arc<Mutex<(Micros, Micros)>>,
    reloader: Arc<Mutex<Reloader>>,
) -> io::Result<()> {
    // A reload that waits covers all signals until it begins.
    let (ask, asked) = sync_channel::<()>(1);
    std::thread::Builder::new()
        .name("reload".to_owned())
        .spawn(move || {
            while asked.recv().is_ok() {
                lock(&reloader).reload();
            }
        })?;
    let mut stop_signals = 0;
    let run = move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => log_statistics(&queries),
                SIGHUP => drop(ask.try_send(())),
                SIGXFSZ => {}
                _ => {
                    stop_signals += 1;
                    match stop_signals {
                        1 => {
                            let (delay, spread) = *lock(&drain_times);
                            begin_drain(&queries, delay, spread);
                            // Also if the queue was full, and to notify the service manager.
                            drain(delay, spread);
                        }
                        2 => {
                            log::warn!("signal effect=stop");
                            queries.remote().stop();
                        }
                        // The loop should have ended, but hangs.
                        _ => std::process::exit(1),
                    }
                }
            }
        }
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(run)?;
    Ok(())
}

/// Locks a mutex; a panic in another thread leaves its data usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Begins a drain and logs the times that apply: if a drain by the API is going on, the shorter
/// ones. The loop logs the line when it has begun, so a reader of the line finds the `/healthz` of
/// `LISTEN_ADDR` at 503.
fn begin_drain(queries: &GatewayQueries, delay: Micros, spread: Micros) {
    let log_drain = |(delay, spread): (Micros, Micros)| {
        log::info!(
            "signal effect=drain delay_ms={} spread_ms={}",
            delay.as_millis(),
            spread.as_millis()
        );
    };
    let asked = queries.send(move |_, io| log_drain(io.drain(delay, spread)));
    if asked.is_err() {
        log_drain((delay, spread));
    }
}

fn log_statistics(queries: &GatewayQueries) {
    let asked = queries.send(|gateway, io| gateway.log_statistics(io));
    if let Err(full) = asked {
        log::warn!("signal effect=\"no statistics\" error=\"{full}\"");
    }
}
