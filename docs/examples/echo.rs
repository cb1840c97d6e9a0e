//! An echo server on any path, with the gateway's settings: what the conformance suite is run
//! against.
//!
//! ```sh
//! LISTEN_ADDR=127.0.0.1:9001 MAX_MESSAGE_BYTES=16777216 MAX_PENDING_BYTES=33554432 \
//!     HEARTBEAT_INTERVAL_MS=43200000 CONNECTION_TIMEOUT_MS=86400000 cargo run --release --example echo
//! ```

use pulsegate::config::{self, CliAction};
use pulsegate::gateway::{Classes, RELAY_CLASSES};
use pulsegate::{Class, ClassConfig, ConnId, Handler, Io, Message, Reactor, Request, Verdict};
use std::process::ExitCode;

/// As in the gateway: glibc's allocator keeps what a burst has freed.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

struct Echo;

impl Handler for Echo {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        // If it is not taken, the connection is being closed for that: a slow consumer.
        io.send(id, message);
    }
}

fn main() -> ExitCode {
    let action = config::load(std::env::args_os().skip(1), |name| std::env::var_os(name));
    let settings = match action {
        Ok(CliAction::Run(settings)) => settings,
        Ok(CliAction::Check(_)) => return ExitCode::SUCCESS,
        Ok(CliAction::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(faults) => {
            eprintln!("echo: {faults}");
            return ExitCode::from(2);
        }
    };
    let mut config = settings.engine_config(&Classes::new(RELAY_CLASSES));
    config.classes = vec![ClassConfig {
        name: "echo".to_owned(),
        policy: settings.glasses,
    }];
    let run = || {
        let listener = pulsegate::reactor::listen(settings.listen_addr, settings.reuse_port)?;
        let most = settings.max_connections.unwrap_or(10_000);
        let mut reactor = Reactor::new(config, listener, most, Echo)?;
        println!("listening on {}", reactor.local_addr());
        reactor.run()
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("echo: {e}");
            ExitCode::FAILURE
        }
    }
}
