//! Header fields: parsing their elements, and writing them.

use tungstenite::http::header::{HeaderName, HeaderValue};

/// Removes the spaces and tabs at both ends (OWS, RFC 9110 §5.6.3).
pub(super) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Returns whether this byte is allowed in a token (RFC 9110 §5.6.2).
pub(super) fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Writes header fields and the blank line.
pub(super) fn write_fields<'a>(
    bytes: &mut Vec<u8>,
    fields: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in fields {
        bytes.extend_from_slice(display_name(name).as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
}

/// Returns the name of a header field in its usual spelling, such as `Retry-After`. RFC 9110 §5.1
/// makes names case-insensitive, but embedded clients compare them exactly.
pub(super) fn display_name(name: &HeaderName) -> String {
    /// The words in header names that are not spelt with one initial capital.
    const WORDS: [(&str, &str); 6] = [
        ("etag", "ETag"),
        ("id", "ID"),
        ("te", "TE"),
        ("websocket", "WebSocket"),
        ("www", "WWW"),
        ("xss", "XSS"),
    ];
    let words = name.as_str().split('-').map(|word| {
        if let Some((_, usual)) = WORDS.iter().find(|(plain, _)| *plain == word) {
            return (*usual).to_owned();
        }
        let mut word = word.to_owned();
        if let Some(first) = word.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        word
    });
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_written_in_their_usual_spelling() {
        for usual in [
            "Allow",
            "Connection",
            "Content-Type",
            "ETag",
            "Retry-After",
            "Sec-WebSocket-Accept",
            "Sec-WebSocket-Protocol",
            "Sec-WebSocket-Version",
            "Upgrade",
            "WWW-Authenticate",
            "X-Forwarded-For",
            "X-Request-ID",
        ] {
            let name: HeaderName = usual.parse().expect("a name");
            assert_eq!(display_name(&name), usual);
        }
    }
}
