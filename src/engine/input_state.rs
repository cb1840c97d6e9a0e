//! The input in progress of one open connection.

use crate::base::cause::Cause;
use crate::base::sabotage::{self, Bug};
use crate::base::time::Micros;
use crate::engine::leg_input::{ForwardInput, LegClosing};
use crate::wire::frame::{HEADER_MAX, Header};
use crate::wire::incoming_message::IncomingMessage;
use crate::wire::scan::FrameKind;

/// The work in progress of an open connection: a frame, a message in fragments, or bytes beyond its
/// share.
#[derive(Default)]
pub(crate) struct InputState {
    /// Bytes that were read; only the first `processed` of them are processed.
    pub(crate) leftover: Vec<u8>,
    pub(crate) processed: usize,
    /// When bytes of `leftover` were last read; 0: never.
    pub(crate) read_at: Micros,
    /// No byte of `leftover` arrived before this time, because all earlier ones were read before.
    pub(crate) arrived_after: Micros,
    /// Since when the connection would be stale if none of its input waited.
    overdue: Option<Micros>,
    /// Whether `leftover` was moved out and is being processed.
    pub(crate) is_processing: bool,
    pub(crate) frame: Option<PartialFrame>,
    pub(crate) message: Option<IncomingMessage>,
    /// The input in progress of a linked connection, which has no frame and no message here.
    pub(crate) forward: Option<Box<ForwardInput>>,
    /// Whether the message is complete, and its pieces are being joined.
    pub(crate) joining: bool,
    /// Bytes that the host keeps of the last message, if it has not finished with it.
    pub(crate) unfinished: Option<u64>,
    /// The work units that the connection has used above its share, and must save in its next
    /// shares; see [`WorkBudget`](crate::engine::work::WorkBudget).
    pub(crate) debt: u32,
    /// Whether the connection used up its share of a turn. Then 4 KiB at a time are read from it,
    /// until it stays within its share in a turn.
    pub(crate) slow: bool,
    /// Since when its input has waited because it used up its share of the loop's time; `None` if
    /// it does not wait.
    pub(crate) throttled_since: Option<Micros>,
    /// Until when the wait since `throttled_since` is counted already, and reported to the host.
    pub(crate) throttled_counted: Micros,
    /// A socket error that arrived while input was waiting. It is handled when that input is
    /// processed.
    pub(crate) failed: Option<Cause>,
    /// The bytes of memory held for the connection; the loop's total includes them.
    pub(crate) held: u64,
    /// `held` and the time when it last grew by 4 KiB. Smaller growth does not count as progress.
    pub(crate) grown: u64,
    pub(crate) grown_at: Micros,
}

/// A frame of which not all has arrived.
pub(crate) struct PartialFrame {
    /// The part of the frame's header that has arrived.
    pub(crate) head: [u8; HEADER_MAX],
    pub(crate) have: u8,
    /// The header, once it is complete, and the kind of frame.
    pub(crate) header: Option<(Header, FrameKind)>,
    /// Bytes of payload that have arrived. Those of a data frame are already part of the message.
    pub(crate) payload: u64,
    /// The payload of a control frame.
    pub(crate) control: Vec<u8>,
    /// Bytes of payload received since the peer last counted as heard.
    pub(crate) credit: u32,
    /// When the first byte of the frame arrived.
    pub(crate) since: Micros,
}

impl InputState {
    /// Returns whether bytes that were read are not processed yet.
    pub(crate) fn has_leftover(&self) -> bool {
        self.processed < self.leftover.len()
    }

    /// Returns whether waiting input may prove that the peer was alive before the connection became
    /// stale at `stale_at`, which is postponed while input waits.
    pub(crate) fn may_save(&mut self, stale_at: Micros, timeout: Micros) -> bool {
        let is_same = |since: &Micros| stale_at - *since < timeout;
        let since = self.overdue.filter(is_same).unwrap_or(stale_at);
        self.overdue = Some(since);
        !self.has_leftover() || self.arrived_after <= since
    }

    /// Returns whether input of the connection waits for its next share of the loop's time.
    pub(crate) fn is_held(&self) -> bool {
        self.has_leftover() || self.is_processing || self.debt > 0 || self.is_busy()
    }

    /// Returns whether the last message is being joined or is unfinished. Input behind it is not
    /// processed.
    pub(crate) fn is_busy(&self) -> bool {
        self.joining || self.unfinished.is_some()
    }

    /// Returns how the connection ends, once a close frame was forwarded to the peer.
    pub(crate) fn leg_closing(&self) -> Option<&LegClosing> {
        self.forward.as_ref()?.closing.as_deref()
    }

    /// Returns the deadline for the peer's answer to a close frame that was forwarded to it.
    pub(crate) fn close_due(&self) -> Option<Micros> {
        self.leg_closing().map(|closing| closing.due)
    }

    /// Returns whether nothing here affects later input, so that this can be freed.
    pub(crate) fn is_at_rest(&self) -> bool {
        let parts = self.frame.is_some() || self.message.is_some();
        let parts = parts && !(self.frame.is_none() && sabotage::on(Bug::ParkedTooSoon));
        !parts && self.forward.is_none() && !self.is_held() && !self.slow && self.failed.is_none()
    }

    /// Returns the bytes of memory allocated for the work in progress.
    pub(crate) fn allocated(&self) -> u64 {
        if sabotage::on(Bug::ChargedTooLittle) {
            return self.message.as_ref().map_or(0, |m| m.len() as u64);
        }
        let frame = self.frame.as_ref().map_or(0, |f| f.control.capacity());
        let message = self.message.as_ref().map_or(0, IncomingMessage::allocated);
        let forward = self.forward.as_ref();
        let forward = forward.map_or(0, |f| size_of::<ForwardInput>() + f.gathered.capacity());
        let own = size_of::<InputState>() + self.leftover.capacity() + frame + message + forward;
        own as u64 + self.unfinished.unwrap_or_default()
    }
}
