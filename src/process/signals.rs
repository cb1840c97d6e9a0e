//! What a signal means: SIGTERM and SIGINT drain (or cut a drain by the API short), a second one stops, a third one exits; SIGUSR1 logs the statistics; SIGHUP
//! reads the settings again.

use super::reload::Reload;
use crate::base::time::Micros;
use crate::gateway::Desk;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;

/// Has the gateway go away: the delay before accepting stops, the spread of the closes.
pub(crate) type Drain = Arc<dyn Fn(Micros, Micros) + Send + Sync>;

/// Installs the handlers, so that no signal ends the process by itself. What comes before [`watch`] waits for it.
///
/// SIGXFSZ comes when a file would grow beyond the limit of its size (`RLIMIT_FSIZE`, `ulimit -f`). With a handler the write
/// fails instead, which is told of as any other failure.
///
/// # Errors
/// If they cannot be installed.
pub(crate) fn set_up() -> io::Result<Signals> {
    Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGXFSZ])
}

/// Starts the thread that acts on signals. It never ends; the process does.
///
/// # Errors
/// If the thread cannot be started.
pub(crate) fn watch(
    mut signals: Signals,
    desk: Desk,
    drain: Drain,
    mut reload: Reload,
) -> io::Result<()> {
    let mut ends = 0;
    let run = move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => log_statistics(&desk),
                SIGHUP => reload.run(),
                SIGXFSZ => {}
                _ => {
                    ends += 1;
                    match ends {
                        1 => {
                            let (delay, spread) = reload.drain_times();
                            begin_drain(&desk, delay, spread);
                            // Also if the desk was full, and to tell the service manager.
                            drain(delay, spread);
                        }
                        2 => {
                            log::warn!("signal effect=stop");
                            desk.remote().stop();
                        }
                        // The loop should have ended; it hangs in something.
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

/// Drains, and says what holds: a drain by the API may be going on, and the shorter times count. The loop says it when it has begun,
/// so whoever reads the line finds `/healthz` at 503.
fn begin_drain(desk: &Desk, delay: Micros, spread: Micros) {
    let say = |(delay, spread): (Micros, Micros)| {
        log::info!(
            "signal effect=drain delay_ms={} spread_ms={}",
            delay.as_millis(),
            spread.as_millis()
        );
    };
    let asked = desk.ask(move |_, io| say(io.drain(delay, spread)));
    if asked.is_err() {
        say((delay, spread));
    }
}

fn log_statistics(desk: &Desk) {
    let asked = desk.ask(|gateway, io| gateway.report(io));
    if let Err(full) = asked {
        log::warn!("signal effect=none error=\"{full}\"");
    }
}
