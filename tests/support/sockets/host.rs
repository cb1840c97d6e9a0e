//! A reactor on a thread, and a handler that records all its calls.

use super::{Calls, LoopThread};
use pulsegate::cause::Cause;
use pulsegate::engine::{SilenceEvidence, Stats};
use pulsegate::reactor::listen;
use pulsegate::{
    Class, ClassConfig, Config, ConnId, ConnMap, Ending, Handler, HealthChange, Io, Message,
    Micros, Policy, Reactor, Reply, Request, SendOutcome, Verdict,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Returns a policy with a ping a second and a timeout of three seconds.
pub fn policy() -> Policy {
    Policy {
        heartbeat_interval: Micros::from_secs(1),
        connection_timeout: Micros::from_secs(3),
        close_timeout: Micros::from_secs(1),
        ..Policy::default()
    }
}

const GUEST: Class = Class(0);
const CONTROL: Class = Class(1);
const PATIENT: Class = Class(2);

/// Returns a configuration with three classes: `guest` (any path), `control` (`/control/…`), and
/// `patient` (`/patient/…`), with a long close timeout.
pub fn config() -> Config {
    let class = |name: &str, policy| ClassConfig {
        name: name.to_owned(),
        policy,
    };
    let patient = Policy {
        close_timeout: Micros::from_secs(20),
        ..policy()
    };
    Config {
        classes: vec![
            class("guest", policy()),
            class("control", policy()),
            class("patient", patient),
        ],
        ..Config::default()
    }
}

/// The handler's calls, in order.
#[derive(Debug, Clone)]
pub enum Seen {
    Open {
        path: String,
        id: ConnId,
    },
    /// The turn in which it arrived, its length as on the wire, and its first bytes.
    Message {
        path: String,
        turn: u64,
        len: usize,
        start: Vec<u8>,
    },
    Sent {
        path: String,
        sent: SendOutcome,
    },
    Writable {
        path: String,
    },
    Health {
        path: String,
        change: HealthChange,
    },
    Late {
        path: String,
        evidence: SilenceEvidence,
    },
    Close {
        path: String,
        end: Ending,
        at: Instant,
    },
    Reject {
        end: Ending,
    },
    /// The answer to a wake.
    Stats(Box<Stats>),
}

/// The state that test and handler share.
#[derive(Default)]
struct Journal {
    seen: Calls<Seen>,
    /// While it is locked, the loop stops after the next wake.
    gate: Mutex<()>,
}

/// Records its calls. It echoes texts, except on `/mute/…`, and sends as many bytes as it is asked
/// for (`give 1048576`).
pub struct Scribe {
    journal: Arc<Journal>,
    paths: ConnMap<String>,
}

impl Scribe {
    fn note(&self, seen: Seen) {
        self.journal.seen.add(seen);
    }

    fn path(&self, id: ConnId) -> String {
        self.paths.get(id).cloned().unwrap_or_default()
    }
}

impl Handler for Scribe {
    fn on_health_check(
        &mut self,
        io: &mut Io<'_>,
        _id: ConnId,
        request: &Request,
    ) -> Option<Reply> {
        (request.path() == "/healthz").then(|| io.health_reply(request))
    }

    fn on_request(&mut self, _io: &mut Io<'_>, id: ConnId, request: &Request) -> Verdict {
        self.paths.insert(id, request.path().to_owned());
        Verdict::upgrade(match request.path() {
            p if p.starts_with("/control/") => CONTROL,
            p if p.starts_with("/patient/") => PATIENT,
            _ => GUEST,
        })
    }

    fn on_open(&mut self, _io: &mut Io<'_>, id: ConnId) {
        let path = self.path(id);
        self.note(Seen::Open { path, id });
    }

    fn on_message(&mut self, io: &mut Io<'_>, id: ConnId, message: Message) {
        let (path, data) = (self.path(id), message.clone().into_data());
        self.note(Seen::Message {
            path: path.clone(),
            turn: io.stats().turns,
            len: data.len(),
            start: data[..data.len().min(32)].to_vec(),
        });
        if path.starts_with("/mute/") {
            return;
        }
        let wanted = data.strip_prefix(b"give ").map(|n| {
            let n = str::from_utf8(n).expect("a number");
            n.parse().expect("a number")
        });
        let answer = match wanted {
            Some(bytes) => Message::binary(vec![b'x'; bytes]),
            None => message,
        };
        let sent = io.send(id, answer);
        self.note(Seen::Sent { path, sent });
    }

    fn on_health(&mut self, _io: &mut Io<'_>, id: ConnId, change: HealthChange) {
        let path = self.path(id);
        self.note(Seen::Health { path, change });
    }

    fn on_late(&mut self, _io: &mut Io<'_>, id: ConnId, evidence: &SilenceEvidence) {
        let (path, evidence) = (self.path(id), *evidence);
        self.note(Seen::Late { path, evidence });
    }

    fn on_writable(&mut self, _io: &mut Io<'_>, id: ConnId) {
        let path = self.path(id);
        self.note(Seen::Writable { path });
    }

    fn on_close(&mut self, _io: &mut Io<'_>, id: ConnId, end: &Ending) {
        let path = self.paths.remove(id).expect("closed once, and known");
        self.note(Seen::Close {
            path,
            end: end.clone(),
            at: Instant::now(),
        });
    }

    fn on_reject(&mut self, _io: &mut Io<'_>, id: ConnId, end: &Ending) {
        self.paths.remove(id);
        self.note(Seen::Reject { end: end.clone() });
    }

    fn on_wake(&mut self, io: &mut Io<'_>) {
        self.note(Seen::Stats(Box::new(io.stats().clone())));
        let gate = self.journal.gate.lock();
        drop(gate.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A running reactor with a [`Scribe`]; stopped when dropped.
pub struct Host {
    pub addr: SocketAddr,
    pub thread: LoopThread,
    journal: Arc<Journal>,
}

impl Host {
    pub fn start() -> Host {
        Self::start_with(config(), 10_000)
    }

    pub fn start_with(config: Config, max_connections: usize) -> Host {
        let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
        Self::start_on(config, max_connections, listener)
    }

    pub fn start_on(
        config: Config,
        max_connections: usize,
        listener: std::net::TcpListener,
    ) -> Host {
        allow_descriptors();
        let journal = Arc::new(Journal::default());
        let scribe = scribe(&journal);
        let thread = LoopThread::spawn(move || {
            Reactor::new(config, listener, max_connections, scribe).expect("a reactor")
        });
        Host {
            addr: thread.addr,
            thread,
            journal,
        }
    }

    /// Waits until `find` finds something in the handler's calls.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, find: impl FnMut(&[Seen]) -> Option<T>) -> T {
        self.journal.seen.wait_for(what, find)
    }

    /// Returns the handler's calls so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.journal.seen.lock().clone()
    }

    /// Waits for the end of the connection on `path`.
    #[track_caller]
    pub fn ending(&self, path: &str) -> Ending {
        self.wait_for(&format!("the end of {path}"), |seen| {
            seen.iter().find_map(|s| match s {
                Seen::Close { path: p, end, .. } if p == path => Some(end.clone()),
                _ => None,
            })
        })
    }

    /// Waits until the connection on `path` has sent this message.
    #[track_caller]
    pub fn message(&self, path: &str, text: &str) {
        self.wait_for(&format!("{text} from {path}"), |seen| {
            seen.iter().find_map(|s| match s {
                Seen::Message { path: p, start, .. } => {
                    (p == path && start == text.as_bytes()).then_some(())
                }
                _ => None,
            })
        });
    }

    /// Waits until this many connections have ended that never became WebSockets.
    #[track_caller]
    pub fn rejected(&self, many: usize) -> Vec<Ending> {
        self.wait_for("rejected connections", |seen| {
            let ends = seen.iter().filter_map(|s| match s {
                Seen::Reject { end } => Some(end.clone()),
                _ => None,
            });
            let ends: Vec<_> = ends.collect();
            (ends.len() >= many).then_some(ends)
        })
    }

    /// Returns the loop's current counters.
    #[track_caller]
    pub fn stats(&self) -> Stats {
        let before = self.count_stats();
        self.thread.remote.wake();
        self.wait_for("the statistics", |seen| {
            let stats = seen.iter().filter_map(|s| match s {
                Seen::Stats(stats) => Some(stats),
                _ => None,
            });
            stats.skip(before).last().map(|s| Stats::clone(s))
        })
    }

    /// Holds the loop, inside a call of its handler, until the returned guard is dropped.
    #[track_caller]
    pub fn hold(&self) -> MutexGuard<'_, ()> {
        let gate = self.journal.gate.lock();
        let gate = gate.unwrap_or_else(PoisonError::into_inner);
        self.stats();
        gate
    }

    fn count_stats(&self) -> usize {
        let seen = self.journal.seen.lock();
        seen.iter().filter(|s| matches!(s, Seen::Stats(_))).count()
    }

    /// Waits for the end of the loop, which was requested before.
    #[track_caller]
    pub fn wait_for_end(&self) -> Stats {
        self.thread.wait_for_end()
    }

    /// Returns whether the address refuses connections.
    pub fn refuses(addr: SocketAddr) -> bool {
        std::net::TcpStream::connect(addr).is_err()
    }

    /// Stops the loop and checks its records: each accepted connection has ended, and was reported
    /// once.
    #[track_caller]
    pub fn stop(self) -> Stats {
        let stats = self.thread.stop();
        check_books(&stats, &self.seen());
        stats
    }
}

/// Returns a reactor that the test turns, and a function that returns its handler's calls.
pub fn turned(config: Config) -> (Reactor<Scribe>, impl Fn() -> Vec<Seen>) {
    allow_descriptors();
    let journal = Arc::new(Journal::default());
    let listener = listen(([127, 0, 0, 1], 0).into(), false).expect("a listener");
    let reactor = Reactor::new(config, listener, 10_000, scribe(&journal)).expect("a reactor");
    (reactor, move || journal.seen.lock().clone())
}

fn scribe(journal: &Arc<Journal>) -> Scribe {
    Scribe {
        journal: journal.clone(),
        paths: ConnMap::new(),
    }
}

/// Returns how a guest's connection ended, for patterns.
pub fn guest(seen: &[Seen], path: &str) -> Option<Cause> {
    seen.iter().find_map(|s| match s {
        Seen::Close { path: p, end, .. } if p == path => Some(end.cause),
        _ => None,
    })
}

fn check_books(stats: &Stats, seen: &[Seen]) {
    let count = |f: &dyn Fn(&Seen) -> bool| seen.iter().filter(|s| f(s)).count() as u64;
    let closed: u64 = (0..Cause::COUNT).map(|i| stats.closed(i)).sum();
    let rejected: u64 = stats.rejected.iter().sum();
    assert_eq!(stats.live(), 0);
    assert_eq!(stats.accepted, closed + rejected);
    assert_eq!(stats.opened(), closed);
    assert_eq!((stats.pending_bytes, stats.held_bytes), (0, 0));
    assert_eq!(stats.suspects(), 0);
    let opened = count(&|s| matches!(s, Seen::Open { .. }));
    assert_eq!(stats.opened(), opened);
    let told = count(&|s| matches!(s, Seen::Close { .. }));
    assert!((opened..=opened + rejected).contains(&told));
}

/// Raises the descriptor limit: both sockets of each connection are in this process.
fn allow_descriptors() {
    #[cfg(feature = "gateway")]
    if !Child::is_one() {
        let _ = rlimit::increase_nofile_limit(u64::MAX);
    }
}

/// This test binary again, as a separate process with few descriptors, running one reactor.
pub struct Child {
    pub addr: SocketAddr,
    process: std::process::Child,
    output: Option<BufReader<std::process::ChildStdout>>,
}

const CHILD: &str = "PULSEGATE_TEST_CHILD";

impl Child {
    fn is_one() -> bool {
        std::env::var_os(CHILD).is_some()
    }

    /// Runs the test `name`, which must call [`main_of_child`], with this limit of descriptors.
    pub fn start(name: &str, descriptors: u32) -> Child {
        let mut process = Command::new("sh")
            .args(["-c", "ulimit -n \"$1\" && shift && exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().expect("this binary"))
            .arg(descriptors.to_string())
            .args(["--exact", name, "--nocapture", "--ignored"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child process");
        let mut output = BufReader::new(process.stdout.take().expect("a pipe"));
        let addr = loop {
            let mut line = String::new();
            let len = output.read_line(&mut line).expect("a line");
            assert_ne!(len, 0, "the child has not started");
            if let Some((_, addr)) = line.split_once("listen=") {
                break addr.trim().parse().expect("an address");
            }
        };
        Child {
            addr,
            process,
            output: Some(output),
        }
    }

    /// Stops the child's loop. Returns what it printed.
    pub fn stop(mut self) -> String {
        drop(self.process.stdin.take());
        let mut text = String::new();
        let output = self.output.take();
        output
            .expect("read once")
            .read_to_string(&mut text)
            .expect("text");
        let status = self.process.wait().expect("it was ours");
        assert!(status.success(), "{status}: {text}");
        text
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It has ended already, if the test succeeded.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The main function of a [`Child`]: runs a reactor until standard input ends, then prints its
/// counts.
pub fn main_of_child() {
    if !Child::is_one() {
        return;
    }
    let host = Host::start();
    println!("\nlisten={}", host.addr);
    std::io::stdout().flush().expect("flushed");
    let _ = std::io::stdin().read(&mut [0]);
    let stats = host.stop();
    println!(
        "accept_pauses={} accepted={} stalls={}",
        stats.accept_pauses, stats.accepted, stats.stalls
    );
}
