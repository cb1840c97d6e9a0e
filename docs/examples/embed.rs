//! A host that turns the loop itself, beside a source of its own.
//!
//! One thread waits in one `mio::Poll` for two things: the reactor, and a UDP socket whose
//! datagrams are news for all guests. A second thread looks tokens up, answers deferred verdicts
//! and welcomes new guests. A third one is the client: it goes through the script below
//! and then asks the host to go away. The process ends by itself, with exit code 0 only if
//! everything in the script has happened.
//!
//! ```sh
//! cargo run --example embed --no-default-features
//! ```

use mio::net::UdpSocket;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use pulsegate::{
    Cause, Class, Config, ConnId, ConnMap, EndedBy, Ending, Handler, Io, Message, Micros, Reactor,
    Remote, Request, TimerId, Verdict,
};
use std::collections::HashMap;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{HandshakeError, WebSocket};

type Failure = Box<dyn Error + Send + Sync>;

const REACTOR: Token = Token(0);
const NEWS: Token = Token(1);

/// The time after which a guest is reminded that says "remind me".
const REMIND_AFTER: Micros = Micros::from_millis(50);

/// The most jobs that wait for the worker; a request beyond them is answered 503.
const JOBS_MAX: usize = 1_024;

/// However it goes, the example is over after this.
const WHOLE_TIME: Duration = Duration::from_secs(20);

// ---- the handler: state, and what happens to connections ----

/// What the loop's thread does with guests.
struct Host {
    /// From the request on, since the name is in it; `on_close` ends it in every case.
    guests: ConnMap<Guest>,
    reminders: HashMap<TimerId, ConnId>,
    jobs: SyncSender<Job>,
    ended: Vec<(String, Ending)>,
}

struct Guest {
    name: String,
    messages: u32,
}

/// What the loop must not do itself, since it may take long.
enum Job {
    /// Is this token good?
    LookUp(ConnId, String),
    /// A guest has come in.
    Welcome(ConnId, String),
}

impl Host {
    /// Tells all guests. Returns how many there were.
    fn announce(&self, io: &mut Io<'_>, news: &str) -> usize {
        let all = self.guests.iter().map(|(id, _)| id);
        io.send_many(all, &Message::text(format!("news: {news}")))
    }
}

impl Handler for Host {
    fn on_request(&mut self, _io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        let (Some(name), Some(token)) = (field(request, "name"), field(request, "token")) else {
            return Verdict::refuse(Cause::BAD_REQUEST, 400, "name and token are required");
        };
        match self.jobs.try_send(Job::LookUp(id, token.to_owned())) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                return Verdict::refuse(Cause::AT_CAPACITY, 503, "your token cannot be looked up");
            }
        }
        let guest = Guest {
            name: name.to_owned(),
            messages: 0,
        };
        self.guests.insert(id, guest);
        Verdict::Defer
    }

    fn on_open(&mut self, _io: &mut Io<'_>, id: ConnId) {
        if let Some(guest) = self.guests.get(id) {
            // A welcome that finds no room is not missed.
            let _ = self.jobs.try_send(Job::Welcome(id, guest.name.clone()));
        }
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let (Some(guest), Ok(text)) = (self.guests.get_mut(id), message.to_text()) else {
            return;
        };
        guest.messages += 1;
        if text == "remind me" {
            self.reminders.insert(io.start_timer(REMIND_AFTER), id);
        } else {
            io.send(id, Message::text(format!("{}: {text}", guest.name)));
        }
    }

    fn on_timer(&mut self, io: &mut Io<'_>, timer: TimerId) {
        if let Some(id) = self.reminders.remove(&timer) {
            // If that connection is gone meanwhile, its id names no connection: nothing happens.
            io.send(id, Message::text("reminder"));
        }
    }

    fn on_close(&mut self, _io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let Some(guest) = self.guests.remove(id) else {
            return;
        };
        println!(
            "host: {} ended: {} by {}, code {}, {} messages",
            guest.name, end.cause, end.by, end.code, guest.messages
        );
        self.ended.push((guest.name, end.clone()));
    }
}

/// A field of the query, as sent.
fn field<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let fields = request.query()?.split('&');
    fields
        .filter_map(|f| f.split_once('='))
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

// ---- the worker: another thread that acts on connections ----

/// Until the host, which holds the other end of the queue, is gone.
fn work(jobs: Receiver<Job>, remote: &Remote) {
    for job in jobs {
        let told = match job {
            Job::LookUp(id, token) => {
                thread::sleep(Duration::from_millis(20)); // a database, say
                let verdict = if token == "sesame" {
                    Verdict::upgrade(Class(0))
                } else {
                    Verdict::refuse(Cause::UNAUTHORIZED, 401, "unknown token")
                };
                remote.try_answer(id, verdict)
            }
            Job::Welcome(id, name) => {
                remote.try_send(id, Message::text(format!("welcome, {name}")))
            }
        };
        if let Err(full) = told {
            // A verdict that never comes is answered 408 when the handshake timeout is over.
            eprintln!("worker: {full}");
        }
    }
}

// ---- the host's loop ----

