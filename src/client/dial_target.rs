//! The request of a try: what pulse adds to the host's.

use super::event::Attempt;
use crate::base::time::Micros;
use crate::engine::Dial;
use crate::health::{HeartbeatMode, Policy};
use crate::wire::http::{HeaderName, HeaderValue};
use std::fmt::Write;

const PROTOCOL: &str = "sec-websocket-protocol";
const EXTENSIONS: &str = "sec-websocket-extensions";

/// The pings of a client whose host has chosen no policy. The gateway's own pings come more often,
/// so a pulse connection is not pinged; a plain one has no other sign of life.
const POLICY: Policy = Policy {
    heartbeat_interval: Micros::from_secs(30),
    connection_timeout: Micros::from_secs(90),
    mode: HeartbeatMode::Idle,
    ..Policy::DEFAULT
};

/// A request that is ready to be sent.
#[derive(Debug)]
pub(super) struct PreparedDial {
    pub(super) dial: Dial,
    /// The subprotocols that it offers.
    pub(super) offered: Vec<Box<str>>,
}

/// Adds to the host's request what pulse needs. A session that is resumed offers its own
/// subprotocol only.
pub(super) fn prepare(mut dial: Dial, attempt: &Attempt, is_pulse: bool) -> PreparedDial {
    dial.policy.get_or_insert(POLICY);
    let headers = &mut dial.request.headers;
    if is_pulse {
        // Pulse connections are not compressed.
        headers.retain(|(name, _)| name != EXTENSIONS);
        append_query(&mut dial.request.target, "pulse", "1");
    }
    if let Some(resume) = &attempt.resume {
        append_query(&mut dial.request.target, "resume", &resume.gateway);
        headers.retain(|(name, _)| name != PROTOCOL);
        let protocol = resume.protocol.as_deref();
        if let Some(value) = protocol.and_then(|name| HeaderValue::try_from(name).ok()) {
            headers.push((HeaderName::from_static(PROTOCOL), value));
        }
    }
    let lists = headers.iter().filter(|(name, _)| name == PROTOCOL);
    let names = lists.filter_map(|(_, value)| value.to_str().ok());
    let names = names.flat_map(|list| list.split(',')).map(str::trim);
    let offered = names
        .filter(|name| !name.is_empty())
        .map(Into::into)
        .collect();
    PreparedDial { dial, offered }
}

/// Appends a field to the query of a request's target. The value is percent-encoded (RFC 3986
/// §2.1).
fn append_query(target: &mut String, name: &str, value: &str) {
    target.push(match target.contains('?') {
        true => '&',
        false => '?',
    });
    target.push_str(name);
    target.push('=');
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            target.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(target, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Class;
    use crate::client::event::ResumeHint;
    use crate::engine::{DialAddress, DialRequest};

    fn prepared(target: &str, resume: Option<ResumeHint>) -> (String, Vec<Box<str>>) {
        let address = DialAddress::Unix("/x".into());
        let protocols = HeaderValue::from_static("a, b");
        let request = DialRequest::new(target, HeaderValue::from_static("x"))
            .with_header(HeaderName::from_static(PROTOCOL), protocols);
        let attempt = Attempt {
            n: 0,
            why: None,
            resume,
        };
        let prepared = prepare(Dial::new(address, request, Class(0)), &attempt, true);
        assert_eq!(prepared.dial.request.fault(), None);
        (prepared.dial.request.target, prepared.offered)
    }

    #[test]
    fn a_new_session_offers_what_the_host_offers() {
        let (target, offered) = prepared("/chat?room=1", None);
        assert_eq!(target, "/chat?room=1&pulse=1");
        assert_eq!(offered, ["a".into(), "b".into()]);
    }

    #[test]
    fn a_resumed_session_offers_its_own_subprotocol() {
        let hint = |gateway: &str, protocol: Option<&str>| ResumeHint {
            gateway: gateway.into(),
            protocol: protocol.map(Into::into),
        };
        let (target, offered) = prepared("/", Some(hint("1a2b", Some("b"))));
        assert_eq!(target, "/?pulse=1&resume=1a2b");
        assert_eq!(offered, ["b".into()]);
        let (target, offered) = prepared("/", Some(hint("a&b c#é", None)));
        assert_eq!(target, "/?pulse=1&resume=a%26b%20c%23%C3%A9");
        assert!(offered.is_empty());
    }
}
