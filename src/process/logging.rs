//! Log lines without waiting: a bounded queue between whoever logs and the one thread that writes to standard error.
//!
//! Standard error may be a pipe that nobody reads. A loop that wrote to it would stand still, and with it every heartbeat;
//! so a line is only put into a queue, and a full queue means that the line is dropped and counted.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

/// Lines that may wait: at 1 000 lines a second eight seconds of a reader that is away, and at most 64 MiB.
const QUEUE_LINES: usize = 8_192;

/// Bytes of the longest line, its end included, before quotes are escaped for JSON; a longer one is cut.
const LINE_BYTES: usize = 8 * 1024;

/// The writer stops collecting lines for one `write` at this many bytes: what a pipe holds on Linux.
const BATCH_BYTES: usize = 64 * 1024;

/// How long the writer waits before it tries again, if somebody made standard error non-blocking and it is full.
const RETRY: Duration = Duration::from_millis(10);

/// Crates that print payloads (so tokens and keys) or every event at the levels below info: those are refused.
const TALKATIVE: [&str; 2] = ["tungstenite", "mio"];

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `2026-01-31T12:00:00.000Z [INFO] close cause=stale …`
    #[default]
    Text,
    /// `{"time":"2026-01-31T12:00:00.000Z","level":"info","message":"close cause=stale …"}`
    Json,
}

/// Returns whether standard error is the journal of systemd (`JOURNAL_STREAM`), which takes a priority in front of each line.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = std::fs::metadata("/dev/fd/2");
    stderr.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// Makes standard error the place where this process logs to, at `level`. Call it once, in the binary.
///
/// `log::set_max_level` changes the level later.
///
/// # Errors
/// If the writer thread cannot be started, or the process has a logger already.
pub fn init(level: LevelFilter, format: LogFormat) -> io::Result<LogQueue> {
    init_to(level, format, is_journal(), io::stderr())
}

/// [`init`] with another place than standard error, and whether each line has a priority (`<4>`) in front. `sink` may block
/// for as long as it likes.
///
/// # Errors
/// If the writer thread cannot be started, or the process has a logger already.
pub fn init_to<W: Write + Send + 'static>(
    level: LevelFilter,
    format: LogFormat,
    priorities: bool,
    sink: W,
) -> io::Result<LogQueue> {
    let (logger, queue) = logger_in(format, priorities, sink)?;
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(queue)
}

/// A logger that is not made the process's own, whatever its level, and the queue behind it.
///
/// # Errors
/// If the writer thread cannot be started.
#[cfg(test)]
pub fn logger_to<W: Write + Send + 'static>(sink: W) -> io::Result<(QueueLogger, LogQueue)> {
    logger_in(LogFormat::Text, false, sink)
}

fn logger_in<W: Write + Send + 'static>(
    format: LogFormat,
    priorities: bool,
    sink: W,
) -> io::Result<(QueueLogger, LogQueue)> {
    let (sender, receiver) = sync_channel(QUEUE_LINES);
    let queue = LogQueue(Arc::default());
    let counts = queue.0.clone();
    thread::Builder::new()
        .name("pulsegate-log".to_owned())
        .spawn(move || write_lines(&receiver, &counts, sink))?;
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    let line = Line {
        bytes: Vec::with_capacity(LINE_BYTES),
        format,
        priorities,
        sender,
        counts: queue.0.clone(),
    };
    let logger = QueueLogger {
        one_record: Mutex::new(()),
        writer: WriteLogger::new(LevelFilter::Trace, config, line),
    };
    Ok((logger, queue))
}

/// What became of the lines. Clones speak of the same queue.
#[derive(Debug, Clone)]
pub struct LogQueue(Arc<Counts>);

