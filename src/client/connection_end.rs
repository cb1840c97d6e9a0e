//! How a connection ended, as the shell saw it.

use crate::pulse::{TryFailure, TryPhase};

/// The code of an end without a close frame (RFC 6455 §7.1.5).
pub(super) const NO_CLOSE: u16 = 1006;

/// How a connection or a try ended, as the shell saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a shell fills it in")]
pub struct ConnectionEnd {
    /// The close code; 1006 if there was no close frame.
    pub code: u16,
    /// The reason of the close frame.
    pub reason: Box<str>,
    /// Whether the closing handshake was completed.
    pub is_clean: bool,
    /// Whether this side gave the connection up because nothing was heard.
    pub is_silence: bool,
    /// How far a try got, if it failed.
    pub phase: Option<TryPhase>,
    /// Why a try failed.
    pub failure: TryFailure,
}

impl ConnectionEnd {
    /// Returns the end of a connection without a close frame.
    pub fn lost() -> Self {
        Self::with_code(NO_CLOSE)
    }

    /// Returns an end with this close code that this side decided on.
    pub(super) fn with_code(code: u16) -> Self {
        ConnectionEnd {
            code,
            reason: "".into(),
            is_clean: false,
            is_silence: false,
            phase: None,
            failure: TryFailure::Other,
        }
    }
}
