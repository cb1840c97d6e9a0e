//! The format of a log line: its length, its time stamp, and text or JSON.

/// The longest line in bytes, including its end, before quotes are escaped for JSON; a longer one
/// is cut.
pub(super) const LINE_BYTES: usize = 8 * 1024;

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LogFormat {
    /// `2026-01-31T12:00:00.000Z [INFO] close cause=stale …`
    #[default]
    Text,
    /// `{"time":"2026-01-31T12:00:00.000Z","level":"info","message":"close cause=stale …"}`
    Json,
}

/// Finishes the collected line and empties the buffer. The result is one line for one record, with
/// its time in milliseconds, not longer than allowed. `priorities` puts the journal's priority in
/// front.
pub(super) fn finish_line(line: &mut Vec<u8>, format: LogFormat, priorities: bool) -> Box<[u8]> {
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    for byte in line.iter_mut().filter(|byte| byte.is_ascii_control()) {
        *byte = b' ';
    }
    trim_timestamp(line);
    if line.len() >= LINE_BYTES {
        let mut end = LINE_BYTES - 1 - '…'.len_utf8();
        while line[end] & 0xC0 == 0x80 {
            end -= 1; // not inside a character
        }
        line.truncate(end);
        line.extend_from_slice("…".as_bytes());
    }
    let ended = format_line(&String::from_utf8_lossy(line), format, priorities);
    line.clear();
    ended.into_bytes().into()
}

/// Formats a line `time [LEVEL] message` without its end.
pub(super) fn format_line(line: &str, format: LogFormat, priorities: bool) -> String {
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
        // Control characters were replaced by spaces before.
        LogFormat::Json => format!(
            "{priority}{{\"time\":\"{time}\",\"level\":\"{}\",\"message\":\"{}\"}}\n",
            level.to_ascii_lowercase(),
            message.replace('\\', "\\\\").replace('"', "\\\"")
        ),
    }
}

/// Sets the time stamp to three digits after the second: simplelog prints as many as the clock
/// yields.
pub(super) fn trim_timestamp(line: &mut Vec<u8>) {
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
