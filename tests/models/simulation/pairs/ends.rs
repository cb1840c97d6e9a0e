//! The table of ends: what the end of one connection means for the other.

use super::side::Silenced;
use super::world::{CLOSE_TIMEOUT, Stage, TICK, World};
use pulsegate::Micros;
use pulsegate::cause::{Cause, EndCode};

/// How long a connection may outlive its partner, in close timeouts: a frame in progress, the
/// close, and the progress of a slow reader.
const CLOSE_TIMEOUTS: u64 = 12;

/// Returns the close code for a peer whose connection ends for this cause; 0 for none.
fn own_code(side: usize, cause: Cause) -> u16 {
    match cause.name() {
        "stale" => 3008,
        "protocol" => 1002,
        "too_big" => 1009,
        "slow_consumer" if side == 0 => 1013,
        "slow_consumer" => 1001,
        "kicked" => 4000,
        "draining" => 1012,
        _ => 0,
    }
}

/// Returns the close code for the partner of a connection that has ended, and how the reason
/// begins.
fn partner_code(ended: usize, cause: Cause) -> (u16, &'static str) {
    match (ended, cause.name()) {
        (0, "peer_eof") => (1001, "client lost: eof"),
        (0, "peer_reset") => (1001, "client lost: reset"),
        (0, "stale") => (1001, "client lost: nothing heard for "),
        (0, "slow_consumer") => (1001, "client lost: "),
        (0, "protocol" | "too_big") => (1001, "client closed: "),
        (0, "kicked") => (1001, "kicked"),
        (0, "draining") => (1001, "service restart"),
        (1, "peer_eof" | "peer_reset") => (1012, "upstream lost"),
        (1, "stale") => (1012, "upstream lost: nothing heard for "),
        (1, "slow_consumer") => (1013, "upstream lost: "),
        (1, "protocol" | "too_big") => (1011, "upstream closed: "),
        (1, "kicked") => (1012, "kicked"),
        _ => (0, "-"),
    }
}

fn code_of(payload: &[u8]) -> u16 {
    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    code.unwrap_or(1005)
}

/// What is known of one connection of a pair that has ended.
struct Ended {
    cause: Cause,
    code: EndCode,
    is_clean: bool,
    unsent: u32,
    /// The cause and the side of the first end, if the partner ended first.
    first: Option<(Cause, usize)>,
}

impl World {
    /// Checks that neither connection outlives the other, and the ends of both.
    pub(super) fn check_ends(&mut self, pair: usize) -> Result<(), String> {
        let sides = &self.pairs[pair].sides;
        let ids = [0, 1].map(|side| self.net.id(sides[side].peer));
        let ended = &self.net.host().ended;
        let times = ids.map(|id| ended.get(&id).copied());
        let now = self.net.now();
        let first = times.into_iter().flatten().min();
        self.pairs[pair].first_end = first;
        match times {
            [None, None] => self.check_noticed(pair),
            [Some(_), Some(_)] => {
                self.pairs[pair].stage = Stage::Over;
                self.judge(pair)
            }
            _ => {
                let most = first.unwrap_or_default() + Micros(CLOSE_TIMEOUTS * CLOSE_TIMEOUT.0);
                match now > most + TICK {
                    true => Err(format!("one connection outlives the other: {times:?}")),
                    false => Ok(()),
                }
            }
        }
    }

    /// Checks that what ends a connection has ended it, if the loop has read it.
    fn check_noticed(&mut self, pair: usize) -> Result<(), String> {
        for side in 0..2 {
            let this = &self.pairs[pair].sides[side];
            let is_read =
                !this.is_paused && this.rest.is_empty() && this.silenced != Silenced::Ghost;
            let has_ended = this.said_close.is_some() || this.silenced != Silenced::No;
            let is_told = this.silenced == Silenced::Reset || is_read && has_ended;
            if is_told && self.net.is_open(this.peer) {
                let troubles = [0, 1].map(|s| &self.pairs[pair].sides[s].troubles);
                return Err(format!("side {side} is open after {troubles:?}"));
            }
        }
        Ok(())
    }