impl LogQueue {
    /// Lines that were logged and will never be read: the queue was full, or writing failed.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line that this thread has logged is written, but not longer than `timeout`: the last thing to do
    /// before the process ends. Returns whether all of them are.
    ///
    /// Lines that are logged afterwards are written too, if the process lives that long.
    pub fn close(&self, timeout: Duration) -> bool {
        let logged = self.0.queued.load(Ordering::Acquire);
        let (settled, _) = self
            .0
            .progress
            .wait_timeout_while(self.0.settled(), timeout, |settled| *settled < logged)
            .unwrap_or_else(PoisonError::into_inner);
        *settled >= logged
    }
}

/// The counts that both ends of the queue keep.
#[derive(Debug, Default)]
struct Counts {
    /// Lines that the queue took.
    queued: AtomicU64,
    /// Lines of those that the writer is done with.
    settled: Mutex<u64>,
    /// `settled` has grown.
    progress: Condvar,
    dropped: AtomicU64,
}

impl Counts {
    fn settled(&self) -> MutexGuard<'_, u64> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A [`Log`] whose lines go through a bounded queue: `2026-01-31T12:00:00.000Z [INFO] close cause=stale …`.
///
/// It never blocks on what is behind the queue, and it refuses debug and trace of crates that print payloads there, whatever
/// the level.
pub struct QueueLogger {
    /// simplelog writes a record in pieces and does not say where it ends; we do, by a flush, so the two belong together.
    one_record: Mutex<()>,
    writer: Box<WriteLogger<Line>>,
}

impl Log for QueueLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
            || !TALKATIVE
                .iter()
                .any(|name| metadata.target().starts_with(name))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let _one_record = self
            .one_record
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.writer.log(record);
        self.writer.flush();
    }

    /// Does nothing: lines are on their way as soon as they are logged. [`LogQueue::close`] waits for them.
    fn flush(&self) {}
}

/// Collects the pieces of one record; a flush ends the line and queues it.
struct Line {
    bytes: Vec<u8>,
    format: LogFormat,
    /// Whether a priority stands in front of each line.
    priorities: bool,
    sender: SyncSender<Box<[u8]>>,
    counts: Arc<Counts>,
}

impl Line {
    /// More than a line, so that what is cut is known to be too long even after the time stamp has shrunk.
    const MOST_COLLECTED: usize = LINE_BYTES + 16;

    /// Ends the line: one line for one record, its time in milliseconds, not longer than allowed.
    fn end(&mut self) -> Box<[u8]> {
        let line = &mut self.bytes;
        if line.last() == Some(&b'\n') {
            line.pop();
        }
        for byte in line.iter_mut().filter(|byte| byte.is_ascii_control()) {
            *byte = b' ';
        }
        stamp_in_ms(line);
        if line.len() >= LINE_BYTES {
            let mut end = LINE_BYTES - 1 - '…'.len_utf8();
            while line[end] & 0xC0 == 0x80 {
                end -= 1; // not inside a character
            }
            line.truncate(end);
            line.extend_from_slice("…".as_bytes());
        }
        let ended = finish(&String::from_utf8_lossy(line), self.format, self.priorities);
        line.clear();
        ended.into_bytes().into()
    }
}

impl Write for Line {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let room = Self::MOST_COLLECTED.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&piece[..piece.len().min(room)]);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = self.end();
        match self.sender.try_send(line) {
            Ok(()) => self.counts.queued.fetch_add(1, Ordering::Release),
            Err(_) => self.counts.dropped.fetch_add(1, Ordering::Relaxed),
        };
        Ok(())
    }
}

/// A line `time [LEVEL] message`, without its end, as it is written.
fn finish(line: &str, format: LogFormat, priorities: bool) -> String {
    let (time, rest) = line.split_once(" [").unwrap_or_default();
    let (level, message) = rest.split_once("] ").unwrap_or(("", line));
    let priority = match level {
        _ if !priorities => "",
        "ERROR" => "<3>",
        "WARN" => "<4>",
        "INFO" => "<6>",
        _ => "<7>",
    };
    match format {
        LogFormat::Text => format!("{priority}{line}\n"),
        // Control characters are spaces already.
        LogFormat::Json => format!(
            "{priority}{{\"time\":\"{time}\",\"level\":\"{}\",\"message\":\"{}\"}}\n",
            level.to_ascii_lowercase(),
            message.replace('\\', "\\\\").replace('"', "\\\"")
        ),
    }
}

