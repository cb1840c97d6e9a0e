//! The rules for every answer that is not 101.

/// Checks the rules for every answer that is not 101. Returns its head in lower case.
pub fn check_response(what: &str, response: &str, status: u16, is_head: bool) -> String {
    let (head, body) = response
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("{what}: {response}"));
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status} ")),
        "{what}: {head}"
    );
    // Embedded clients compare names case-sensitively.
    for name in head.lines().skip(1).filter_map(|l| l.split(':').next()) {
        let is_usual = |word: &str| word.starts_with(|c: char| c.is_ascii_uppercase());
        assert!(name.split('-').all(is_usual), "{what}: {name}");
    }
    let head = head.to_ascii_lowercase();
    let field = |name: &str| {
        head.lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
    };
    let length: usize = field("content-length")
        .and_then(|l| l.parse().ok())
        .expect("a length");
    if is_head {
        assert!(body.is_empty() && length > 0, "{what}: {body}");
    } else {
        assert_eq!(length, body.len(), "{what}");
        assert!(
            body.starts_with('{') && body.ends_with('}'),
            "{what}: {body}"
        );
    }
    let connection = field("connection").unwrap_or_default();
    assert!(
        connection.split(", ").any(|t| t == "close"),
        "{what}: {head}"
    );
    head
}

pub fn retry_after(response: &str) -> u32 {
    let value = response
        .lines()
        .find_map(|l| l.strip_prefix("Retry-After: "));
    let value = value.unwrap_or_else(|| panic!("no Retry-After: {response}"));
    value.parse().expect("seconds")
}
