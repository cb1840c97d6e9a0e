//! The frames kept for one peer: those that it may not have received yet, and those that wait while
//! it is absent.

use crate::base::time::Micros;
use crate::engine::{Message, PreparedMessage};
use crate::relay::relay_settings::ReplayLimits;
use std::collections::VecDeque;

/// Text frames with at most this many bytes of payload are copied into the backlog's own buffer,
/// because an allocation for each would cost more than the text. All peers that are sent a larger
/// frame share it.
const COPY_MAX: usize = 512;

/// Bytes that a shared frame costs besides its payload: its allocation, and the reference count.
const SHARED_OVERHEAD: usize = 96;

/// The buffer for small frames is not shrunk below this many bytes.
const TRIM_MIN: usize = 1024;

/// A frame for one or more peers, built once.
#[derive(Debug, Clone)]
pub(in crate::relay) struct BuiltFrame {
    pub(in crate::relay) prepared: PreparedMessage,
    /// The text, if it is short enough to be copied.
    text: Option<Message>,
}

impl BuiltFrame {
    /// Makes a frame; `None` if the message is neither text nor binary.
    pub(in crate::relay) fn new(message: Message) -> Option<Self> {
        let prepared = PreparedMessage::new(&message)?;
        let is_small = message.is_text() && message.len() <= COPY_MAX;
        Some(BuiltFrame {
            prepared,
            text: is_small.then_some(message),
        })
    }

    /// Returns the message; `None` if the frame is not valid.
    pub(in crate::relay) fn message(&self) -> Option<Message> {
        self.text.clone().or_else(|| self.prepared.message())
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

/// Frames in order of delivery: first those that were sent over the current connection and that no
/// pong has confirmed, then those that wait.
///
/// Every call that keeps a frame takes `has_room`, which tells whether that many more bytes may be
/// allocated. If not, the backlog drops its own oldest frames.
#[derive(Debug, Default)]
pub(crate) struct BacklogQueue {
    entries: VecDeque<Entry>,
    /// The payloads of small frames, concatenated.
    small: VecDeque<u8>,
    /// How many entries were sent over the current connection.
    sent: usize,
    /// How many bytes of `small` belong to entries that were sent over the current connection.
    sent_small: usize,
    /// Bytes of all frames, as on the wire.
    bytes: usize,
    /// The bytes of memory that shared frames account for.
    shared: usize,
    /// How many frames were sent but not confirmed, and then dropped to make room.
    evicted_sent: u32,
    /// The message number of the last frame that was sent, not confirmed, and dropped.
    last_evicted: u32,
}

#[derive(Debug)]
struct Entry {
    /// When the frame was to be sent.
    at: Micros,
    /// The frame, unless its payload is in `small`.
    shared: Option<Box<PreparedMessage>>,
    /// The frame's message number on the connection that it was sent over, if it was sent.
    number: u32,
    /// The length of the frame's payload in `small`.
    small: u16,
}

/// The next frame that waits.
#[derive(Debug)]
pub(in crate::relay) enum WaitingFrame<'a> {
    /// A text that was copied into the queue's own buffer.
    Copied(Message),
    Shared(&'a PreparedMessage),
}

/// How many waiting frames were dropped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(in crate::relay) struct DropCounts {
    /// Frames dropped to make room for newer ones.
    pub(in crate::relay) overflow: u64,
    /// Frames dropped because they were too old.
    pub(in crate::relay) expired: u64,
}

impl WaitingFrame<'_> {
    /// Returns the message; `None` if the frame is not valid.
    pub(in crate::relay) fn into_message(self) -> Option<Message> {
        match self {
            WaitingFrame::Copied(message) => Some(message),
            WaitingFrame::Shared(prepared) => prepared.message(),
        }
    }
}

impl BacklogQueue {
    pub(in crate::relay) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.evicted_sent == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns how many frames wait.
    pub(in crate::relay) fn waiting(&self) -> usize {
        self.entries.len() - self.sent
    }

    /// Returns the bytes of the kept frames, with all framing.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the bytes of memory of the backlog, including this struct.
    pub(in crate::relay) fn allocated(&self) -> usize {
        let entries = self.entries.capacity() * size_of::<Entry>();
        size_of::<BacklogQueue>() + entries + self.small.capacity() + self.shared
    }

    /// Keeps a new frame that was sent, as the connection's message of this number.
    pub(in crate::relay) fn push_sent(
        &mut self,
        frame: &BuiltFrame,
        number: u32,
        now: Micros,
        limits: &ReplayLimits,
        has_room: &dyn Fn(usize) -> bool,
    ) -> DropCounts {
        debug_assert_eq!(self.waiting(), 0, "it would overtake them");
        let mut dropped = DropCounts::default();
        if can_keep(frame, limits) && self.push(frame, now, has_room, &mut dropped) {
            self.mark_sent(number);
            self.enforce_limits(now, limits, &mut dropped);
        } else {
            self.record_eviction(number);
        }
        dropped
    }

    /// Keeps a frame that waits until the peer comes back.
    pub(in crate::relay) fn push_waiting(
        &mut self,
        frame: &BuiltFrame,
        now: Micros,
        limits: &ReplayLimits,
        has_room: &dyn Fn(usize) -> bool,
    ) -> DropCounts {
        let mut dropped = DropCounts::default();
        if can_keep(frame, limits) && self.push(frame, now, has_room, &mut dropped) {
            self.enforce_limits(now, limits, &mut dropped);
        } else {
            dropped.overflow += 1;
        }
        dropped
    }

