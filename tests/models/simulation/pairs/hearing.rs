//! What peers hear: the frames of their partners as they were sent, and those of the loop between
//! them.

use super::side::{GATHERED_MAX, Owed, Side, Silenced};
use super::world::World;
use pulsegate::wire::frame::Header;
use pulsegate::wire::mask;

const PING: u8 = 0x89;
const PONG: u8 = 0x8A;
const CLOSE: u8 = 0x88;

/// The most bytes that may wait for a peer: what pauses its partner, and what was read before that.
const PENDING_MAX: usize = 2 * (GATHERED_MAX + 64) + 1_024;

impl Side {
    /// Returns how many frames should have come: those that end in the first `read` bytes of the
    /// partner's stream.
    pub(super) fn lacking(&self, read: usize) -> usize {
        let owed = self.coming.iter().filter(|c| !c.may_lack && !c.is_close);
        owed.filter(|c| c.until <= read).count()
    }

    /// Takes a frame that was sent to it by its partner. Returns whether there is one.
    fn take_coming(&mut self, raw: &[u8]) -> bool {
        let found = self.coming.iter().position(|c| c.raw == raw);
        let Some(found) = found else {
            return false;
        };
        if self.coming.iter().take(found).any(|c| !c.may_lack) {
            return false;
        }
        self.coming.drain(..=found);
        true
    }
}

impl World {
    /// Checks the frames that a peer has received since the last step.
    pub(super) fn hear(&mut self, pair: usize, side: usize) -> Result<(), String> {
        let peer = self.pairs[pair].sides[side].peer;
        self.net.received(peer);
        let mut bytes =
            self.net.recorded_frames(peer)[self.pairs[pair].sides[side].checked..].to_vec();
        self.pairs[pair].sides[side].checked += bytes.len();
        while let Some(header) = Header::parse(&bytes) {
            let rest = bytes.split_off(header.frame_len());
            let raw = std::mem::replace(&mut bytes, rest);
            let mut payload = raw[header.len..].to_vec();
            mask::apply(&mut payload, header.mask(), 0);
            self.hear_frame(pair, side, header.first, &raw, payload)?;
        }
        Ok(())
    }

    fn hear_frame(
        &mut self,
        pair: usize,
        side: usize,
        first: u8,
        raw: &[u8],
        payload: Vec<u8>,
    ) -> Result<(), String> {
        let now = self.net.now();
        let answers_close_with_other = self.rng.u8(0..3) == 0;
        let this = &mut self.pairs[pair].sides[side];
        if this.got_close.is_some() {
            return Err(format!("{first:#x} behind a close frame"));
        }
        let is_forwarded = this.take_coming(raw);
        match first {
            PING => {
                let has_letters = payload.iter().all(|b| (b'a'..=b'p').contains(b));
                let is_ours = !is_forwarded && payload.len() == 8 && has_letters;
                if !is_forwarded && !is_ours {
                    return Err(format!("a ping that nobody sent: {payload:?}"));
                }
                if is_ours {
                    this.watched = Some(now);
                    this.own_pings.push(payload.clone());
                }
                let first = PONG;
                this.owed.push_back(Owed {
                    first,
                    payload,
                    is_ours,
                });
            }
            CLOSE => {
                this.got_close = Some(payload.clone());
                if this.said_close.is_none() && this.silenced == Silenced::No {
                    let payload = match answers_close_with_other {
                        true => self.close_payload(),
                        false => payload,
                    };
                    let owed = Owed {
                        first,
                        payload,
                        is_ours: false,
                    };
                    self.pairs[pair].sides[side].owed.push_back(owed);
                }
            }
            _ if is_forwarded => {}
            _ => {
                let front = this.coming.front().map(|c| (c.raw[0], c.raw.len()));
                return Err(format!(
                    "{first:#x} with {} bytes came, and not {front:x?}",
                    payload.len()
                ));
            }
        }
        Ok(())
    }

    /// Checks that all has come that the partner has said, unless the peer does not take it, and
    /// that what waits is bounded.
    pub(super) fn check_arrived(&mut self, pair: usize, side: usize) -> Result<(), String> {
        let id = self.net.id(self.pairs[pair].sides[side].peer);
        let pending = self.net.with_io(|_, io| io.pending(id));
        // The answer to a close is read once more from a partner that was paused.
        let is_ending = self.pairs[pair].is_ending();
        let most = PENDING_MAX + if is_ending { GATHERED_MAX } else { 0 };
        if pending > most {
            return Err(format!("{pending} bytes wait"));
        }
        let held = self.net.engine().stats().held_bytes as usize;
        let held_max = 2 * self.pairs.len() * (2 * GATHERED_MAX + 4_096);
        if held > held_max {
            return Err(format!("{held} bytes are held"));
        }
        let [this, partner] = [side, 1 - side].map(|s| &self.pairs[pair].sides[s]);
        let are_open = [this, partner].iter().all(|s| self.net.is_open(s.peer));
        if self.pairs[pair].is_ending() || !are_open || this.window.is_some() {
            return Ok(());
        }
        // One that stands still for a planned close is not read to the end.
        let id = self.net.id(partner.peer);
        let stands = self
            .net
            .with_io(|_, io| io.view(id).is_some_and(|v| v.paused));
        let [this, partner] = [side, 1 - side].map(|s| &self.pairs[pair].sides[s]);
        let lacking = this.lacking(if stands { partner.read } else { partner.sent });
        if lacking > 0 {
            return Err(format!("{lacking} frames did not come"));
        }
        if stands {
            return Ok(());
        }
        let came = self.net.leftover(this.peer).len();
        match partner.long_begun(this) {
            Some(sent) if came != sent => {
                Err(format!("{came} bytes of a frame came, {sent} were sent"))
            }
            _ => Ok(()),
        }
    }
}
