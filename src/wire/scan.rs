//! The kind and the end of a frame, from its header (RFC 6455 §5.2).

use super::frame::{
    BINARY, CLOSE, CONTINUATION, CONTROL_MAX, FIN, HEADER_MAX, Header, OPCODE, PONG, RSV, Role,
    TEXT,
};
use std::ops::ControlFlow;
use tungstenite::error::{CapacityError, Error as WsError, ProtocolError};
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// A whole message, of this opcode.
    Whole(u8),
    /// The first frame of a message in fragments, of this opcode.
    First(u8),
    /// A fragment that is neither the first nor the last.
    Middle,
    /// The last fragment.
    Last,
    /// A ping or pong.
    Control,
    /// A close frame.
    Close,
}

impl FrameKind {
    /// Returns the opcode of the message that begins with the frame.
    pub(crate) fn begins(self) -> Option<u8> {
        match self {
            FrameKind::Whole(opcode) | FrameKind::First(opcode) => Some(opcode),
            FrameKind::Middle | FrameKind::Last | FrameKind::Control | FrameKind::Close => None,
        }
    }
}

impl Header {
    /// Classifies a frame by its header, before its payload has arrived. `role` is ours.
    /// `in_message`: the length of the earlier fragments, if a message is in progress. `most`: the
    /// longest message, in bytes.
    ///
    /// # Errors The error that tungstenite would report after reading the frame.
    pub(crate) fn classify(
        &self,
        role: Role,
        in_message: Option<usize>,
        most: usize,
    ) -> Result<FrameKind, WsError> {
        let size = in_message
            .filter(|_| self.is_data())
            .unwrap_or(0)
            .saturating_add(usize::try_from(self.payload).unwrap_or(usize::MAX));
        if self.payload > most as u64 || self.is_data() && size > most {
            let max_size = most;
            return Err(CapacityError::MessageTooLong { size, max_size }.into());
        }
        match (role, self.mask) {
            (Role::Server, Some(_)) | (Role::Client, None) => {}
            (Role::Server, None) => return Err(ProtocolError::UnmaskedFrameFromClient.into()),
            (Role::Client, Some(_)) => return Err(ProtocolError::MaskedFrameFromServer.into()),
        }
        if self.first & RSV != 0 {
            return Err(ProtocolError::NonZeroReservedBits.into());
        }
        let (opcode, is_final) = (self.first & OPCODE, self.first & FIN != 0);
        let fault = match (opcode, in_message) {
            (CLOSE..=PONG, _) if is_final && self.payload <= CONTROL_MAX as u64 => {
                return Ok(if opcode == CLOSE {
                    FrameKind::Close
                } else {
                    FrameKind::Control
                });
            }
            (CLOSE.., _) if !is_final => ProtocolError::FragmentedControlFrame,
            (CLOSE.., _) if self.payload > CONTROL_MAX as u64 => ProtocolError::ControlFrameTooBig,
            (CLOSE.., _) => ProtocolError::UnknownControlFrameType(opcode),
            (CONTINUATION, None) => ProtocolError::UnexpectedContinueFrame,
            (CONTINUATION, Some(_)) if is_final => return Ok(FrameKind::Last),
            (CONTINUATION, Some(_)) => return Ok(FrameKind::Middle),
            (_, Some(_)) => match OpCode::from(opcode) {
                OpCode::Data(data) => ProtocolError::ExpectedFragment(data),
                OpCode::Control(_) => ProtocolError::ExpectedFragment(Data::Reserved(opcode)),
            },
            (TEXT | BINARY, None) if is_final => return Ok(FrameKind::Whole(opcode)),
            (TEXT | BINARY, None) => return Ok(FrameKind::First(opcode)),
            (_, None) => ProtocolError::UnknownDataFrameType(opcode),
        };
        Err(fault.into())
    }
}

/// Finds the peer's close frame in a stream whose other frames are ignored.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloseFinder {
    header: [u8; HEADER_MAX],
    have: u8,
    /// Bytes of the payload that have not arrived, once the header is complete.
    left: Option<u64>,
}

impl CloseFinder {
    /// Creates a finder that begins inside a frame, of which `head` and `payload` bytes have
    /// arrived.
    pub(crate) fn inside(head: &[u8], payload: u64) -> Self {
        let mut finder = CloseFinder::default();
        // A close frame cannot end inside a frame.
        let _ = finder.advance(head);
        finder.left = finder.left.map(|left| left - payload);
        finder
    }

