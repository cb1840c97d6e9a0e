//! The process's logger: filters records, and turns each record into one line in the queue.

use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::{Mutex, PoisonError};

use super::line::{self, LINE_BYTES, LogFormat};
use super::queue::{LineSender, LogQueue, start_writer};
use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

/// Crates that log payloads (and so tokens and keys), or every event, at the levels below info.
/// Those records are refused.
const VERBOSE_CRATES: [&str; 2] = ["tungstenite", "mio"];

/// Returns whether standard error is systemd's journal (`JOURNAL_STREAM`), which expects a priority
/// in front of each line.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = std::fs::metadata("/dev/fd/2");
    stderr.is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// Sets up logging to standard error at `level`. Call it once, in the binary.
///
/// `log::set_max_level` changes the level later.
///
/// # Errors
/// If the writer thread cannot be started, or the process has a logger already.
pub(crate) fn init(level: LevelFilter, format: LogFormat) -> io::Result<LogQueue> {
    init_to(level, format, is_journal(), io::stderr())
}

/// Like [`init`], but logs to `sink`, which may block for any time. `priorities` puts a priority
/// (`<4>`) in front of each line.
///
/// # Errors
/// If the writer thread cannot be started, or the process has a logger already.
pub(crate) fn init_to<W: Write + Send + 'static>(
    level: LevelFilter,
    format: LogFormat,
    priorities: bool,
    sink: W,
) -> io::Result<LogQueue> {
    let (logger, queue) = new_logger(format, priorities, sink)?;
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(queue)
}

/// Creates a logger for all levels that is not installed in the process, and its queue.
///
/// # Errors
/// If the writer thread cannot be started.
#[cfg(test)]
pub(super) fn logger_to<W: Write + Send + 'static>(sink: W) -> io::Result<(QueueLogger, LogQueue)> {
    new_logger(LogFormat::Text, false, sink)
}

fn new_logger<W: Write + Send + 'static>(
    format: LogFormat,
    priorities: bool,
    sink: W,
) -> io::Result<(QueueLogger, LogQueue)> {
    let (sender, queue) = start_writer(sink)?;
    let config = ConfigBuilder::new()
        .set_time_format_rfc3339()
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .build();
    let line = LineBuffer {
        bytes: Vec::with_capacity(LINE_BYTES),
        format,
        priorities,
        sender,
    };
    let logger = QueueLogger {
        record_lock: Mutex::new(()),
        writer: WriteLogger::new(LevelFilter::Trace, config, line),
    };
    Ok((logger, queue))
}

/// A [`Log`] that sends its lines through a bounded queue: `2026-01-31T12:00:00.000Z [INFO] close
/// cause=stale …`.
///
/// It never blocks on the writer. It refuses debug and trace records of crates that log payloads,
/// whatever the level.
pub(crate) struct QueueLogger {
    /// A lock that is held while one record is written. simplelog writes a record in pieces without
    /// an end mark; a flush marks the end. So no other record may come in between.
    record_lock: Mutex<()>,
    writer: Box<WriteLogger<LineBuffer>>,
}

impl Log for QueueLogger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Info
            || !VERBOSE_CRATES
                .iter()
                .any(|name| metadata.target().starts_with(name))
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let _record_lock = self
            .record_lock
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.writer.log(record);
        self.writer.flush();
    }

    /// Does nothing: a line is queued as soon as it is logged. [`LogQueue::close`] waits until the
    /// lines are written.
    fn flush(&self) {}
}

/// Collects the pieces of one record; a flush finishes the line and queues it.
struct LineBuffer {
    bytes: Vec<u8>,
    format: LogFormat,
    /// Whether each line begins with a priority.
    priorities: bool,
    sender: LineSender,
}

impl LineBuffer {
    /// The most bytes collected for a line. This is more than [`LINE_BYTES`], so that a line to be
    /// cut is still too long after its time stamp has become shorter.
    const BYTES_MAX: usize = LINE_BYTES + 16;
}

impl Write for LineBuffer {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let room = Self::BYTES_MAX.saturating_sub(self.bytes.len());
        self.bytes
            .extend_from_slice(&piece[..piece.len().min(room)]);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let line = line::finish_line(&mut self.bytes, self.format, self.priorities);
        self.sender.push(line);
        Ok(())
    }
}
