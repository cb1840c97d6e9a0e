//! A client of pulse: it sends a few lines, loses its connection in between, and prints what comes.
//! Each line arrives once.
//!
//! Without an argument it talks to a small gateway of its own, which sends every line back, on
//! another thread. Then the exit code is 0 only if every line came back once and in order.
//!
//! ```sh
//! cargo run --example pulse_client --features client,testing
//! cargo run --example pulse_client --features client,testing -- 127.0.0.1:8080 /chat "a line"
//! ```

use pulsegate::client::{Attempt, ClientEvent, ClientOptions, FakePulse, PulseSocket};
use pulsegate::http::HeaderValue;
use pulsegate::pulse::FailureClass;
use pulsegate::{Class, Config, Dial, DialAddress, DialRequest, Message, Reactor, Remote};
use std::error::Error;
use std::io;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};
use std::time::Duration;

type Failure = Box<dyn Error + Send + Sync>;

/// How long the program waits for each event.
const PATIENCE: Duration = Duration::from_secs(20);

// ---- the client ----

/// Returns the server and the request of a try. It may block: the name is looked up here, and a
/// program with credentials fetches new ones after they were refused.
fn target(address: &str, path: &str, attempt: &Attempt) -> io::Result<Dial> {
    if attempt.why == Some(FailureClass::Rejected) {
        return Err(io::Error::other(
            "the credentials were refused, and there are no others",
        ));
    }
    let mut addresses = address.to_socket_addrs()?;
    let address_of = addresses.next().ok_or(io::ErrorKind::NotFound)?;
    let host = HeaderValue::try_from(address).map_err(io::Error::other)?;
    let request = DialRequest::new(path, host);
    Ok(Dial::new(DialAddress::Tcp(address_of), request, Class(0)))
}

/// The connection is replaced after so many lines.
const REPLACED: usize = 4;

/// Sends the lines, each when the one before it has come back, and returns what came. The first
/// lines are under way when their connection is replaced.
fn talk(address: &str, path: &str, lines: &[String]) -> Result<Vec<String>, Failure> {
    let (to, path) = (address.to_owned(), path.to_owned());
    let mut socket = PulseSocket::open(ClientOptions::default(), move |attempt| {
        target(&to, &path, attempt)
    })?;
    let mut heard = Vec::new();
    if let Some(line) = lines.first() {
        socket.send(Message::text(line))?;
    }
    while heard.len() < lines.len() {
        let event = socket.next_event(Some(PATIENCE))?;
        match event.ok_or("nothing happens any more")? {
            ClientEvent::Message(message) => {
                println!("client: heard \"{message}\"");
                heard.push(message.to_string());
                if let Some(next) = lines.get(heard.len()) {
                    socket.send(Message::text(next))?;
                    if heard.len() <= REPLACED {
                        println!("client: \"{next}\" is under way, and the connection is replaced");
                        socket.reconnect();
                    }
                }
            }
            ClientEvent::Opened => println!("client: a session begins"),
            ClientEvent::Resumed { resent } => {
                println!("client: the session goes on, {resent} messages are sent again");
            }
            ClientEvent::Suspended { retry_in, .. } => {
                println!("client: the connection is lost, the next try is in {retry_in}");
            }
            ClientEvent::Reset(left) => {
                // A program decides here what of this it sends again.
                let count = left.messages.len();
                return Err(format!("the session is lost with {count} messages").into());
            }
            ClientEvent::Closed { end, .. } => {
                return Err(format!("closed: {} {}", end.code, end.reason).into());
            }
            _ => {}
        }
    }
    socket.close(1000, "thank you")?;
    while let Some(event) = socket.next_event(Some(PATIENCE))? {
        if let ClientEvent::Closed { end, .. } = event {
            println!("client: closed with {}", end.code);
        }
    }
    Ok(heard)
}

// ---- the gateway of its own ----

/// Runs a small gateway on a free port, with a service that sends every message back.
fn serve() -> Result<(String, Remote, JoinHandle<io::Result<()>>), Failure> {
    let mut gateway = FakePulse::new();
    gateway.is_echo = true;
    let listener = pulsegate::reactor::listen(([127, 0, 0, 1], 0).into(), false)?;
    let mut reactor = Reactor::new(Config::default(), listener, 10, gateway)?;
    let (addr, remote) = (reactor.local_addr(), reactor.remote());
    let thread = thread::spawn(move || reactor.run());
    Ok((addr.to_string(), remote, thread))
}

// ---- the program ----

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first() {
        Some(address) => {
            let path = args.get(1).map_or("/", String::as_str);
            let lines = args.get(2..).unwrap_or_default();
            talk(address, path, lines).map(drop)
        }
        None => talk_to_own_gateway(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("client: {e}");
            ExitCode::FAILURE
        }
    }
}

fn talk_to_own_gateway() -> Result<(), Failure> {
    let (address, remote, gateway) = serve()?;
    let lines: Vec<String> = (1..=8).map(|n| format!("line {n}")).collect();
    let heard = talk(&address, "/chat", &lines);
    // The gateway's loop ends, whatever came of it.
    remote.stop();
    gateway.join().map_err(|_| "the gateway has panicked")??;
    let heard = heard?;
    if heard != lines {
        return Err(format!("expected {lines:?}, heard {heard:?}").into());
    }
    println!("every line came back once");
    Ok(())
}
