//! The end of a request head or a response head: a blank line.

/// Returns whether a blank line follows a line end. A bare LF counts, because httparse accepts it
/// (RFC 9112 §2.2); blank lines before the first line do not. The first `known` bytes are known
/// not to contain the end, so a head that arrives byte by byte is read once.
pub(super) fn holds_blank_line(data: &[u8], known: usize) -> bool {
    let before = data.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    let from = known.saturating_sub(2).max(before.count());
    data[from..]
        .iter()
        .enumerate()
        .filter(|(_, b)| **b == b'\n')
        .any(|(i, _)| {
            let rest = &data[from + i + 1..];
            rest.starts_with(b"\n") || rest.starts_with(b"\r\n")
        })
}
