//! The input in progress of one connection of a linked pair, and its close.

use crate::base::cause::Cause;
use crate::base::time::Micros;
use crate::engine::ending::EndingDraft;
use crate::wire::run::RunState;

/// The input in progress of a linked connection. It exists only while there is some.
#[derive(Default)]
pub(crate) struct ForwardInput {
    pub(crate) state: RunState,
    /// A frame of at most 64 KiB of which not all has arrived.
    pub(crate) gathered: Vec<u8>,
    /// When the first byte of that frame arrived.
    pub(crate) since: Micros,
    /// Bytes received since the peer last counted as heard.
    pub(crate) credit: u32,
    /// Set once a close frame for the peer is queued, until the peer has answered.
    pub(crate) closing: Option<Box<LegClosing>>,
    /// A close of the connection that waits until it can follow what was read.
    pub(crate) wanted: Option<Box<WantedClose>>,
    /// Whether a close of the pair waits, and nothing more of this input can be forwarded before
    /// it. The connection is not read meanwhile.
    pub(crate) is_stopped: bool,
}

/// A linked connection whose peer was sent a close frame. Its input is forwarded until the answer
/// has come.
pub(crate) struct LegClosing {
    /// How the connection ends.
    pub(crate) end: EndingDraft,
    /// When the close began.
    pub(crate) since: Micros,
    /// The close timeout.
    pub(crate) timeout: Micros,
    /// The deadline for the answer.
    pub(crate) due: Micros,
}

/// A close of a linked connection that waits.
pub(crate) struct WantedClose {
    pub(crate) cause: Cause,
    pub(crate) code: u16,
    pub(crate) reason: Box<str>,
    /// The latest time for the close.
    pub(crate) due: Micros,
}

impl ForwardInput {
    /// Returns whether nothing here affects later input.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.state.is_at_rest()
            && self.gathered.is_empty()
            && self.closing.is_none()
            && self.wanted.is_none()
            && !self.is_stopped
    }
}
