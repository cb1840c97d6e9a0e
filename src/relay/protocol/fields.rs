//! What bounds the fields of frames, and why a frame is malformed.

use crate::base::json_fields::TOO_LONG;
use crate::relay::subscriptions::SUBSCRIPTIONS_MAX;
use serde::Deserialize;

/// Why a frame is malformed, in words for its sender.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

impl Malformed {
    /// Returns whether a name, a key or a list exceeds its limit.
    pub(crate) fn is_limit(&self) -> bool {
        [TOO_LONG, TOO_MANY].contains(&&*self.0)
    }
}

pub(super) const TOO_MANY: &str = "more than 256 subscriptions";
const _: () = assert!(SUBSCRIPTIONS_MAX == 256);
/// The first major version of the SDK whose apps reconnect after any close code.
pub(super) const NEWER_SDK: u32 = 3;

/// The error of [`Init`] for a message that is no introduction.
pub(crate) const NO_INIT: &str = "the first message must be tpa_connection_init";
pub(super) const OTHER_PACKAGE: &str = "packageName is not that of this connection";

/// Parses a text. It checks the whole text, because what is put into another frame must be valid
/// JSON.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Malformed> {
    // The error names only the position, because the text may contain a key.
    serde_json::from_str(text).map_err(|e| {
        let (line, column) = (e.line(), e.column());
        Malformed(match e.classify() {
            serde_json::error::Category::Data => {
                let told = e.to_string();
                let ours = [TOO_LONG, TOO_MANY, NO_INIT].into_iter();
                match ours.into_iter().find(|ours| told.starts_with(ours)) {
                    Some(ours) => ours.to_owned(),
                    None => format!(
                        "a field is missing or of the wrong type (line {line}, column {column})"
                    ),
                }
            }
            _ => format!("not JSON (line {line}, column {column})"),
        })
    })
}

/// Returns the stream for the type of a frame or for a subscription. The SDK subscribes to
/// transcriptions by language only.
pub(crate) fn stream_of(kind: &str) -> &str {
    match kind {
        "transcription" => "transcription:en-US",
        other => other,
    }
}
