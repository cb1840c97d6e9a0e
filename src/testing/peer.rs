//! A scripted peer that answers as a client does.

use super::frames::{client_frame, frame_of_server, received_frame, upgrade_response};
use super::link::Link;
use crate::base::id::ConnId;
use crate::base::time::Micros;
use crate::engine::{Message, TcpProgress};
use crate::wire::frame::{CLOSE, FIN, Role};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// A peer of a [`Net`](crate::testing::Net).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::exhaustive_structs, reason = "a number")]
pub struct PeerId(pub usize);

/// What becomes of new dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_enums, reason = "a test chooses one")]
pub enum OnDial {
    /// The server accepts the connection, and agrees to a WebSocket without a subprotocol.
    #[default]
    Agree,
    /// The server accepts the connection and says nothing.
    Accept,
    /// The connect does not complete by itself.
    Wait,
    /// The connect fails.
    Fail(ErrorKind),
    /// The server has no room for the connection now.
    Busy,
}

/// What a peer received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a test must look at each")]
pub enum Received {
    /// A data message in one frame.
    Message(Message),
    /// A fragment of a data message, or a compressed message: the first byte and the payload.
    Fragment(u8, Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame: code (1005 for none) and reason.
    Close(u16, String),
}

/// Returns the answer to a text, or `None` if there is none.
pub type AnswerText = fn(&str) -> Option<String>;

/// A peer, and its bytes in transit.
pub(super) struct Peer {
    pub(super) id: ConnId,
    /// The peer's end: a server if the engine has dialled it.
    pub(super) role: Role,
    /// Whether the connect of a dialled peer is not complete.
    pub(super) connecting: bool,
    /// Whether a dialled peer agrees to a WebSocket by itself.
    pub(super) agrees: bool,
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
    /// The received frames as they came, if they are recorded.
    pub(super) recorded: Option<Vec<u8>>,
    pub(super) fin: bool,
    pub(super) released: Option<bool>,
    /// Bytes that the peer or its kernel has taken.
    pub(super) taken: u64,
    /// The link between the server and the peer, if it is slow.
    pub(super) link: Option<Link>,
    /// When waiting bytes reached the peer while a heartbeat was stuck behind them.
    pub(super) progress: Vec<Micros>,
    pub(super) blocked: bool,
    /// When the peer's automatic answers to heartbeats reached the server.
    pub(super) answers: Vec<Micros>,
    /// Whether the peer is in the middle of a frame; `held_answers` are sent after that frame.
    pub(super) in_frame: bool,
    pub(super) held_answers: Vec<Vec<u8>>,
    /// Returns the answer to a text, if the peer answers it by itself.
    pub(super) answer_text: Option<AnswerText>,
    /// The payloads of the pings that came while it was muted.
    pub(super) unanswered: Vec<Vec<u8>>,
    /// When the server's kernel took each heartbeat for it.
    pub(super) heartbeats: Vec<Micros>,
    /// How often the server's kernel was asked about it because of a late heartbeat.
    pub(super) kernel_asked: u64,
    /// The retransmission timer of the server's kernel, as it was set: how often it was doubled.
    pub(super) backoff: u8,
    /// Whether its bytes are the end of a pipe to another network: nothing is parsed or answered.
    pub(super) is_pipe: bool,
}

impl Peer {
    /// Returns a peer that answers at once.
    pub(super) fn new(id: ConnId, role: Role) -> Self {
        Peer {
            id,
            role,
            connecting: false,
            agrees: true,
            inbound: VecDeque::new(),
            half_closed: false,
            reset: false,
            unreadable: None,
            latency: Micros::ZERO,
            muted: false,
            unread: false,
            window: None,
            breaks: None,
            bytes: Vec::new(),
            head: None,
            received: Vec::new(),
            recorded: None,
            fin: false,
            released: None,
            taken: 0,
            link: None,
            progress: Vec::new(),
            blocked: false,
            answers: Vec::new(),
            in_frame: false,
            held_answers: Vec::new(),
            answer_text: None,
            unanswered: Vec::new(),
            heartbeats: Vec::new(),
            kernel_asked: 0,
            backoff: 0,
            is_pipe: false,
        }
    }

