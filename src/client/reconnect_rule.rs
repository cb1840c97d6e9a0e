//! What the host says to the end of a connection.

use crate::base::time::Micros;
use crate::pulse::FailureClass;
use std::fmt;

/// How a connection, or a try, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The close code; 1006 if there was no close frame.
    pub code: u16,
    /// The reason of the close frame; at most 123 bytes.
    pub reason: Box<str>,
    /// Whether the closing handshake was completed.
    pub is_clean: bool,
    /// The class, which decides when the client tries again.
    pub class: FailureClass,
    /// How many ends there were since the last stable connection, less one.
    pub n: u32,
}

/// The host's decision on an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "now, later, never, or as usual")]
pub enum Reconnect {
    /// The class of the end decides.
    #[default]
    ByClass,
    /// Try again even if the class would stop; when the class says, else as after a blip.
    Again,
    /// Try again after this wait, at most an hour.
    After(Micros),
    /// Do not try again.
    Stop,
}

/// A function that is asked at each end of a connection or try. It must not block.
pub struct ReconnectRule(Box<dyn FnMut(&CloseInfo) -> Reconnect + Send>);

impl ReconnectRule {
    /// Returns a rule.
    pub fn new(rule: impl FnMut(&CloseInfo) -> Reconnect + Send + 'static) -> Self {
        ReconnectRule(Box::new(rule))
    }

    pub(super) fn ask(&mut self, info: &CloseInfo) -> Reconnect {
        (self.0)(info)
    }
}

impl fmt::Debug for ReconnectRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReconnectRule")
    }
}
