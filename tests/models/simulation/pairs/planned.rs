//! Planned closes: they wait for the frames in progress, and for nothing that begins later.

use super::side::{GATHERED_MAX, Silenced};
use super::speaking::QUEUE_MAX;
use super::world::{CLOSE_TIMEOUT, MAX_MESSAGE, World};
use pulsegate::Micros;
use pulsegate::cause::Cause;

const BINARY: u8 = 0x82;

/// Messages that cost more than a connection's share of a turn.
const OFTEN: usize = 6_000;

/// The first kick of a pair.
pub(super) struct Kick {
    side: usize,
    at: Micros,
    /// Where the frames in progress end, in the stream of each peer.
    until: [usize; 2],
    /// Whether both of them were read.
    are_read: bool,
    /// When the kicked connection was first seen not to be open.
    closed_at: Option<Micros>,
}

impl World {
    /// The host closes a connection.
    pub(super) fn kick(&mut self, pair: usize, side: usize) {
        match self.rng.u8(0..4) {
            0 | 1 => {
                (0..2).for_each(|side| self.begin_long(pair, side));
                self.net.settle();
            }
            2 => {
                // More than one share, so that some of it is read and not forwarded.
                let speaks = self.rng.usize(0..2);
                self.speak_often(pair, speaks, OFTEN, 6);
                self.net.run_turn();
            }
            _ => {}
        }
        self.note_read(pair);
        let sides = &self.pairs[pair].sides;
        let is_plain = sides
            .iter()
            .all(|s| s.silenced == Silenced::No && s.troubles.is_empty());
        if is_plain && !self.pairs[pair].is_ending() {
            let [client, service] = sides;
            self.pairs[pair].kick = Some(Kick {
                side,
                at: self.net.now(),
                until: [client, service].map(|s| s.sent + s.rest.len()),
                are_read: false,
                closed_at: None,
            });
        }
        let this = &mut self.pairs[pair].sides[side];
        this.troubles.push(Cause::KICKED);
        let id = self.net.id(this.peer);
        self.net
            .with_io(|_, io| io.close_for(id, Cause::KICKED, 4_000, "kicked"));
    }

    /// Returns whether a peer may begin another frame right behind the one that it is in.
    pub(super) fn may_go_on(&self, pair: usize, side: usize) -> bool {
        let [this, other] = [side, 1 - side].map(|side| &self.pairs[pair].sides[side]);
        let has_room = other.coming.len() < QUEUE_MAX && this.owed.is_empty();
        let is_free = this.message.is_none() && this.said_close.is_none() && !this.dawdles;
        let is_here = this.silenced == Silenced::No && !this.is_quiet;
        has_room && is_free && is_here && self.net.is_open(this.peer)
    }

    /// The peer begins a long frame.
    fn begin_long(&mut self, pair: usize, side: usize) {
        if self.pairs[pair].sides[side].rest.is_empty() && self.may_go_on(pair, side) {
            self.send_rest_and_head(pair, side);
        }
    }

    /// The peer sends the rest of its frame and the head of a long one at once.
    pub(super) fn send_rest_and_head(&mut self, pair: usize, side: usize) {
        let size = self.rng.usize(GATHERED_MAX..MAX_MESSAGE as usize);
        let payload = self.numbered(size);
        let this = &mut self.pairs[pair].sides[side];
        let ends = !this.rest.is_empty();
        let mut bytes = std::mem::take(&mut this.rest);
        let raw = this.frame(BINARY, &payload);
        self.expect(pair, side, raw.clone(), bytes.len() + raw.len());
        let (head, rest) = raw.split_at(self.rng.usize(1..raw.len()));
        bytes.extend_from_slice(head);
        let now = self.net.now();
        let this = &mut self.pairs[pair].sides[side];
        self.net.write(this.peer, &bytes);
        this.sent += bytes.len();
        (this.last_sign, this.rest) = (now, rest.to_vec());
        if ends {
            this.whole_at = Some(now);
        }
    }

    /// Notes what the loop has read of both peers, while their connections are open.
    pub(super) fn note_read(&mut self, pair: usize) {
        for side in &mut self.pairs[pair].sides {
            if self.net.is_open(side.peer) {
                side.read = side.sent.saturating_sub(self.net.unread(side.peer));
            }
        }
    }

    /// Checks that a kicked connection is closed as soon as the frames are complete that were in
    /// progress, and that no frame is cut then.
    pub(super) fn check_kick(&mut self, pair: usize) -> Result<(), String> {
        let Some(kick) = &self.pairs[pair].kick else {
            return Ok(());
        };
        let (now, sides) = (self.net.now(), &self.pairs[pair].sides);
        let is_open = self.net.is_open(sides[kick.side].peer);
        let read = [0, 1].map(|s| sides[s].sent.saturating_sub(self.net.unread(sides[s].peer)));
        let are_read = (0..2).all(|s| read[s] >= kick.until[s]);
        let is_plain = sides
            .iter()
            .all(|s| s.silenced == Silenced::No && s.window.is_none());
        let is_new = are_read && !kick.are_read && now < kick.at + CLOSE_TIMEOUT;
        if is_new && is_plain && is_open {
            return Err("a planned close waits although both frames are complete".to_owned());
        }
        let is_cut = sides.iter().any(|s| !self.net.leftover(s.peer).is_empty());
        if is_new && is_plain && is_cut {
            return Err("a planned close cuts a frame that was complete".to_owned());
        }
        if let Some(kick) = &mut self.pairs[pair].kick {
            kick.are_read |= are_read;
            kick.closed_at = kick.closed_at.or((!is_open).then_some(now));
        }
        Ok(())
    }

    /// Returns whether the connection of a peer was closed by plan, before the time for it was
    /// over.
    pub(super) fn has_waited(&self, pair: usize, side: usize) -> bool {
        let kick = self.pairs[pair].kick.as_ref();
        kick.is_some_and(|kick| {
            let is_in_time = |at: Micros| at < kick.at + CLOSE_TIMEOUT;
            kick.side == side && kick.closed_at.is_some_and(is_in_time)
        })
    }
}
