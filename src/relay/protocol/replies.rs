//! What glasses and apps are told.

use crate::base::time::UnixMillis;
use crate::host::iso;
use std::fmt::{self, Write};

/// The answer to a JSON ping.
pub(crate) const PONG: &str = r#"{"type":"pong"}"#;

/// A string as JSON, in its quotes.
pub(super) struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

pub(super) fn now() -> String {
    iso(UnixMillis::now())
}

/// The beginning of a frame of the glasses as it goes to every app that subscribed; the frame itself, which must be whole JSON and
/// has `len` bytes, and [`DATA_END`] follow.
pub(crate) fn data_stream(session: &str, stream: &str, len: usize) -> String {
    // It may be kept as it is: no more is allocated than it needs.
    let mut text = String::with_capacity(len + session.len() + stream.len() + ENVELOPE);
    // Writing into a String does not fail.
    let _ = write!(
        text,
        r#"{{"type":"data_stream","sessionId":{},"streamType":{},"timestamp":"{}","data":"#,
        Quoted(session),
        Quoted(stream),
        now()
    );
    text
}

/// The end of a `data_stream`.
pub(crate) const DATA_END: char = '}';

/// Bytes of a `data_stream` besides its frame and its names.
pub(super) const ENVELOPE: usize = 128;

/// What glasses are told when they are in.
pub(crate) fn connection_ack(session: &str) -> String {
    let session = Quoted(session);
    format!(
        r#"{{"type":"connection_ack","sessionId":{session},"timestamp":"{}"}}"#,
        now()
    )
}

/// What an app is told when it is in: all that the SDK asks for.
pub(crate) fn app_ack(user: &str, package: &str) -> String {
    ack("tpa_connection_ack", user, package)
}

/// The same as the answer to `reconnect`.
pub(crate) fn reconnect_ack(user: &str, package: &str) -> String {
    ack("reconnect_ack", user, package)
}

pub(super) fn ack(kind: &str, user: &str, package: &str) -> String {
    format!(
        r#"{{"type":"{kind}","sessionId":{},"settings":[],"mentraosSettings":{{}},"capabilities":null,"timestamp":"{}"}}"#,
        Quoted(&format!("{user}-{package}")),
        now()
    )
}

/// What an app that said `reconnect` is told while its glasses are waited for: for how long still.
pub(crate) fn reconnect_deferred(timeout_ms: u64) -> String {
    format!(
        r#"{{"type":"reconnect_deferred","timeoutMs":{timeout_ms},"timestamp":"{}"}}"#,
        now()
    )
}

/// What an app that said `reconnect` is told that is not let in by that.
pub(crate) fn reconnect_rejected(code: &str, message: &str) -> String {
    error("reconnect_rejected", code, message)
}

/// What an app is told before it is closed, or when it is not understood.
pub(crate) fn app_error(code: &str, message: &str) -> String {
    error("tpa_connection_error", code, message)
}

/// The same for glasses.
pub(crate) fn glasses_error(code: &str, message: &str) -> String {
    error("connection_error", code, message)
}

pub(super) fn error(kind: &str, code: &str, message: &str) -> String {
    format!(
        r#"{{"type":"{kind}","code":"{code}","message":{},"timestamp":"{}"}}"#,
        Quoted(message),
        now()
    )
}

/// What glasses are told of an app: `app_started`, `app_stopped`, each with a reason if there is one.
pub(crate) fn app_news(kind: &str, package: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| {
        format!(r#","reason":{}"#, Quoted(reason))
    });
    format!(
        r#"{{"type":"{kind}","packageName":{}{reason},"timestamp":"{}"}}"#,
        Quoted(package),
        now()
    )
}

/// What glasses are told when an app's state has changed.
pub(crate) fn app_state_change(package: &str, state: &str) -> String {
    format!(
        r#"{{"type":"app_state_change","packageName":{},"state":"{state}","timestamp":"{}"}}"#,
        Quoted(package),
        now()
    )
}

/// What an app is told before it is closed for good.
pub(crate) fn app_stopped(reason: &str) -> String {
    format!(
        r#"{{"type":"app_stopped","reason":{},"timestamp":"{}"}}"#,
        Quoted(reason),
        now()
    )
}
