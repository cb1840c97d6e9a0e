//! The JSON that clients send, as far as the gateway has to understand it.

use serde::Deserialize;
use std::borrow::Cow;

/// The answer to a JSON ping.
pub(super) const PONG: &str = r#"{"type":"pong"}"#;

/// A ping is short; longer texts are not parsed to find out.
const PING_MAX: usize = 512;

/// Whether a text is a JSON object of the type `ping`, as newer SDKs send it every 15 s besides WebSocket pongs.
pub(super) fn is_ping(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(borrow, rename = "type")]
        kind: Cow<'a, str>,
    }
    text.len() <= PING_MAX
        && text.contains("ping")
        && serde_json::from_str::<Typed<'_>>(text).is_ok_and(|t| t.kind == "ping")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_of_that_type_is_a_ping() {
        for ping in [
            r#"{"type":"ping"}"#,
            r#" { "timestamp": 1, "type" : "ping" } "#,
        ] {
            assert!(is_ping(ping), "{ping}");
        }
        let long = format!(r#"{{"type":"ping","x":"{}"}}"#, "x".repeat(PING_MAX));
        for other in [
            r#"{"type":"pong"}"#,
            r#"{"kind":"ping"}"#,
            r#""ping""#,
            "ping",
            r#"{"type":"ping""#,
            &long,
        ] {
            assert!(!is_ping(other), "{other}");
        }
    }
}
