//! One peer of a pair: what it has said and heard.

use pulsegate::Micros;
use pulsegate::cause::Cause;
use pulsegate::testing::{PeerId, client_frame, frame_of_server};
use pulsegate::wire::frame::Header;
use std::collections::VecDeque;

/// A frame with at most this much payload is forwarded only as a whole.
pub(super) const GATHERED_MAX: usize = 64 * 1024;

/// A frame that its sender's partner must get, as it was sent.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) raw: Vec<u8>,
    /// Its end in the stream of its sender, in bytes.
    pub(super) until: usize,
    pub(super) is_close: bool,
    /// Whether the loop may take it for the answer to a ping of its own, and keep it.
    pub(super) may_lack: bool,
}

/// A frame that a peer must send as soon as it is between two frames.
#[derive(Debug)]
pub(super) struct Owed {
    pub(super) first: u8,
    pub(super) payload: Vec<u8>,
    /// Whether it answers a ping of the loop, so that the partner must not get it.
    pub(super) is_ours: bool,
}

/// How a peer stopped sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silenced {
    /// It still sends.
    No,
    /// It has ended its stream.
    Eof,
    /// Its connection was reset.
    Reset,
    /// It has sent a frame that is not allowed.
    Fault,
    /// It is gone, and its socket looks open.
    Ghost,
}

pub(super) struct Side {
    pub(super) peer: PeerId,
    pub(super) is_client: bool,
    /// The part of its last frame that it has not sent yet.
    pub(super) rest: Vec<u8>,
    /// The bytes sent of a message in progress; `None` between messages.
    pub(super) message: Option<usize>,
    pub(super) owed: VecDeque<Owed>,
    /// The bytes that it has sent, and how many of them were certainly read while its connection
    /// was open.
    pub(super) sent: usize,
    pub(super) read: usize,
    pub(super) silenced: Silenced,
    /// The payload of its close frame, and when it was sent.
    pub(super) said_close: Option<Vec<u8>>,
    pub(super) closed_at: Option<Micros>,
    /// The payload of the close frame that it got.
    pub(super) got_close: Option<Vec<u8>>,
    /// The payloads of the loop's pings to its partner that the loop has given up, because this
    /// peer has sent one like them.
    pub(super) given_up: Vec<Vec<u8>>,
    /// The payloads of the loop's pings that it got.
    pub(super) own_pings: Vec<Vec<u8>>,
    /// The frames that it must get, in order.
    pub(super) coming: VecDeque<Coming>,
    /// The bytes of received frames that were checked.
    pub(super) checked: usize,
    /// Whether it reads slowly, and how much it takes now.
    pub(super) is_slow: bool,
    pub(super) window: Option<usize>,
    pub(super) takes_nothing: bool,
    /// Whether it says nothing but answers.
    pub(super) is_quiet: bool,
    /// Whether it takes long for the frame that it has begun.
    pub(super) dawdles: bool,
    /// Whether the loop was not reading it at the last step.
    pub(super) is_paused: bool,
    /// Since when its silence does not count, because it cannot be pinged.
    pub(super) spared_since: Option<Micros>,
    /// Whether the end of its connection was checked.
    pub(super) is_blamed: bool,
    /// The causes for which its connection may end.
    pub(super) troubles: Vec<Cause>,
    /// When a whole frame of it was sent that is not judged yet.
    pub(super) whole_at: Option<Micros>,
    /// It was certainly heard at this time, or its silence did not count.
    pub(super) heard: Micros,
    /// It was certainly not heard later than at this time.
    pub(super) last_sign: Micros,
    /// Since when it has had nothing to wait for but a ping.
    pub(super) watched: Option<Micros>,
    /// Since when it has taken nothing although bytes wait.
    pub(super) stuck_since: Option<Micros>,
    /// The earliest time at which it took its last bytes, and how many those were in all.
    pub(super) took_at: Micros,
    pub(super) taken: usize,
}

impl Side {
    pub(super) fn new(peer: PeerId, is_client: bool, is_slow: bool, now: Micros) -> Self {
        Side {
            peer,
            is_client,
            rest: Vec::new(),
            message: None,
            owed: VecDeque::new(),
            sent: 0,
            read: 0,
            silenced: Silenced::No,
            said_close: None,
            closed_at: None,
            got_close: None,
            given_up: Vec::new(),
            own_pings: Vec::new(),
            coming: VecDeque::new(),
            checked: 0,
            is_slow,
            window: None,
            takes_nothing: false,
            is_quiet: false,
            dawdles: false,
            is_paused: false,
            spared_since: None,
            is_blamed: false,
            troubles: Vec::new(),
            whole_at: None,
            heard: now,
            last_sign: now,
            watched: None,
            stuck_since: None,
            took_at: now,
            taken: 0,
        }
    }

    pub(super) fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self.is_client {
            true => client_frame(first, payload),
            false => frame_of_server(first, payload),
        }
    }

    /// Returns whether the peer may begin a frame.
    pub(super) fn can_speak(&self) -> bool {
        self.rest.is_empty() && self.said_close.is_none() && self.silenced == Silenced::No
    }

    /// Returns how much of a frame the peer has sent, if it is inside one that is forwarded in
    /// parts.
    pub(super) fn long_begun(&self, partner: &Side) -> Option<usize> {
        let raw = &partner.coming.back()?.raw;
        let header = Header::parse(raw)?;
        let sent = raw.len().saturating_sub(self.rest.len());
        let is_long = header.payload > GATHERED_MAX as u64 && sent >= header.len;
        (is_long && !self.rest.is_empty()).then_some(sent)
    }

    /// Returns whether something has happened to the peer that ends the pair.
    pub(super) fn is_ending(&self) -> bool {
        let is_over = self.said_close.is_some() || self.got_close.is_some();
        is_over || !matches!(self.silenced, Silenced::No | Silenced::Ghost)
    }
}
