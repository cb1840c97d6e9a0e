//! The gateway as a separate process.

use super::{Client, eventually};
use std::io::{BufRead, BufReader, PipeReader, PipeWriter};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};

/// A running gateway; killed when dropped.
pub struct Gateway {
    pub addr: SocketAddr,
    /// The address of the admin listener, unless `ADMIN_ADDR` is off.
    pub admin: Option<SocketAddr>,
    process: Child,
    pub log: Arc<Mutex<Vec<String>>>,
    /// The log, while no thread reads it.
    unread: Option<BufReader<PipeReader>>,
}

impl Gateway {
    /// Starts a gateway with a ping a second, a timeout of three seconds, and these settings.
    pub fn start(settings: &[(&str, &str)]) -> Gateway {
        Self::start_unread(Self::command(settings)).read()
    }

    /// Starts to read its log.
    pub fn read(mut self) -> Gateway {
        let (log, unread) = (self.log.clone(), self.unread.take());
        std::thread::spawn(move || {
            let lines = unread.into_iter().flat_map(BufRead::lines);
            lines
                .map_while(Result::ok)
                .for_each(|line| log.lock().expect("no panic").push(line));
        });
        self
    }

    pub fn command(settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pulsegate"));
        // Variables of the environment where the tests run must not count.
        command.env_clear();
        command.envs([
            ("LISTEN_ADDR", "127.0.0.1:0"),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("HEARTBEAT_INTERVAL_MS", "1000"),
            ("CONNECTION_TIMEOUT_MS", "3000"),
            ("CLOSE_TIMEOUT_MS", "1000"),
        ]);
        command.envs(settings.iter().copied());
        command
    }

    /// Starts a gateway; reads its log up to the line of the start, and no further.
    pub fn start_unread(command: Command) -> Gateway {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        Self::start_on(command, reader, writer)
    }

    pub fn start_on(mut command: Command, reader: PipeReader, writer: PipeWriter) -> Gateway {
        let process = command.stderr(writer).spawn().expect("the gateway");
        drop(command); // and with it the writing end
        let mut reader = BufReader::with_capacity(1, reader);
        let mut lines = Vec::new();
        let (addr, admin) = loop {
            let mut line = String::new();
            let len = reader.read_line(&mut line).expect("a line");
            assert_ne!(len, 0, "the gateway has not started: {lines:?}");
            let listen = field(&line, "listen").map(|addr| addr.parse().expect("an address"));
            let admin = field(&line, "admin").and_then(|addr| addr.parse().ok());
            lines.push(line.trim_end().to_owned());
            if let Some(addr) = listen {
                break (addr, admin);
            }
        };
        Gateway {
            addr,
            admin,
            process,
            log: Arc::new(Mutex::new(lines)),
            unread: Some(reader),
        }
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, name: &str) {
        let done = Command::new("kill")
            .args(["-s", name, &self.process.id().to_string()])
            .status();
        assert!(done.expect("kill").success());
    }

    /// Waits for a log line that contains all of these parts.
    #[track_caller]
    pub fn line(&self, parts: &[&str]) -> String {
        let what = format!("a log line with {parts:?}");
        eventually(&what, || self.lines(parts).into_iter().next())
    }

    /// Returns the log lines so far that contain all of these parts.
    pub fn lines(&self, parts: &[&str]) -> Vec<String> {
        let log = self.log.lock().expect("no panic");
        let fitting = log.iter().filter(|l| parts.iter().all(|p| l.contains(p)));
        fitting.cloned().collect()
    }

    pub fn health(&self) -> u16 {
        Client::get(self.addr, "/healthz").status
    }

    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        eventually("the gateway's exit", || {
            self.process.try_wait().expect("it is ours")
        })
    }

    /// Drains it at once.
    #[track_caller]
    pub fn end(mut self) {
        self.signal("TERM");
        let status = self.wait_for_exit();
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It has ended already, if the test succeeded. SIGKILL ends a stopped process, too.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the value of `key=` in a log line.
pub fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    line.split_whitespace()
        .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
}
