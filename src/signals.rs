//! What a signal means: SIGTERM and SIGINT drain, a second one stops, a third one exits; SIGUSR1 logs the statistics.

use pulsegate::{Micros, Remote};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Starts the thread that waits for signals. It never ends; the process does.
///
/// # Errors
/// If the handlers cannot be installed, or the thread not be started.
pub fn watch(
    remote: Remote,
    report_now: Arc<AtomicBool>,
    drain_delay: Micros,
    drain: Micros,
) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGUSR1, SIGHUP])?;
    let mut ends = 0;
    let run = move || {
        for signal in signals.forever() {
            match signal {
                SIGUSR1 => {
                    report_now.store(true, Ordering::Release);
                    remote.wake();
                }
                SIGHUP => log::info!("signal name=SIGHUP effect=none"),
                _ => {
                    ends += 1;
                    match ends {
                        1 => {
                            log::info!(
                                "signal effect=drain delay_ms={} spread_ms={}",
                                drain_delay.as_millis(),
                                drain.as_millis()
                            );
                            remote.drain(drain_delay, drain);
                        }
                        2 => {
                            log::warn!("signal effect=stop");
                            remote.stop();
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
