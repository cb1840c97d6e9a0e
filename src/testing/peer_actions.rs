//! The actions of peers.

use super::frames::upgrade_request;
use super::link::Link;
use super::net::Net;
use super::peer::{AnswerText, Peer, PeerId};
use crate::base::time::Micros;
use crate::engine::{Handler, Message};
use crate::wire::frame::{BINARY, CLOSE, FIN, PING, PONG, Role, TEXT};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

impl<H: Handler> Net<H> {
    /// Connects a peer to the server. The peer sends nothing yet.
    pub fn open_socket(&mut self) -> PeerId {
        self.open(false)
    }

    /// Connects a peer with this address to the server. The peer sends nothing yet.
    pub fn open_socket_from(&mut self, address: IpAddr) -> PeerId {
        self.open_at(address, false)
    }

    /// Connects a peer to a server whose connection limit is reached. The peer sends nothing yet.
    pub fn open_refused_socket(&mut self) -> PeerId {
        self.open(true)
    }

    fn open(&mut self, refuse: bool) -> PeerId {
        self.open_at(IpAddr::from([127, 0, 0, 1]), refuse)
    }

    fn open_at(&mut self, address: IpAddr, refuse: bool) -> PeerId {
        let addr = SocketAddr::from((address, 10_000 + self.peers.len() as u16 % 50_000));
        let id = self.engine.accept(addr, refuse, self.now());
        self.peers.push(Peer::new(id, Role::Client));
        PeerId(self.peers.len() - 1)
    }

    /// Connects a peer that requests a WebSocket at this path. The answer has arrived when this
    /// returns.
    pub fn connect(&mut self, path: &str) -> PeerId {
        let peer = self.open_socket();
        self.write(peer, upgrade_request(path).as_bytes());
        self.settle();
        peer
    }

    /// Sends a message from a peer as one frame.
    pub fn send(&mut self, peer: PeerId, message: Message) {
        let (opcode, payload): (u8, Vec<u8>) = match message {
            Message::Text(text) => (TEXT, text.as_bytes().to_vec()),
            Message::Binary(bytes) => (BINARY, bytes.to_vec()),
            Message::Ping(bytes) => (PING, bytes.to_vec()),
            Message::Pong(bytes) => (PONG, bytes.to_vec()),
            Message::Close(frame) => (
                CLOSE,
                frame.map_or_else(Vec::new, |f| {
                    [&u16::from(f.code).to_be_bytes()[..], f.reason.as_bytes()].concat()
                }),
            ),
            Message::Frame(_) => panic!("write() sends frames of any shape"),
        };
        let frame = self.peers[peer.0].frame(FIN | opcode, &payload);
        self.write(peer, &frame);
    }

    /// Sends arbitrary bytes from a peer.
    pub fn write(&mut self, peer: PeerId, bytes: &[u8]) {
        let arrival = self.now() + self.peers[peer.0].latency;
        let peer = &mut self.peers[peer.0];
        if !peer.half_closed && !peer.reset {
            peer.inbound.push_back((arrival, bytes.to_vec()));
        }
    }

    /// Sets whether the peer is in the middle of a frame. It then answers pings only after that
    /// frame.
    pub fn set_in_frame(&mut self, peer: PeerId, in_frame: bool) {
        let now = self.now();
        self.peers[peer.0].in_frame = in_frame;
        self.peers[peer.0].send_answers(now);
    }

    /// Makes the peer answer texts by itself, as it answers pings: with what `answer` returns.
    pub fn answer_texts(&mut self, peer: PeerId, answer: AnswerText) {
        self.peers[peer.0].answer_text = Some(answer);
    }

    /// Makes the peer stop answering, while its socket stays open.
    pub fn mute(&mut self, peer: PeerId) {
        self.peers[peer.0].muted = true;
    }

    /// Makes a muted peer answer again: what it has not answered yet, too.
    pub fn unmute(&mut self, peer: PeerId) {
        let now = self.now();
        let peer = &mut self.peers[peer.0];
        peer.muted = false;
        for payload in std::mem::take(&mut peer.unanswered) {
            let pong = peer.frame(FIN | PONG, &payload);
            peer.held_answers.push(pong);
        }
        peer.send_answers(now);
    }

    /// Records the frames that the peer receives from now on, as they come.
    pub fn record_frames(&mut self, peer: PeerId) {
        self.peers[peer.0].recorded = Some(Vec::new());
    }

    /// Sends the peer's FIN.
    pub fn half_close(&mut self, peer: PeerId) {
        self.peers[peer.0].half_closed = true;
    }

    /// Resets the peer's connection; bytes in transit are lost.
    pub fn reset(&mut self, peer: PeerId) {
        let peer = &mut self.peers[peer.0];
        peer.reset = true;
        peer.inbound.clear();
    }

    /// Puts a link with this many bytes per second before a peer. The server's kernel takes up to
    /// `buffer` bytes beyond that. With 0 bytes per second the link is cut: nothing arrives from
    /// either side.
    pub fn set_link(&mut self, peer: PeerId, bytes_per_s: u64, buffer: usize) {
        let now = self.now();
        let peer = &mut self.peers[peer.0];
        let link = peer.link.get_or_insert(Link {
            bytes_per_s,
            buffer,
            queue: VecDeque::new(),
            at: now,
            credit: 0,
            last_ack: now,
        });
        (link.bytes_per_s, link.buffer, link.credit) = (bytes_per_s, buffer, 0);
        if bytes_per_s == 0 {
            peer.muted = true;
            peer.inbound.clear();
        }
    }

    /// Makes reads from the peer fail with this error from now on.
    pub fn fail_reading(&mut self, peer: PeerId, kind: ErrorKind) {
        self.peers[peer.0].unreadable = Some(kind);
    }

    /// Sets how often the server's kernel has doubled its retransmission timer for this peer.
    pub fn set_backoff(&mut self, peer: PeerId, backoff: u8) {
        self.peers[peer.0].backoff = backoff;
    }

    /// Sets how many more bytes the peer takes; `None`: any number.
    pub fn set_window(&mut self, peer: PeerId, window: Option<usize>) {
        self.peers[peer.0].window = window;
    }

    /// Lets the peer take this many more bytes; then writes to it fail with a reset.
    pub fn reset_after(&mut self, peer: PeerId, bytes: usize) {
        self.fail_writing(peer, bytes, ErrorKind::ConnectionReset);
    }

    /// Lets the peer take this many more bytes; then writes to it fail with this error.
    pub fn fail_writing(&mut self, peer: PeerId, bytes: usize, kind: ErrorKind) {
        self.peers[peer.0].window = Some(bytes);
        self.peers[peer.0].breaks = Some(kind);
    }

    /// Sets how long the peer's bytes are in transit from now on.
    pub fn set_latency(&mut self, peer: PeerId, ms: u64) {
        self.peers[peer.0].latency = Micros::from_millis(ms);
    }

    /// Sets whether the server overlooks this peer's bytes, like a loop that has too many events.
    /// Only the final check then finds them.
    pub fn set_unread(&mut self, peer: PeerId, unread: bool) {
        self.peers[peer.0].unread = unread;
    }
}
