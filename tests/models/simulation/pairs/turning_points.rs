//! What begins the end of a pair.

use super::side::{Side, Silenced};
use super::world::{MAX_MESSAGE, World};
use pulsegate::cause::Cause;
use pulsegate::testing::{client_frame, frame_of_server};
use pulsegate::wire::frame::Header;

const CLOSE: u8 = 0x88;

/// Frames that are not allowed: the first byte, whether they have a mask exactly if a client sends
/// them, and the length.
const FAULTS: [(u8, bool, usize); 6] = [
    (0x83, true, 3),   // a reserved opcode
    (0x81, false, 3),  // a mask of the other role
    (0xA2, true, 3),   // a reserved bit
    (0x09, true, 3),   // a fragmented ping
    (0x89, true, 126), // a long ping
    (0xC2, true, 3),   // compressed, although nothing was agreed
];

impl World {
    /// Something happens that ends the pair.
    pub(super) fn turn(&mut self, pair: usize, side: usize) {
        let this = &self.pairs[pair].sides[side];
        let peer = this.peer;
        if !self.net.is_open(peer) || this.silenced != Silenced::No || this.said_close.is_some() {
            return;
        }
        let kind = self.rng.u8(0..10);
        self.note_read(pair);
        let this = &mut self.pairs[pair].sides[side];
        match kind {
            0 => this.silenced = Silenced::Ghost,
            1 => {
                this.silenced = Silenced::Eof;
                this.troubles.push(Cause::PEER_EOF);
                self.net.half_close(peer);
            }
            2 => {
                this.silenced = Silenced::Reset;
                this.troubles.push(Cause::PEER_RESET);
                self.net.reset(peer);
            }
            3 | 4 if this.can_speak() => self.close(pair, side),
            5 => self.both_close(pair),
            6 if this.can_speak() => self.misbehave(pair, side),
            7 => self.kick(pair, side),
            8 => {
                (this.window, this.takes_nothing, this.is_slow) = (Some(0), true, true);
                self.net.set_window(peer, Some(0));
            }
            _ if this.can_speak() && self.limits_messages => self.exceed_limit(pair, side),
            _ => {}
        }
    }

    /// Returns the payload of a close frame that differs from all others.
    pub(super) fn close_payload(&mut self) -> Vec<u8> {
        let code = [1000, 1001, 1012, 3000, 4999, 999][self.rng.usize(0..6)];
        self.messages += 1;
        let reason = format!("close {}", self.messages);
        [&u16::to_be_bytes(code)[..], reason.as_bytes()].concat()
    }

    fn close(&mut self, pair: usize, side: usize) {
        let payload = match self.rng.u8(0..4) {
            0 => Vec::new(),
            _ => self.close_payload(),
        };
        self.say(pair, side, CLOSE, &payload);
    }

    /// Both peers close at once. Unless something waits, neither has seen the close of the other.
    fn both_close(&mut self, pair: usize) {
        let sides = &self.pairs[pair].sides;
        if !sides.iter().all(|s| s.can_speak() && s.got_close.is_none()) {
            return;
        }
        let is_plain = |s: &Side| s.window.is_none() && !s.is_paused;
        let are_open = sides.iter().all(|s| self.net.is_open(s.peer));
        let crosses = are_open && sides.iter().all(is_plain) && !self.pairs[pair].is_ending();
        self.pairs[pair].closes_crossed |= crosses;
        for side in 0..2 {
            let payload = self.close_payload();
            self.say(pair, side, CLOSE, &payload);
        }
    }

    fn misbehave(&mut self, pair: usize, side: usize) {
        let (first, is_right_role, size) = FAULTS[self.rng.usize(0..FAULTS.len())];
        let this = &mut self.pairs[pair].sides[side];
        this.silenced = Silenced::Fault;
        this.troubles.push(Cause::PROTOCOL);
        let encode = match is_right_role == (side == 0) {
            true => client_frame,
            false => frame_of_server,
        };
        let raw = encode(first, &vec![7; size]);
        self.send(pair, side, raw, false);
    }

    /// A frame above the limit is judged on its header.
    fn exceed_limit(&mut self, pair: usize, side: usize) {
        let this = &mut self.pairs[pair].sides[side];
        let sent = this.message.unwrap_or(0) as u64;
        let first = if this.message.is_some() { 0x80 } else { 0x82 };
        this.silenced = Silenced::Fault;
        this.troubles.push(Cause::TOO_BIG);
        let mask = (side == 0).then_some([1, 2, 3, 4]);
        let header = Header::new(first, u64::from(MAX_MESSAGE) + 1 - sent, mask);
        let mut raw = Vec::new();
        header.write(&mut raw);
        self.send(pair, side, raw, false);
    }
}
