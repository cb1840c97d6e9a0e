//! Why a control frame is invalid.

/// A control frame that the protocol does not allow. The connection that it came from is closed
/// with 1002 (RFC 6455 §7.4.1): after it, the two sides may not agree on what arrived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidControl {
    /// The frame is longer than [`CONTROL_BYTES_MAX`](super::CONTROL_BYTES_MAX).
    #[error("a control frame has {0} bytes; at most 4096 are allowed")]
    TooLong(usize),
    /// The text is not a JSON object, or a field is missing, occurs twice or has the wrong type.
    #[error("a control frame is not valid: {0}")]
    Malformed(String),
    /// Two fields say what the frame is.
    #[error("a control frame is both {0} and {1}")]
    TwoKinds(&'static str, &'static str),
}

impl From<serde_json::Error> for InvalidControl {
    fn from(e: serde_json::Error) -> Self {
        // The text of the error may quote the frame, and with it a token.
        let what = match e.classify() {
            serde_json::error::Category::Data => {
                "a field is missing, occurs twice or has the wrong type"
            }
            _ => "it is not JSON",
        };
        InvalidControl::Malformed(format!("{what} (column {})", e.column()))
    }
}

/// Checks the length of a control frame, given its JSON.
pub(super) fn check_control_length(json: &str) -> Result<(), InvalidControl> {
    let len = json.len() + 1;
    match len > super::limits::CONTROL_BYTES_MAX {
        true => Err(InvalidControl::TooLong(len)),
        false => Ok(()),
    }
}

/// Returns the only kind that a frame has; `None` if it has none.
pub(super) fn only_kind(
    kinds: &[(&'static str, bool)],
) -> Result<Option<&'static str>, InvalidControl> {
    let mut present = kinds.iter().filter(|(_, is_present)| *is_present);
    let first = present.next().map(|(name, _)| *name);
    match (first, present.next()) {
        (Some(first), Some((second, _))) => Err(InvalidControl::TwoKinds(first, second)),
        (first, _) => Ok(first),
    }
}

/// The error of a frame that must say what its sender has received.
pub(super) fn no_rx() -> InvalidControl {
    InvalidControl::Malformed("rx is missing".to_owned())
}
