//! Frames that are kept for one peer: those that it may not have got yet, and those that wait while it is absent.

use crate::base::time::Micros;
use crate::engine::{Message, Prepared};
use crate::relay::settings::ReplayLimits;
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
pub(in crate::relay) struct Frame {
    pub(in crate::relay) prepared: Prepared,
    /// The text, if it is short enough to be copied.
    text: Option<Message>,
}

impl Frame {
    /// `None` for what is neither text nor binary.
    pub(in crate::relay) fn new(message: Message) -> Option<Self> {
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

    pub(in crate::relay) fn wire_len(&self) -> usize {
        self.prepared.wire_len()
    }
}

/// Frames in the order in which they were to arrive: first those that were sent over the current connection and that no pong
/// has confirmed, then those that wait.
///
/// Every call that keeps a frame is given `has_room`, which says whether so many bytes more may be allocated. If not, the
/// backlog's own oldest frames make room.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
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
pub(in crate::relay) enum Waiting<'a> {
    /// A text that was copied.
    Copied(Message),
    Shared(&'a Prepared),
}

/// Frames that were waiting and were dropped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct Dropped {
    /// To make room for newer ones.
    pub(in crate::relay) overflow: u64,
    /// Because they were too old.
    pub(in crate::relay) expired: u64,
}

impl Backlog {
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.let_go == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Frames that wait.
    pub(in crate::relay) fn waiting(&self) -> usize {
        self.entries.len() - self.sent
    }

    /// Bytes of its frames, as on the wire.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that it holds, itself included.
    pub(in crate::relay) fn allocated(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<Entry>();
        size_of::<Backlog>() + entries + self.small.capacity() + self.shared
    }

    /// A frame that came now was sent, as the connection's message of this number.
    pub(in crate::relay) fn sent(
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
    pub(in crate::relay) fn waits(
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
    pub(in crate::relay) fn first_waiting(&self) -> Option<Waiting<'_>> {
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
    pub(in crate::relay) fn mark_sent(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(self.sent) {
            entry.number = number;
            self.sent_small += usize::from(entry.small);
            self.sent += 1;
        }
    }

    /// The peer has got every message up to this number. Returns how many frames are not kept any more.
    pub(in crate::relay) fn confirm(&mut self, received: u32) -> usize {
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
    pub(in crate::relay) fn lost(&mut self, begun: u32, keep_doubtful: bool) -> u64 {
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
    pub(in crate::relay) fn expire(&mut self, now: Micros, limits: &ReplayLimits) -> u64 {
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
mod tests;
