//! A scripted peer that answers as a client does.

use super::frames::{client_frame, server_frame};
use super::link::Link;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::Message;
use std::collections::VecDeque;
use std::io::ErrorKind;

/// A peer of a [`Net`](crate::testing::Net).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct PeerId(pub usize);

/// What a peer received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a test must look at each")]
pub enum Received {
    /// A data message.
    Message(Message),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame: code (1005 for none) and reason.
    Close(u16, String),
}

/// A peer, and its bytes in transit.
pub(super) struct Peer {
    pub(super) id: ConnId,
    /// Bytes in transit to the server, with the time of arrival.
    pub(super) inbound: VecDeque<(Micros, Vec<u8>)>,
    pub(super) half_closed: bool,
    pub(super) reset: bool,
    /// The error of reads from the peer, if they fail.
    pub(super) unreadable: Option<ErrorKind>,
    pub(super) latency: Micros,
    pub(super) muted: bool,
    /// Whether the server reads from it only in the final check.
    pub(super) unread: bool,
    /// How many more bytes the peer takes; `None`: any number.
    pub(super) window: Option<usize>,
    /// The error of writes when the window is used up; `None`: the peer only takes no more.
    pub(super) breaks: Option<ErrorKind>,
    pub(super) bytes: Vec<u8>,
    pub(super) head: Option<String>,
    pub(super) received: Vec<Received>,
    pub(super) fin: bool,
    pub(super) released: Option<bool>,
    /// Bytes that the peer or its kernel has taken.
    pub(super) taken: u64,
    /// The link between the server and the peer, if it is slow.
    pub(super) link: Option<Link>,
    /// When waiting bytes reached the peer while a heartbeat was stuck behind them.
    pub(super) progress: Vec<Micros>,
    pub(super) blocked: bool,
    /// When the peer's automatic answers reached the server.
    pub(super) answers: Vec<Micros>,
    /// Whether the peer is in the middle of a frame; `held_answers` are sent after that frame.
    pub(super) in_frame: bool,
    pub(super) held_answers: Vec<Vec<u8>>,
}

impl Peer {
    /// Returns whether the server's kernel takes bytes for the peer.
    pub(super) fn has_room(&self) -> bool {
        let link = self.link.as_ref();
        self.window != Some(0) && link.is_none_or(|l| l.queue.len() < l.buffer)
    }

    /// Sends the held answers, unless the peer is in the middle of a frame.
    pub(super) fn send_answers(&mut self, now: Micros) {
        if !self.in_frame {
            for frame in self.held_answers.drain(..) {
                self.inbound.push_back((now + self.latency, frame));
                self.answers.push(now + self.latency);
            }
        }
    }

    /// Parses the received bytes and answers as a client does.
    pub(super) fn parse_received(&mut self, now: Micros) {
        if self.head.is_none() {
            let Some(end) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
                return;
            };
            if !self.bytes.starts_with(b"HTTP/1.1 101") {
                return;
            }
            let rest = self.bytes.split_off(end + 4);
            self.head = Some(String::from_utf8_lossy(&self.bytes).into_owned());
            self.bytes = rest;
        }
        while let Some((first, payload, len)) = server_frame(&self.bytes) {
            let payload = payload.to_vec();
            self.bytes.drain(..len);
            let received = match first {
                0x81 => Received::Message(Message::Text(
                    String::from_utf8_lossy(&payload).into_owned().into(),
                )),
                0x82 => Received::Message(Message::Binary(payload.clone().into())),
                0x88 => match payload.split_first_chunk() {
                    Some((code, reason)) => Received::Close(
                        u16::from_be_bytes(*code),
                        String::from_utf8_lossy(reason).into_owned(),
                    ),
                    None => Received::Close(1005, String::new()),
                },
                0x89 => Received::Ping(payload.clone()),
                0x8A => Received::Pong(payload.clone()),
                other => panic!("a server does not send frames that begin with {other:#x}"),
            };
            let answer = match received {
                Received::Ping(_) => Some(0x8A),
                Received::Close(..) => Some(0x88),
                Received::Message(_) | Received::Pong(_) => None,
            };
            if let Some(opcode) = answer.filter(|_| !self.muted && !self.half_closed && !self.reset)
            {
                self.held_answers.push(client_frame(opcode, &payload));
                self.send_answers(now);
            }
            self.received.push(received);
        }
    }
}
