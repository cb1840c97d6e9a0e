//! `pulsegate-swarm`: opens thousands of WebSocket connections to one server and plays clients on
//! them. It prints one JSON object with its measurements: pings and their intervals, closes and
//! their reasons, and how late silent peers (ghosts) were found.
//!
//! It has one thread, one `mio` loop, about 200 bytes per connection, and its own frame reader,
//! because it must not be the bottleneck of the measurement. It reports its own CPU time and its
//! longest turn, so that a reader can check this.
//!
//! Exit code: 0: it ran, whatever it found; 1: no connection opened; 2: invalid arguments, or the
//! poll or the signal handlers failed.

mod args;
mod clock;
mod conn;
mod conn_end;
mod cpu;
mod frame;
mod handshake;
mod histogram;
mod measurements;
mod plan;
mod rng;
mod swarm;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use args::Invocation;
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(Invocation::Run(args)) => args,
        Ok(Invocation::Help) => {
            // If the reader has closed the pipe, it needs no more output.
            let _ = io::stdout().write_all(args::HELP.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(fault) => return refuse(&fault),
    };
    raise_fd_limit(args.connections);
    let stop = match on_signals() {
        Ok(stop) => stop,
        Err(error) => return refuse(&format!("cannot watch signals: {error}")),
    };
    match swarm::run(&args, &stop) {
        Ok(measurements) => {
            let nothing_opened = measurements.connected == 0;
            if let Err(error) = writeln!(io::stdout(), "{}", measurements.report(&args)) {
                return refuse(&format!("cannot write the report: {error}"));
            }
            ExitCode::from(u8::from(nothing_opened))
        }
        Err(error) => refuse(&format!("the loop failed: {error}")),
    }
}

fn refuse(fault: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "pulsegate-swarm: {fault}");
    ExitCode::from(2)
}

/// Registers a flag that the first SIGINT or SIGTERM sets to end the run in order; a second one
/// ends the process at once.
fn on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the conditional handler must see the flag as it was before this
        // signal.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Raises the soft limit on descriptors as far as needed and allowed; missing descriptors show as
/// failures `EMFILE`.
fn raise_fd_limit(connections: u32) {
    // Besides the connections: the standard streams, the poll and its clone, the pipe of the signal
    // handlers.
    let needed = u64::from(connections) + 16;
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => {
            eprintln!("pulsegate-swarm: {needed} descriptors wanted, {limit} allowed");
        }
        Ok(_) => {}
        Err(error) => eprintln!("pulsegate-swarm: cannot raise the descriptor limit: {error}"),
    }
}
