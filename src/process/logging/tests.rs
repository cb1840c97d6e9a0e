//! The queue, the logger and the lines that it writes, with a sink that a test holds up.

use super::line::{LINE_BYTES, LogFormat, format_line, trim_timestamp};
use super::logger::{QueueLogger, logger_to};
use super::queue::{BATCH_BYTES, LogQueue, QUEUE_LINES};
use log::{Level, Log, Record};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// A sink that passes on what is written to it once the gate is open (its sender dropped).
struct GatedSink {
    gate: Receiver<()>,
    out: Sender<Vec<u8>>,
}

fn gated() -> (GatedSink, Sender<()>, Receiver<Vec<u8>>) {
    let (opener, gate) = channel();
    let (out, written) = channel();
    (GatedSink { gate, out }, opener, written)
}

fn open() -> (GatedSink, Receiver<Vec<u8>>) {
    let (sink, _, written) = gated();
    (sink, written)
}

impl Write for GatedSink {
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

/// Closes the logger and returns the lines without their time stamps.
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
        trim_timestamp(&mut line);
        assert_eq!(String::from_utf8(line).unwrap(), wanted);
    }
}

#[test]
fn lines_may_be_json_and_have_priorities_for_the_journal() {
    let line = r#"2026-01-31T12:00:00.000Z [WARN] close user=ada reason="it \\ was [odd] here""#;
    assert_eq!(
        format_line(line, LogFormat::Text, true),
        format!("<4>{line}\n")
    );
    assert_eq!(
        format_line(line, LogFormat::Text, false),
        format!("{line}\n")
    );
    let message = r#"close user=ada reason=\"it \\\\ was [odd] here\""#;
    let wanted = format!(
        "{{\"time\":\"2026-01-31T12:00:00.000Z\",\"level\":\"warn\",\"message\":\"{message}\"}}\n"
    );
    assert_eq!(format_line(line, LogFormat::Json, false), wanted);
    for (level, wanted) in [("ERROR", "<3>{"), ("INFO", "<6>{"), ("DEBUG", "<7>{")] {
        let line = format!("2026-01-31T12:00:00.000Z [{level}] x");
        assert!(format_line(&line, LogFormat::Json, true).starts_with(wanted));
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
    // The queue, and the one batch that the blocked writer holds.
    let least_line = "2026-01-31T12:00:00.000Z [INFO] 0\n".len();
    let kept = QUEUE_LINES..=QUEUE_LINES + BATCH_BYTES / least_line + 1;
    assert!(kept.contains(&(LINES - dropped)), "{dropped} dropped");
    assert!(
        !queue.close(Duration::from_millis(50)),
        "it gives up if the lines are not read"
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
    struct ClosedSink;
    impl Write for ClosedSink {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (logger, queue) = logger_to(ClosedSink).unwrap();
    for _ in 0..10 {
        info(&logger, "lost");
    }
    assert!(queue.close(Duration::from_secs(30)), "nothing waits");
    assert_eq!(queue.dropped(), 10);
}

#[test]
fn a_sink_that_takes_little_at_a_time_gets_it_all() {
    struct SlowSink(Sender<Vec<u8>>, u32);
    impl Write for SlowSink {
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
    let (logger, queue) = logger_to(SlowSink(out, 0)).unwrap();
    info(&logger, "one");
    info(&logger, "two");
    assert_eq!(
        lines(logger, &queue, &written),
        ["[INFO] one", "[INFO] two"]
    );
    assert_eq!(queue.dropped(), 0);
}
