//! `pulsegate-swarm`: opens thousands of WebSocket connections to one server, lives on them as clients do, and says
//! in one JSON object what it saw: who was pinged and when, who was closed and why, how late ghosts were found.
//!
//! One thread, one `mio` loop, about 200 bytes a connection, its own frame reader: it must never be the bottleneck of
//! what it measures, and it states its own CPU and its longest turn, so that a reader can tell.
//!
//! Exit code: 0 it ran (whatever it found), 1 not one connection opened, 2 bad arguments or no poll, no signals.

mod args;
mod clock;
mod conn;
mod cpu;
mod end;
mod frame;
mod histogram;
mod plan;
mod rng;
mod swarm;
mod tally;
mod target;
mod upgrade;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use args::Wanted;
use signal_hook::consts::{SIGINT, SIGTERM};

fn main() -> ExitCode {
    let args = match args::parse() {
        Ok(Wanted::Run(args)) => args,
        Ok(Wanted::Help) => {
            // A reader that has gone away has what it wants.
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
        Ok(tally) => {
            let nothing_opened = tally.connected == 0;
            if let Err(error) = writeln!(io::stdout(), "{}", tally.report(&args)) {
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

/// A flag that the first SIGINT or SIGTERM raises, to end in order; the second one ends the process at once.
fn on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the conditional one must see the flag as it was before this signal.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    Ok(stop)
}

/// Raises the soft descriptor limit as far as is needed and allowed; what is missing shows as failures `EMFILE`.
fn raise_fd_limit(connections: u32) {
    // Besides the connections: standard streams, the poll and its clone, the pipe of the signals.
    let needed = u64::from(connections) + 16;
    match rlimit::increase_nofile_limit(needed) {
        Ok(limit) if limit < needed => {
            eprintln!("pulsegate-swarm: {needed} descriptors wanted, {limit} allowed");
        }
        Ok(_) => {}
        Err(error) => eprintln!("pulsegate-swarm: cannot raise the descriptor limit: {error}"),
    }
}
