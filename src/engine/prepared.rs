//! Outgoing messages: the frame is built once for any number of connections.

use crate::engine::message::{Message, SendError, SendOutcome};
use crate::engine::out::OutFrame;
use crate::wire::frame::{
    BINARY, CLOSE, CONTROL, CONTROL_MAX, FIN, Header, PING, PONG, Role, TEXT, write_frame,
};
use crate::wire::{Bytes, Utf8Bytes, encoder};

/// Payloads above this size are sent without a copy. Smaller ones are copied behind their header,
/// which makes one slice to write.
const COPIED_MAX: usize = 64 * 1024;

/// A text or binary message with its frame already built, to send to many connections, later, or
/// again. Cheap to clone; clones share the frame.
#[derive(Debug, Clone)]
pub struct PreparedMessage(OutFrame);

impl PreparedMessage {
    /// Builds the frame; `None` for anything but text and binary. A payload above 64 KiB is shared
    /// with the message; a smaller one is copied.
    pub fn new(message: &Message) -> Option<Self> {
        match (message, Outgoing::of(message)) {
            (Message::Text(_) | Message::Binary(_), Ok(Outgoing::Data(frame))) => {
                Some(PreparedMessage(frame))
            }
            _ => None,
        }
    }

    /// Returns the message that the frame was built from; `None` if it is not valid. The payload is
    /// not copied, but a text is checked.
    pub fn message(&self) -> Option<Message> {
        let (is_text, payload) = self.0.payload()?;
        if is_text {
            return Utf8Bytes::try_from(payload).ok().map(Message::Text);
        }
        Some(Message::Binary(payload))
    }

    /// Returns the length on the wire, in bytes.
    pub fn wire_len(&self) -> usize {
        self.0.len()
    }
}

impl From<PreparedMessage> for Outgoing {
    fn from(prepared: PreparedMessage) -> Self {
        Outgoing::Data(prepared.0)
    }
}

/// An outgoing message whose frame is built once for any number of connections.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    Data(OutFrame),
    Control(Bytes),
    Close(u16, String),
}

impl Outgoing {
    /// Returns the frame with a mask, as a client sends it.
    pub(crate) fn masked(self, mask: [u8; 4]) -> Self {
        let frame_of = |bytes: &[u8]| {
            let Some(header) = Header::parse(bytes).filter(|h| h.mask.is_none()) else {
                return Bytes::copy_from_slice(bytes);
            };
            let mut masked = Vec::with_capacity(bytes.len() + mask.len());
            write_frame(&mut masked, header.first, &bytes[header.len..], Some(mask));
            masked.into()
        };
        match self {
            Outgoing::Data(frame) => Outgoing::Data(frame_of(&frame.to_vec()).into()),
            Outgoing::Control(frame) => Outgoing::Control(frame_of(&frame)),
            Outgoing::Close(code, reason) => Outgoing::Close(code, reason),
        }
    }

    pub(crate) fn of(message: &Message) -> Result<Self, SendOutcome> {
        let (opcode, payload): (u8, &[u8]) = match message {
            Message::Text(text) => (TEXT, text.as_bytes()),
            Message::Binary(bytes) => (BINARY, bytes),
            Message::Ping(bytes) => (PING, bytes),
            Message::Pong(bytes) => (PONG, bytes),
            Message::Close(None) => return Ok(Outgoing::Close(1000, String::new())),
            Message::Close(Some(f)) => {
                return Ok(Outgoing::Close(f.code.into(), f.reason.to_string()));
            }
            Message::Frame(frame) => {
                let (opcode, bytes) = encoder::raw(frame.clone());
                // A close must go through the connection's close, which changes its state.
                return match opcode {
                    CLOSE => Err(SendOutcome::Refused(SendError::Illegal)),
                    data if data < CONTROL => Ok(Outgoing::Data(bytes.into())),
                    _ => Ok(Outgoing::Control(bytes)),
                };
            }
        };
        let is_control = matches!(opcode, PING | PONG);
        if is_control && payload.len() > CONTROL_MAX {
            return Err(SendOutcome::Refused(SendError::Illegal));
        }
        let header = Header::new(FIN | opcode, payload.len() as u64, None);
        let large = match message {
            Message::Text(text) if payload.len() > COPIED_MAX => Some(text.clone().into()),
            Message::Binary(bytes) if payload.len() > COPIED_MAX => Some(bytes.clone()),
            _ => None,
        };
        let copied = if large.is_some() { 0 } else { payload.len() };
        let mut bytes = Vec::with_capacity(Role::Server.header_max() + copied);
        header.write(&mut bytes);
        if let Some(payload) = large {
            return Ok(Outgoing::Data(OutFrame::large(&bytes, payload)));
        }
        bytes.extend_from_slice(payload);
        Ok(if is_control {
            Outgoing::Control(bytes.into())
        } else {
            Outgoing::Data(Bytes::from(bytes).into())
        })
    }
}
