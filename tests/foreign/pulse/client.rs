//! The Rust client in `cuts.mjs`: numbered messages both ways through a network that breaks. It is
//! the same program as `exactly_once.mjs`, with the messages of `numbered.mjs`.
//!
//! ```sh
//! pulse_cuts ADDR PATH MOST AHEAD LIMIT_MS CONTROL
//! ```
//!
//! MOST: the longest message, and AHEAD: how much may wait, in bytes. CONTROL is the address that
//! answers `over` when nothing more is broken. It prints the result as JSON. Without arguments it
//! checks itself and ends.

use pulsegate::client::{ClientEvent, ClientOptions, PulseSocket, Reconnect, ReconnectRule};
use pulsegate::http::HeaderValue;
use pulsegate::time::Micros;
use pulsegate::{Class, Dial, DialAddress, DialRequest, Message};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The messages that are sent between two looks at what has come.
const BURST: u64 = 12;

/// What the client gives to the network, and what came of it.
#[derive(Default)]
struct Seen {
    received: u64,
    sent: u64,
    faults: Vec<String>,
    resumes: u64,
    resets: u64,
    opens: u64,
    unconfirmed_at_loss: u64,
    close: Option<u16>,
    counted: Option<u64>,
}

/// The run: how long the messages are, how many bytes may wait, and until when.
struct Run {
    most: usize,
    ahead: usize,
    until: Instant,
    is_over: Arc<AtomicBool>,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        // As a test of `cargo test`: the messages are those of `numbered.mjs`.
        let first = make('c', 0, 1 << 20);
        let is_same = check('c', 0, &first, 1 << 20).is_none();
        return ExitCode::from(u8::from(!is_same || mix(1) == mix(2)));
    }
    match run(&words) {
        Ok(seen) => {
            println!("{}", result(&seen));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pulse_cuts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<Seen, Box<dyn Error + Send + Sync>> {
    let [address, path, most, ahead, limit_ms, control] = words else {
        return Err("pulse_cuts ADDR PATH MOST AHEAD LIMIT_MS CONTROL".into());
    };
    let address: SocketAddr = address.parse()?;
    let path = path.clone();
    let is_over = Arc::new(AtomicBool::new(false));
    ask(control.parse()?, is_over.clone());
    let run = Run {
        most: most.parse()?,
        ahead: ahead.parse()?,
        until: Instant::now() + Duration::from_millis(limit_ms.parse()?),
        is_over,
    };
    let mut options = ClientOptions::default();
    options.max_buffered_bytes = 4 << 20;
    options.reconnect_rule = Some(ReconnectRule::new(|_| {
        Reconnect::After(Micros::from_millis(50))
    }));
    let mut socket = PulseSocket::open(options, move |_| {
        let host = HeaderValue::from_static("cuts");
        let request = DialRequest::new(&path, host);
        Ok(Dial::new(DialAddress::Tcp(address), request, Class(0)))
    })?;
    exchange(&mut socket, &run)
}

/// Asks until nothing more is broken.
fn ask(control: SocketAddr, is_over: Arc<AtomicBool>) {
    thread::spawn(move || {
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(300));
            let Ok(mut stream) = TcpStream::connect(control) else {
                continue;
            };
            let asked = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
            let mut answer = String::new();
            if asked.is_ok() && stream.read_to_string(&mut answer).is_ok() {
                is_over.store(answer.ends_with("over"), Ordering::Relaxed);
            }
        }
    });
}

