//! Frames that are kept for one peer: those that it may not have got yet, and those that wait while it is absent.

use crate::engine::{Message, Prepared};
use crate::gateway::ReplayLimits;
use crate::time::Micros;
use std::collections::VecDeque;

/// Text frames with at most this many bytes of payload are copied into the backlog's own bytes: an allocation for each would
/// cost more than what it holds. Larger frames are shared by all who are sent them.
const COPIED: usize = 512;

/// What a shared frame costs besides its bytes: its place in memory, and the counter of those who share it.
const SHARED_OVERHEAD: usize = 96;

/// Bytes below which the backlog's own bytes are not moved to a smaller place.
const TRIMMED: usize = 1024;

/// A frame on its way to one or more peers, built once.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) prepared: Prepared,
    /// The text, if it is short enough to be copied.
    text: Option<Message>,
}

impl Frame {
    /// `None` for what is neither text nor binary.
    pub(super) fn new(message: Message) -> Option<Self> {
        let prepared = Prepared::new(&message)?;
        let is_small = message.is_text() && message.len() <= COPIED;
        Some(Frame {
            prepared,
            text: is_small.then_some(message),
        })
    }

    fn copied(&self) -> Option<&str> {
        match &self.text {
            Some(Message::Text(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn wire_len(&self) -> usize {
        self.prepared.wire_len()
    }
}

/// Frames in the order in which they were to arrive: first those that were sent over the current connection and that no pong
/// has confirmed, then those that wait.
///
/// Every call that keeps a frame is given `has_room`, which says whether so many bytes more may be allocated. If not, the
/// backlog's own oldest frames make room.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Backlog {
    entries: VecDeque<Entry>,
    /// The payloads of small frames, one behind the other.
    small: VecDeque<u8>,
    /// How many of the entries were sent over the current connection ...
    sent: usize,
    /// ... and how many bytes of `small` are theirs.
    sent_small: usize,
    /// Bytes of all frames, as on the wire.
    bytes: usize,
    /// Bytes that shared frames are charged with.
    shared: usize,
    /// Frames that were sent, not confirmed, and let go because others needed the room ...
    let_go: u32,
    /// ... of which the last had this number.
    let_go_last: u32,
}

#[derive(Debug)]
struct Entry {
    /// When it was to be sent.
    at: Micros,
    /// The frame, unless its payload is in `small`.
    shared: Option<Box<Prepared>>,
    /// Its number on the connection that it went over, if it was sent.
    number: u32,
    /// Bytes of its payload in `small`.
    small: u16,
}

/// The next frame that waits.
#[derive(Debug)]
pub(super) enum Waiting<'a> {
    /// A text that was copied.
    Copied(Message),
    Shared(&'a Prepared),
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
        self.entries.is_empty() && self.let_go == 0
    }

    pub(in crate::gateway) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Frames that wait.
    pub(super) fn waiting(&self) -> usize {
        self.entries.len() - self.sent
    }

    /// Bytes of its frames, as on the wire.
    pub(in crate::gateway) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that it holds, itself included.
    pub(super) fn allocated(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<Entry>();
        size_of::<Backlog>() + entries + self.small.capacity() + self.shared
    }

    /// A frame that came now was sent, as the connection's message of this number.
    pub(super) fn sent(
        &mut self,
        frame: &Frame,
        number: u32,
        now: Micros,
        limits: &ReplayLimits,
        has_room: &dyn Fn(usize) -> bool,
    ) -> Dropped {
        debug_assert_eq!(self.waiting(), 0, "it would overtake them");
        let mut dropped = Dropped::default();
        if fits(frame, limits) && self.push(frame, now, has_room, &mut dropped) {
            self.mark_sent(number);
            self.bound(now, limits, &mut dropped);
        } else {
            self.let_go(number);
        }
        dropped
    }

    /// A frame waits for the peer to come back.
    pub(super) fn waits(
        &mut self,
        frame: &Frame,
        now: Micros,
        limits: &ReplayLimits,
        has_room: &dyn Fn(usize) -> bool,
    ) -> Dropped {
        let mut dropped = Dropped::default();
        if fits(frame, limits) && self.push(frame, now, has_room, &mut dropped) {
            self.bound(now, limits, &mut dropped);
        } else {
            dropped.overflow += 1;
        }
        dropped
    }

    /// The first frame that waits.
    pub(super) fn first_waiting(&self) -> Option<Waiting<'_>> {
        let entry = self.entries.get(self.sent)?;
        if let Some(shared) = &entry.shared {
            return Some(Waiting::Shared(shared));
        }
        let payload = self.small_bytes(self.sent_small, usize::from(entry.small));
        // It was a text when it was copied.
        let text = String::from_utf8(payload).unwrap_or_default();
        Some(Waiting::Copied(Message::text(text)))
    }

    fn small_bytes(&self, start: usize, len: usize) -> Vec<u8> {
        let (first, second) = self.small.as_slices();
        let end = start + len;
        let mut bytes = Vec::with_capacity(len);
        bytes.extend_from_slice(&first[start.min(first.len())..end.min(first.len())]);
        let [start, end] = [start, end].map(|at| at.saturating_sub(first.len()));
        bytes.extend_from_slice(&second[start..end]);
        bytes
    }

    /// The first frame that waits was sent, as the connection's message of this number. It grows no younger by that.
    pub(super) fn mark_sent(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(self.sent) {
            entry.number = number;
            self.sent_small += usize::from(entry.small);
            self.sent += 1;
        }
    }

    /// The peer has got every message up to this number. Returns how many frames are not kept any more.
    pub(super) fn confirm(&mut self, received: u32) -> usize {
        let before = self.entries.len();
        while self.sent > 0 && self.entries.front().is_some_and(|e| e.number <= received) {
            self.pop();
        }
        if self.let_go_last <= received {
            self.let_go = 0;
        }
        self.trim();
        before - self.entries.len()
    }

    /// The connection is lost. Of its messages up to `begun` at least a byte had gone out: the unconfirmed among them are in
    /// doubt, and wait if `keep_doubtful`, else they are dropped. Those behind never left, and wait. Returns how many were in
    /// doubt.
    pub(super) fn lost(&mut self, begun: u32, keep_doubtful: bool) -> u64 {
        let sent = self.entries.iter().take(self.sent);
        let doubtful = sent.take_while(|entry| entry.number <= begun).count();
        if !keep_doubtful {
            (0..doubtful).for_each(|_| drop(self.pop()));
            self.trim();
        }
        (self.sent, self.sent_small) = (0, 0);
        doubtful as u64 + u64::from(std::mem::take(&mut self.let_go))
    }

    /// Drops what waits and is too old, if nothing was sent over the current connection yet; returns how many that were.
    pub(super) fn expire(&mut self, now: Micros, limits: &ReplayLimits) -> u64 {
        let before = self.entries.len();
        let is_old = |entry: &Entry| now - entry.at > limits.max_age;
        while self.sent == 0 && self.entries.front().is_some_and(is_old) {
            self.pop();
        }
        self.trim();
        (before - self.entries.len()) as u64
    }

    /// Keeps a frame as the last that waits; `false`: there is no room for it, whatever is dropped for it.
    fn push(
        &mut self,
        frame: &Frame,
        at: Micros,
        has_room: &dyn Fn(usize) -> bool,
        dropped: &mut Dropped,
    ) -> bool {
        let (before, text) = (self.allocated(), frame.copied());
        let shared = match text {
            Some(_) => 0,
            None => frame.wire_len() + SHARED_OVERHEAD,
        };
        // One that would not fit into an empty backlog shall not push all others out.
        let least = size_of::<Backlog>()
            + self.entries.capacity().max(1) * size_of::<Entry>()
            + self.small.capacity().max(text.map_or(0, str::len))
            + shared;
        if least > before && !has_room(least - before) {
            return false;
        }
        let (entries, small) = loop {
            let entries = growth(&self.entries, 1);
            let small = growth(&self.small, text.map_or(0, str::len));
            let after = self.allocated() + entries * size_of::<Entry>() + small + shared;
            if after <= before || has_room(after - before) {
                break (entries, small);
            }
            if !self.drop_oldest(dropped) {
                return false;
            }
        };
        reserve(&mut self.entries, entries);
        reserve(&mut self.small, small);
        if let Some(text) = text {
            self.small.extend(text.as_bytes());
        }
        self.entries.push_back(Entry {
            at,
            shared: text.is_none().then(|| Box::new(frame.prepared.clone())),
            number: 0,
            small: text.map_or(0, str::len) as u16,
        });
        self.bytes += frame.wire_len();
        self.shared += shared;
        true
    }

    fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.sent = self.sent.saturating_sub(1);
        match &entry.shared {
            Some(shared) => {
                self.bytes -= shared.wire_len();
                self.shared -= shared.wire_len() + SHARED_OVERHEAD;
            }
            None => {
                let small = usize::from(entry.small);
                self.bytes -= wire_len(small);
                self.small.drain(..small);
                self.sent_small = self.sent_small.saturating_sub(small);
            }
        }
        Some(entry)
    }