/// Gives the time stamp three digits after the second: simplelog prints as many as the clock happens to yield.
fn stamp_in_ms(line: &mut Vec<u8>) {
    const SECONDS_END: usize = "2026-01-31T12:00:00".len();
    let Some(end) = line.iter().position(|byte| *byte == b' ') else {
        return;
    };
    let fraction = match line.get(SECONDS_END..end) {
        Some([b'.', digits @ .., b'Z']) => digits,
        Some([b'Z']) => &[],
        Some(_) | None => return,
    };
    let fraction = format!(".{:0<3.3}Z", String::from_utf8_lossy(fraction));
    line.splice(SECONDS_END..end, fraction.into_bytes());
}

/// The writer thread: as many lines as wait, in one `write`. Ends when the logger is gone.
fn write_lines<W: Write>(lines: &Receiver<Box<[u8]>>, counts: &Counts, mut sink: W) {
    let mut batch = Vec::with_capacity(BATCH_BYTES + LINE_BYTES);
    while let Ok(first) = lines.recv() {
        batch.clear();
        batch.extend_from_slice(&first);
        let mut taken = 1;
        while batch.len() < BATCH_BYTES
            && let Ok(line) = lines.try_recv()
        {
            batch.extend_from_slice(&line);
            taken += 1;
        }
        let unwritten = write_batch(&mut sink, &batch);
        let lost = unwritten.iter().filter(|byte| **byte == b'\n').count();
        counts.dropped.fetch_add(lost as u64, Ordering::Relaxed);
        *counts.settled() += taken;
        counts.progress.notify_all();
    }
}

