//! What was sent to a client in one step.

/// What was sent to a client in one step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SendingStep {
    /// The number of messages.
    pub(crate) sent: usize,
    /// Whether the next step must follow soon.
    pub(crate) has_more: bool,
    /// Whether the end of the session was sent: the client has its time to acknowledge it.
    pub(crate) has_sent_end: bool,
}