    /// Drops the oldest frame to make room. One that was sent is not lost by that: it can only not be sent again. `false`:
    /// there is none.
    fn drop_oldest(&mut self, dropped: &mut Dropped) -> bool {
        let was_sent = self.sent > 0;
        match self.pop() {
            Some(entry) if was_sent => self.let_go(entry.number),
            Some(_) => dropped.overflow += 1,
            None => return false,
        }
        true
    }

    fn let_go(&mut self, number: u32) {
        self.let_go = self.let_go.saturating_add(1);
        self.let_go_last = number;
    }

    /// The oldest go first.
    fn bound(&mut self, now: Micros, limits: &ReplayLimits, dropped: &mut Dropped) {
        while let Some(oldest) = self.entries.front() {
            let expired = now - oldest.at > limits.max_age;
            let overflow =
                self.entries.len() > limits.max_messages || self.bytes > limits.max_bytes;
            if expired && self.sent == 0 {
                self.pop();
                dropped.expired += 1;
            } else if expired || overflow {
                self.drop_oldest(dropped);
            } else {
                break;
            }
        }
        self.trim();
    }

    /// Gives memory back that a backlog needed when it was much larger.
    fn trim(&mut self) {
        if self.small.capacity() > TRIMMED && self.small.len() < self.small.capacity() / 4 {
            self.small.shrink_to(self.small.len() * 2);
        }
        let entries = self.entries.len();
        if self.entries.capacity() > TRIMMED / size_of::<Entry>()
            && entries < self.entries.capacity() / 4
        {
            self.entries.shrink_to(entries * 2);
        }
    }
}

