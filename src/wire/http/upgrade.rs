//! The answer to a WebSocket request (RFC 6455 §4.2).

use super::fields::{display_name, stated, trim_ows, write_fields};
use super::reply::Reply;
use super::request::Request;
use tungstenite::handshake::derive_accept_key;
use tungstenite::http::header::{
    ALLOW, CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tungstenite::http::{Method, Version};

/// Returns the value of Sec-WebSocket-Accept for a key (RFC 6455 §4.2.2).
#[cfg(feature = "testing")]
pub(crate) fn accept_of(key: &str) -> String {
    derive_accept_key(key.as_bytes())
}

impl Request {
    /// Returns the refusal of this request if it is no valid upgrade (RFC 6455 §4.2.1).
    pub fn upgrade_refusal(&self) -> Option<Reply> {
        switching_protocols(self, None, &[]).err()
    }
}

/// Returns the 101 response to `request` (RFC 6455 §4.2.2), or the refusal of an invalid upgrade.
pub(crate) fn switching_protocols(
    request: &Request,
    protocol: Option<&str>,
    extra: &[(HeaderName, HeaderValue)],
) -> Result<Vec<u8>, Reply> {
    let mut keys = request.headers().get_all(SEC_WEBSOCKET_KEY).iter();
    let (key, second_key) = (keys.next(), keys.next());
    if second_key.is_some() {
        return Err(Reply::error(400, "more than one Sec-WebSocket-Key"));
    }
    if request.head.method() != Method::GET {
        return Err(Reply::error(405, "a WebSocket must be opened with GET")
            .with_header(ALLOW, HeaderValue::from_static("GET")));
    }
    let faults = upgrade_faults(request);
    if !faults.is_empty() {
        let faults = faults.join("; ");
        let why =
            format!("{faults}: this path needs a WebSocket upgrade, version 13, over HTTP/1.1");
        return Err(Reply::error(426, &why)
            .with_header(UPGRADE, HeaderValue::from_static("websocket"))
            .with_header(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")));
    }
    let Some(key) = key.filter(|key| is_key(key.as_bytes())) else {
        let why = "Sec-WebSocket-Key must be 22 base64 characters and ==";
        return Err(Reply::error(400, why));
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut bytes = Vec::with_capacity(192);
    bytes.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Accept: ",
    );
    bytes.extend_from_slice(accept.as_bytes());
    bytes.extend_from_slice(b"\r\n");
    let protocol = protocol
        .filter(|wanted| request.protocols().any(|offered| offered == *wanted))
        .and_then(|p| HeaderValue::from_str(p).ok());
    let chosen = protocol.iter().map(|p| (&SEC_WEBSOCKET_PROTOCOL, p));
    write_fields(
        &mut bytes,
        chosen.chain(extra.iter().map(|(name, value)| (name, value))),
    );
    Ok(bytes)
}

/// Returns the faults that make a request an invalid upgrade (RFC 6455 §4.2.1), each with the
/// header and its value.
fn upgrade_faults(request: &Request) -> Vec<String> {
    let mut faults = Vec::new();
    if request.head.version() < Version::HTTP_11 {
        faults.push("the request is HTTP/1.0".to_owned());
    }
    let mut must = |name: &HeaderName, is_right: bool, must: &str| {
        if !is_right {
            let is = stated(request.headers(), name);
            let name = display_name(name);
            faults.push(format!("{name} {is}, it must {must}"));
        }
    };
    must(
        &UPGRADE,
        request.lists(&UPGRADE, b"websocket"),
        "name websocket",
    );
    must(
        &CONNECTION,
        request.lists(&CONNECTION, b"upgrade"),
        "list Upgrade",
    );
    let mut versions = request.headers().get_all(SEC_WEBSOCKET_VERSION).iter();
    let (version, second) = (versions.next(), versions.next());
    let is_13 = version.is_some_and(|v| trim_ows(v.as_bytes()) == b"13") && second.is_none();
    must(&SEC_WEBSOCKET_VERSION, is_13, "be 13");
    faults
}

/// Returns whether `key` is 16 bytes in base64. The spare bits of the last character may be set, as
/// in the example of RFC 6455 §4.1. Embedded clients choose the characters at random, and the
/// answer is computed from the characters.
fn is_key(key: &[u8]) -> bool {
    const CHARACTERS: usize = 22;
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    key.len() == CHARACTERS + 2
        && key[..CHARACTERS].iter().all(is_base64)
        && &key[CHARACTERS..] == b"=="
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPGRADE_HEAD: &str = "GET /ws?user=a HTTP/1.1\r\nHost: x\r\n\
                                Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                                Sec-WebSocket-Version: 13\r\n\
                                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                                Sec-WebSocket-Protocol: a, b\r\n\r\n";

    fn status(head: &str) -> u16 {
        let answer = switching_protocols(&Request::of(head), None, &[]);
        answer.map_or_else(|reply| reply.status, |_| 101)
    }

    #[test]
    fn the_answer_is_the_one_of_the_rfc() {
        let request = Request::of(UPGRADE_HEAD);
        let answer = switching_protocols(&request, Some("b"), &[]).expect("a valid request");
        let answer = String::from_utf8(answer).expect("ASCII");
        // RFC 6455 §1.3. Embedded clients compare these names exactly.
        assert_eq!(
            answer,
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
             Sec-WebSocket-Protocol: b\r\n\r\n"
        );
        let unoffered = switching_protocols(&request, Some("c"), &[]).expect("a valid request");
        assert!(
            !String::from_utf8(unoffered)
                .expect("ASCII")
                .contains("Protocol:")
        );
    }

    #[test]
    fn a_key_of_any_22_letters_is_taken() {
        let with = |key: &str| status(&UPGRADE_HEAD.replace("dGhlIHNhbXBsZSBub25jZQ==", key));
        for key in [
            // RFC 6455 §4.1, with spare bits set.
            "AQIDBAUGBwgJCgsMDQ4PEC==",
            "zzzzzzzzzzzzzzzzzzzzzz==",
            "+/+/+/+/+/+/+/+/+/+/+/==",
        ] {
            assert_eq!(with(key), 101, "{key}");
        }
        for key in [
            "AQIDBAUGBwgJCgsMDQ4PE===",
            "AQIDBAUGBwgJCgsMDQ4PECA=",
            "AQIDBAUGBwgJCgsMDQ4PEC=",
            "AQIDBAUGBwgJCgsMDQ4PEC",
            "AQIDBAUGBwgJCgsMDQ4PEC====",
            "AQIDBAUGBwgJCgsMDQ4_EC==",
            "AQIDBAUGBwgJ CgsMDQ4EC==",
        ] {
            assert_eq!(with(key), 400, "{key}");
        }
    }

    #[test]
    fn a_426_names_each_header_that_is_wrong() {
        let why = |from: &str, to: &str| {
            let request = Request::of(&UPGRADE_HEAD.replace(from, to));
            let reply = switching_protocols(&request, None, &[]).expect_err("no upgrade");
            assert_eq!(reply.status, 426);
            let text = reply.reason.to_string();
            let end = ": this path needs a WebSocket upgrade, version 13, over HTTP/1.1";
            text.strip_suffix(end).expect("what is spoken").to_owned()
        };
        for (from, to, wrong) in [
            (
                "keep-alive, Upgrade",
                "close",
                r#"Connection is "close", it must list Upgrade"#,
            ),
            (
                "keep-alive, Upgrade",
                "keep\r\nConnection: Up\"grade",
                r#"Connection is "keep" and "Up?grade", it must list Upgrade"#,
            ),
            (
                "Connection: keep-alive, Upgrade\r\n",
                "",
                "Connection is missing, it must list Upgrade",
            ),
            (
                "Upgrade: WebSocket\r\n",
                "",
                "Upgrade is missing, it must name websocket",
            ),
            (
                "Version: 13",
                "Version: 8",
                r#"Sec-WebSocket-Version is "8", it must be 13"#,
            ),
            ("HTTP/1.1", "HTTP/1.0", "the request is HTTP/1.0"),
        ] {
            assert_eq!(why(from, to), wrong, "{to:?}");
        }
        let both = "Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n";
        assert_eq!(
            why(both, ""),
            "Upgrade is missing, it must name websocket; Sec-WebSocket-Version is missing, it must \
             be 13"
        );
        let long = why("keep-alive, Upgrade", &"x".repeat(1_000));
        assert!(long.len() < 120 && long.contains("xx…"), "{long}");
    }
}