    fn ended(&self, pair: usize, side: usize) -> Result<Ended, String> {
        let sides = &self.pairs[pair].sides;
        let end = self.net.ending(sides[side].peer).ok_or("no ending")?;
        let partner = end.partner.ok_or("an ending without a partner")?;
        if partner.id != self.net.id(sides[1 - side].peer) {
            return Err("the ending names another partner".to_owned());
        }
        let first = partner.first.map(|(cause, class)| {
            let side = usize::from(class != World::class(0));
            (cause, side)
        });
        Ok(Ended {
            cause: end.cause,
            code: end.code,
            is_clean: end.clean,
            unsent: end.unsent,
            first,
        })
    }

    /// Compares both ends of a pair with the table.
    fn judge(&mut self, pair: usize) -> Result<(), String> {
        let ends = [self.ended(pair, 0)?, self.ended(pair, 1)?];
        let by_partner = [0, 1].map(|side| ends[side].cause == Cause::PARTNER_ENDED);
        let checked = match by_partner {
            [true, true] => Err("no connection has ended first".to_owned()),
            [false, false] => self.judge_both(pair, &ends),
            [false, true] => self.judge_row(pair, 0, &ends),
            [true, false] => self.judge_row(pair, 1, &ends),
        };
        checked.map_err(|e| {
            let causes = [0, 1].map(|side| (ends[side].cause, ends[side].code));
            let heard = [0, 1].map(|side| self.pairs[pair].sides[side].got_close.as_deref());
            let heard = heard.map(|payload| payload.map(String::from_utf8_lossy));
            let sides = [0, 1].map(|side| &self.pairs[pair].sides[side]);
            let said = sides.map(|side| (side.silenced, side.closed_at));
            format!("{e}; ended {causes:?}, heard {heard:?}, closed {said:?}")
        })
    }

    /// Both connections have ended for a cause of their own.
    fn judge_both(&self, pair: usize, ends: &[Ended; 2]) -> Result<(), String> {
        for (side, end) in ends.iter().enumerate() {
            self.check_explained(pair, side, end.cause)?;
            let this = &self.pairs[pair].sides[side];
            let is_answered = match this.got_close {
                None => !self.hears_end(pair, side),
                Some(_) => this.got_close == this.said_close,
            };
            if end.cause == Cause::PEER_CLOSED && !is_answered {
                return Err(format!("side {side} did not get its own close back"));
            }
        }
        Ok(())
    }

    /// Checks that a peer has done what its connection ended for.
    fn check_explained(&self, pair: usize, side: usize, cause: Cause) -> Result<(), String> {
        // The times of these were checked.
        let is_judged = [Cause::STALE, Cause::SLOW_CONSUMER].contains(&cause);
        match is_judged || self.pairs[pair].sides[side].troubles.contains(&cause) {
            true => Ok(()),
            false => Err(format!("side {side} is blamed for {cause}")),
        }
    }

    /// Returns whether a peer can have got a close frame: it reads, and was not left inside a
    /// frame.
    fn hears_end(&self, pair: usize, side: usize) -> bool {
        let peer = self.pairs[pair].sides[side].peer;
        self.reads(pair, side) && self.net.leftover(peer).is_empty()
    }

    /// The connection of one side has ended first: `first`.
    fn judge_row(&mut self, pair: usize, first: usize, ends: &[Ended; 2]) -> Result<(), String> {
        let other = 1 - first;
        let cause = ends[first].cause;
        self.check_explained(pair, first, cause)?;
        if self.pairs[pair].closes_crossed {
            return Err("closes that crossed were handled as one and its answer".to_owned());
        }
        if ends[other].first != Some((cause, first)) {
            return Err(format!(
                "the first end is said to be {:?}",
                ends[other].first
            ));
        }
        match cause == Cause::PEER_CLOSED {
            true => self.judge_close(pair, first, ends[other].is_clean)?,
            false => self.judge_loss(pair, first, cause)?,
        }
        self.judge_partner(pair, other, &ends[other])
    }