    /// Returns the data of the server's kernel about the connection.
    pub(super) fn tcp_progress(&self, now: Micros) -> TcpProgress {
        let link = self.link.as_ref();
        TcpProgress {
            acked: self.taken,
            in_flight: link.map_or(0, |l| u32::from(!l.queue.is_empty())),
            last_ack: now - link.map_or(now, |l| l.last_ack),
            backoff: self.backoff,
            retransmits: self.backoff,
            probes: 0,
        }
    }

    /// Returns a frame as the peer sends it.
    pub(super) fn frame(&self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self.role {
            Role::Client => client_frame(first, payload),
            Role::Server => frame_of_server(first, payload),
        }
    }

    /// Takes the head of a 101 response, or of a request. Returns whether frames may follow.
    fn take_head(&mut self, now: Micros) -> bool {
        let Some(end) = self.bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return false;
        };
        if self.role == Role::Client && !self.bytes.starts_with(b"HTTP/1.1 101") {
            return false;
        }
        let rest = self.bytes.split_off(end + 4);
        let head = String::from_utf8_lossy(&self.bytes).into_owned();
        self.bytes = rest;
        if self.role == Role::Server && self.agrees {
            let answer = upgrade_response(&head, "");
            self.inbound
                .push_back((now + self.latency, answer.into_bytes()));
        }
        self.head = Some(head);
        true
    }

    /// Takes bytes as the engine's kernel does. Returns how many it took.
    pub(super) fn take_bytes(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let offered: usize = slices.iter().map(|s| s.len()).sum();
        let taken = self.window.map_or(offered, |w| w.min(offered));
        let link = self.link.as_ref();
        let room = link.map(|l| l.buffer.saturating_sub(l.queue.len()));
        let taken = room.map_or(taken, |room| room.min(taken));
        if taken == 0
            && let Some(kind) = self.breaks
        {
            return Err(kind.into());
        }
        if taken == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let took = slices.iter().flat_map(|s| s.iter()).take(taken);
        match &mut self.link {
            Some(link) => link.queue.extend(took),
            None => {
                self.bytes.extend(took);
                self.taken += taken as u64;
            }
        }
        if let Some(w) = &mut self.window {
            *w -= taken;
        }
        Ok(taken)
    }

    /// Returns whether the server's kernel takes bytes for the peer.
    pub(super) fn has_room(&self) -> bool {
        let link = self.link.as_ref();
        self.window != Some(0) && link.is_none_or(|l| l.queue.len() < l.buffer)
    }

    /// Sends the held answers, unless the peer is in the middle of a frame.
    pub(super) fn send_answers(&mut self, now: Micros) {
        if !self.in_frame {
            for frame in self.held_answers.drain(..) {
                if frame[0] != FIN | CLOSE {
                    self.answers.push(now + self.latency);
                }
                self.inbound.push_back((now + self.latency, frame));
            }
        }
    }

    /// Parses the received bytes and answers as a client does.
    pub(super) fn parse_received(&mut self, now: Micros) {
        if self.is_pipe {
            return;
        }
        if self.head.is_none() && !self.take_head(now) {
            return;
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        let mut parsed = 0;
        while let Some((first, payload, len)) = received_frame(self.role, &bytes[parsed..]) {
            if let Some(recorded) = &mut self.recorded {
                recorded.extend_from_slice(&bytes[parsed..parsed + len]);
            }
            parsed += len;
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
                other => Received::Fragment(other, payload.clone()),
            };
            let answer = match &received {
                Received::Ping(_) => Some((0x8A, payload.clone())),
                Received::Close(..) => Some((0x88, payload.clone())),
                Received::Message(Message::Text(text)) => {
                    let answer = self.answer_text.and_then(|answer| answer(text));
                    answer.map(|answer| (0x81, answer.into_bytes()))
                }
                Received::Message(_) | Received::Fragment(..) | Received::Pong(_) => None,
            };
            if self.muted && matches!(received, Received::Ping(_)) {
                self.unanswered.push(payload.clone());
            }
            let can_answer = !self.muted && !self.half_closed && !self.reset;
            if let Some((first, payload)) = answer.filter(|_| can_answer) {
                self.held_answers.push(self.frame(first, &payload));
                self.send_answers(now);
            }
            self.received.push(received);
        }
        bytes.drain(..parsed);
        self.bytes = bytes;
    }
}
