//! Frames that are kept for one peer: those that it may not have got yet, and those that wait while it is absent.

use crate::engine::Prepared;
use crate::gateway::ReplayLimits;
use crate::time::Micros;
use std::collections::VecDeque;

/// Frames in the order in which they were to arrive: first those that were sent over the current connection and that no pong
/// has confirmed, then those that wait.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Backlog {
    frames: VecDeque<Kept>,
    bytes: usize,
    /// Frames that were sent, not confirmed, and let go because others needed the room ...
    let_go: u32,
    /// ... of which the last had this number.
    let_go_last: u32,
}

#[derive(Debug)]
pub(super) struct Kept {
    pub(super) frame: Prepared,
    /// When it was to be sent.
    pub(super) at: Micros,
    /// Its number on the connection that it went over; 0: it waits.
    number: u32,
}

/// Frames that were waiting and were dropped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    /// To make room for newer ones.
    pub(super) overflow: u64,
    /// Because they were too old.
    pub(super) expired: u64,
}

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.let_go == 0
    }

    pub(in crate::gateway) fn len(&self) -> usize {
        self.frames.len()
    }

    /// Frames that wait.
    pub(super) fn waiting(&self) -> u64 {
        self.frames.iter().filter(|kept| kept.number == 0).count() as u64
    }

    /// Bytes of its frames, as on the wire.
    pub(in crate::gateway) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A frame that came at `at` was sent, as the connection's message of this number.
    pub(super) fn sent(
        &mut self,
        frame: Prepared,
        number: u32,
        at: Micros,
        now: Micros,
        limits: &ReplayLimits,
    ) -> Dropped {
        if fits(&frame, limits) {
            self.push(frame, number, at);
            return self.bound(now, limits);
        }
        self.let_go = self.let_go.saturating_add(1);
        self.let_go_last = number;
        Dropped::default()
    }

    /// A frame waits for the peer to come back.
    pub(super) fn waits(&mut self, frame: Prepared, now: Micros, limits: &ReplayLimits) -> Dropped {
        if !fits(&frame, limits) {
            return Dropped {
                overflow: 1,
                ..Dropped::default()
            };
        }
        self.push(frame, 0, now);
        self.bound(now, limits)
    }

    /// The peer has got every message up to this number.
    pub(super) fn confirm(&mut self, received: u32) {
        while self
            .frames
            .front()
            .is_some_and(|kept| (1..=received).contains(&kept.number))
        {
            self.pop();
        }
        if self.let_go_last <= received {
            self.let_go = 0;
        }
    }

    /// The connection is lost. Of its messages up to `begun` at least a byte had gone out: the unconfirmed among them are in
    /// doubt, and wait if `keep_doubtful`, else they are dropped. Those behind never left, and wait. Returns how many were in
    /// doubt.
    pub(super) fn lost(&mut self, begun: u32, keep_doubtful: bool) -> u64 {
        let is_doubtful = |kept: &Kept| (1..=begun).contains(&kept.number);
        let doubtful = self.frames.iter().take_while(|k| is_doubtful(k)).count();
        if !keep_doubtful {
            (0..doubtful).for_each(|_| drop(self.pop()));
        }
        self.frames.iter_mut().for_each(|kept| kept.number = 0);
        doubtful as u64 + u64::from(std::mem::take(&mut self.let_go))
    }

    /// Takes out what waits, in order, but for what is too old; how many were.
    pub(super) fn take(&mut self, now: Micros, limits: &ReplayLimits) -> (VecDeque<Kept>, u64) {
        let mut frames = std::mem::take(&mut self.frames);
        let before = frames.len();
        frames.retain(|kept| now - kept.at <= limits.max_age);
        self.bytes = 0;
        let expired = (before - frames.len()) as u64;
        (frames, expired)
    }

    /// Puts back what was taken out and was not sent after all, behind what was.
    pub(super) fn put_back(&mut self, frames: VecDeque<Kept>) {
        self.bytes += frames.iter().map(|k| k.frame.wire_len()).sum::<usize>();
        self.frames.extend(frames);
    }

    fn push(&mut self, frame: Prepared, number: u32, at: Micros) {
        self.bytes += frame.wire_len();
        self.frames.push_back(Kept { frame, at, number });
    }

    fn pop(&mut self) -> Option<Kept> {
        let kept = self.frames.pop_front()?;
        self.bytes -= kept.frame.wire_len();
        Some(kept)
    }

    /// The oldest go first. One that was sent is not lost by that: it can only not be sent again.
    fn bound(&mut self, now: Micros, limits: &ReplayLimits) -> Dropped {
        let mut dropped = Dropped::default();
        while let Some(oldest) = self.frames.front() {
            let expired = now - oldest.at > limits.max_age;
            let overflow = self.frames.len() > limits.max_messages || self.bytes > limits.max_bytes;
            if !expired && !overflow {
                break;
            }
            match self.pop().map_or(0, |kept| kept.number) {
                0 if expired => dropped.expired += 1,
                0 => dropped.overflow += 1,
                number => {
                    self.let_go = self.let_go.saturating_add(1);
                    self.let_go_last = number;
                }
            }
        }
        dropped
    }
}

