//! What peers say: frames of all sizes, whole, in fragments and in parts, and their answers.

use super::side::{Coming, Side, Silenced};
use super::world::{MAX_MESSAGE, Stage, World};
use pulsegate::cause::Cause;

const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
const CLOSE: u8 = 0x88;

/// With more frames than this in front of it, a peer says nothing more.
pub(super) const QUEUE_MAX: usize = 60;

/// The length of a frame that takes long.
const LONG: usize = 250_000;

/// So many bytes of a frame count as heard.
const PROGRESS: usize = 4_096;

impl Side {
    /// Notes frames of its partner, which it must get.
    pub(super) fn expect_all(&mut self, frames: Vec<Vec<u8>>) {
        for raw in frames {
            self.expect(raw, 0, false);
        }
    }

    /// Notes a frame that ends at this place in the stream of its partner.
    fn expect(&mut self, raw: Vec<u8>, until: usize, may_lack: bool) {
        let is_close = raw[0] == CLOSE;
        // Of two that are alike, it is unknown which one came.
        let may_lack = may_lack || self.coming.iter().any(|c| c.may_lack && c.raw == raw);
        self.coming.push_back(Coming {
            raw,
            until,
            is_close,
            may_lack,
        });
    }
}

impl World {
    /// Returns a payload that differs from all others.
    pub(super) fn numbered(&mut self, size: usize) -> Vec<u8> {
        self.messages += 1;
        let mut payload = self.messages.to_be_bytes().to_vec();
        payload.resize(size, self.messages as u8);
        payload
    }

    fn size(&mut self) -> usize {
        match self.rng.u8(0..24) {
            0 => [0, 125, 126, 65_535, 65_536, 65_537][self.rng.usize(0..6)],
            1 => self.rng.usize(65_000..300_000),
            2..=4 => self.rng.usize(0..70_000),
            _ => self.rng.usize(0..2_000),
        }
    }

    /// Cuts bytes at random.
    pub(super) fn pieces(&mut self, bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while rest.len() > 1 && pieces.len() < 4 && self.rng.bool() {
            let (piece, behind) = rest.split_at(self.rng.usize(1..rest.len()));
            pieces.push(piece.to_vec());
            rest = behind;
        }
        pieces.push(rest.to_vec());
        pieces
    }

    /// Returns whether a peer may begin a frame now.
    fn can_speak(&self, pair: usize, side: usize) -> bool {
        let sides = &self.pairs[pair].sides;
        let has_room = sides[1 - side].coming.len() < QUEUE_MAX;
        let peer = sides[side].peer;
        let speaks = sides[side].can_speak() && !sides[side].is_quiet;
        speaks && has_room && !self.net.fin_received(peer)
    }

    /// The peer sends the next frame of a message, or more of the frame that it has begun.
    pub(super) fn speak(&mut self, pair: usize, side: usize) {
        if !self.pairs[pair].sides[side].rest.is_empty() {
            match self.may_go_on(pair, side) && self.rng.bool() {
                true => self.send_rest_and_head(pair, side),
                false => self.send_rest(pair, side),
            }
            return;
        }
        if !self.can_speak(pair, side) {
            return;
        }
        let sent = self.pairs[pair].sides[side].message;
        let mut size = self.size();
        if self.limits_messages {
            size = size.min(MAX_MESSAGE as usize - sent.unwrap_or(0));
        }
        let is_last = self.rng.u8(0..4) != 0;
        let opcode: u8 = if sent.is_some() { 0 } else { self.rng.u8(1..3) };
        self.pairs[pair].sides[side].message = match is_last {
            true => None,
            false => Some(sent.unwrap_or(0) + size),
        };
        let payload = self.numbered(size);
        let fin = if is_last { 0x80 } else { 0 };
        self.say(pair, side, fin | opcode, &payload);
    }

    /// The peer sends many small messages at once.
    pub(super) fn speak_fast(&mut self, pair: usize, side: usize) {
        let count = self.rng.usize(2..400);
        self.speak_often(pair, side, count, 40);
    }

    /// The peer sends this many messages of less than `most` bytes at once.
    pub(super) fn speak_often(&mut self, pair: usize, side: usize, count: usize, most: usize) {
        if !self.can_speak(pair, side) || self.pairs[pair].sides[side].message.is_some() {
            return;
        }
        let mut bytes = Vec::new();
        for _ in 0..count {
            let size = self.rng.usize(4..most);
            let payload = self.numbered(size);
            let raw = self.pairs[pair].sides[side].frame(0x82, &payload);
            bytes.extend_from_slice(&raw);
            self.expect(pair, side, raw, bytes.len());
        }
        self.send(pair, side, bytes, false);
    }

    /// The peer sends a ping or pong, also between the fragments of a message. Some look like those
    /// of the loop.
    pub(super) fn ping_or_pong(&mut self, pair: usize, side: usize) {
        if !self.can_speak(pair, side) {
            return;
        }
        let sides = &self.pairs[pair].sides;
        let is_plain = sides.iter().all(|s| s.window.is_none() && !s.is_paused);
        let own = sides[side].own_pings.last().cloned();
        let partners = sides[1 - side].own_pings.clone();
        let (size, kind) = (self.rng.usize(0..126), self.rng.u8(0..9));
        let (first, payload) = match (kind, own, &partners[..]) {
            // One that the loop has sent to its partner: the loop then gives up all of its own.
            (0, _, [.., like_ours]) if is_plain => {
                let raw = sides[side].frame(PING, like_ours);
                self.expect(pair, side, raw.clone(), raw.len());
                self.pairs[pair].sides[side].given_up.extend(partners);
                return self.send(pair, side, raw, false);
            }
            // A second answer to a ping of the loop.
            (1, Some(again), _) => {
                let raw = sides[side].frame(PONG, &again);
                self.pairs[pair].sides[1 - side].expect(raw.clone(), 0, true);
                return self.send(pair, side, raw, false);
            }
            (2..=5, ..) => (PING, self.numbered(size)),
            _ => (PONG, self.numbered(size)),
        };
        self.say(pair, side, first, &payload);
    }