    /// Checks a close frame and its answer. `is_answered`: the other peer has answered.
    fn judge_close(&self, pair: usize, first: usize, is_answered: bool) -> Result<(), String> {
        let [this, partner] = [first, 1 - first].map(|side| &self.pairs[pair].sides[side]);
        let answer = match is_answered {
            true => &partner.said_close,
            false => &this.said_close,
        };
        // After the close timeout the peer that closed has got its own close back.
        let is_late = match (this.closed_at, partner.closed_at) {
            (Some(said), Some(answered)) => answered >= said + CLOSE_TIMEOUT,
            _ => false,
        };
        let is_heard = match &this.got_close {
            None => !self.hears_end(pair, first),
            got => got == answer || is_late && *got == this.said_close,
        };
        if !is_heard {
            return Err("the peer that closed did not get the answer".to_owned());
        }
        if partner.got_close.is_some() && partner.got_close != this.said_close {
            return Err("the close was not forwarded as it came".to_owned());
        }
        Ok(())
    }

    /// Checks an end without a close frame of the peer: what both peers were told, and the host.
    fn judge_loss(&mut self, pair: usize, first: usize, cause: Cause) -> Result<(), String> {
        let sides = &self.pairs[pair].sides;
        let [this, partner] = [first, 1 - first].map(|side| &sides[side]);
        let code = own_code(first, cause);
        let is_right = match &this.got_close {
            // A client that has ended its stream still gets the answer of the service.
            got if cause == Cause::PEER_EOF && first == 0 => {
                got.is_none() || *got == partner.said_close
            }
            None => code == 0 || !self.hears_end(pair, first),
            Some(payload) => code_of(payload) == code,
        };
        if !is_right {
            return Err(format!("side {first} should get {code}"));
        }
        let (code, begin) = partner_code(first, cause);
        let is_told = |payload: &Vec<u8>| {
            code_of(payload) == code && payload[2..].starts_with(begin.as_bytes())
        };
        if !partner.got_close.as_ref().is_none_or(is_told) {
            return Err(format!("the other side should get {code} {begin}"));
        }
        let [id, partner] = [this.peer, partner.peer].map(|peer| self.net.id(peer));
        match self.net.host().pair_ends.contains(&(id, partner, cause)) {
            true => Ok(()),
            false => Err("the host was not told of this end".to_owned()),
        }
    }

    /// Checks what the partner of the connection that ended first has heard.
    fn judge_partner(&mut self, pair: usize, other: usize, end: &Ended) -> Result<(), String> {
        let peer = self.pairs[pair].sides[other].peer;
        let is_cut = !self.net.leftover(peer).is_empty() && self.reads(pair, other);
        self.cuts += u64::from(is_cut);
        let [this, first] = [other, 1 - other].map(|side| &self.pairs[pair].sides[side]);
        if is_cut && !matches!(end.code, EndCode::None) {
            return Err(format!("a close frame inside a frame: {:?}", end.code));
        }
        let Some(payload) = &this.got_close else {
            // One that has ended its stream, unseen while it was not read, may get nothing more.
            let has_left = this.silenced == Silenced::Eof;
            return match self.hears_end(pair, other) && !has_left {
                true => Err(format!("side {other} got no close")),
                false => Ok(()),
            };
        };
        if end.code != EndCode::Close(code_of(payload)) {
            return Err(format!("side {other} got {}", code_of(payload)));
        }
        // The end of a stream comes after all of it, and a planned close after all that was read.
        let cause = end.first.map(|(cause, _)| cause);
        let is_after_all = [Some(Cause::PEER_CLOSED), Some(Cause::PEER_EOF)].contains(&cause);
        let lacking = this.lacking(if is_after_all { first.sent } else { first.read });
        let is_excused = first.is_paused && !self.has_waited(pair, 1 - other);
        if lacking > 0 && end.unsent == 0 && !is_excused {
            return Err(format!("side {other}: {lacking} frames are lost"));
        }
        Ok(())
    }
}