/// Whether a frame could be kept at all. One that could not shall not push all others out.
fn fits(frame: &Prepared, limits: &ReplayLimits) -> bool {
    limits.max_messages > 0 && frame.wire_len() <= limits.max_bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Message;

    const LIMITS: ReplayLimits = ReplayLimits {
        max_messages: 4,
        max_bytes: 100,
        max_age: Micros::from_millis(1_000),
    };

    fn frame(text: &str) -> Prepared {
        Prepared::new(&Message::text(text)).expect("a text")
    }

    fn at(ms: u64) -> Micros {
        Micros::from_millis(ms)
    }

    fn texts(backlog: &mut Backlog, now: u64) -> (Vec<usize>, u64) {
        let (frames, expired) = backlog.take(at(now), &LIMITS);
        (
            frames.iter().map(|k| k.frame.wire_len() - 2).collect(),
            expired,
        )
    }

    #[test]
    fn what_is_confirmed_goes_and_what_is_in_doubt_is_counted() {
        for keep in [false, true] {
            let mut backlog = Backlog::default();
            for number in 1..=4 {
                let text = "x".repeat(number as usize);
                backlog.sent(frame(&text), number, at(0), at(0), &LIMITS);
            }
            backlog.confirm(1);
            // Message 4 had not begun to go out.
            assert_eq!(backlog.lost(3, keep), 2);
            backlog.waits(frame("xxxxx"), at(10), &LIMITS);
            let expected: &[usize] = if keep { &[2, 3, 4, 5] } else { &[4, 5] };
            assert_eq!(backlog.waiting(), expected.len() as u64);
            assert_eq!(texts(&mut backlog, 20), (expected.to_vec(), 0));
            assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
        }
    }

    #[test]
    fn it_is_bounded_by_number_bytes_and_age_and_the_oldest_go_first() {
        let mut backlog = Backlog::default();
        for n in 0..6 {
            let dropped = backlog.waits(frame(&"x".repeat(n)), at(0), &LIMITS);
            assert_eq!(dropped.overflow, u64::from(n >= 4));
        }
        let dropped = backlog.waits(frame(&"x".repeat(90)), at(0), &LIMITS);
        assert_eq!(dropped.overflow, 3, "92 bytes and 7 are the most that fit");
        let dropped = backlog.waits(frame("y"), at(1_001), &LIMITS);
        assert_eq!((dropped.expired, dropped.overflow), (2, 0));
        assert_eq!(texts(&mut backlog, 2_002), (vec![], 1));
        backlog.waits(frame("y"), at(0), &LIMITS);
        let too_big = backlog.waits(frame(&"x".repeat(99)), at(0), &LIMITS);
        assert_eq!(
            (too_big.overflow, backlog.len()),
            (1, 1),
            "it alone is dropped"
        );
    }

    #[test]
    fn frames_that_were_sent_and_let_go_are_in_doubt_until_they_are_confirmed() {
        let mut backlog = Backlog::default();
        for number in 1..=6 {
            let dropped = backlog.sent(frame("x"), number, at(0), at(0), &LIMITS);
            assert_eq!(dropped, Dropped::default(), "they have been sent");
        }
        backlog.confirm(1);
        assert_eq!(
            backlog.lost(6, false),
            6,
            "which of the two let go is not known"
        );
        for number in 1..=6 {
            backlog.sent(frame("x"), number, at(0), at(0), &LIMITS);
        }
        backlog.confirm(4);
        assert_eq!(backlog.lost(6, false), 2);
        assert!(backlog.is_empty());
    }
}
