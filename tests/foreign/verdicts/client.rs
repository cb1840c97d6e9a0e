//! The Rust client of `verdicts.py`: it stays connected, says a word now and then, comes back after
//! a loss, and reports it.
//!
//! ```sh
//! pulse_verdicts ADDR PATH [plain=1] [reports=0] [talk_ms=N] [open_ms=N] [net=KIND] [earlier=CONN]
//! ```
//!
//! It prints each event as a line of JSON. The lines of its standard input are what a device tells
//! a program: `net KIND` (its network is another one now), `wake`, and `reopen` (the user opens the
//! program again). It ends with its standard input. Without arguments it checks itself and ends.

use pulsegate::client::{ClientEvent, ClientOptions, ClientPhase, PulseSocket};
use pulsegate::http::HeaderValue;
use pulsegate::pulse::{ClientCondition, NetworkKind};
use pulsegate::time::Micros;
use pulsegate::{Class, Dial, DialAddress, DialRequest, Message};
use std::error::Error;
use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

type Failure = Box<dyn Error + Send + Sync>;

/// The longest time between two looks at what the device says.
const TURN: Duration = Duration::from_millis(100);

/// A word that services and the relay answer.
const WORD: &str = r#"{"type":"ping"}"#;

/// What the command line asks for.
struct Wishes {
    options: ClientOptions,
    talk: Option<Duration>,
    net: Option<NetworkKind>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        // As a test of `cargo test`.
        let wishes = wishes(&["plain=1".into(), "net=wifi".into()]);
        let is_read = wishes.is_ok_and(|w| !w.options.is_pulse && w.net.is_some());
        return ExitCode::from(u8::from(!is_read));
    }
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pulse_verdicts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), Failure> {
    let [address, path, wished @ ..] = words else {
        return Err("pulse_verdicts ADDR PATH [NAME=VALUE]...".into());
    };
    let (address, path) = (address.parse()?, path.clone());
    let wishes = wishes(wished)?;
    let mut socket = PulseSocket::open(wishes.options, move |_| {
        let request = DialRequest::new(&path, HeaderValue::from_static("verdicts"));
        Ok(Dial::new(DialAddress::Tcp(address), request, Class(0)))
    })?;
    socket.set_condition(condition(wishes.net));
    live(&mut socket, wishes.talk, &device())
}

fn wishes(words: &[String]) -> Result<Wishes, Failure> {
    let mut options = ClientOptions::default();
    let (mut talk, mut net) = (None, None);
    for word in words {
        match word.split_once('=') {
            Some(("plain", value)) => options.is_pulse = value != "1",
            Some(("reports", value)) => options.has_reports = value != "0",
            Some(("open_ms", ms)) => options.open_timeout = Micros::from_millis(ms.parse()?),
            Some(("talk_ms", ms)) => talk = Some(Duration::from_millis(ms.parse()?)),
            Some(("earlier", conn)) => options.earlier_conn = Some(conn.into()),
            Some(("net", name)) => net = Some(network(name)?),
            _ => return Err(format!("{word} is no NAME=VALUE that is known").into()),
        }
    }
    let talk = talk.filter(|period| !period.is_zero());
    Ok(Wishes { options, talk, net })
}

fn network(name: &str) -> Result<NetworkKind, Failure> {
    Ok(match name {
        "wifi" => NetworkKind::Wifi,
        "cell" => NetworkKind::Cell,
        "4g" => NetworkKind::Cell4g,
        "5g" => NetworkKind::Cell5g,
        "wired" => NetworkKind::Wired,
        _ => return Err(format!("{name} is no network that is known").into()),
    })
}

fn condition(net: Option<NetworkKind>) -> ClientCondition {
    let mut condition = ClientCondition::default();
    condition.net = net;
    condition
}

/// Reads what the device says, on a thread.
fn device() -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let lines = std::io::stdin().lock().lines();
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn live(
    socket: &mut PulseSocket,
    talk: Option<Duration>,
    device: &Receiver<String>,
) -> Result<(), Failure> {
    let mut talked_at = Instant::now();
    loop {
        // A closed client has no loop to wait in.
        let patience = match socket.state() {
            ClientPhase::Closed => TURN,
            _ => Duration::ZERO,
        };
        match device.recv_timeout(patience) {
            Ok(line) => obey(socket, &line)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        let is_open = socket.state() == ClientPhase::Open;
        if is_open && talk.is_some_and(|period| talked_at.elapsed() >= period) {
            talked_at = Instant::now();
            // What does not fit is not said.
            let _ = socket.send(Message::text(WORD));
        }
        let mut event = socket.next_event(Some(TURN))?;
        while let Some(next) = event {
            print_event(socket, &next);
            event = socket.next_event(Some(Duration::ZERO))?;
        }
    }
}

fn obey(socket: &mut PulseSocket, line: &str) -> Result<(), Failure> {
    match line.split_once(' ') {
        Some(("net", name)) => {
            socket.set_condition(condition(Some(network(name)?)));
            socket.wake();
        }
        None if line == "wake" => socket.wake(),
        None if line == "reopen" => socket.reconnect(),
        _ => return Err(format!("{line:?} is nothing that a device says").into()),
    }
    Ok(())
}

fn print_event(socket: &PulseSocket, event: &ClientEvent) {
    let conn = || {
        let session = socket.client().and_then(|client| client.session());
        session.map_or("", |session| &session.id).to_owned()
    };
    let line = match event {
        ClientEvent::Connecting(attempt) => format!(r#""is":"connecting","n":{}"#, attempt.n),
        ClientEvent::Opened => format!(r#""is":"open","conn":"{}""#, conn()),
        ClientEvent::Resumed { .. } => format!(r#""is":"resumed","conn":"{}""#, conn()),
        ClientEvent::Suspended { end, retry_in } => {
            let end = end.as_ref().map(|end| (end.code, end.class));
            let (code, class) = end.unzip();
            let code = code.unwrap_or_default();
            let class = class.map_or_else(String::new, |class| format!("{class:?}"));
            let wait = retry_in.as_millis();
            format!(r#""is":"lost","code":{code},"class":"{class}","retry_ms":{wait}"#)
        }
        ClientEvent::Reset(_) => r#""is":"reset""#.to_owned(),
        ClientEvent::Closed { end, .. } => format!(r#""is":"closed","code":{}"#, end.code),
        // There may be thousands of messages a second.
        _ => return,
    };
    println!("{{{line}}}");
}
