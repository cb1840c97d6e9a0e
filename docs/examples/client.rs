//! A WebSocket client on the loop: it dials a server, sends a line, prints what comes, and closes.
//!
//! Without an argument it dials an echo server of its own, which a second loop runs on another
//! thread. Then the exit code is 0 only if the line came back and the closing handshake was
//! completed.
//!
//! ```sh
//! cargo run --example client --no-default-features
//! cargo run --example client --no-default-features -- 127.0.0.1:9001 /chat "a line"
//! cargo run --example client --no-default-features -- unix:/run/chat.sock
//! ```

use pulsegate::http::HeaderValue;
use pulsegate::{
    Cause, Class, Config, ConnId, Dial, DialAddress, DialRequest, Ending, Handler, Io, Message,
    Micros, Reactor, Remote, Request, Response, ResponseVerdict, TimerId, Verdict,
};
use std::error::Error;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

type Failure = Box<dyn Error + Send + Sync>;

/// How long an answer to the line is waited for.
const PATIENCE: Micros = Micros::from_secs(10);

// ---- the client ----

/// A host that only dials: it has one connection, and ends the loop with it.
struct Client {
    line: String,
    server: Option<ConnId>,
    /// Runs while no answer has come.
    patience: Option<TimerId>,
    heard: Vec<String>,
    end: Option<Ending>,
}

impl Handler for Client {
    /// Never called: there is no listener.
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::refuse(Cause::BAD_REQUEST, 404, "this host only dials")
    }

    fn on_response(&mut self, _io: &mut Io<'_>, _: ConnId, response: &Response) -> ResponseVerdict {
        println!("client: the server answered {}", response.status());
        if response.status() != 101 {
            println!("client: {}", String::from_utf8_lossy(response.body()));
        }
        // None was offered. The engine checks everything else that a 101 must have.
        match response.header("sec-websocket-protocol") {
            Some(name) => ResponseVerdict::Refuse(format!("unknown subprotocol {name:?}")),
            None => ResponseVerdict::Open,
        }
    }

    fn on_open(&mut self, io: &mut Io<'_>, id: ConnId) {
        io.send(id, Message::text(self.line.clone()));
        self.patience = Some(io.start_timer(PATIENCE));
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let text = match message.to_text() {
            Ok(text) => text.to_owned(),
            Err(_) => format!("{} bytes", message.len()),
        };
        println!("client: heard \"{text}\"");
        self.heard.push(text);
        if let Some(patience) = self.patience.take() {
            io.cancel_timer(patience);
            // The server answers, and ends the TCP stream first.
            io.close(id, 1000, "thank you");
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if self.patience == Some(timer)
            && let Some(server) = self.server
        {
            io.close(server, 1000, "nothing came");
        }
    }

    fn on_close(&mut self, io: &mut Io<'_>, _id: ConnId, end: &Ending) {
        println!("client: ended: {} by {}, {}", end.cause, end.by, end.reason);
        self.end = Some(end.clone());
        // A client that comes back would start a timer here, and dial when it expires.
        io.remote().stop();
    }
}

/// Dials, and turns the loop until the connection has ended. Returns what was heard, and the end.
fn talk(address: DialAddress, path: &str, line: &str) -> Result<(Vec<String>, Ending), Failure> {
    let host = match &address {
        DialAddress::Tcp(addr) => HeaderValue::try_from(addr.to_string())?,
        _ => HeaderValue::from_static("localhost"),
    };
    let client = Client {
        line: line.to_owned(),
        server: None,
        patience: None,
        heard: Vec::new(),
        end: None,
    };
    let mut reactor = Reactor::without_listener(Config::default(), client)?;
    let dial = Dial::new(address, DialRequest::new(path, host), Class(0));
    reactor.with_io(|client, io| io.dial(dial).map(|id| client.server = Some(id)))?;
    reactor.run()?;
    let client = reactor.engine().handler();
    let end = client.end.clone().ok_or("the connection has not ended")?;
    Ok((client.heard.clone(), end))
}

// ---- the server of its own ----

struct Echo;

impl Handler for Echo {
    fn on_request(&mut self, _io: &mut Io<'_>, _id: ConnId, _request: &Request) -> Verdict {
        Verdict::upgrade(Class(0))
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        io.send(id, message);
    }
}

/// Runs an echo server on a free port.
fn serve() -> Result<(DialAddress, Remote, JoinHandle<std::io::Result<()>>), Failure> {
    let listener = pulsegate::reactor::listen(([127, 0, 0, 1], 0).into(), false)?;
    let mut reactor = Reactor::new(Config::default(), listener, 10, Echo)?;
    let (addr, remote) = (reactor.local_addr(), reactor.remote());
    let server = thread::spawn(move || reactor.run());
    Ok((DialAddress::Tcp(addr), remote, server))
}

// ---- the program ----

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.first() {
        Some(address) => visit(address, &args[1..]),
        None => visit_own_server(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("client: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Talks to a server at `unix:/path` or at an address with a port.
fn visit(address: &str, rest: &[String]) -> Result<(), Failure> {
    let address = match address.strip_prefix("unix:") {
        Some(path) => DialAddress::Unix(path.into()),
        None => {
            // The loop resolves no names: this may block.
            let mut addresses = address.to_socket_addrs()?;
            DialAddress::Tcp(addresses.next().ok_or("this name has no address")?)
        }
    };
    let path = rest.first().map_or("/", String::as_str);
    let line = rest.get(1).map_or("hello", String::as_str);
    let (_, end) = talk(address, path, line)?;
    match end.clean {
        true => Ok(()),
        false => Err(end.cause.name().into()),
    }
}

fn visit_own_server() -> Result<(), Failure> {
    let (address, remote, server) = serve()?;
    let outcome = talk(address, "/", "hello");
    // The server's loop ends, whatever came of it.
    remote.stop();
    server.join().map_err(|_| "the server has panicked")??;
    let (heard, end) = outcome?;
    expect("what was heard", heard, vec!["hello".to_owned()])?;
    expect("the cause of the end", end.cause, Cause::KICKED)?;
    expect("the closing handshake", end.clean, true)?;
    println!("everything happened");
    Ok(())
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), Failure> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: expected {wanted:?}, found {found:?}").into())
    }
}
