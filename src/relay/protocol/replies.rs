//! Frames that the gateway sends to glasses and apps.

use crate::base::time::UnixMillis;
use crate::host::format_rfc3339;
use std::fmt::{self, Write};

/// The answer to a JSON ping.
pub(crate) const PONG: &str = r#"{"type":"pong"}"#;

/// A string as JSON, in quotes.
pub(super) struct JsonString<'a>(&'a str);

impl fmt::Display for JsonString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self.0).map_err(|_| fmt::Error)?)
    }
}

fn now() -> String {
    format_rfc3339(UnixMillis::now())
}

/// Returns the beginning of a `data_stream`, which carries a frame of the glasses to each
/// subscribed app. The frame, which must be valid JSON and has `len` bytes, and [`DATA_END`]
/// follow.
pub(crate) fn data_stream(session: &str, stream: &str, len: usize) -> String {
    // It may be kept as it is, so it allocates only what it needs.
    let mut text = String::with_capacity(len + session.len() + stream.len() + ENVELOPE);
    // Writing into a String does not fail.
    let _ = write!(
        text,
        r#"{{"type":"data_stream","sessionId":{},"streamType":{},"timestamp":"{}","data":"#,
        JsonString(session),
        JsonString(stream),
        now()
    );
    text
}

/// The end of a `data_stream`.
pub(crate) const DATA_END: char = '}';

/// An upper bound for the bytes of a `data_stream` besides its frame and its names.
pub(super) const ENVELOPE: usize = 128;

/// The acknowledgement for glasses.
pub(crate) fn connection_ack(session: &str) -> String {
    let session = JsonString(session);
    format!(
        r#"{{"type":"connection_ack","sessionId":{session},"timestamp":"{}"}}"#,
        now()
    )
}

/// The acknowledgement for an app, with all fields that the SDK requires.
pub(crate) fn app_ack(user: &str, package: &str) -> String {
    ack("tpa_connection_ack", user, package)
}

/// The acknowledgement for an app that sent `reconnect`.
pub(crate) fn reconnect_ack(user: &str, package: &str) -> String {
    ack("reconnect_ack", user, package)
}

fn ack(kind: &str, user: &str, package: &str) -> String {
    format!(
        r#"{{"type":"{kind}","sessionId":{},"settings":[],"mentraosSettings":{{}},"capabilities":null,"timestamp":"{}"}}"#,
        JsonString(&format!("{user}-{package}")),
        now()
    )
}

/// The state of the connection of glasses to the gateway, which does not know their model.
pub(crate) fn glasses_state(status: &str) -> String {
    format!(
        r#"{{"type":"glasses_connection_state","modelName":"","status":"{status}","source":"gateway","timestamp":"{}"}}"#,
        now()
    )
}

/// Tells an app that sent `reconnect` how long it may still have to wait for its glasses.
pub(crate) fn reconnect_deferred(timeout_ms: u64) -> String {
    format!(
        r#"{{"type":"reconnect_deferred","timeoutMs":{timeout_ms},"timestamp":"{}"}}"#,
        now()
    )
}

/// Rejects `reconnect`; the app may still send an init message.
pub(crate) fn reconnect_rejected(code: &str, message: &str) -> String {
    error("reconnect_rejected", code, message)
}

/// The error for an app that is about to be closed, or whose frame is malformed.
pub(crate) fn app_error(code: &str, message: &str) -> String {
    error("tpa_connection_error", code, message)
}

/// The error for glasses whose request failed or whose frame is malformed.
pub(crate) fn glasses_error(code: &str, message: &str) -> String {
    error("connection_error", code, message)
}

fn error(kind: &str, code: &str, message: &str) -> String {
    format!(
        r#"{{"type":"{kind}","code":"{code}","message":{},"timestamp":"{}"}}"#,
        JsonString(message),
        now()
    )
}

/// Tells glasses that an app has started or stopped (`app_started`, `app_stopped`), with the reason
/// if there is one.
pub(crate) fn app_notice(kind: &str, package: &str, reason: Option<&str>) -> String {
    let reason = reason.map_or_else(String::new, |reason| {
        format!(r#","reason":{}"#, JsonString(reason))
    });
    format!(
        r#"{{"type":"{kind}","packageName":{}{reason},"timestamp":"{}"}}"#,
        JsonString(package),
        now()
    )
}

/// Tells glasses that an app's state has changed.
pub(crate) fn app_state_change(package: &str, state: &str) -> String {
    format!(
        r#"{{"type":"app_state_change","packageName":{},"state":"{state}","timestamp":"{}"}}"#,
        JsonString(package),
        now()
    )
}

/// Tells an app that it is stopped, before its connection is closed for good.
pub(crate) fn app_stopped(reason: &str) -> String {
    format!(
        r#"{{"type":"app_stopped","reason":{},"timestamp":"{}"}}"#,
        JsonString(reason),
        now()
    )
}
