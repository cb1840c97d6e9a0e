//! Control frames. tungstenite reads and answers them, and checks the rules of RFC 6455.

use super::frame::{CONTROL_MAX, HEADER_MAX, Header, Role};
use std::io::{self, ErrorKind, Read, Write};
use tungstenite::error::{Error as WsError, ProtocolError};
use tungstenite::protocol::{Role as WsRole, WebSocketConfig, WebSocketContext};
use tungstenite::{Bytes, Message};

/// The size of tungstenite's read buffer: one control frame. The default of 128 KiB would be set to
/// zero for each message.
const READ_BUFFER: usize = HEADER_MAX + CONTROL_MAX;

/// The content of a control frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ControlFrame {
    /// A ping. The answer is a pong.
    Ping,
    /// A pong with this payload.
    Pong(Bytes),
    /// A close frame; 1005 if it has no code (RFC 6455 §7.1.5). The answer is a close frame.
    Close { code: u16, reason: String },
}

/// Reads control frames. It keeps no state between frames, so one decoder serves all connections in
/// the same role.
#[derive(Debug)]
pub(crate) struct ControlDecoder {
    role: Role,
    spare: Option<Box<WebSocketContext>>,
}

impl ControlDecoder {
    pub(crate) fn new(role: Role) -> Self {
        ControlDecoder { role, spare: None }
    }

    /// Reads a whole control frame with this header, and appends the answer to `output`.
    ///
    /// # Errors The fault of the frame; nothing is appended then.
    pub(crate) fn control(
        &mut self,
        frame: &[u8],
        header: &Header,
        output: &mut Vec<u8>,
    ) -> Result<ControlFrame, WsError> {
        let spare = self.spare.take();
        let mut context = spare.unwrap_or_else(|| context(self.role));
        let input = frame;
        let message = context.read(&mut MemoryStream { input, output })?;
        let mut answer = MemoryStream { input: &[], output };
        // A context that has failed or is closed may hold old data, so it is not kept.
        let control = match message {
            Message::Pong(payload) => {
                self.spare = Some(context);
                ControlFrame::Pong(payload)
            }
            Message::Ping(_) => {
                // The context answers by itself; `MemoryStream` takes all bytes.
                let _ = context.flush(&mut answer);
                self.spare = Some(context);
                ControlFrame::Ping
            }
            Message::Close(close) => {
                // It reports that the connection is closed, which is known here.
                let _ = context.flush(&mut answer);
                ControlFrame::Close {
                    code: close_code(&frame[header.len..], header.mask()),
                    reason: close.map_or_else(String::new, |f| f.reason.to_string()),
                }
            }
            Message::Text(_) | Message::Binary(_) | Message::Frame(_) => {
                debug_assert!(false, "{header:?} is no control frame");
                return Err(ProtocolError::UnknownControlFrameType(header.opcode()).into());
            }
        };
        Ok(control)
    }
}

fn context(role: Role) -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0);
    let role = match role {
        Role::Server => WsRole::Server,
        Role::Client => WsRole::Client,
    };
    Box::new(WebSocketContext::new(role, Some(config)))
}

/// Returns the code in the payload of a close frame; 1005 if there is none.
fn close_code(payload: &[u8], mask: [u8; 4]) -> u16 {
    match payload {
        [a, b, ..] => u16::from_be_bytes([a ^ mask[0], b ^ mask[1]]),
        _ => 1005,
    }
}

/// The in-memory stream between tungstenite and our buffers. It never blocks or fails; it only runs
/// out of input.
struct MemoryStream<'i, 'o> {
    /// The unread part of the frame.
    input: &'i [u8],
    output: &'o mut Vec<u8>,
}

impl Read for MemoryStream<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buf)? {
            // Not Ok(0): that would mean the end of the stream, which only the socket can report.
            0 => Err(ErrorKind::WouldBlock.into()),
            read => Ok(read),
        }
    }
}

impl Write for MemoryStream<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{CLOSE, FIN, PING, PONG, write_frame};
    use super::super::mask;
    use super::*;

    /// Returns a frame as the peer of this role sends it.
    fn from_peer(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        let mask = role.peer().masks().then_some([1, 2, 3, 4]);
        write_frame(&mut frame, first, payload, mask);
        frame
    }

    fn read(decoder: &mut ControlDecoder, frame: &[u8]) -> (Result<ControlFrame, String>, Vec<u8>) {
        let header = Header::parse(frame).expect("a header");
        let mut output = Vec::new();
        let control = decoder.control(frame, &header, &mut output);
        (control.map_err(|e| e.to_string()), output)
    }

    #[test]
    fn control_frames_are_read_and_answered_in_either_role() {
        for role in [Role::Server, Role::Client] {
            let mut decoder = ControlDecoder::new(role);
            let close = [&1001u16.to_be_bytes()[..], b"gone"].concat();
            let rows = [
                (
                    PING,
                    &b"abc"[..],
                    ControlFrame::Ping,
                    Some((PONG, &b"abc"[..])),
                ),
                (
                    PONG,
                    b"abc",
                    ControlFrame::Pong(Bytes::from_static(b"abc")),
                    None,
                ),
                (
                    CLOSE,
                    &close,
                    ControlFrame::Close {
                        code: 1001,
                        reason: "gone".to_owned(),
                    },
                    Some((CLOSE, &close[..])),
                ),
                (
                    CLOSE,
                    b"",
                    ControlFrame::Close {
                        code: 1005,
                        reason: String::new(),
                    },
                    Some((CLOSE, b"")),
                ),
                (PING, b"", ControlFrame::Ping, Some((PONG, b""))),
            ];
            for (opcode, payload, expected, answer) in rows {
                let frame = from_peer(role, FIN | opcode, payload);
                let (control, mut output) = read(&mut decoder, &frame);
                assert_eq!(control, Ok(expected));
                let answered = Header::parse(&output).map(|header| {
                    assert_eq!(header.mask.is_some(), role.masks());
                    mask::apply(&mut output[header.len..], header.mask(), 0);
                    assert_eq!(header.frame_len(), output.len());
                    (header.first, &output[header.len..])
                });
                assert_eq!(answered, answer.map(|(opcode, body)| (FIN | opcode, body)));
            }
        }
    }

    #[test]
    fn a_fault_leaves_nothing_behind_for_the_next_frame() {
        for role in [Role::Server, Role::Client] {
            let mut decoder = ControlDecoder::new(role);
            let bad = from_peer(role, FIN | CLOSE, &[3]);
            assert!(read(&mut decoder, &bad).0.is_err());
            let ping = from_peer(role, FIN | PING, b"x");
            assert_eq!(read(&mut decoder, &ping).0, Ok(ControlFrame::Ping));
        }
    }
}
