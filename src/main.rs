//! The gateway: settings, log, signals, run.

mod signals;

use pulsegate::config::{self, Command, Settings};
use pulsegate::gateway::Gateway;
use pulsegate::logging::{self, LogQueue};
use pulsegate::reactor::{EXTRA_DESCRIPTORS, Reactor, granted_backlog, listen};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// After 10 000 connections had each sent 64 KiB, glibc kept 333 MB of what was freed, where 4 MB were in use before; this
/// one keeps a sixth more than there was (tests/memory.rs). Its thread gives memory back also when nothing else happens.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Descriptors for everything but the loop: standard streams, the signals' pipe, and what libraries open for a moment.
const OTHER_DESCRIPTORS: usize = 32;

/// How long the last log lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let settings = match config::load(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
        Ok(Command::Run(settings)) => settings,
        Ok(Command::Check(_)) => {
            println!("pulsegate: the settings are valid");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(faults) => {
            eprintln!("pulsegate: {faults}");
            return ExitCode::from(2);
        }
    };
    let queue = match logging::init(settings.log_level) {
        Ok(queue) => queue,
        Err(e) => {
            eprintln!("pulsegate: cannot start logging: {e}");
            return ExitCode::FAILURE;
        }
    };
    let result = run(settings, queue.clone());
    if let Err(e) = &result {
        log::error!("end error=\"{e}\"");
    }
    queue.close(LAST_LINES);
    if result.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run(mut settings: Settings, queue: LogQueue) -> io::Result<()> {
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).map_or(1_024, |n| n as usize);
    let room = descriptors
        .saturating_sub(EXTRA_DESCRIPTORS + OTHER_DESCRIPTORS)
        .max(1);
    let max_connections = *settings.max_connections.get_or_insert(room);
    let listener = listen(settings.listen_addr, settings.reuse_port)?;
    let gateway = Gateway::new(settings.stats_interval, Box::new(move || queue.dropped()));
    let report_now = gateway.report_now();
    let mut reactor = Reactor::new(settings.engine(), listener, max_connections, gateway)?;
    signals::watch(
        reactor.remote(),
        report_now,
        settings.drain_delay,
        settings.drain,
    )?;
    log::info!(
        "start version={} listen={} descriptors={descriptors} backlog={} {}",
        env!("CARGO_PKG_VERSION"),
        reactor.local_addr(),
        granted_backlog().map_or_else(|| "unknown".to_owned(), |n| n.to_string()),
        settings.describe()
    );
    log::warn!("anybody may connect: there is no authentication, identity is what the query says");
    if max_connections > room {
        log::warn!(
            "max_connections={max_connections} is more than the descriptors allow, {room}; accepting will pause"
        );
    }
    reactor.with_io(Gateway::start);
    reactor.run()?;
    reactor.with_io(|gateway, io| gateway.report(io));
    log::info!("end");
    Ok(())
}
