//! Header fields: parsing their elements, and writing them.

use tungstenite::http::HeaderMap;
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

/// Returns the fields of a parsed head; `None` if one of them is malformed.
pub(super) fn header_map(fields: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(fields.len());
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(headers)
}

/// Returns the elements of a list field over all its lines, without surrounding white space. Empty
/// ones are skipped (RFC 9110 §5.6.1).
pub(crate) fn elements<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    headers.get_all(name).iter().flat_map(list_elements)
}

/// Returns the elements of one line of a list field, as [`elements`] does.
pub(crate) fn list_elements(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let elements = line.as_bytes().split(|b| *b == b',').map(trim_ows);
    elements.filter(|element| !element.is_empty())
}

/// Returns whether a list field has this element, without regard to case.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, element: &[u8]) -> bool {
    elements(headers, name).any(|e| e.eq_ignore_ascii_case(element))
}

/// Formats up to three lines of a field for an error text: `is missing`, or `is "a" and "b"`.
pub(super) fn stated(headers: &HeaderMap, name: &HeaderName) -> String {
    let lines = headers.get_all(name).iter();
    let lines: Vec<_> = lines.take(3).map(|line| quoted(line.as_bytes())).collect();
    if lines.is_empty() {
        "is missing".to_owned()
    } else {
        format!("is {}", lines.join(" and "))
    }
}

/// Formats a value from a peer for an error text: in quotes, in ASCII, on one line, at most 64
/// characters.
pub(crate) fn quoted(value: &[u8]) -> String {
    const MOST: usize = 64;
    let mut text = String::from("\"");
    text.extend(value.iter().take(MOST).copied().map(|b| match b {
        b'"' | b'\\' => '?',
        b if b.is_ascii_graphic() || b == b' ' => char::from(b),
        b'\t' => ' ',
        _ => '?',
    }));
    if value.len() > MOST {
        text.push('…');
    }
    text.push('"');
    text
}

/// Returns whether this byte is allowed in a token (RFC 9110 §5.6.2).
pub(crate) fn is_token_byte(b: u8) -> bool {
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
