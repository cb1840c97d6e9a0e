//! Large `subscription_update`s, for benchmarks that attack the gateway.

/// Returns a `subscription_update` of at most this many bytes, with as many entries as fit.
pub fn many_entries(most: usize) -> String {
    const ENTRY: &str = r#"{"stream":""}"#;
    let (begin, end) = (r#"{"type":"subscription_update","subscriptions":["#, "]}");
    let entries = (most - begin.len() - end.len() + 1) / (ENTRY.len() + 1);
    format!("{begin}{}{end}", vec![ENTRY; entries].join(","))
}

/// Returns a valid `subscription_update` with the most and the longest entries: 64 KB.
pub fn largest_subscriptions() -> String {
    let list = largest_list();
    format!(r#"{{"type":"subscription_update","subscriptions":{list}}}"#)
}

/// Returns the most and the longest entries. They differ only at their ends.
pub fn largest_list() -> String {
    let entries: Vec<_> = (0..256)
        .map(|n| format!(r#""{}{n:04}""#, "x".repeat(252)))
        .collect();
    format!("[{}]", entries.join(","))
}
