//! How the end of a body is found (RFC 9112 §6.3).

use super::fields::elements;
use super::response::Response;
use super::response_fault::ResponseFault;
use tungstenite::http::HeaderMap;
use tungstenite::http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyFraming {
    /// The body has this many bytes.
    Length(u64),
    /// The last chunk says so.
    Chunked,
    /// The stream ends.
    UntilEnd,
}

/// Returns how the end of the body that follows this head is found.
pub(super) fn body_framing(response: &Response) -> Result<BodyFraming, ResponseFault> {
    let headers = response.headers();
    if response.status() < 200 || [204, 304].contains(&response.status()) {
        return Ok(BodyFraming::Length(0));
    }
    let is_coded = headers.contains_key(TRANSFER_ENCODING);
    let has_length = headers.contains_key(CONTENT_LENGTH);
    match (is_coded, has_length) {
        (true, true) => Err(ResponseFault::LengthAndCoding),
        // RFC 9112 §6.1: such framing is faulty.
        (true, false) if response.is_http_10 => Err(ResponseFault::OldCoding),
        (true, false) if is_chunked(headers) => Ok(BodyFraming::Chunked),
        (true, false) => Err(ResponseFault::value(
            headers,
            &TRANSFER_ENCODING,
            "be chunked",
        )),
        (false, true) => content_length(headers)
            .map(BodyFraming::Length)
            .ok_or_else(|| ResponseFault::value(headers, &CONTENT_LENGTH, "be one number")),
        (false, false) => Ok(BodyFraming::UntilEnd),
    }
}

/// Returns whether `chunked` is the only transfer coding. The request offers no other one, and a
/// body with another one could not be passed on.
fn is_chunked(headers: &HeaderMap) -> bool {
    let mut codings = elements(headers, &TRANSFER_ENCODING);
    let (coding, second) = (codings.next(), codings.next());
    second.is_none() && coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

/// Returns the value of Content-Length; `None` unless all its elements are the same number
/// (RFC 9110 §8.6).
fn content_length(headers: &HeaderMap) -> Option<u64> {
    let mut length = None;
    for element in elements(headers, &CONTENT_LENGTH) {
        // `parse` accepts a sign.
        if !element.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let number = str::from_utf8(element).ok()?.parse().ok()?;
        if length.is_some_and(|length| length != number) {
            return None;
        }
        length = Some(number);
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the framing after a head with these fields.
    fn framing(line: &str, fields: &str) -> Result<BodyFraming, ResponseFault> {
        body_framing(&Response::of(&format!("{line}\r\n{fields}\r\n\r\n")))
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        use BodyFraming::{Chunked, Length, UntilEnd};
        for (line, fields, expected) in [
            ("HTTP/1.1 503 x", "Content-Length: 5", Length(5)),
            ("HTTP/1.0 503 x", "Content-Length:\t05 ", Length(5)),
            (
                "HTTP/1.1 503 x",
                "Content-Length: 5\r\nContent-Length: 5",
                Length(5),
            ),
            ("HTTP/1.1 503 x", "Content-Length: 5, 05 ,\t5", Length(5)),
            (
                "HTTP/1.1 503 x",
                "Content-Length: 18446744073709551615",
                Length(u64::MAX),
            ),
            ("HTTP/1.1 503 x", "Transfer-Encoding: chunked", Chunked),
            ("HTTP/1.1 503 x", "Transfer-Encoding:, CHUNKED ,", Chunked),
            ("HTTP/1.1 503 x", "Connection: close", UntilEnd),
            ("HTTP/1.0 503 x", "A: b", UntilEnd),
            ("HTTP/1.1 205 x", "Content-Length: 5", Length(5)),
            ("HTTP/1.1 204 x", "Content-Length: 5", Length(0)),
            ("HTTP/1.1 304 x", "Content-Length: 5", Length(0)),
            ("HTTP/1.1 304 x", "Transfer-Encoding: chunked", Length(0)),
            ("HTTP/1.1 101 x", "Content-Length: 5", Length(0)),
        ] {
            assert_eq!(framing(line, fields), Ok(expected), "{line}, {fields:?}");
        }
    }

    #[test]
    fn every_faulty_framing_is_named() {
        let coding = |is| format!("Transfer-Encoding is {is}, it must be chunked");
        let length = |is| format!("Content-Length is {is}, it must be one number");
        for (fields, expected) in [
            ("Transfer-Encoding: gzip", coding(r#""gzip""#)),
            (
                "Transfer-Encoding: gzip, chunked",
                coding(r#""gzip, chunked""#),
            ),
            (
                "Transfer-Encoding: chunked, gzip",
                coding(r#""chunked, gzip""#),
            ),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                coding(r#""chunked" and "chunked""#),
            ),
            ("Transfer-Encoding: chunked;q=1", coding(r#""chunked;q=1""#)),
            ("Transfer-Encoding:", coding(r#""""#)),
            ("Content-Length: 5, 6", length(r#""5, 6""#)),
            (
                "Content-Length: 5\r\nContent-Length: 6",
                length(r#""5" and "6""#),
            ),
            ("Content-Length: +5", length(r#""+5""#)),
            ("Content-Length: -5", length(r#""-5""#)),
            ("Content-Length: 5 5", length(r#""5 5""#)),
            ("Content-Length: 0x5", length(r#""0x5""#)),
            ("Content-Length: 5, x", length(r#""5, x""#)),
            ("Content-Length:", length(r#""""#)),
            (
                "Content-Length: 18446744073709551616",
                length(r#""18446744073709551616""#),
            ),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "the response has both Content-Length and Transfer-Encoding".to_owned(),
            ),
        ] {
            let fault = framing("HTTP/1.1 503 x", fields).expect_err("a fault");
            assert_eq!(fault.to_string(), expected, "{fields:?}");
        }
        let old = framing("HTTP/1.0 503 x", "Transfer-Encoding: chunked");
        assert_eq!(old, Err(ResponseFault::OldCoding));
    }
}
