//! Runs of frames that are forwarded as they came: how long they are, and what ends them.
//!
//! A run is made of whole frames. A frame above [`GATHERED_MAX`] is forwarded in parts, so only
//! such a frame may be cut at the end of a run. A header is never cut.

use super::frame::{Header, Role};
use super::mask;
use super::scan::FrameKind;
use tungstenite::error::Error as WsError;

/// The longest payload of a frame that is forwarded only when all of it has arrived, in bytes. So a
/// frame boundary, where our own frames may go out, is always near.
pub(crate) const GATHERED_MAX: u64 = 64 * 1024;

/// Set in the first byte of a compressed message (RFC 7692 §6).
const RSV1: u8 = 0x40;

/// The length of the payload by which our own pings and their pongs are recognized, in bytes.
const OWN_LEN: usize = 8;

/// Where a stream of forwarded frames is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RunState {
    /// Bytes of a frame in progress that have not arrived; 0 between frames.
    pub(crate) left: u64,
    /// The payload of the earlier fragments, in bytes, if a message is in progress.
    pub(crate) message: Option<u64>,
}

/// The rules for the frames of one peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunRules {
    /// Our role towards the peer.
    pub(crate) role: Role,
    /// Whether messages may be compressed.
    pub(crate) compression: bool,
    /// The longest message, in bytes on the wire.
    pub(crate) max_message: u64,
    /// The most frames of one run.
    pub(crate) max_frames: u32,
    /// Whether no frame is begun of which not all is there.
    pub(crate) only_whole: bool,
}

/// What stands behind a run.
#[derive(Debug)]
pub(crate) enum AfterRun {
    /// All bytes belong to the run.
    Nothing,
    /// The beginning of a frame that is not forwarded in parts.
    Partial,
    /// A whole ping or pong that may be ours, with this payload.
    Own(Header, [u8; OWN_LEN]),
    /// A whole close frame.
    Close(Header),
    /// A frame that is not allowed.
    Fault(FrameFault),
    /// More frames than one run may have.
    More,
}

/// Why a frame is not forwarded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameFault {
    /// A rule that applies to every peer.
    #[error(transparent)]
    Rule(#[from] WsError),
    /// The length has more bytes than it needs, or its highest bit is set (RFC 6455 §5.2).
    #[error("the length of a frame is not written in its shortest form")]
    Length,
}

/// The result of a scan.
#[derive(Debug)]
pub(crate) struct Run {
    /// The length of the run, in bytes.
    pub(crate) len: usize,
    /// The frames that begin in it.
    pub(crate) frames: u32,
    /// The control frames among them.
    pub(crate) controls: u32,
    /// The messages whose last frame begins in it.
    pub(crate) messages: u32,
    pub(crate) after: AfterRun,
}

impl RunState {
    /// Returns whether nothing is in progress.
    pub(crate) fn is_at_rest(&self) -> bool {
        *self == RunState::default()
    }

    /// Returns how many bytes of a frame in progress are behind the first `taken` bytes of a run,
    /// including those that have not arrived. The run begins with the last `left` bytes of a frame.
    pub(crate) fn left_at(run: &[u8], left: u64, taken: usize) -> u64 {
        let mut at = left;
        while at < taken as u64 {
            let header = run.get(at as usize..).and_then(Header::parse);
            // A run holds whole headers.
            let Some(header) = header else { return 0 };
            at += header.len as u64 + header.payload;
        }
        at - taken as u64
    }

    /// Finds the run at the start of `data`, and moves behind it. `is_own` returns whether a ping
    /// or pong with this opcode and payload of eight bytes concerns our own heartbeats; such a
    /// frame ends the run.
    pub(crate) fn scan(
        &mut self,
        data: &[u8],
        rules: &RunRules,
        is_own: impl Fn(u8, [u8; OWN_LEN]) -> bool,
    ) -> Run {
        let take = usize::try_from(self.left).unwrap_or(usize::MAX);
        let take = take.min(data.len());
        self.left -= take as u64;
        let mut run = Run {
            len: take,
            frames: 0,
            controls: 0,
            messages: 0,
            after: AfterRun::Nothing,
        };
        while run.len < data.len() {
            if run.frames == rules.max_frames {
                run.after = AfterRun::More;
                break;
            }
            let rest = &data[run.len..];
            if let Err(after) = self.step(rest, rules, &is_own, &mut run) {
                run.after = after;
                break;
            }
        }
        run
    }

    /// Adds the frame at the start of `rest` to the run.
    ///
    /// # Errors What ends the run if the frame does not belong to it.
    fn step(
        &mut self,
        rest: &[u8],
        rules: &RunRules,
        is_own: &impl Fn(u8, [u8; OWN_LEN]) -> bool,
        run: &mut Run,
    ) -> Result<(), AfterRun> {
        let header = Header::parse(rest).ok_or(AfterRun::Partial)?;
        let kind = self.judge(&header, rules).map_err(AfterRun::Fault)?;
        let len = header.frame_len();
        if rest.len() < len {
            if header.payload <= GATHERED_MAX || rules.only_whole {
                return Err(AfterRun::Partial);
            }
            self.left = (len - rest.len()) as u64;
        }
        match kind {
            FrameKind::Close => return Err(AfterRun::Close(header)),
            FrameKind::Control => {
                if let Some(payload) = own_sized(&header, &rest[header.len..len])
                    && is_own(header.opcode(), payload)
                {
                    return Err(AfterRun::Own(header, payload));
                }
                run.controls += 1;
            }
            FrameKind::First(_) | FrameKind::Middle => {
                self.message = Some(self.message.unwrap_or(0) + header.payload);
            }
            FrameKind::Last | FrameKind::Whole(_) => {
                self.message = None;
                run.messages += 1;
            }
        }
        run.frames += 1;
        run.len += len.min(rest.len());
        Ok(())
    }

    /// Checks a frame by its header, before any byte of it is forwarded.
    pub(crate) fn judge(&self, header: &Header, rules: &RunRules) -> Result<FrameKind, FrameFault> {
        let in_message = self
            .message
            .map(|len| usize::try_from(len).unwrap_or(usize::MAX));
        let mut plain = *header;
        if rules.compression && header.is_data() && in_message.is_none() {
            plain.first &= !RSV1;
        }
        let most = match header.is_data() {
            true => usize::try_from(rules.max_message).unwrap_or(usize::MAX),
            false => usize::MAX,
        };
        let kind = plain.classify(rules.role, in_message, most)?;
        // RFC 6455 §5.2: the shortest form, and the highest bit of a long one is 0.
        if Header::new(header.first, header.payload, header.mask).len != header.len
            || header.payload >> 63 != 0
        {
            return Err(FrameFault::Length);
        }
        Ok(kind)
    }
}

/// Returns the payload of a ping or pong, without its mask, if it is as long as those of ours.
fn own_sized(header: &Header, payload: &[u8]) -> Option<[u8; OWN_LEN]> {
    let mut payload: [u8; OWN_LEN] = payload.try_into().ok()?;
    mask::apply(&mut payload, header.mask(), 0);
    Some(payload)
}