    /// The peer sends a frame, which its partner must get.
    pub(super) fn say(&mut self, pair: usize, side: usize, first: u8, payload: &[u8]) {
        let raw = self.pairs[pair].sides[side].frame(first, payload);
        self.expect(pair, side, raw.clone(), raw.len());
        if first == CLOSE {
            let now = self.net.now();
            let side = &mut self.pairs[pair].sides[side];
            (side.said_close, side.closed_at) = (Some(payload.to_vec()), Some(now));
            side.troubles.push(Cause::PEER_CLOSED);
        }
        self.send(pair, side, raw, first != CLOSE);
    }

    /// Notes that the partner of a peer must get a frame, which ends this many bytes behind what
    /// the peer has sent.
    pub(super) fn expect(&mut self, pair: usize, side: usize, raw: Vec<u8>, behind: usize) {
        // What it says after its connection was closed does not reach the partner.
        if self.net.is_open(self.pairs[pair].sides[side].peer) {
            let until = self.pairs[pair].sides[side].sent + behind;
            self.pairs[pair].sides[1 - side].expect(raw, until, false);
        }
    }

    /// Sends bytes at once, in pieces, or in part.
    pub(super) fn send(&mut self, pair: usize, side: usize, bytes: Vec<u8>, may_wait: bool) {
        let peer = self.pairs[pair].sides[side].peer;
        let mut pieces = self.pieces(&bytes);
        let rest = match pieces.len() > 1 && may_wait && self.rng.bool() {
            true => pieces.pop().unwrap_or_default(),
            false => Vec::new(),
        };
        let settles = self.rng.bool() && may_wait;
        for piece in pieces {
            self.net.write(peer, &piece);
            self.pairs[pair].sides[side].sent += piece.len();
            if settles {
                self.net.settle();
            }
        }
        let now = self.net.now();
        let side = &mut self.pairs[pair].sides[side];
        (side.last_sign, side.rest) = (now, rest);
        if side.rest.is_empty() {
            side.whole_at = Some(now);
        }
    }

    /// The peer begins a long frame, and takes its time.
    pub(super) fn dawdle(&mut self, pair: usize, side: usize) {
        let is_free = self.pairs[pair].sides[side].message.is_none();
        if !is_free || !self.can_speak(pair, side) {
            return;
        }
        let payload = self.numbered(LONG);
        let mut raw = self.pairs[pair].sides[side].frame(0x82, &payload);
        self.expect(pair, side, raw.clone(), raw.len());
        let rest = raw.split_off(LONG - 30 * PROGRESS);
        self.send(pair, side, raw, false);
        let this = &mut self.pairs[pair].sides[side];
        (this.rest, this.whole_at, this.dawdles) = (rest, None, true);
    }

    /// The peer sends more of the frame that it has begun.
    fn send_rest(&mut self, pair: usize, side: usize) {
        let this = &mut self.pairs[pair].sides[side];
        let mut bytes = std::mem::take(&mut this.rest);
        if this.dawdles && bytes.len() > PROGRESS {
            let rest = bytes.split_off(PROGRESS);
            self.send(pair, side, bytes, false);
            self.pairs[pair].sides[side].rest = rest;
            self.pairs[pair].sides[side].whole_at = None;
            return;
        }
        this.dawdles = false;
        self.send(pair, side, bytes, true);
        let is_closed = !self.net.is_open(self.pairs[pair].sides[side].peer);
        if let Some(coming) = self.pairs[pair].sides[1 - side].coming.back_mut() {
            coming.may_lack |= is_closed;
        }
    }

    /// The peers answer pings and closes, and end their streams when all is said.
    pub(super) fn keep_manners(&mut self, pair: usize) {
        for side in 0..2 {
            if !matches!(self.pairs[pair].stage, Stage::Linked) {
                return;
            }
            if self.rng.u8(0..4) != 0 {
                self.answer(pair, side);
            }
            let this = &self.pairs[pair].sides[side];
            let has_closed = this.said_close.is_some() && this.got_close.is_some();
            let leaves = has_closed && !this.is_client || self.net.fin_received(this.peer);
            let is_there = !matches!(this.silenced, Silenced::Ghost | Silenced::Reset);
            if leaves && is_there && self.rng.u8(0..4) != 0 {
                self.net.half_close(this.peer);
            }
        }
    }

    /// The peer sends the answers that it owes, once it is between two frames.
    fn answer(&mut self, pair: usize, side: usize) {
        let this = &self.pairs[pair].sides[side];
        let hurries = !this.owed.is_empty() && !this.dawdles && this.silenced == Silenced::No;
        if hurries && !this.rest.is_empty() {
            self.send_rest(pair, side);
        }
        while self.pairs[pair].sides[side].can_speak() {
            let this = &mut self.pairs[pair].sides[side];
            if self.net.fin_received(this.peer) {
                return;
            }
            let Some(owed) = this.owed.pop_front() else {
                return;
            };
            if !owed.is_ours {
                self.say(pair, side, owed.first, &owed.payload);
                continue;
            }
            let raw = this.frame(owed.first, &owed.payload);
            let partner = &mut self.pairs[pair].sides[1 - side];
            if partner.given_up.contains(&owed.payload) {
                // The loop has given its pings up, because its partner has sent one like them.
                partner.expect(raw.clone(), 0, true);
            }
            self.send(pair, side, raw, false);
        }
    }
}