    /// Returns the first frame that waits.
    pub(in crate::relay) fn first_waiting(&self) -> Option<WaitingFrame<'_>> {
        let entry = self.entries.get(self.sent)?;
        if let Some(shared) = &entry.shared {
            return Some(WaitingFrame::Shared(shared));
        }
        let payload = self.small_bytes(self.sent_small, usize::from(entry.small));
        // It was valid text when it was copied.
        let text = String::from_utf8(payload).unwrap_or_default();
        Some(WaitingFrame::Copied(Message::text(text)))
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

    /// Marks the first waiting frame as sent, as the connection's message of this number. The frame
    /// keeps its age.
    pub(in crate::relay) fn mark_sent(&mut self, number: u32) {
        if let Some(entry) = self.entries.get_mut(self.sent) {
            entry.number = number;
            self.sent_small += usize::from(entry.small);
            self.sent += 1;
        }
    }

    /// Drops the frames up to this message number, which the peer has received. Returns how many
    /// frames are no longer kept.
    pub(in crate::relay) fn confirm(&mut self, received: u32) -> usize {
        let before = self.entries.len();
        while self.sent > 0 && self.entries.front().is_some_and(|e| e.number <= received) {
            self.pop();
        }
        if self.last_evicted <= received {
            self.evicted_sent = 0;
        }
        self.trim();
        before - self.entries.len()
    }

    /// Handles the loss of the connection, on which messages up to `begun` were sent at least in
    /// part. Unconfirmed ones among them are in doubt: with `keep_doubtful` they wait, else they
    /// are dropped. Later ones were never sent, and wait. Returns how many were in doubt.
    pub(in crate::relay) fn on_loss(&mut self, begun: u32, keep_doubtful: bool) -> u64 {
        let sent = self.entries.iter().take(self.sent);
        let doubtful = sent.take_while(|entry| entry.number <= begun).count();
        if !keep_doubtful {
            (0..doubtful).for_each(|_| drop(self.pop()));
            self.trim();
        }
        (self.sent, self.sent_small) = (0, 0);
        doubtful as u64 + u64::from(std::mem::take(&mut self.evicted_sent))
    }

    /// Drops waiting frames that are too old, unless any frame was sent over the current
    /// connection. Returns how many were dropped.
    pub(in crate::relay) fn expire(&mut self, now: Micros, limits: &ReplayLimits) -> u64 {
        let before = self.entries.len();
        let is_old = |entry: &Entry| now - entry.at > limits.max_age;
        while self.sent == 0 && self.entries.front().is_some_and(is_old) {
            self.pop();
        }
        self.trim();
        (before - self.entries.len()) as u64
    }

    /// Keeps a frame as the last that waits. Returns `false` if there is no room for it, even after
    /// drops.
    fn push(
        &mut self,
        frame: &BuiltFrame,
        at: Micros,
        has_room: &dyn Fn(usize) -> bool,
        dropped: &mut DropCounts,
    ) -> bool {
        let (before, text) = (self.allocated(), frame.copied());
        let shared = match text {
            Some(_) => 0,
            None => frame.wire_len() + SHARED_OVERHEAD,
        };
        // A frame that would not fit into an empty backlog must not evict all others.
        let least = size_of::<BacklogQueue>()
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

    /// Drops the oldest frame to make room. A frame that was already sent is not lost by this; it
    /// only cannot be sent again. Returns `false` if there is none.
    fn drop_oldest(&mut self, dropped: &mut DropCounts) -> bool {
        let was_sent = self.sent > 0;
        match self.pop() {
            Some(entry) if was_sent => self.record_eviction(entry.number),
            Some(_) => dropped.overflow += 1,
            None => return false,
        }
        true
    }

    fn record_eviction(&mut self, number: u32) {
        self.evicted_sent = self.evicted_sent.saturating_add(1);
        self.last_evicted = number;
    }

    /// Drops the oldest frames until the limits hold.
    fn enforce_limits(&mut self, now: Micros, limits: &ReplayLimits, dropped: &mut DropCounts) {
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

    /// Shrinks the buffer of a backlog that was once much larger.
    fn trim(&mut self) {
        if self.small.capacity() > TRIM_MIN && self.small.len() < self.small.capacity() / 4 {
            self.small.shrink_to(self.small.len() * 2);
        }
        let entries = self.entries.len();
        if self.entries.capacity() > TRIM_MIN / size_of::<Entry>()
            && entries < self.entries.capacity() / 4
        {
            self.entries.shrink_to(entries * 2);
        }
    }
}

/// Returns by how much a queue must grow for `more` elements. It grows by an eighth instead of
/// doubling: allocated bytes are charged, and should stay close to the bytes in use.
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

/// Returns the length of a text frame on the wire, for the payload of a small frame.
fn wire_len(payload: usize) -> usize {
    payload + if payload < 126 { 2 } else { 4 }
}

/// Returns whether a frame can be kept within the limits. A frame that cannot must not evict all
/// others.
fn can_keep(frame: &BuiltFrame, limits: &ReplayLimits) -> bool {
    limits.max_messages > 0 && frame.wire_len() <= limits.max_bytes
}

#[cfg(test)]
mod tests;