/// By how much a queue has to grow for `more` elements. It grows by an eighth, not to the double: what is allocated is what
/// counts, and it shall not be much more than what is used.
fn growth<T>(queue: &VecDeque<T>, more: usize) -> usize {
    let free = queue.capacity() - queue.len();
    match more.saturating_sub(free) {
        0 => 0,
        missing => missing.max(queue.capacity() / 8),
    }
}

fn reserve<T>(queue: &mut VecDeque<T>, growth: usize) {
    if growth > 0 {
        queue.reserve_exact(queue.capacity() - queue.len() + growth);
    }
}

/// The length of a text frame with a payload of so many bytes, which are few.
fn wire_len(payload: usize) -> usize {
    payload + if payload < 126 { 2 } else { 4 }
}

/// Returns whether a frame could be kept at all. One that could not shall not push all others out.
fn fits(frame: &Frame, limits: &ReplayLimits) -> bool {
    limits.max_messages > 0 && frame.wire_len() <= limits.max_bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ReplayLimits = ReplayLimits {
        max_messages: 4,
        max_bytes: 100,
        max_age: Micros::from_millis(1_000),
    };

    const WIDE: ReplayLimits = ReplayLimits {
        max_messages: 1_000,
        max_bytes: 1 << 20,
        max_age: Micros::from_millis(1_000),
    };

    const ROOM: &dyn Fn(usize) -> bool = &|_| true;

    fn frame(text: &str) -> Frame {
        Frame::new(Message::text(text)).expect("a text")
    }

    fn at(ms: u64) -> Micros {
        Micros::from_millis(ms)
    }

    fn texts(backlog: &mut Backlog, now: u64) -> (Vec<usize>, u64) {
        let expired = backlog.expire(at(now), &LIMITS);
        let mut texts = Vec::new();
        while let Some(waiting) = backlog.first_waiting() {
            texts.push(match waiting {
                Waiting::Copied(text) => text.len(),
                Waiting::Shared(frame) => frame.wire_len() - 4,
            });
            backlog.mark_sent(1);
        }
        backlog.confirm(1);
        (texts, expired)
    }

    #[test]
    fn what_is_confirmed_goes_and_what_is_in_doubt_is_counted() {
        for keep in [false, true] {
            let mut backlog = Backlog::default();
            for number in 1..=4 {
                let text = "x".repeat(number as usize);
                backlog.sent(&frame(&text), number, at(0), &LIMITS, ROOM);
            }
            assert_eq!(backlog.confirm(1), 1);
            // Message 4 had not begun to go out.
            assert_eq!(backlog.lost(3, keep), 2);
            backlog.waits(&frame("xxxxx"), at(10), &LIMITS, ROOM);
            let expected: &[usize] = if keep { &[2, 3, 4, 5] } else { &[4, 5] };
            assert_eq!(backlog.waiting(), expected.len());
            assert_eq!(texts(&mut backlog, 20), (expected.to_vec(), 0));
            assert_eq!((backlog.len(), backlog.bytes()), (0, 0));
        }
    }

    #[test]
    fn it_is_bounded_by_number_bytes_and_age_and_the_oldest_go_first() {
        let mut backlog = Backlog::default();
        for n in 0..6 {
            let dropped = backlog.waits(&frame(&"x".repeat(n)), at(0), &LIMITS, ROOM);
            assert_eq!(dropped.overflow, u64::from(n >= 4));
        }
        let dropped = backlog.waits(&frame(&"x".repeat(90)), at(0), &LIMITS, ROOM);
        assert_eq!(dropped.overflow, 3, "92 bytes and 7 are the most that fit");
        let dropped = backlog.waits(&frame("y"), at(1_001), &LIMITS, ROOM);
        assert_eq!((dropped.expired, dropped.overflow), (2, 0));
        assert_eq!(texts(&mut backlog, 2_002), (vec![], 1));
        backlog.waits(&frame("y"), at(0), &LIMITS, ROOM);
        let too_big = backlog.waits(&frame(&"x".repeat(99)), at(0), &LIMITS, ROOM);
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
            let dropped = backlog.sent(&frame("x"), number, at(0), &LIMITS, ROOM);
            assert_eq!(dropped, Dropped::default(), "they have been sent");
        }
        backlog.confirm(1);
        assert_eq!(
            backlog.lost(6, false),
            6,
            "which of the two let go is not known"
        );
        for number in 1..=6 {
            backlog.sent(&frame("x"), number, at(0), &LIMITS, ROOM);
        }
        backlog.confirm(4);
        assert_eq!(backlog.lost(6, false), 2);
        assert!(backlog.is_empty());
    }

    /// Small and large frames, in every mixture, come out as they went in.
    #[test]
    fn frames_come_out_as_they_went_in_whatever_their_size() {
        let mut rng = fastrand::Rng::with_seed(14);
        let (mut backlog, mut model) = (Backlog::default(), VecDeque::new());
        for _ in 0..20_000 {
            if rng.bool() && model.len() < 60 {
                let sizes = [0, 1, 125, 126, 511, 512, 513, 3_000];
                let text = "é".repeat(sizes[rng.usize(0..sizes.len())] / 2);
                let dropped = backlog.waits(&frame(&text), at(0), &WIDE, ROOM);
                assert_eq!(dropped, Dropped::default());
                model.push_back(text.len());
            } else if let Some(len) = model.pop_front() {
                let got = match backlog.first_waiting().expect("a frame") {
                    Waiting::Copied(text) => text.len(),
                    Waiting::Shared(frame) => frame.wire_len() - 4,
                };
                assert_eq!(got, len);
                backlog.mark_sent(7);
                assert_eq!(backlog.confirm(7), 1);
            }
            let wire: usize = model.iter().map(|len| wire_len(*len)).sum();
            assert_eq!((backlog.len(), backlog.bytes()), (model.len(), wire));
        }
    }

    #[test]
    fn what_is_allocated_is_little_more_than_what_is_kept_and_is_given_back() {
        let mut backlog = Backlog::default();
        for _ in 0..1_000 {
            backlog.waits(&frame("0123456789"), at(0), &WIDE, ROOM);
        }
        let needed = 1_000 * (size_of::<Entry>() + 10);
        let allocated = backlog.allocated();
        assert!((needed..needed * 5 / 4).contains(&allocated), "{allocated}");
        for _ in 0..990 {
            backlog.mark_sent(1);
        }
        backlog.confirm(1);
        assert!(backlog.allocated() < 4_096, "{}", backlog.allocated());
    }

    #[test]
    fn without_room_the_oldest_of_the_same_backlog_make_room_or_the_frame_is_dropped() {
        const NONE: &dyn Fn(usize) -> bool = &|_| false;
        let mut backlog = Backlog::default();
        let alone = backlog.waits(&frame("x"), at(0), &WIDE, NONE);
        assert_eq!((alone.overflow, backlog.len()), (1, 0));
        for text in ["aa", "bb", "cc"] {
            backlog.waits(&frame(text), at(0), &WIDE, ROOM);
        }
        let before = backlog.allocated();
        for n in 0..100 {
            let dropped = backlog.waits(&frame("dd"), at(0), &WIDE, NONE);
            assert!(dropped.overflow <= 1 && backlog.len() >= 3, "{n}");
            assert_eq!(backlog.allocated(), before);
        }
        // A large one needs the room of large ones, and pushes nothing out for nothing.
        let (large, larger) = ("x".repeat(600), "x".repeat(601));
        let dropped = backlog.waits(&frame(&large), at(0), &WIDE, NONE);
        assert_eq!((dropped.overflow, backlog.allocated()), (1, before));
        backlog.waits(&frame(&larger), at(0), &WIDE, ROOM);
        let len = backlog.len();
        let dropped = backlog.waits(&frame(&large), at(0), &WIDE, NONE);
        assert_eq!(dropped.overflow, len as u64, "all up to the large one");
        assert_eq!(texts(&mut backlog, 0), (vec![600], 0));
    }
}