    /// Creates a finder that begins behind the first bytes of a frame, or before the last `left`
    /// bytes of one.
    pub(crate) fn within(begun: &[u8], left: u64) -> Self {
        let mut finder = CloseFinder {
            left: Some(left).filter(|left| *left > 0),
            ..CloseFinder::default()
        };
        // A close frame cannot end inside a frame.
        let _ = finder.advance(begun);
        finder
    }

    /// Takes the next bytes of the stream. Breaks when a close frame is complete.
    pub(crate) fn advance(&mut self, mut data: &[u8]) -> ControlFlow<()> {
        while !data.is_empty() {
            let left = match self.left {
                Some(left) => {
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(data.len());
                    data = &data[take..];
                    left - take as u64
                }
                None => {
                    self.header[usize::from(self.have)] = data[0];
                    self.have += 1;
                    data = &data[1..];
                    match Header::parse(&self.header[..usize::from(self.have)]) {
                        Some(header) => header.payload,
                        None => continue,
                    }
                }
            };
            self.left = Some(left);
            if left == 0 {
                (self.have, self.left) = (0, None);
                if self.header[0] & OPCODE == CLOSE {
                    return ControlFlow::Break(());
                }
            }
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::write_frame;
    use super::*;

    /// Returns a frame as the peer sends it.
    fn frame(role: Role, first: u8, payload: usize) -> Vec<u8> {
        let mask = role.peer().masks().then_some([1, 2, 3, 4]);
        let mut frame = Vec::new();
        write_frame(&mut frame, first, &vec![0x55; payload], mask);
        frame
    }

    #[test]
    fn frames_are_judged_as_rfc_6455_says() {
        for role in [Role::Server, Role::Client] {
            let judge = |first, payload, in_message| {
                Header::parse(&frame(role, first, payload))
                    .expect("a header")
                    .classify(role, in_message, 1_000)
                    .map_err(|e| e.to_string())
            };
            assert_eq!(judge(FIN | TEXT, 200, None), Ok(FrameKind::Whole(TEXT)));
            assert_eq!(judge(FIN | PONG, 125, Some(3)), Ok(FrameKind::Control));
            assert_eq!(judge(FIN | CLOSE, 2, Some(3)), Ok(FrameKind::Close));
            assert_eq!(judge(BINARY, 3, None), Ok(FrameKind::First(BINARY)));
            assert_eq!(judge(CONTINUATION, 3, Some(3)), Ok(FrameKind::Middle));
            assert_eq!(judge(FIN | CONTINUATION, 0, Some(3)), Ok(FrameKind::Last));
            for (first, payload, in_message, fault) in [
                (FIN | TEXT, 1_001, None, "too long"),
                (FIN | CONTINUATION, 998, Some(3), "too long"),
                (FIN | 0x40 | TEXT, 3, None, "eserved bits"),
                (FIN | CONTINUATION, 3, None, "ontinue frame"),
                (FIN | TEXT, 3, Some(3), "fragment"),
                (FIN | 0x3, 3, None, "data frame type"),
                (FIN | 0x3, 3, Some(3), "fragment"),
                (CLOSE, 3, None, "ragmented control frame"),
                (FIN | PONG, 126, None, "ontrol frame too big"),
                (FIN | 0xB, 3, None, "control frame type"),
            ] {
                let judged = judge(first, payload, in_message).expect_err("a fault");
                assert!(judged.contains(fault), "{first:#x}: {judged}");
            }
        }
    }

    #[test]
    fn a_client_must_mask_and_a_server_must_not() {
        for (role, fault) in [(Role::Server, "unmasked"), (Role::Client, "masked")] {
            let from_our_own_side = frame(role.peer(), FIN | TEXT, 1);
            let header = Header::parse(&from_our_own_side).expect("a header");
            let judged = header.classify(role, None, 1_000).expect_err("a fault");
            assert!(judged.to_string().contains(fault), "{judged}");
        }
    }

    #[test]
    fn a_close_frame_is_found_whatever_the_cuts() {
        for role in [Role::Server, Role::Client] {
            let stream = [
                frame(role, FIN | TEXT, 0),
                frame(role, TEXT, 125),
                frame(role, FIN | CONTINUATION, 65_536),
                frame(role, FIN | CLOSE, 2),
            ]
            .concat();
            for cut in [1, 2, 3, 7, 100, 4_096, stream.len()] {
                let mut finder = CloseFinder::default();
                let at = stream
                    .chunks(cut)
                    .position(|c| finder.advance(c).is_break());
                assert_eq!(at, Some((stream.len() - 1) / cut), "cut {cut}");
            }
            let mut finder = CloseFinder::default();
            assert!(finder.advance(&frame(role, FIN | CLOSE, 0)).is_break());
            assert!(finder.advance(&frame(role, FIN | PONG, 0)).is_continue());
        }
    }
}