fn main() -> ExitCode {
    match run() {
        Ok(()) => {
            println!("everything happened");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("embed: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let (jobs, waiting_jobs) = sync_channel(JOBS_MAX);
    let host = Host {
        guests: ConnMap::new(),
        reminders: HashMap::new(),
        jobs,
        ended: Vec::new(),
    };
    let localhost = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = pulsegate::reactor::listen(localhost, false)?;
    let mut reactor = Reactor::new(Config::default(), listener, 1_000, host)?;
    let mut news = UdpSocket::bind(localhost)?;

    let remote = reactor.remote();
    let worker = thread::spawn(move || work(waiting_jobs, &remote));
    let (remote, server, news_addr) = (reactor.remote(), reactor.local_addr(), news.local_addr()?);
    let client = thread::spawn(move || {
        let outcome = visit(server, news_addr);
        // The host's loop ends, whatever came of it.
        remote.drain(Micros::ZERO, Micros::ZERO);
        outcome
    });

    let announced = turn_until_over(&mut reactor, &mut news)?;
    client.join().map_err(|_| "the client has panicked")??;
    let ended = reactor.engine().handler().ended.clone();
    drop(reactor); // and with it the queue of jobs, so the worker ends
    worker.join().map_err(|_| "the worker has panicked")?;

    expect("announcements", announced, 1)?;
    expect("endings", ended.len(), 2)?;
    let how = |i: usize| (ended[i].0.as_str(), ended[i].1.cause, ended[i].1.by);
    expect(
        "mallory",
        how(0),
        ("mallory", Cause::UNAUTHORIZED, EndedBy::Server),
    )?;
    expect("ada", how(1), ("ada", Cause::PEER_CLOSED, EndedBy::Peer))?;
    expect("ada's closing handshake", ended[1].1.clean, true)
}

/// The host's own loop: it sleeps in its own poll, and gives the reactor a turn when that has
/// something to do. Returns how many times news reached a guest.
fn turn_until_over(reactor: &mut Reactor<Host>, news: &mut UdpSocket) -> Result<usize, Failure> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    let fd = reactor.as_raw_fd();
    let registry = poll.registry();
    registry.register(&mut SourceFd(&fd), REACTOR, Interest::READABLE)?;
    registry.register(news, NEWS, Interest::READABLE)?;

    let started = Instant::now();
    let mut announced = 0;
    while !reactor.is_over() {
        let left = WHOLE_TIME.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err("it takes too long".into());
        }
        // `next_due` is asked after everything that the host did with the reactor, for that may
        // have changed it.
        let timeout = reactor.next_due().map_or(left, |due| due.min(left));
        match poll.poll(&mut events, Some(timeout)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        if events.iter().any(|e| e.token() == NEWS) {
            announced += pass_on(news, reactor)?;
        }
        // Whether the descriptor was readable or a deadline has come: a turn finds out. One too
        // many does no harm.
        reactor.run_turn(Some(Duration::ZERO))?;
    }
    Ok(announced)
}

/// Reads every datagram that is there (a mio source tells of them once), and passes it on.
fn pass_on(news: &UdpSocket, reactor: &mut Reactor<Host>) -> io::Result<usize> {
    let mut buffer = [0; 512];
    let mut told = 0;
    loop {
        match news.recv(&mut buffer) {
            Ok(len) => {
                let text = String::from_utf8_lossy(&buffer[..len]);
                told += reactor.with_io(|host, io| host.announce(io, &text));
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(told),
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

// ---- the client ----

/// The script.
fn visit(server: SocketAddr, news: SocketAddr) -> Result<(), Failure> {
    let Err(refused) = connect(server, "/?name=mallory&token=guess") else {
        return Err("a wrong token was let in".into());
    };
    let status = match refused.downcast_ref() {
        Some(tungstenite::Error::Http(response)) => response.status().as_u16(),
        _ => return Err(refused),
    };
    expect("the status for a wrong token", status, 401)?;
    println!("client: mallory was refused with {status}");

    let mut ada = connect(server, "/?name=ada&token=sesame")?;
    hear(&mut ada, "welcome, ada")?;

    ada.send(Message::text("hello"))?;
    hear(&mut ada, "ada: hello")?;

    let asked = Instant::now();
    ada.send(Message::text("remind me"))?;
    hear(&mut ada, "reminder")?;
    let early = asked.elapsed() < REMIND_AFTER.as_duration();
    expect("a reminder before its time", early, false)?;

    let reporter = std::net::UdpSocket::bind("127.0.0.1:0")?;
    reporter.send_to(b"it rains", news)?;
    hear(&mut ada, "news: it rains")?;

    ada.close(Some(CloseFrame {
        code: CloseCode::Normal,
        reason: "good night".into(),
    }))?;
    loop {
        match ada.read() {
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
            Err(e) => return Err(e.into()),
        }
    }
}

fn connect(server: SocketAddr, target: &str) -> Result<WebSocket<TcpStream>, Failure> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(WHOLE_TIME / 2))?;
    stream.set_nodelay(true)?;
    // The default of 128 KiB is a lot for a few words.
    let config = WebSocketConfig::default().read_buffer_size(1_024);
    let url = format!("ws://{server}{target}");
    match tungstenite::client::client_with_config(url, stream, Some(config)) {
        Ok((socket, _response)) => Ok(socket),
        Err(HandshakeError::Failure(e)) => Err(e.into()),
        Err(HandshakeError::Interrupted(_)) => Err("no answer to the handshake".into()),
    }
}

/// Waits for the next message, which must be this one.
fn hear(socket: &mut WebSocket<TcpStream>, expected: &str) -> Result<(), Failure> {
    loop {
        // A ping is answered by reading on.
        if let Message::Text(text) = socket.read()? {
            println!("client: heard \"{text}\"");
            return expect("what the client heard", text.as_str(), expected);
        }
    }
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, wanted: T) -> Result<(), Failure> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!("{what}: expected {wanted:?}, found {found:?}").into())
    }
}