/// Sends messages without a pause until nothing more is broken, and receives as many.
fn exchange(socket: &mut PulseSocket, run: &Run) -> Result<Seen, Box<dyn Error + Send + Sync>> {
    let mut seen = Seen::default();
    let (mut is_stopped, mut is_closed) = (false, false);
    socket.send(Message::text("do:stream"))?;
    while Instant::now() < run.until && seen.close.is_none() {
        for _ in 0..BURST {
            if is_stopped || buffered(socket) >= run.ahead {
                break;
            }
            socket.send(make('c', seen.sent, run.most))?;
            seen.sent += 1;
        }
        if run.is_over.load(Ordering::Relaxed) && !is_stopped {
            is_stopped = true;
            socket.send(Message::text("do:stop"))?;
        }
        if seen.counted.is_some() && !is_closed {
            is_closed = true;
            socket.close(1000, "done")?;
        }
        let mut event = socket.next_event(Some(Duration::from_millis(20)))?;
        while let Some(next) = event {
            take(socket, &mut seen, next, run.most)?;
            event = socket.next_event(Some(Duration::ZERO))?;
        }
    }
    Ok(seen)
}

fn take(
    socket: &mut PulseSocket,
    seen: &mut Seen,
    event: ClientEvent,
    most: usize,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    match event {
        ClientEvent::Opened => seen.opens += 1,
        ClientEvent::Resumed { .. } => seen.resumes += 1,
        ClientEvent::Reset { .. } => seen.resets += 1,
        ClientEvent::Suspended { .. } => {
            seen.unconfirmed_at_loss += u64::from(buffered(socket) > 0);
        }
        ClientEvent::Closed { end, .. } => seen.close = Some(end.code),
        ClientEvent::Message(message) => {
            if let Message::Text(text) = &message
                && text.starts_with("count:")
            {
                let count = text.split(':').nth(1);
                seen.counted = count.and_then(|count| count.parse().ok());
                return Ok(());
            }
            seen.faults
                .extend(check('s', seen.received, &message, most));
            seen.received += 1;
            if seen.received.is_multiple_of(4) {
                socket.send(Message::text(format!("\u{1}seen:{}", seen.received)))?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn buffered(socket: &PulseSocket) -> usize {
    socket.client().map_or(0, |client| client.buffered())
}

fn result(seen: &Seen) -> String {
    let faults = seen.faults.iter().take(3);
    let faults: Vec<String> = faults.map(|fault| format!("{fault:?}")).collect();
    let number = |number: Option<u64>| number.map_or("null".to_owned(), |n| n.to_string());
    format!(
        "{{\"received\":{},\"sent\":{},\"faults\":[{}],\"resumes\":{},\"resets\":{},\"opens\":{},\
         \"unconfirmedAtLoss\":{},\"close\":{},\"counted\":{}}}",
        seen.received,
        seen.sent,
        faults.join(","),
        seen.resumes,
        seen.resets,
        seen.opens,
        seen.unconfirmed_at_loss,
        number(seen.close.map(u64::from)),
        number(seen.counted)
    )
}

// ---- the messages of numbered.mjs ----

fn mix(n: u32) -> u32 {
    let mut t = (n ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b) ^ n;
    t = (t ^ (t >> 15)).wrapping_mul(0xc2b2_ae35);
    t ^ (t >> 13)
}

fn length_of(n: u64, most: usize) -> usize {
    let part = f64::from(mix(n as u32)) / 2_f64.powi(32);
    (part.powi(2) * (most as f64).log2()).exp2().floor() as usize
}

/// Returns message `n` of a side: its number, then filling.
fn make(side: char, n: u64, most: usize) -> Message {
    let head = format!("{side}{n};");
    let kind = mix(n as u32 + 7) % 8;
    let filling = length_of(n, most).min(most).saturating_sub(head.len() + 1);
    let escape = if kind == 1 { "\u{1}" } else { "" };
    let text = format!("{escape}{head}{}", "x".repeat(filling));
    match kind {
        0 => Message::binary(text.into_bytes()),
        _ => Message::text(text),
    }
}

/// Returns what is wrong with a message that should be message `n` of a side.
fn check(side: char, n: u64, message: &Message, most: usize) -> Option<String> {
    let expected = make(side, n, most);
    (*message != expected).then(|| {
        let shown = |message: &Message| message.to_string().chars().take(20).collect::<String>();
        let (got, len) = (shown(message), message.len());
        let wanted = (shown(&expected), expected.len());
        format!("message {n}: got {got:?} of {len}, not {wanted:?}")
    })
}
