//! The bounded queue of log lines, and the thread that writes them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::line::LINE_BYTES;

/// The limit of queued lines: eight seconds without a reader at 1 000 lines a second, and at most
/// 64 MiB.
pub(super) const QUEUE_LINES: usize = 8_192;

/// The writer collects lines for one `write` up to this many bytes: the capacity of a pipe on
/// Linux.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// How long the writer waits before a retry, if standard error is non-blocking (another process may
/// have set this) and full.
const RETRY: Duration = Duration::from_millis(10);

/// The queue of log lines, seen from outside: its counters. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct LogQueue(Arc<QueueCounts>);

impl LogQueue {
    /// Returns the lines that were lost: the queue was full, or writing failed.
    pub(crate) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Waits until every line that this thread has logged is written, up to `timeout`. Call it
    /// last, before the process ends. Returns whether all of them are written.
    ///
    /// Lines that are logged afterwards are written too, if the process lives long enough.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        let logged = self.0.queued.load(Ordering::Acquire);
        let (settled, _) = self
            .0
            .progress
            .wait_timeout_while(self.0.settled(), timeout, |settled| *settled < logged)
            .unwrap_or_else(PoisonError::into_inner);
        *settled >= logged
    }
}

/// Starts the writer thread with an empty queue.
///
/// # Errors
/// If the thread cannot be started.
pub(super) fn start_writer<W: Write + Send + 'static>(
    sink: W,
) -> io::Result<(LineSender, LogQueue)> {
    let (sender, receiver) = sync_channel(QUEUE_LINES);
    let queue = LogQueue(Arc::default());
    let counts = queue.0.clone();
    thread::Builder::new()
        .name("pulsegate-log".to_owned())
        .spawn(move || write_lines(&receiver, &counts, sink))?;
    let counts = queue.0.clone();
    Ok((LineSender { sender, counts }, queue))
}

/// The input of the queue. The writer ends when this is dropped.
pub(super) struct LineSender {
    sender: SyncSender<Box<[u8]>>,
    counts: Arc<QueueCounts>,
}

impl LineSender {
    /// Queues a line; if the queue is full, drops and counts it. Never blocks.
    pub(super) fn push(&self, line: Box<[u8]>) {
        match self.sender.try_send(line) {
            Ok(()) => self.counts.queued.fetch_add(1, Ordering::Release),
            Err(_) => self.counts.dropped.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// The counters that both ends of the queue share.
#[derive(Debug, Default)]
struct QueueCounts {
    /// Lines that entered the queue.
    queued: AtomicU64,
    /// Queued lines that the writer has written or lost.
    settled: Mutex<u64>,
    /// Notified when `settled` has grown.
    progress: Condvar,
    dropped: AtomicU64,
}

impl QueueCounts {
    fn settled(&self) -> MutexGuard<'_, u64> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the writer thread: writes all queued lines, up to a batch, with one `write`. Ends when the
/// logger is dropped.
fn write_lines<W: Write>(lines: &Receiver<Box<[u8]>>, counts: &QueueCounts, mut sink: W) {
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

/// Writes to `sink` and waits as long as needed; returns the bytes that were lost by an error. An
/// error of the log cannot be logged, so it is only counted.
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