/// Writes as much as `sink` takes, for as long as it takes; returns what was lost by an error. There is nobody left whom
/// it could be told, so it is only counted.
fn write_batch<'a, W: Write>(sink: &mut W, mut rest: &'a [u8]) -> &'a [u8] {
    while !rest.is_empty() {
        match sink.write(rest) {
            Ok(0) => break,
            Ok(written) => rest = &rest[written..],
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(_) => break,
        }
    }
    let _ = sink.flush();
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// Hands on what is written to it, once the gate is open (its sender dropped).
    struct Gated {
        gate: Receiver<()>,
        out: Sender<Vec<u8>>,
    }

    fn gated() -> (Gated, Sender<()>, Receiver<Vec<u8>>) {
        let (opener, gate) = channel();
        let (out, written) = channel();
        (Gated { gate, out }, opener, written)
    }

    fn open() -> (Gated, Receiver<Vec<u8>>) {
        let (sink, _, written) = gated();
        (sink, written)
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            let _ = self.out.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(logger: &QueueLogger, level: Level, target: &str, message: &str) {
        logger.log(
            &Record::builder()
                .level(level)
                .target(target)
                .args(format_args!("{message}"))
                .build(),
        );
    }

    fn info(logger: &QueueLogger, message: &str) {
        log(logger, Level::Info, "pulsegate", message);
    }

    /// Ends the logger and returns the lines without their time stamps.
    fn lines(logger: QueueLogger, queue: &LogQueue, written: &Receiver<Vec<u8>>) -> Vec<String> {
        assert!(queue.close(Duration::from_secs(30)), "the gate is open");
        drop(logger);
        let all: Vec<u8> = written.iter().flatten().collect();
        let all = String::from_utf8(all).expect("whole characters");
        assert!(all.is_empty() || all.ends_with('\n'));
        all.lines()
            .map(|line| line.split_once(' ').expect("a time stamp").1.to_owned())
            .collect()
    }

    #[test]
    fn a_line_is_time_level_message() {
        let (sink, written) = open();
        let (logger, queue) = logger_to(sink).unwrap();
        info(&logger, "start listen_addr=127.0.0.1:8002");
        assert!(queue.close(Duration::from_secs(30)));
        let line = String::from_utf8(written.recv().unwrap()).unwrap();
        let (stamp, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, "[INFO] start listen_addr=127.0.0.1:8002\n");
        let pattern = "dddd-dd-ddTdd:dd:dd.dddZ";
        let shape: String = stamp
            .chars()
            .map(|c| if c.is_ascii_digit() { 'd' } else { c })
            .collect();
        assert_eq!(shape, pattern);
    }

    #[test]
    fn time_stamps_have_three_digits_whatever_the_clock_yields() {
        for (printed, wanted) in [
            ("2026-01-31T12:00:00Z x", "2026-01-31T12:00:00.000Z x"),
            ("2026-01-31T12:00:00.5Z x", "2026-01-31T12:00:00.500Z x"),
            (
                "2026-01-31T12:00:00.123456789Z x",
                "2026-01-31T12:00:00.123Z x",
            ),
            ("something else", "something else"),
            ("", ""),
        ] {
            let mut line = printed.as_bytes().to_vec();
            stamp_in_ms(&mut line);
            assert_eq!(String::from_utf8(line).unwrap(), wanted);
        }
    }

    #[test]
    fn lines_may_be_json_and_have_priorities_for_the_journal() {
        let line =
            r#"2026-01-31T12:00:00.000Z [WARN] close user=ada reason="it \\ was [odd] here""#;
        assert_eq!(finish(line, LogFormat::Text, true), format!("<4>{line}\n"));
        assert_eq!(finish(line, LogFormat::Text, false), format!("{line}\n"));
        let message = r#"close user=ada reason=\"it \\\\ was [odd] here\""#;
        let wanted = format!(
            "{{\"time\":\"2026-01-31T12:00:00.000Z\",\"level\":\"warn\",\"message\":\"{message}\"}}\n"
        );
        assert_eq!(finish(line, LogFormat::Json, false), wanted);
        for (level, wanted) in [("ERROR", "<3>{"), ("INFO", "<6>{"), ("DEBUG", "<7>{")] {
            let line = format!("2026-01-31T12:00:00.000Z [{level}] x");
            assert!(finish(&line, LogFormat::Json, true).starts_with(wanted));
        }
    }

    #[test]
    fn a_sink_that_blocks_costs_lines_and_never_time() {
        const LINES: usize = 100_000;
        let (sink, gate, written) = gated();
        let (logger, queue) = logger_to(sink).unwrap();
        let (done, logged) = channel();
        thread::spawn(move || {
            for n in 0..LINES {
                info(&logger, &n.to_string());
            }
            let _ = done.send(logger);
        });
        let logger = logged
            .recv_timeout(Duration::from_secs(60))
            .expect("logging does not wait for the sink");
        let dropped = queue.dropped() as usize;
        // The queue, and the one batch that the writer stands with.
        let least_line = "2026-01-31T12:00:00.000Z [INFO] 0\n".len();
        let kept = QUEUE_LINES..=QUEUE_LINES + BATCH_BYTES / least_line + 1;
        assert!(kept.contains(&(LINES - dropped)), "{dropped} dropped");
        assert!(
            !queue.close(Duration::from_millis(50)),
            "it gives up, whoever does not read"
        );
        drop(gate);
        let lines = lines(logger, &queue, &written);
        assert_eq!(lines.len() + dropped, LINES, "each is written or counted");
        assert_eq!(
            queue.dropped() as usize,
            dropped,
            "none was lost after it was queued"
        );
        let numbers: Vec<usize> = lines
            .iter()
            .map(|line| line["[INFO] ".len()..].parse().unwrap())
            .collect();
        assert!(numbers.is_sorted(), "in the order of logging");
        assert_eq!(
            numbers[..1_000],
            (0..1_000).collect::<Vec<_>>(),
            "the oldest are kept"
        );
    }

    #[test]
    fn threads_do_not_mix_their_lines() {
        let (sink, written) = open();
        let (logger, queue) = logger_to(sink).unwrap();
        thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let logger = &logger;
                scope.spawn(move || {
                    for _ in 0..500 {
                        info(logger, &name.repeat(100));
                    }
                });
            }
        });
        let lines = lines(logger, &queue, &written);
        assert_eq!(lines.len(), 2_000);
        for line in lines {
            let message = &line["[INFO] ".len()..];
            assert_eq!(message, message[..1].repeat(100));
        }
    }

    #[test]
    fn crates_that_print_payloads_are_capped_at_info() {
        let (sink, written) = open();
        let (logger, queue) = logger_to(sink).unwrap();
        for target in [
            "tungstenite",
            "tungstenite::protocol",
            "mio::poll",
            "pulsegate",
        ] {
            for level in [Level::Trace, Level::Debug, Level::Info, Level::Warn] {
                log(&logger, level, target, target);
            }
        }
        assert_eq!(
            lines(logger, &queue, &written),
            [
                "[INFO] tungstenite",
                "[WARN] tungstenite",
                "[INFO] tungstenite::protocol",
                "[WARN] tungstenite::protocol",
                "[INFO] mio::poll",
                "[WARN] mio::poll",
                "[TRACE] pulsegate",
                "[DEBUG] pulsegate",
                "[INFO] pulsegate",
                "[WARN] pulsegate",
            ]
        );
        assert_eq!(queue.dropped(), 0, "refused is not dropped");
    }

    #[test]
    fn a_record_is_one_line_of_bounded_length() {
        let (sink, written) = open();
        let (logger, queue) = logger_to(sink).unwrap();
        info(&logger, "two\nlines\r\n");
        info(&logger, "");
        info(&logger, &"x".repeat(1 << 20));
        for shift in 0..4 {
            info(
                &logger,
                &format!("{}{}", "x".repeat(shift), "張".repeat(10_000)),
            );
        }
        info(&logger, "after");
        let lines = lines(logger, &queue, &written);
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], "[INFO] two lines  ");
        assert_eq!(lines[1], "[INFO] ");
        for line in &lines[2..7] {
            let whole = "2026-01-31T12:00:00.000Z ".len() + line.len() + 1;
            assert!(
                (LINE_BYTES - 3..=LINE_BYTES).contains(&whole),
                "{whole} bytes"
            );
            assert!(line.ends_with('…'));
        }
        assert_eq!(lines[7], "[INFO] after");
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (logger, queue) = logger_to(Closed).unwrap();
        for _ in 0..10 {
            info(&logger, "lost");
        }
        assert!(queue.close(Duration::from_secs(30)), "nothing waits");
        assert_eq!(queue.dropped(), 10);
    }

    #[test]
    fn a_sink_that_takes_little_at_a_time_gets_it_all() {
        struct Reluctant(Sender<Vec<u8>>, u32);
        impl Write for Reluctant {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.1 += 1;
                match self.1 % 3 {
                    0 => Err(io::ErrorKind::Interrupted.into()),
                    1 => Err(io::ErrorKind::WouldBlock.into()),
                    _ => {
                        let taken = bytes.len().min(7);
                        let _ = self.0.send(bytes[..taken].to_vec());
                        Ok(taken)
                    }
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (out, written) = channel();
        let (logger, queue) = logger_to(Reluctant(out, 0)).unwrap();
        info(&logger, "one");
        info(&logger, "two");
        assert_eq!(
            lines(logger, &queue, &written),
            ["[INFO] one", "[INFO] two"]
        );
        assert_eq!(queue.dropped(), 0);
    }
}
